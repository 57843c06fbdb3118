# SPDX-License-Identifier: MIT
"""The queue of G1 and G2, which differ in names and in what they take for a buffer."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any, Callable, Generic, List, NamedTuple, Optional, Tuple, TypeVar

from . import _hostmem, _wire
from ._datatype import DataType
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


class Body(NamedTuple):
    """A buffer that was found fit for a message."""

    source: Any
    view: Optional[memoryview]  # None: only the port knows how to access it


class Buffers:
    """Which buffers a generation takes, and how they reach the port."""

    def accept(self, buffer: Any, nbytes: int, writable: bool) -> Body:
        """ValueError if the buffer does not fit."""
        raise NotImplementedError

    def prepare(self, body: Body, nbytes: int, writing: bool) -> Any:
        """What to give the port for a body that it writes or reads."""
        return body.source

    def collect(self, body: Body, prepared: Any, nbytes: int) -> None:
        """Bring what the port has read to where it belongs."""


def as_count(value: Any) -> int:
    """Counts go to a counter as they are: the 2^31st message ends the queue there too."""
    return int(value)


def check_zero_byte(buffer: Any, nbytes: int, prefix: str) -> bool:
    """Whether there is no body; ValueError if the buffer says otherwise."""
    if nbytes:
        return False
    if buffer is not None:
        raise ValueError(f"{prefix} zero-byte message takes no buffer")
    return True


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
        self.region = region
        self.port = port_of(region)
        self.layout = layout
        self.buffers = buffers
        self.make_message = make_message
        self.status = Status(PREFIX, self.port, region)
        self.sending = InputRing(self.port, PREFIX, layout, scratch, as_count)
        self.receiving = OutputRing(
            self.port, PREFIX, layout, scratch, as_count, OUTPUT_OPCODES, wraps_early=True
        )
        self.stopped = False
        self.held: Optional[Tuple[M, Slot]] = None

    # -- sending

    def accept_source(self, buffer: Any, nbytes: int) -> Optional[Body]:
        if nbytes < 0:
            raise ValueError(f"{PREFIX} nbytes must not be negative")
        if check_zero_byte(buffer, nbytes, PREFIX):
            return None
        return self.buffers.accept(buffer, nbytes, writable=False)

    def send(self, opcode: int, body: Optional[Body], nbytes: int) -> bool:
        self.status.ensure_live()
        if self.stopped or nbytes > self.layout.input_arena_bytes:
            return False
        room = self.status.guard(self.sending.find_room, nbytes)
        if room is None:
            return False
        prepared = self.buffers.prepare(body, nbytes, True) if body else None
        try:
            self.sending.publish(opcode, room, nbytes, prepared)
        except BaseException as error:
            # Also of an interrupted call nobody knows how far it came.
            self.status.poison(error)
            raise
        self.stopped = opcode == _wire.STOP
        return True

    def send_within(self, opcode: int, body: Optional[Body], nbytes: int, timeout: float) -> None:
        fits = nbytes <= self.layout.input_arena_bytes

        def attempt() -> Optional[bool]:
            if self.send(opcode, body, nbytes):
                return True
            if self.stopped:
                raise RuntimeError(f"{PREFIX} input is stopped")
            return None

        # No release makes room for what is larger than the arena.
        offset = _wire.INPUT_HEAD if fits else None
        self._until(attempt, offset, lambda: self.sending.seen, timeout)

    # -- receiving

    def look(self) -> Optional[M]:
        self.status.ensure_live()
        if self.held is None:
            slot = self.status.guard(self.receiving.look)
            if slot is None:
                return None
            self.held = self.make_message(slot), slot
        return self.held[0]

    def look_within(self, timeout: float) -> M:
        return self._until(self.look, _wire.OUTPUT_TAIL, lambda: self.receiving.seen, timeout)

    def read(self, handle: Any, buffer: Any) -> None:
        self.status.ensure_live()
        if self.held is None or handle != self.held[0]:
            raise RuntimeError(f"{PREFIX} read_into needs the active message")
        slot = self.held[1]
        if check_zero_byte(buffer, slot.nbytes, PREFIX):
            return
        body = self.buffers.accept(buffer, slot.nbytes, writable=True)
        prepared = self.buffers.prepare(body, slot.nbytes, False)
        self.status.guard(self.receiving.read, slot, prepared)
        self.buffers.collect(body, prepared, slot.nbytes)

    def release(self, handle: Any) -> None:
        self.status.ensure_live()
        try:
            if self.held is None or handle != self.held[0]:
                self.receiving.fail("release needs the active message")
            slot = self.held[1]
            self.receiving.release(slot)
        except BaseException as error:
            self.status.poison(error)
            raise
        self.held = None

    # -- both

    def check_timeout(self, timeout: Any) -> float:
        if timeout is None or not timeout > 0:
            raise ValueError(f"{PREFIX} timeout must be positive")
        return float(timeout)

    def _until(
        self,
        attempt: Callable[[], Optional[T]],
        offset: Optional[int],
        seen: Callable[[], int],
        timeout: float,
    ) -> T:
        """What ``attempt`` returns in time; the counter that it depends on may be awaited."""
        deadline = time.monotonic() + timeout
        while True:
            result = attempt()
            if result is not None:
                return result
            left = deadline - time.monotonic()
            if left <= 0:
                self.status.check_peer()
                raise TimeoutError(f"{PREFIX} operation timed out")
            if offset is None:
                time.sleep(min(left, LONGEST_SLEEP))
            elif pause(self.port, offset, seen(), left):
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

    def enqueue(self, buffer_or_none: Any, nbytes: int, timeout: float) -> None:
        """Send a message, waiting for room for at most ``timeout`` seconds.

        A zero-byte message takes None for a buffer. TimeoutError if there was no room, which
        also is the answer to a message larger than the arena; RuntimeError after STOP.
        """
        limit = self._core.check_timeout(timeout)
        count = int(nbytes)
        body = self._core.accept_source(buffer_or_none, count)
        self._core.send_within(_wire.DATA, body, count, limit)

    def try_enqueue(self, buffer_or_none: Any, nbytes: int) -> bool:
        """Send a message if there is room for it, and say whether it was sent."""
        count = int(nbytes)
        body = self._core.accept_source(buffer_or_none, count)
        return self._core.send(_wire.DATA, body, count)


class QueueOutput(Generic[M]):
    """Messages from L2 to L3; one is active at a time, until it is released."""

    def __init__(self, core: Core[M]) -> None:
        self._core = core

    def try_peek(self) -> Optional[M]:
        """The active message, or else the next one, or None."""
        return self._core.look()

    def peek(self, timeout: float) -> M:
        """The active message, or else the next one, waiting for at most ``timeout`` seconds."""
        return self._core.look_within(self._core.check_timeout(timeout))

    def read_into(self, handle: M, buffer: Any) -> None:
        """Copy the body of the active message; of a zero-byte one ``buffer`` is None."""
        self._core.read(handle, buffer)

    def release(self, handle: M) -> None:
        """Give the active message back. Any other handle poisons the queue."""
        self._core.release(handle)

    def dequeue_into(self, buffer: Any, timeout: float) -> M:
        """peek, read_into and release. If the buffer is refused the message stays active."""
        return self._take(self.peek(timeout), buffer)

    def try_dequeue_into(self, buffer: Any) -> Optional[M]:
        """try_peek, read_into and release; None if there is no message."""
        message = self.try_peek()
        return None if message is None else self._take(message, buffer)

    def _take(self, message: M, buffer: Any) -> M:
        self.read_into(message, buffer)
        self.release(message)
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
        self._core.send_within(_wire.STOP, None, 0, self._core.check_timeout(timeout))

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
