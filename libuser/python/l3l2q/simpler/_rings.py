# SPDX-License-Identifier: MIT
"""The two directions of a queue as L3 sees them: which accesses are made, in which order.

A port is what a queue accesses shared memory by: a region of G1 or G2, an instance of G3,
the reference's own or this package's. Errors are RuntimeErrors; the queue above decides
what they do to it.
"""

from __future__ import annotations

from typing import Any, Callable, FrozenSet, NamedTuple, NoReturn, Optional, Protocol, Tuple

from . import _wire
from ._hostmem import HostBytes

NE = 1
GE = 3


class CounterPort(Protocol):
    def notify(self, value: int) -> Any: ...
    def test(self, cmp_value: int, cmp: Any) -> Any: ...


class Port(Protocol):
    def payload_write(self, offset: int, host_buffer: Any, nbytes: int) -> Any: ...
    def payload_read(self, offset: int, host_buffer: Any, nbytes: int) -> Any: ...
    def counter(self, offset: int) -> Any: ...


class Scratch(NamedTuple):
    """Host memory that descriptors go through."""

    fields: HostBytes  # 24 bytes: opcode, offset, length
    seq: HostBytes  # 8 bytes
    slot: HostBytes  # 32 bytes: a descriptor that was read


class Room(NamedTuple):
    """Where a message would go."""

    offset: int
    cursor: int


class Slot(NamedTuple):
    """A descriptor that was found to be good."""

    seq: int
    opcode: int
    offset: int
    nbytes: int


class Ring:
    """What both directions have in common."""

    def __init__(
        self, port: Port, prefix: str, layout: _wire.Layout, scratch: Scratch, desc_offset: int
    ) -> None:
        self._port = port
        self._prefix = prefix
        self._depth = layout.depth
        self._scratch = scratch
        self._desc_offset = desc_offset
        self.tail = 0
        self.head = 0
        self.seen = 0
        """The other side's counter, as it was seen last."""

    def fail(self, text: str) -> NoReturn:
        raise RuntimeError(f"{self._prefix} {text}")

    def _slot_offset(self, index: int) -> int:
        return self._desc_offset + (index & (self._depth - 1)) * _wire.SLOT_BYTES

    def _read_slot(self, index: int) -> Slot:
        slot = self._scratch.slot
        self._port.payload_read(self._slot_offset(index), slot.source, _wire.SLOT_BYTES)
        return Slot._make(_wire.SLOT.unpack_from(slot.view))

    def _observe(self, counter: CounterPort, count: int, limit: int) -> int:
        """The other side's count; it must not pass ``limit``."""
        self.seen = int(counter.test(0, NE)[1])
        now = _wire.advance(count, self.seen, self._depth)
        if now is None or now > limit:
            self.fail("counter reconstruction failed")
        return now


class InputRing(Ring):
    """Messages from L3 to L2."""

    def __init__(
        self,
        port: Port,
        prefix: str,
        layout: _wire.Layout,
        scratch: Scratch,
        as_counter: Callable[[int], int],
    ) -> None:
        super().__init__(port, prefix, layout, scratch, layout.input_desc_offset)
        self._arena = _wire.Arena(layout.input_arena_offset, layout.input_arena_bytes)
        self._as_counter = as_counter
        self._tail_counter: CounterPort = port.counter(_wire.INPUT_TAIL)
        self._head_counter: CounterPort = port.counter(_wire.INPUT_HEAD)
        self._cursor = 0  # behind the newest body
        self._freed = 0  # behind the newest body that was released

    def find_room(self, nbytes: int) -> Optional[Room]:
        """Where a message of ``nbytes`` goes; None if there is no room. Moves no cursor."""
        head = self._observe(self._head_counter, self.head, self.tail)
        while self.head < head:
            self._replay()
        if self.tail - self.head >= self._depth:
            return None
        offset, cursor = self._arena.place(self._cursor, nbytes)
        if nbytes and cursor - self._freed > self._arena.size:
            return None
        return Room(offset, cursor)

    def _replay(self) -> None:
        """Learn from its descriptor how much space the oldest message gives back."""
        slot = self._read_slot(self.head)
        if slot.seq != self.head + 1:
            self.fail("input release replay seq mismatch")
        if slot.nbytes > self._arena.size:
            self.fail("input payload out of arena")
        offset, freed = self._arena.place(self._freed, slot.nbytes)
        if slot.offset != offset:
            self.fail("payload replay offset mismatch")
        self._freed = freed
        self.head += 1

    def publish(self, opcode: int, room: Room, nbytes: int, body: Any) -> None:
        """Write a message: its body, its descriptor, and the counter that announces it."""
        slot = self._slot_offset(self.tail)
        fields, seq, _ = self._scratch
        if nbytes:
            self._port.payload_write(room.offset, body, nbytes)
        _wire.FIELDS.pack_into(fields.view, 0, opcode, room.offset, nbytes)
        self._port.payload_write(slot + _wire.SEQ.size, fields.source, _wire.FIELDS.size)
        _wire.SEQ.pack_into(seq.view, 0, self.tail + 1)
        self._port.payload_write(slot, seq.source, _wire.SEQ.size)
        self._tail_counter.notify(self._as_counter(self.tail + 1))
        self.tail += 1
        self._cursor = room.cursor


class OutputRing(Ring):
    """Messages from L2 to L3."""

    def __init__(
        self,
        port: Port,
        prefix: str,
        layout: _wire.Layout,
        scratch: Scratch,
        as_counter: Callable[[int], int],
        opcodes: FrozenSet[int],
        wraps_early: bool,
    ) -> None:
        super().__init__(port, prefix, layout, scratch, layout.output_desc_offset)
        self._arena = _wire.Arena(layout.output_arena_offset, layout.output_arena_bytes)
        self._as_counter = as_counter
        self._tail_counter: CounterPort = port.counter(_wire.OUTPUT_TAIL)
        self._head_counter: CounterPort = port.counter(_wire.OUTPUT_HEAD)
        self._opcodes = opcodes
        self._wraps_early = wraps_early
        self._cursor = 0

    def look(self) -> Optional[Slot]:
        """The next message, or None."""
        self.tail = self._observe(self._tail_counter, self.tail, self.head + self._depth)
        if self.tail == self.head:
            return None
        slot = self._read_slot(self.head)
        if slot.seq != self.head + 1:
            self.fail("output descriptor seq mismatch")
        if slot.opcode not in self._opcodes:
            self.fail("invalid output opcode")
        if slot.nbytes:
            self._check_body(slot)
        elif slot.offset:
            self.fail("zero-byte descriptor uses nonzero payload offset")
        return slot

    def _check_body(self, slot: Slot) -> None:
        if not self._arena.contains(slot.offset, slot.nbytes):
            self.fail("output payload out of arena")
        if slot.offset != self._after(slot)[0]:
            self.fail("payload replay offset mismatch")

    def _after(self, slot: Slot) -> Tuple[int, int]:
        """Where the body of a slot has to be, and the cursor behind it."""
        if slot.nbytes and self._wraps_early and slot.offset == self._arena.offset:
            return slot.offset, self._arena.wrap(self._cursor, slot.nbytes)
        return self._arena.place(self._cursor, slot.nbytes)

    def read(self, slot: Slot, body: Any) -> None:
        self._port.payload_read(slot.offset, body, slot.nbytes)

    def release(self, slot: Slot) -> None:
        """Give a message back that look() returned."""
        self._head_counter.notify(self._as_counter(self.head + 1))
        self.head += 1
        self._cursor = self._after(slot)[1]
