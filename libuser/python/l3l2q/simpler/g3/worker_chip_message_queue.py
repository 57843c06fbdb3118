# SPDX-License-Identifier: MIT
"""The queue of the third generation: simpler.worker_chip_message_queue."""

from __future__ import annotations

import operator
from time import monotonic_ns
from typing import Any, Callable, List, NoReturn, Optional

from .. import _hostmem, _wire
from .._rings import Slot
from .._status import Status, pause
from .buffer import AccessMode, Buffer, BufferKind
from .comm_region_template import (
    PREFIX,
    SpscQueueOpcode,
    _BoundSpscQueue,
    _RegionTemplateCoordinator,
    _SpscQueueLayout,
    _SpscQueueMessage,
    _SpscQueueTemplate,
)

WorkerChipQueueOpcode = SpscQueueOpcode
WorkerChipQueueLayout = _SpscQueueLayout
WorkerChipQueueMessage = _SpscQueueMessage

WORKER_CHIP_QUEUE_DESC_SLOT_BYTES = _wire.SLOT_BYTES
WORKER_CHIP_QUEUE_COUNTER_BYTES = _wire.COUNTER_BYTES
WORKER_CHIP_QUEUE_WORKER_ABORT_FLAG_OFFSET = _wire.L3_ABORT
WORKER_CHIP_QUEUE_CHIP_ABORT_FLAG_OFFSET = _wire.L2_ABORT

def make_worker_chip_queue_layout(
    depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> WorkerChipQueueLayout:
    """The layout of a queue; TypeError, ValueError."""
    return _SpscQueueLayout.create(depth, input_arena_bytes, output_arena_bytes)


class _Status(Status):
    """The first exception is the answer to every later call."""

    def raise_poisoned(self, error: BaseException) -> NoReturn:
        raise error

    def note_unwritten(self, error: BaseException, failure: Exception) -> None:
        note = f"{PREFIX} abort notify failed: {failure}"
        if hasattr(error, "add_note"):
            error.add_note(note)
        else:  # before Python 3.11
            error.__dict__.setdefault("__notes__", []).append(note)

    def note_failure(self, error: BaseException) -> None:
        if not isinstance(error, TimeoutError):
            self.poison(error)


class _Core:
    """The queue behind its two halves."""

    def __init__(self, worker: Any, bound: _BoundSpscQueue, region: Any) -> None:
        self.region = region
        self.bound = bound
        self.port = bound.port
        self.layout = bound.layout
        self.buffers = _Buffers(worker)
        self.sending, self.receiving = bound._take()
        self.status = _Status(PREFIX, bound.port, region)
        self.stopped = False
        self.held: Optional[_SpscQueueMessage] = None
        self._held_slot: Optional[Slot] = None
        self._admit: Callable[[], None] = getattr(worker, "_ensure_admission", lambda: None)

    def enter(self) -> None:
        self.status.ensure_live()
        self._admit()

    # -- sending

    def accept_source(self, buffer: Any, nbytes: int) -> Any:
        if nbytes < 0:
            raise ValueError(f"{PREFIX} nbytes must not be negative")
        plain = _hostmem.plain_bytes(buffer, nbytes, False) if nbytes else None
        if plain is not None:
            return plain
        check_zero_byte(buffer, nbytes)
        return self.buffers.sized(self.buffers.kind(buffer, False), nbytes)

    def send(self, opcode: int, body: Any, nbytes: int) -> bool:
        if self.stopped:
            return False
        status = self.status
        status.check_peer()
        try:
            room = self.sending.find_room(nbytes)
        except Exception as error:
            status.note_failure(error)
            raise
        if room is None:
            return False
        try:
            self.sending.publish(opcode, room, nbytes, body)
        except BaseException as error:
            status.note_failure(error)
            raise
        if opcode == _wire.STOP:
            self.stopped = self.sending.off = True
        return True

    def send_within(self, opcode: int, body: Any, nbytes: int, timeout_ns: int) -> None:
        deadline = monotonic_ns() + timeout_ns
        while True:
            if self.stopped:
                raise RuntimeError(f"{PREFIX} input is stopped")
            if self.send(opcode, body, nbytes):
                return
            self._wait(deadline, _wire.INPUT_HEAD, self.sending.seen)

    # -- receiving

    def look(self) -> Optional[_SpscQueueMessage]:
        status = self.status
        status.check_peer()
        if self.held is not None:
            return self.held
        try:
            slot = self.receiving.look()
        except Exception as error:
            status.note_failure(error)
            raise
        if slot is not None:
            self.held, self._held_slot = self.bound.make_message(slot), slot
            self.receiving.held = True
        return self.held

    def look_until(self, deadline: int) -> _SpscQueueMessage:
        while True:
            message = self.look()
            if message is not None:
                return message
            self._wait(deadline, _wire.OUTPUT_TAIL, self.receiving.seen)

    def slot_of(self, handle: Any, what: str) -> Slot:
        if self._held_slot is None or handle is not self.held:
            error = RuntimeError(f"{PREFIX} {what} needs the active message")
            self.status.poison(error)
            raise error
        return self._held_slot

    def take(self, view: Any) -> None:
        """Read and release the message that was just looked at."""
        assert self._held_slot is not None
        self.read(self._held_slot, view)
        self.release()

    def read(self, slot: Slot, view: Any) -> None:
        """Copy the body; of ``view`` the kind was checked before."""
        _, _, offset, nbytes = slot
        check_zero_byte(view, nbytes)
        if not nbytes:
            return
        body = self.buffers.sized(view, nbytes)
        try:
            self.port.enter()
            self.port.read(offset, body, nbytes)
        except Exception as error:
            self.status.note_failure(error)
            raise

    def release(self) -> None:
        try:
            self.port.enter()
            self.receiving.release()
        except BaseException as error:
            self.status.note_failure(error)
            raise
        self.held = self._held_slot = None
        self.receiving.held = False

    # -- both

    def timeout_ns(self, timeout: Any) -> int:
        if timeout is None or timeout <= 0:
            raise ValueError(f"{PREFIX} timeout must be positive")
        return int(timeout * 1_000_000_000)

    def _wait(self, deadline: int, offset: int, seen: int) -> None:
        """Wait for a counter to change, or for a while; TimeoutError after the deadline."""
        left = (deadline - monotonic_ns()) / 1_000_000_000
        if left <= 0:
            self.status.check_peer()
            raise TimeoutError(f"{PREFIX} operation timed out")
        port = self.port
        if hasattr(port, "_pause"):
            pause(port, offset, seen, left)
        else:
            try:
                port.wait(offset, seen, left)
            except TimeoutError:
                pass  # the clock decides
            except Exception as error:
                self.status.note_failure(error)
                raise
        self.status.check_peer()


def check_zero_byte(buffer: Any, nbytes: int) -> None:
    if nbytes == 0 and buffer is not None:
        raise ValueError(f"{PREFIX} zero-byte message takes no buffer")
    if nbytes and buffer is None:
        raise ValueError(f"{PREFIX} message of {nbytes} bytes needs a buffer")


class _Buffers:
    """Buffers of the orchestrator, and what has the buffer protocol."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def kind(self, buffer: Any, writable: bool) -> Any:
        """What to give the instance; ValueError whatever the size is."""
        if buffer is None:
            return None
        if isinstance(buffer, Buffer):
            return self._own(buffer, AccessMode.WRITE if writable else AccessMode.READ)
        view = _hostmem.by_protocol(buffer, PREFIX, writable)
        if view is None:
            raise ValueError(f"{PREFIX} buffer of type {type(buffer).__name__} is not supported")
        return view

    def _own(self, buffer: Buffer, need: AccessMode) -> memoryview:
        if buffer.closed:
            raise ValueError(f"{PREFIX} buffer is closed")
        registered = getattr(self._worker, "_is_registered", None)
        if registered is not None and not registered(buffer):
            raise ValueError(f"{PREFIX} buffer was not allocated by this orchestrator")
        if buffer.kind is not BufferKind.HOST:
            raise ValueError(f"{PREFIX} buffer is not host memory")
        if need not in buffer.access:
            raise ValueError(f"{PREFIX} buffer has no {need.name} access")
        return buffer.view

    def sized(self, view: Any, nbytes: int) -> Any:
        return None if view is None else _hostmem.check_size(view, nbytes, PREFIX)


class WorkerChipQueueInput:
    """Messages from L3 to L2."""

    def __init__(self, core: _Core) -> None:
        self._core = core

    def enqueue(self, buffer_or_none: Any, nbytes: int, timeout: float) -> None:
        """Send a message, waiting for room for at most ``timeout`` seconds.

        A zero-byte message takes None for a buffer. ValueError if the message is larger than
        the arena; RuntimeError after STOP or once L2 has aborted.
        """
        core = self._core
        core.enter()
        if core.sending.send(buffer_or_none, nbytes, timeout):
            return
        count = int(nbytes)
        body = core.accept_source(buffer_or_none, count)
        if count > core.layout.input_arena_bytes:
            raise ValueError(f"{PREFIX} message of {count} bytes is larger than the arena")
        core.send_within(_wire.DATA, body, count, core.timeout_ns(timeout))

    def try_enqueue(self, buffer_or_none: Any, nbytes: int) -> bool:
        """Send a message if there is room for it, and say whether it was sent."""
        core = self._core
        core.enter()
        sent = core.sending.send(buffer_or_none, nbytes)
        if sent is not None:
            return sent
        count = int(nbytes)
        body = core.accept_source(buffer_or_none, count)
        return count <= core.layout.input_arena_bytes and core.send(_wire.DATA, body, count)


class WorkerChipQueueOutput:
    """Messages from L2 to L3; one is active at a time, until it is released."""

    def __init__(self, core: _Core) -> None:
        self._core = core

    def try_peek(self) -> Optional[WorkerChipQueueMessage]:
        """The active message, or else the next one, or None."""
        self._core.enter()
        return self._core.look()

    def peek(self, timeout: float) -> WorkerChipQueueMessage:
        """The active message, or else the next one, waiting for at most ``timeout`` seconds."""
        timeout_ns = self._core.timeout_ns(timeout)
        self._core.enter()
        return self._core.look_until(monotonic_ns() + timeout_ns)

    def read_into(self, handle: WorkerChipQueueMessage, buffer: Any) -> None:
        """Copy the body of the active message. Any other handle poisons the queue."""
        core = self._core
        core.enter()
        slot = core.slot_of(handle, "read_into")
        core.read(slot, core.buffers.kind(buffer, True))

    def release(self, handle: WorkerChipQueueMessage) -> None:
        """Give the active message back. Any other handle poisons the queue."""
        core = self._core
        core.enter()
        core.slot_of(handle, "release")
        core.release()

    def dequeue_into(self, buffer: Any, timeout: float) -> WorkerChipQueueMessage:
        """peek, read_into and release. If the size does not fit the message stays active."""
        core = self._core
        core.enter()
        timeout_ns = core.timeout_ns(timeout)
        slot = core.receiving.take(buffer)
        if slot:
            return core.bound.make_message(slot)
        view = core.buffers.kind(buffer, True)
        deadline = monotonic_ns() + timeout_ns
        if slot is False:
            slot = core.receiving.take(view, timeout_ns / 1_000_000_000)
            if slot:
                return core.bound.make_message(slot)
        message = core.look_until(deadline)
        core.take(view)
        return message

    def try_dequeue_into(self, buffer: Any) -> Optional[WorkerChipQueueMessage]:
        """try_peek, read_into and release; None if there is no message."""
        core = self._core
        core.enter()
        slot = core.receiving.take(buffer)
        if slot:
            return core.bound.make_message(slot)
        view = core.buffers.kind(buffer, True)
        message = core.look()
        if message is not None:
            core.take(view)
        return message


class WorkerChipQueue:
    """A queue between this process and the orchestrator on a worker's chip.

    Made by :func:`create_worker_chip_queue`, and used by the thread that made it.
    """

    def __init__(self, worker: Any, bound: _BoundSpscQueue, region: Any) -> None:
        self._core = _Core(worker, bound, region)
        self._input = WorkerChipQueueInput(self._core)
        self._output = WorkerChipQueueOutput(self._core)

    @property
    def region(self) -> Any:
        return self._core.region

    @property
    def layout(self) -> WorkerChipQueueLayout:
        return self._core.layout

    @property
    def magic_version(self) -> int:
        return self._core.bound.binding.magic_version

    @property
    def input(self) -> WorkerChipQueueInput:
        return self._input

    @property
    def output(self) -> WorkerChipQueueOutput:
        return self._output

    def chip_task_arg_scalars(self) -> List[int]:
        """The ten scalars that L2 makes its endpoint of."""
        self._core.enter()
        return self._core.bound.binding.scalars()

    def try_request_stop(self) -> bool:
        """Send STOP if there is room for it; False also if it was sent before."""
        self._core.enter()
        return self._core.send(_wire.STOP, None, 0)

    def request_stop(self, timeout: float) -> None:
        """Send STOP, the last message of the input; RuntimeError if it was sent before."""
        self._core.enter()
        self._core.send_within(_wire.STOP, None, 0, self._core.timeout_ns(timeout))

    def free(self) -> None:
        """End the use of the queue and its region; the memory goes when the run ends."""
        self._core.status.released = True
        self._core.region.free()


def create_worker_chip_queue(
    orch: Any, *, worker_id: int, depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> WorkerChipQueue:
    """Make a region on a worker and a queue in it, before the run's first submit.

    ``orch`` is the stand-in orchestrator. Over an instance of the reference's, build
    ``WorkerChipQueue(worker, _BoundSpscQueue(instance, layout, binding), region)``.
    """
    if isinstance(worker_id, bool):
        raise TypeError(f"{PREFIX} worker_id must be an int, not bool")
    worker = operator.index(worker_id)
    return _RegionTemplateCoordinator(orch).create(
        _SpscQueueTemplate(),
        (depth, input_arena_bytes, output_arena_bytes),
        worker,
        lambda bound: WorkerChipQueue(orch, bound, orch._region_of(bound.instance)),
    )
