# SPDX-License-Identifier: MIT
"""The queue of the second generation: simpler.worker_chip_message_queue."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, List

from .. import _hostmem, _l3q2, _wire
from .._l3q2 import PREFIX, LayoutFields, Queue, uint8_of
from .._rings import message_maker
from .buffer import Buffer

WORKER_CHIP_QUEUE_MAGIC = _wire.QUEUE_MAGIC
WORKER_CHIP_QUEUE_ABI_MAJOR = 1
WORKER_CHIP_QUEUE_ABI_MINOR = 1
WORKER_CHIP_QUEUE_DESC_SLOT_BYTES = _wire.SLOT_BYTES
WORKER_CHIP_QUEUE_DESC_RING_ALIGNMENT = _wire.RING_ALIGNMENT
WORKER_CHIP_QUEUE_PAYLOAD_ARENA_ALIGNMENT = _wire.ARENA_ALIGNMENT
WORKER_CHIP_QUEUE_COUNTER_STRIDE = _wire.COUNTER_STRIDE
WORKER_CHIP_QUEUE_INPUT_DESC_TAIL_OFFSET = _wire.INPUT_TAIL
WORKER_CHIP_QUEUE_INPUT_DESC_HEAD_OFFSET = _wire.INPUT_HEAD
WORKER_CHIP_QUEUE_OUTPUT_DESC_TAIL_OFFSET = _wire.OUTPUT_TAIL
WORKER_CHIP_QUEUE_OUTPUT_DESC_HEAD_OFFSET = _wire.OUTPUT_HEAD
WORKER_CHIP_QUEUE_WORKER_ABORT_FLAG_OFFSET = _wire.L3_ABORT
WORKER_CHIP_QUEUE_CHIP_ABORT_FLAG_OFFSET = _wire.L2_ABORT
WORKER_CHIP_QUEUE_COUNTER_BYTES = _wire.COUNTER_BYTES
WORKER_CHIP_QUEUE_MAX_DEPTH = _wire.MAX_DEPTH


class WorkerChipQueueOpcode(enum.IntEnum):
    """What a message is."""

    INVALID = 0
    DATA = 1
    STOP = 2
    ERROR = 3


@dataclasses.dataclass(frozen=True)
class WorkerChipQueueLayout(LayoutFields):
    """Where the parts of a queue are in its region."""

    worker_abort_flag_offset: int
    chip_abort_flag_offset: int
    counter_bytes: int


@dataclasses.dataclass(frozen=True)
class WorkerChipQueueMessage:
    """A message of the output. An equal one is as good a handle."""

    seq: int
    opcode: WorkerChipQueueOpcode
    payload_offset: int
    payload_nbytes: int


def worker_chip_queue_magic_version() -> int:
    return _wire.QUEUE_VERSION


def make_worker_chip_queue_layout(
    depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> WorkerChipQueueLayout:
    """The layout of a queue; ValueError."""
    fields = _wire.layout_fields(
        PREFIX, int(depth), int(input_arena_bytes), int(output_arena_bytes)
    )
    return WorkerChipQueueLayout(
        **fields, worker_abort_flag_offset=_wire.L3_ABORT, chip_abort_flag_offset=_wire.L2_ABORT
    )


_make_message = message_maker(WorkerChipQueueMessage, tuple(WorkerChipQueueOpcode))


class _Buffers(_l3q2.Buffers):
    """Buffers go to the region as they are.

    A tensor with data_ptr() passes here too, as in the reference, and is then refused by the
    region, which poisons it and the queue.
    """

    def __init__(self, orch: Any) -> None:
        self._orch = orch

    def accept(self, buffer: Any, nbytes: int, writable: bool) -> Any:
        view = None
        if buffer is None:
            raise ValueError(f"{PREFIX} message of {nbytes} bytes needs a buffer")
        if isinstance(buffer, Buffer):
            registered = getattr(self._orch, "_is_registered", None)
            if registered is not None and not registered(buffer):
                raise ValueError(f"{PREFIX} buffer was not allocated by this orchestrator")
        else:
            view = _hostmem.by_protocol(buffer, PREFIX, writable)
        if view is not None:
            return _hostmem.check_size(view, nbytes, PREFIX)
        size = _hostmem.size_of(buffer, PREFIX)
        if size < nbytes:
            raise ValueError(f"{PREFIX} buffer has {size} bytes, {nbytes} are needed")
        return buffer


class WorkerChipQueue(Queue[WorkerChipQueueMessage, WorkerChipQueueLayout]):
    """A queue between this process and the orchestrator on a worker's chip.

    Made by :func:`create_worker_chip_queue`, and used by the thread that made it.
    """

    def __init__(
        self,
        orch: Any,
        region: Any,
        layout: WorkerChipQueueLayout,
        desc_fields: Any,
        desc_seq: Any,
        desc_read: Any,
    ) -> None:
        super().__init__(
            region,
            layout,
            _l3q2.scratch(region, desc_fields, desc_seq, desc_read),
            _Buffers(orch),
            _make_message,
        )

    def chip_task_arg_scalars(self) -> List[int]:
        """The twelve scalars that L2 makes its endpoint of."""
        return self._core.scalars()


def create_worker_chip_queue(
    orch: Any, *, worker_id: int, depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> WorkerChipQueue:
    """Make a region on a worker and a queue in it, before the run's first submit."""
    layout = make_worker_chip_queue_layout(depth, input_arena_bytes, output_arena_bytes)
    return _l3q2.create_queue(
        orch,
        worker_id,
        layout,
        lambda: orch.create_worker_chip_region(
            worker_id=worker_id,
            payload_bytes=layout.payload_bytes,
            counter_bytes=layout.counter_bytes,
        ),
        lambda region, *scratch: WorkerChipQueue(orch, region, layout, *scratch),
        uint8_of(orch),
    )
