# SPDX-License-Identifier: MIT
"""A stand-in for the orchestrator of the first generation."""

from __future__ import annotations

from typing import Any, Sequence

from .. import _hostmem
from .._orchestrator import RegionOrchestrator
from .._region import RegionInstance
from .l3_l2_message_queue import L3L2Queue, create_l3_l2_queue
from .l3_l2_orch_comm import L3L2OrchRegion, L3L2OrchRegionDesc
from .tensor import DataType, Tensor

__all__ = ["DataType", "Orchestrator", "Tensor"]


class Orchestrator(RegionOrchestrator):
    __doc__ = RegionOrchestrator.__doc__

    # The reference's client serves one thread at a time, whichever.
    _one_thread = False

    def alloc(self, shape: Sequence[int], dtype: DataType) -> Tensor:
        """Host memory that queues use without staging."""
        tensor = Tensor(shape, dtype)
        self._allocated.add(tensor)
        return tensor

    def _to_bytes(self, buffer: Any, writable: bool) -> memoryview:
        if isinstance(buffer, Tensor):
            return buffer.view
        view = _hostmem.by_protocol(buffer, "L3-L2 region", writable)
        if view is None:
            view = _hostmem.by_pointer(buffer, "L3-L2 region")
        if view is None:
            raise ValueError(f"L3-L2 region takes no {type(buffer).__name__} for a buffer")
        return view

    def create_l3_l2_region(
        self, *, worker_id: int, payload_bytes: int, counter_bytes: int
    ) -> L3L2OrchRegion:
        """A raw region on a worker."""
        region: L3L2OrchRegion = self._make_region(worker_id, payload_bytes, counter_bytes)
        return region

    def create_l3_l2_queue(
        self, *, worker_id: int, depth: int, input_arena_bytes: int, output_arena_bytes: int
    ) -> L3L2Queue:
        """A region on a worker and a queue in it."""
        return create_l3_l2_queue(
            self,
            worker_id=worker_id,
            depth=depth,
            input_arena_bytes=input_arena_bytes,
            output_arena_bytes=output_arena_bytes,
        )

    def _build_region(self, instance: RegionInstance) -> L3L2OrchRegion:
        desc = L3L2OrchRegionDesc(*instance.memory.scalars[:6])
        return L3L2OrchRegion(self, instance.worker_id, desc)
