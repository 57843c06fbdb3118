# SPDX-License-Identifier: MIT
"""The queue of G1 and G2, which differ in names and in what they take for a buffer."""

from __future__ import annotations

import dataclasses
import sys
import time
from time import monotonic
from typing import Any, Callable, Generic, List, Optional, TypeVar

from . import _hostmem, _wire
from ._datatype import DataType
from ._hostmem import plain_bytes
from ._region import port_of
from ._rings import InputRing, OutputRing, Scratch, Slot
from ._status import LONGEST_SLEEP, Status, pause

PREFIX = "L3-L2 queue"

# INVALID is delivered: the reference accepts every opcode of its enumeration but STOP.
OUTPUT_OPCODES = frozenset((_wire.INVALID, _wire.DATA, _wire.ERROR))

M = TypeVar("M")
L = TypeVar("L", bound=_wire.Layout)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class LayoutFields:
    """Where the parts of a queue are in its region, up to the abort flags."""

    depth: int
    input_desc_offset: int
    output_desc_offset: int
    input_arena_offset: int
    output_arena_offset: int
    input_arena_bytes: int
    output_arena_bytes: int
    payload_bytes: int
    input_desc_tail_offset: int
    input_desc_head_offset: int
    output_desc_tail_offset: int
    output_desc_head_offset: int


class Buffers:
    """Which buffers a generation takes, and how they reach the port."""

    staged = False
    """Whether ``prepare`` and ``collect`` are needed."""

    def accept(self, buffer: Any, nbytes: int, writable: bool) -> Any:
        """Bytes as a memoryview, or what only the port can access; ValueError if unfit."""
        raise NotImplementedError

    def prepare(self, body: Any, nbytes: int, writing: bool) -> Any:
        """What to give the port for a body that it writes or reads."""

    def collect(self, body: Any, prepared: Any, nbytes: int) -> None:
        """Bring what the port has read to where it belongs."""


def check_no_body(buffer: Any) -> None:
    """ValueError if a zero-byte message has a buffer."""
    if buffer is not None:
        raise ValueError(f"{PREFIX} zero-byte message takes no buffer")


class Core(Generic[M]):
    """The queue behind its two halves."""

    def __init__(
        self,
        region: Any,
        layout: _wire.Layout,
        scratch: Scratch,
        buffers: Buffers,
        make_message: Callable[[Slot], M],
    ) -> None:
        port = port_of(region, scratch)
        self.region = region
        self.port = port
        self.layout = layout
        self.buffers = buffers
        self.make_message = make_message
        self.status = Status(PREFIX, port, region)
        self.sending = InputRing(port, PREFIX, layout, port.as_int32)
        self.receiving = OutputRing(
            port, PREFIX, layout, port.as_int32, OUTPUT_OPCODES, wraps_early=True
        )
        self.stopped = False
        self.held: Optional[M] = None
        self._held_slot: Slot = (0, 0, 0, 0)
        self._input_bytes = layout.input_arena_bytes

    # -- sending

    def accept_source(self, buffer: Any, nbytes: int) -> Any:
        if nbytes > 0:
            plain = plain_bytes(buffer, nbytes, False)
            return plain if plain is not None else self.buffers.accept(buffer, nbytes, False)
        if nbytes:
            raise ValueError(f"{PREFIX} nbytes must not be negative")
        return check_no_body(buffer)

    def send(self, opcode: int, body: Any, nbytes: int) -> bool:
        status = self.status
        status.ensure_live()
        if self.stopped or nbytes > self._input_bytes:
            return False
        port = self.port
        sending = self.sending
        try:
            port.enter()
            room = sending.find_room(nbytes)
        except Exception as error:
            status.poison(error)
            raise
        if room is None:
            return False
        if body is not None and self.buffers.staged:
            body = self.buffers.prepare(body, nbytes, True)
        try:
            if body is not None and type(body) is not memoryview:
                body = port.host_bytes(body, nbytes, False)
            sending.publish(opcode, room, nbytes, body)
        except BaseException as error:
            # Also of an interrupted call nobody knows how far it came.
            status.poison(error)
            raise
        if opcode == _wire.STOP:
            self.stopped = sending.off = True
        return True

    def send_later(self, opcode: int, body: Any, nbytes: int, deadline: float) -> None:
        """Send what there was no room for."""
        # No release makes room for what is larger than the arena.
        counter = _wire.INPUT_HEAD if nbytes <= self._input_bytes else None
        while True:
            if self.stopped:
                raise RuntimeError(f"{PREFIX} input is stopped")
            self._wait(deadline, counter, self.sending.seen)
            if self.send(opcode, body, nbytes):
                return

    # -- receiving

    def look(self) -> Optional[M]:
        status = self.status
        status.ensure_live()
        if self.held is not None:
            return self.held
        try:
            self.port.enter()
            slot = self.receiving.look()
        except Exception as error:
            status.poison(error)
            raise
        if slot is not None:
            self._held_slot = slot
            self.held = self.make_message(slot)
            self.receiving.held = True
        return self.held

    def look_later(self, deadline: float) -> M:
        """The next message after there was none."""
        while True:
            self._wait(deadline, _wire.OUTPUT_TAIL, self.receiving.seen)
            message = self.look()
            if message is not None:
                return message

    def _is_held(self, handle: Any) -> bool:
        held = self.held
        return held is not None and (handle is held or handle == held)

    def read(self, handle: Any, buffer: Any) -> None:
        self.status.ensure_live()
        if not self._is_held(handle):
            raise RuntimeError(f"{PREFIX} read_into needs the active message")
        self._copy_out(buffer)

    def _copy_out(self, buffer: Any) -> None:
        _, _, offset, nbytes = self._held_slot
        if not nbytes:
            check_no_body(buffer)
            return
        port, buffers = self.port, self.buffers
        target = body = plain_bytes(buffer, nbytes, True)
        if body is None:
            target = body = buffers.accept(buffer, nbytes, True)
        if buffers.staged:
            target = buffers.prepare(body, nbytes, False)
        try:
            port.enter()
            if type(target) is not memoryview:
                target = port.host_bytes(target, nbytes, True)
            port.read(offset, target, nbytes)
        except Exception as error:
            self.status.poison(error)
            raise
        if buffers.staged:
            buffers.collect(body, target, nbytes)

    def release(self, handle: Any) -> None:
        self.status.ensure_live()
        if not self._is_held(handle):
            error = RuntimeError(f"{PREFIX} release needs the active message")
            self.status.poison(error)
            raise error
        self._give_back()

    def _give_back(self) -> None:
        try:
            self.port.enter()
            self.receiving.release()
        except BaseException as error:
            self.status.poison(error)
            raise
        self.held = None
        self.receiving.held = False

    def take(self, buffer: Any) -> None:
        """Read and release the message that was just looked at."""
        self._copy_out(buffer)
        self._give_back()

    # -- both

    def deadline(self, timeout: Any, start: Optional[float] = None) -> float:
        if timeout is None or not timeout > 0:
            raise ValueError(f"{PREFIX} timeout must be positive")
        return (monotonic() if start is None else start) + float(timeout)

    def _wait(self, deadline: float, offset: Optional[int], seen: int) -> None:
        """Wait for a counter to change, or for a while; TimeoutError after the deadline."""
        left = deadline - monotonic()
        if left <= 0:
            self.status.check_peer()
            raise TimeoutError(f"{PREFIX} operation timed out")
        if offset is None:
            time.sleep(min(left, LONGEST_SLEEP))
        elif pause(self.port, offset, seen, left):
            self.status.check_peer()

    def free(self) -> None:
        self.status.released = True
        self.region.free()

    def scalars(self) -> List[int]:
        self.status.ensure_live()
        layout = self.layout
        return [
            *self.region.descriptor_scalars(),
            _wire.QUEUE_VERSION,
            layout.depth,
            layout.input_arena_bytes,
            layout.output_arena_bytes,
            layout.payload_bytes,
            layout.counter_bytes,
        ]


class QueueInput(Generic[M]):
    """Messages from L3 to L2."""

    def __init__(self, core: Core[M]) -> None:
        self._core = core
        self._send = core.sending.send

    def enqueue(self, buffer_or_none: Any, nbytes: int, timeout: float) -> None:
        """Send a message, waiting for room for at most ``timeout`` seconds.

        A zero-byte message takes None for a buffer. TimeoutError if there was no room, which
        also is the answer to a message larger than the arena; RuntimeError after STOP.
        """
        if self._send(buffer_or_none, nbytes, timeout):
            return
        core = self._core
        deadline = core.deadline(timeout)
        count = int(nbytes)
        body = core.accept_source(buffer_or_none, count)
        if not core.send(_wire.DATA, body, count):
            core.send_later(_wire.DATA, body, count, deadline)

    def try_enqueue(self, buffer_or_none: Any, nbytes: int) -> bool:
        """Send a message if there is room for it, and say whether it was sent."""
        sent = self._send(buffer_or_none, nbytes)
        if sent is not None:
            return sent
        core = self._core
        count = int(nbytes)
        body = core.accept_source(buffer_or_none, count)
        return core.send(_wire.DATA, body, count)


class QueueOutput(Generic[M]):
    """Messages from L2 to L3; one is active at a time, until it is released."""

    def __init__(self, core: Core[M]) -> None:
        self._core = core
        self._take = core.receiving.take

    def try_peek(self) -> Optional[M]:
        """The active message, or else the next one, or None."""
        return self._core.look()

    def peek(self, timeout: float) -> M:
        """The active message, or else the next one, waiting for at most ``timeout`` seconds."""
        core = self._core
        deadline = core.deadline(timeout)
        message = core.look()
        return core.look_later(deadline) if message is None else message

    def read_into(self, handle: M, buffer: Any) -> None:
        """Copy the body of the active message; of a zero-byte one ``buffer`` is None."""
        self._core.read(handle, buffer)

    def release(self, handle: M) -> None:
        """Give the active message back. Any other handle poisons the queue."""
        self._core.release(handle)

    def dequeue_into(self, buffer: Any, timeout: float) -> M:
        """peek, read_into and release. If the buffer is refused the message stays active."""
        core = self._core
        start = monotonic()
        slot = self._take(buffer, timeout)
        if slot:
            return core.make_message(slot)
        deadline = core.deadline(timeout, start)
        message = core.look()
        if message is None:
            message = core.look_later(deadline)
        core.take(buffer)
        return message

    def try_dequeue_into(self, buffer: Any) -> Optional[M]:
        """try_peek, read_into and release; None if there is no message."""
        core = self._core
        slot = self._take(buffer)
        if slot is not None:
            return core.make_message(slot) if slot else None
        message = core.look()
        if message is not None:
            core.take(buffer)
        return message


class Queue(Generic[M, L]):
    """A queue between this process and the orchestrator on a worker's chip."""

    def __init__(
        self,
        region: Any,
        layout: L,
        scratch: Scratch,
        buffers: Buffers,
        make_message: Callable[[Slot], M],
    ) -> None:
        self._core: Core[M] = Core(region, layout, scratch, buffers, make_message)
        self._layout = layout
        self._input = QueueInput(self._core)
        self._output = QueueOutput(self._core)

    @property
    def region(self) -> Any:
        return self._core.region

    @property
    def layout(self) -> L:
        return self._layout

    @property
    def magic_version(self) -> int:
        return _wire.QUEUE_VERSION

    @property
    def input(self) -> QueueInput[M]:
        return self._input

    @property
    def output(self) -> QueueOutput[M]:
        return self._output

    def try_request_stop(self) -> bool:
        """Send STOP if there is room for it; False also if it was sent before."""
        return self._core.send(_wire.STOP, None, 0)

    def request_stop(self, timeout: float) -> None:
        """Send STOP, the last message of the input; RuntimeError if it was sent before."""
        core = self._core
        deadline = core.deadline(timeout)
        if not core.send(_wire.STOP, None, 0):
            core.send_later(_wire.STOP, None, 0, deadline)

    def free(self) -> None:
        """End the use of the queue and its region; the memory goes when the run ends."""
        self._core.free()


def create_queue(
    orch: Any,
    worker_id: int,
    layout: Any,
    create_region: Callable[[], Any],
    build: Callable[[Any, Any, Any, Any], T],
    uint8: Any,
) -> T:
    """Make a region, set its counters to 0, and build a queue; the region is freed on failure."""
    made_for = getattr(orch, "_create_queue_region", None)
    region = made_for(worker_id, layout) if made_for else create_region()
    try:
        if not getattr(region, "_starts_zeroed", False):
            for offset in _wire.COUNTERS:
                region.counter(offset).notify(0)
        sizes = (_wire.FIELDS.size, _wire.SEQ.size, _wire.SLOT.size)
        return build(region, *(orch.alloc((size,), uint8) for size in sizes))
    except BaseException:
        region.free()
        raise


def uint8_of(orch: Any) -> Any:
    """UINT8 as the orchestrator's own module names it."""
    module = sys.modules.get(type(orch).__module__)
    return getattr(getattr(module, "DataType", DataType), "UINT8", DataType.UINT8)


def scratch(region: Any, *sources: Any) -> Scratch:
    """Memory of the orchestrator for 24, 8 and 32 bytes of descriptors."""
    sizes = (_wire.FIELDS.size, _wire.SEQ.size, _wire.SLOT.size)
    memory = [_hostmem.allocated(each, size, PREFIX) for each, size in zip(sources, sizes)]
    if getattr(region, "_copies_here", False):
        memory = [_hostmem.HostBytes(each.view, each.view) for each in memory]
    return Scratch(*memory)
