# SPDX-License-Identifier: MIT
"""The two directions of a queue as L3 sees them: which accesses are made, in which order.

A port is what a queue accesses shared memory by; ForeignPort is one over a region of G1 or
G2 or an instance of G3 of the reference's, OwnPort one over memory of this package. Errors
are RuntimeErrors; the queue above decides what they do to it.
"""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    FrozenSet,
    NamedTuple,
    NoReturn,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
)

from l3l2q._l3l2q import Cursors

from . import _wire
from ._hostmem import HostBytes
from ._wire import SLOT_BYTES

M = TypeVar("M")

NE = 1

MASK32 = 0xFFFFFFFF
INT32_MAX = 0x7FFFFFFF

# Seq, opcode, payload offset and number of bytes.
Slot = Tuple[int, int, int, int]

# Where a message would go, and the arena's cursor behind it.
Room = Tuple[int, int]


class Port(Protocol):
    """A queue passes what an access raises to ``fail``, which raises it as what it is there."""

    @property
    def load(self) -> Callable[[int], int]:
        """The value of the counter at an offset."""

    @property
    def read_slot(self) -> Callable[[int], Slot]: ...

    @property
    def write_message(self) -> Callable[[int, int, int, int, int, Any], Any]:
        """Write a body and then its descriptor: at, seq, opcode, offset, nbytes, body."""

    @property
    def notify(self) -> Callable[[int, int], Any]:
        """Set the counter at an offset."""

    def bind(self, cursors: Cursors) -> None:
        """Let send() and take() pass what is ordinary, if the memory is mapped here."""

    def unbind(self) -> None:
        """Nothing is ordinary any more."""

    def enter(self) -> None:
        """RuntimeError if this thread must not access the memory now."""

    def fail(self, error: Exception) -> NoReturn: ...

    def as_int32(self, count: int) -> int:
        """A count that is larger than an int32."""

    def host_bytes(self, body: Any, nbytes: int, writable: bool) -> Any:
        """What to access host memory by that is no memoryview."""

    def read(self, offset: int, body: Any, nbytes: int) -> None:
        """Copy a body out. ``fail`` has seen what it raises."""

    def set_abort_flag(self) -> None:
        """Also of a region that has failed."""


class Scratch(NamedTuple):
    """Host memory that descriptors go through."""

    fields: HostBytes  # 24 bytes: opcode, offset, length
    seq: HostBytes  # 8 bytes
    slot: HostBytes  # 32 bytes: a descriptor that was read


class ForeignPort:
    """A port over an object of the reference's, which has to be used through its methods."""

    def __init__(self, region: Any, scratch: Scratch) -> None:
        self._scratch = scratch
        self._counters = {offset: region.counter(offset) for offset in _wire.COUNTERS}
        self._payload_write = region.payload_write
        self._payload_read = region.payload_read
        self.read = region.payload_read

    def load(self, offset: int) -> int:
        return int(self._counters[offset].test(0, NE)[1])

    def read_slot(self, offset: int) -> Slot:
        slot = self._scratch.slot
        self._payload_read(offset, slot.source, _wire.SLOT.size)
        seq, opcode, body, nbytes = _wire.SLOT.unpack_from(slot.view)
        return seq, opcode, body, nbytes

    def write_message(
        self, at: int, seq: int, opcode: int, offset: int, nbytes: int, body: Any
    ) -> None:
        fields, number, _ = self._scratch
        if nbytes:
            self._payload_write(offset, body, nbytes)
        _wire.FIELDS.pack_into(fields.view, 0, opcode, offset, nbytes)
        self._payload_write(at + _wire.SEQ.size, fields.source, _wire.FIELDS.size)
        _wire.SEQ.pack_into(number.view, 0, seq)
        self._payload_write(at, number.source, _wire.SEQ.size)

    def notify(self, offset: int, value: int) -> None:
        self._counters[offset].notify(value)

    def wait(self, offset: int, seen: int, seconds: float) -> None:
        """Wait until a counter is no longer as it was seen; TimeoutError."""
        self._counters[offset].wait(seen, NE, seconds)

    def bind(self, cursors: Cursors) -> None:
        """Every access is the object's."""

    def unbind(self) -> None:
        """Nothing was bound."""

    def enter(self) -> None:
        """The object finds out itself."""

    def fail(self, error: Exception) -> NoReturn:
        raise error

    def as_int32(self, count: int) -> int:
        return count

    def host_bytes(self, body: Any, nbytes: int, writable: bool) -> Any:
        return body

    def set_abort_flag(self) -> None:
        flag = self._counters[_wire.L3_ABORT]
        getattr(flag, "_notify_past_liveness", flag.notify)(1)


def message_maker(kind: Type[M], opcodes: Sequence[int]) -> Callable[[Slot], M]:
    """What makes messages, which are frozen dataclasses, of slots.

    Their own __init__ passes each field to object.__setattr__, and takes three times as long.
    """
    new = object.__new__

    def make(slot: Slot) -> M:
        message = new(kind)
        fields = message.__dict__
        fields["seq"], opcode, fields["payload_offset"], fields["payload_nbytes"] = slot
        fields["opcode"] = opcodes[opcode]
        return message

    return make


class Ring(Cursors):
    """What both directions have in common.

    Cursors has the cursors, and send() and take(), which return None where there is anything
    to decide.
    """

    def __init__(
        self,
        port: Port,
        prefix: str,
        depth: int,
        desc_offset: int,
        arena: _wire.Arena,
        as_int32: Callable[[int], int],
    ) -> None:
        super().__init__(depth, desc_offset, arena.offset, arena.size)
        port.bind(self)
        self._port = port
        self._load = port.load
        self._read_slot = port.read_slot
        self._notify = port.notify
        self._prefix = prefix
        self._depth = depth
        self._mask = depth - 1
        self._slots = desc_offset
        self._arena = arena
        self._as_int32 = as_int32

    def fail(self, text: str) -> NoReturn:
        raise RuntimeError(f"{self._prefix} {text}")

    def _announce(self, counter: int, count: int) -> None:
        value = count if count <= INT32_MAX else self._as_int32(count)
        try:
            self._notify(counter, value)
        except Exception as error:
            self._port.fail(error)


class InputRing(Ring):
    """Messages from L3 to L2."""

    def __init__(
        self, port: Port, prefix: str, layout: _wire.Layout, as_int32: Callable[[int], int]
    ) -> None:
        arena = _wire.Arena(layout.input_arena_offset, layout.input_arena_bytes)
        super().__init__(port, prefix, layout.depth, layout.input_desc_offset, arena, as_int32)
        self._write_message = port.write_message

    def find_room(self, nbytes: int) -> Optional[Room]:
        """Where a message of ``nbytes`` goes; None if there is no room. Moves no cursor."""
        try:
            seen = self.seen = self._load(_wire.INPUT_HEAD)
        except Exception as error:
            self._port.fail(error)
        head = self.head + (seen - self.head & MASK32)
        if head > self.tail:
            self.fail("counter reconstruction failed")
        while self.head < head:
            self._replay()
        if self.tail - head >= self._depth:
            return None
        arena = self._arena
        offset, cursor = arena.place(self.cursor, nbytes)
        if nbytes and cursor - self.freed > arena.size:
            return None
        return offset, cursor

    def _replay(self) -> None:
        """Learn from its descriptor how much space the oldest message gives back."""
        try:
            slot = self._slots + (self.head & self._mask) * SLOT_BYTES
            seq, _, offset, nbytes = self._read_slot(slot)
        except Exception as error:
            self._port.fail(error)
        if seq != self.head + 1:
            self.fail("input release replay seq mismatch")
        if nbytes > self._arena.size:
            self.fail("input payload out of arena")
        expected, freed = self._arena.place(self.freed, nbytes)
        if offset != expected:
            self.fail("payload replay offset mismatch")
        self.freed = freed
        self.head += 1

    def publish(self, opcode: int, room: Room, nbytes: int, body: Any) -> None:
        """Write a message: its body, its descriptor, and the counter that announces it."""
        offset, cursor = room
        count = self.tail + 1
        try:
            slot = self._slots + (self.tail & self._mask) * SLOT_BYTES
            self._write_message(slot, count, opcode, offset, nbytes, body)
        except Exception as error:
            self._port.fail(error)
        self._announce(_wire.INPUT_TAIL, count)
        self.tail = count
        self.cursor = cursor


class OutputRing(Ring):
    """Messages from L2 to L3."""

    def __init__(
        self,
        port: Port,
        prefix: str,
        layout: _wire.Layout,
        as_int32: Callable[[int], int],
        opcodes: FrozenSet[int],
        wraps_early: bool,
    ) -> None:
        arena = _wire.Arena(layout.output_arena_offset, layout.output_arena_bytes)
        super().__init__(port, prefix, layout.depth, layout.output_desc_offset, arena, as_int32)
        self._opcodes = opcodes
        self._wraps_early = wraps_early
        self._next_cursor = 0  # behind the message that look() returned

    def look(self) -> Optional[Slot]:
        """The next message, or None."""
        try:
            seen = self.seen = self._load(_wire.OUTPUT_TAIL)
        except Exception as error:
            self._port.fail(error)
        delta = seen - self.tail & MASK32
        if delta:
            if self.tail + delta > self.head + self._depth:
                self.fail("counter reconstruction failed")
            self.tail += delta
        if self.tail == self.head:
            return None
        try:
            slot = self._read_slot(self._slots + (self.head & self._mask) * SLOT_BYTES)
        except Exception as error:
            self._port.fail(error)
        seq, opcode, offset, nbytes = slot
        if seq != self.head + 1:
            self.fail("output descriptor seq mismatch")
        if opcode not in self._opcodes:
            self.fail("invalid output opcode")
        if nbytes:
            self._next_cursor = self._check_body(offset, nbytes)
        elif offset:
            self.fail("zero-byte descriptor uses nonzero payload offset")
        else:
            self._next_cursor = self.cursor
        return slot

    def _check_body(self, offset: int, nbytes: int) -> int:
        """The cursor behind a body, which has to be where the next one belongs."""
        arena = self._arena
        if not arena.offset <= offset <= arena.offset + arena.size - nbytes:
            self.fail("output payload out of arena")
        cursor = self.cursor
        if self._wraps_early and offset == arena.offset:
            cursor += -cursor % arena.size
        expected, cursor = arena.place(cursor, nbytes)
        if offset != expected:
            self.fail("payload replay offset mismatch")
        return cursor

    def release(self) -> None:
        """Give back the message that look() returned."""
        count = self.head + 1
        self._announce(_wire.OUTPUT_HEAD, count)
        self.head = count
        self.cursor = self._next_cursor
