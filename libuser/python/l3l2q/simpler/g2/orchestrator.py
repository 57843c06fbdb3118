# SPDX-License-Identifier: MIT
"""A stand-in for the orchestrator of the second generation."""

from __future__ import annotations

from typing import Any, Sequence

from .. import _hostmem
from .._orchestrator import RegionOrchestrator
from .._region import RegionInstance
from .buffer import Buffer, DataType
from .worker_chip_message_queue import WorkerChipQueue, create_worker_chip_queue
from .worker_chip_orch_comm import WorkerChipOrchRegion, WorkerChipOrchRegionDesc

__all__ = ["Orchestrator"]


class Orchestrator(RegionOrchestrator):
    __doc__ = RegionOrchestrator.__doc__

    _region_version = 0x30000

    def alloc(self, shape: Sequence[int], dtype: DataType) -> Buffer:
        """Host memory for bodies."""
        buffer = Buffer(shape, dtype)
        self._allocated.add(buffer)
        return buffer

    def _to_bytes(self, buffer: Any, writable: bool) -> memoryview:
        if isinstance(buffer, Buffer):
            if not self._is_registered(buffer):
                raise ValueError("worker-chip region: buffer of another orchestrator")
            return buffer.view
        view = _hostmem.by_protocol(buffer, "worker-chip region", writable)
        if view is None:
            raise ValueError(f"worker-chip region takes no {type(buffer).__name__} for a buffer")
        return view

    def create_worker_chip_region(
        self, *, worker_id: int, payload_bytes: int, counter_bytes: int
    ) -> WorkerChipOrchRegion:
        """A raw region on a worker, before the run's first submit."""
        region: WorkerChipOrchRegion = self._make_region(worker_id, payload_bytes, counter_bytes)
        return region

    def create_worker_chip_queue(
        self, *, worker_id: int, depth: int, input_arena_bytes: int, output_arena_bytes: int
    ) -> WorkerChipQueue:
        """A region on a worker and a queue in it, before the run's first submit."""
        return create_worker_chip_queue(
            self,
            worker_id=worker_id,
            depth=depth,
            input_arena_bytes=input_arena_bytes,
            output_arena_bytes=output_arena_bytes,
        )

    def _check_run(self) -> None:
        super()._check_run()
        if self._submitted:
            raise RuntimeError("regions are made before the run's first submit")
        if self._failed:
            raise RuntimeError("worker admits no more work after a fatal error")

    def _build_region(self, instance: RegionInstance) -> WorkerChipOrchRegion:
        desc = WorkerChipOrchRegionDesc(*instance.memory.scalars[:6])
        return WorkerChipOrchRegion(self, instance, desc)
