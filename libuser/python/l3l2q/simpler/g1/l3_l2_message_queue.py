# SPDX-License-Identifier: MIT
"""The queue of the first generation: simpler.l3_l2_message_queue."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, List, Optional

from .. import _hostmem, _l3q2, _wire
from .._l3q2 import PREFIX, LayoutFields, Queue, uint8_of
from .._rings import message_maker
from .tensor import Tensor

L3L2_QUEUE_MAGIC = _wire.QUEUE_MAGIC
L3L2_QUEUE_ABI_MAJOR = 1
L3L2_QUEUE_ABI_MINOR = 1
L3L2_QUEUE_DESC_SLOT_BYTES = _wire.SLOT_BYTES
L3L2_QUEUE_DESC_RING_ALIGNMENT = _wire.RING_ALIGNMENT
L3L2_QUEUE_PAYLOAD_ARENA_ALIGNMENT = _wire.ARENA_ALIGNMENT
L3L2_QUEUE_COUNTER_STRIDE = _wire.COUNTER_STRIDE
L3L2_QUEUE_INPUT_DESC_TAIL_OFFSET = _wire.INPUT_TAIL
L3L2_QUEUE_INPUT_DESC_HEAD_OFFSET = _wire.INPUT_HEAD
L3L2_QUEUE_OUTPUT_DESC_TAIL_OFFSET = _wire.OUTPUT_TAIL
L3L2_QUEUE_OUTPUT_DESC_HEAD_OFFSET = _wire.OUTPUT_HEAD
L3L2_QUEUE_L3_ABORT_FLAG_OFFSET = _wire.L3_ABORT
L3L2_QUEUE_L2_ABORT_FLAG_OFFSET = _wire.L2_ABORT
L3L2_QUEUE_COUNTER_BYTES = _wire.COUNTER_BYTES
L3L2_QUEUE_MAX_DEPTH = _wire.MAX_DEPTH


class L3L2QueueOpcode(enum.IntEnum):
    """What a message is."""

    INVALID = 0
    DATA = 1
    STOP = 2
    ERROR = 3


@dataclasses.dataclass(frozen=True)
class L3L2QueueLayout(LayoutFields):
    """Where the parts of a queue are in its region."""

    l3_abort_flag_offset: int
    l2_abort_flag_offset: int
    counter_bytes: int


@dataclasses.dataclass(frozen=True)
class L3L2QueueMessage:
    """A message of the output. An equal one is as good a handle."""

    seq: int
    opcode: L3L2QueueOpcode
    payload_offset: int
    payload_nbytes: int


def l3_l2_queue_magic_version() -> int:
    return _wire.QUEUE_VERSION


def make_l3_l2_queue_layout(
    depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> L3L2QueueLayout:
    """The layout of a queue; ValueError."""
    fields = _wire.layout_fields(
        PREFIX, int(depth), int(input_arena_bytes), int(output_arena_bytes)
    )
    return L3L2QueueLayout(
        **fields, l3_abort_flag_offset=_wire.L3_ABORT, l2_abort_flag_offset=_wire.L2_ABORT
    )


_make_message = message_maker(L3L2QueueMessage, tuple(L3L2QueueOpcode))


class _Buffers(_l3q2.Buffers):
    """Tensors of the orchestrator go as they are; other memory through one of them.

    The reference's service copies in another process, which has to share the memory. The
    stand-in orchestrator's regions copy here, so nothing is staged for them.
    """

    def __init__(self, orch: Any, direct: bool) -> None:
        self._orch = orch
        self.staged = not direct
        self._stage: Optional[_hostmem.HostBytes] = None

    def accept(self, buffer: Any, nbytes: int, writable: bool) -> Any:
        if isinstance(buffer, Tensor) or hasattr(buffer, "child_memory"):
            self._check_tensor(buffer, nbytes)
            return buffer
        view = None
        if buffer is not None:
            view = _hostmem.by_protocol(buffer, PREFIX, writable)
            if view is None:
                view = _hostmem.by_pointer(buffer, PREFIX)
        if view is None:
            raise ValueError(f"{PREFIX} buffer of type {type(buffer).__name__} is not supported")
        return _hostmem.check_size(view, nbytes, PREFIX)

    def _check_tensor(self, tensor: Any, nbytes: int) -> None:
        registered = getattr(self._orch, "_is_registered", None)
        if registered is not None and not registered(tensor):
            raise ValueError(f"{PREFIX} tensor was not allocated by this orchestrator")
        if tensor.child_memory:
            raise ValueError(f"{PREFIX} tensor is memory of the worker")
        if hasattr(tensor, "is_contiguous") and not tensor.is_contiguous():
            raise ValueError(f"{PREFIX} tensor must be contiguous")
        size = _hostmem.pointer_bytes(tensor, PREFIX)
        if size < nbytes:
            raise ValueError(f"{PREFIX} tensor has {size} bytes, {nbytes} are needed")

    def prepare(self, body: Any, nbytes: int, writing: bool) -> Any:
        if type(body) is not memoryview:
            return body
        if self._stage is None or self._stage.view.nbytes < nbytes:
            tensor = self._orch.alloc((nbytes,), uint8_of(self._orch))
            self._stage = _hostmem.allocated(tensor, nbytes, PREFIX)
        if writing:
            self._stage.view[:nbytes] = body
        return self._stage.source

    def collect(self, body: Any, prepared: Any, nbytes: int) -> None:
        if prepared is not body and self._stage:
            body[:] = self._stage.view[:nbytes]


class L3L2Queue(Queue[L3L2QueueMessage, L3L2QueueLayout]):
    """A queue between this process and the orchestrator on a worker's chip.

    Made by :func:`create_l3_l2_queue`. One thread uses ``input``, one ``output``.
    """

    def __init__(
        self,
        orch: Any,
        region: Any,
        layout: L3L2QueueLayout,
        desc_fields: Any,
        desc_seq: Any,
        desc_read: Any,
    ) -> None:
        super().__init__(
            region,
            layout,
            _l3q2.scratch(region, desc_fields, desc_seq, desc_read),
            _Buffers(orch, getattr(region, "_copies_here", False)),
            _make_message,
        )

    def l2_task_arg_scalars(self) -> List[int]:
        """The twelve scalars that L2 makes its endpoint of."""
        return self._core.scalars()


def create_l3_l2_queue(
    orch: Any, *, worker_id: int, depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> L3L2Queue:
    """Make a region on a worker and a queue in it."""
    layout = make_l3_l2_queue_layout(depth, input_arena_bytes, output_arena_bytes)
    return _l3q2.create_queue(
        orch,
        worker_id,
        layout,
        lambda: orch.create_l3_l2_region(
            worker_id=worker_id,
            payload_bytes=layout.payload_bytes,
            counter_bytes=layout.counter_bytes,
        ),
        lambda region, *scratch: L3L2Queue(orch, region, layout, *scratch),
        uint8_of(orch),
    )
