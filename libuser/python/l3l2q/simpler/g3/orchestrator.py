# SPDX-License-Identifier: MIT
"""A stand-in for the orchestrator of the third generation."""

from __future__ import annotations

import itertools
import os
from typing import Any, Dict, Sequence, Tuple, Union

from .. import _hostmem, _wire, memory
from .._orchestrator import StandIn, queue_shape
from .._region import RegionInstance, fatal_transaction
from .buffer import AccessMode, Buffer, DataType
from .comm_region_template import (
    _session_instance_id_to_bits,
    _SpscQueueBinding,
    _SpscQueueLayout,
)
from .worker_chip_message_queue import WorkerChipQueue, create_worker_chip_queue
from .worker_chip_orch_comm import WorkerChipOrchRegion, WorkerChipOrchRegionDesc

__all__ = ["Orchestrator"]


class Orchestrator(StandIn):
    __doc__ = StandIn.__doc__

    _region_version = 0x30000

    def __init__(
        self,
        source: Union[str, memory.Source, None] = "memfd",
        *,
        workers: int = 1,
        **attributes: Any,
    ) -> None:
        super().__init__(source, workers=workers, **attributes)
        self._session = _session_instance_id_to_bits(os.urandom(8))
        self._transactions = itertools.count(1)
        self._region_ids: Dict[Tuple[int, int], int] = {}

    def alloc(
        self,
        shape: Sequence[int],
        dtype: DataType,
        access: AccessMode = AccessMode.READ_WRITE,
    ) -> Buffer:
        """Host memory for bodies."""
        buffer = Buffer(shape, dtype, access)
        self._allocated.add(buffer)
        return buffer

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

    def note_fatal(self, text: str) -> None:
        """Tell what L2 reported as fatal: the region that the text names is poisoned."""
        super().note_fatal(text)
        named = fatal_transaction(text)
        if named:
            self._poison_region(self._region_ids.get(named), text)

    def _to_bytes(self, buffer: Any, writable: bool) -> memoryview:
        view = _hostmem.by_protocol(buffer, "worker-chip region", writable)
        if view is None:
            raise ValueError(f"worker-chip region takes no {type(buffer).__name__} for a buffer")
        return view

    def _check_run(self) -> None:
        super()._check_run()
        if self._submitted:
            raise RuntimeError("worker-chip queue: regions are made before the run's first submit")
        self._ensure_admission()

    def _ensure_admission(self) -> None:
        if self._failed:
            raise RuntimeError("worker-chip queue: worker admits no more work after a fatal error")

    def _materialize(
        self, worker_id: int, layout: _SpscQueueLayout
    ) -> Tuple[RegionInstance, _SpscQueueBinding]:
        identity = self._session, next(self._transactions)
        region_id, instance = self._allocate(
            worker_id,
            layout.payload_bytes,
            layout.counter_bytes,
            queue=queue_shape(layout),
            identity=identity,
        )
        binding = _SpscQueueBinding(*instance.memory.scalars)
        desc = WorkerChipOrchRegionDesc(
            _wire.REGION_MAGIC << 32 | self._region_version,
            region_id,
            binding.payload_base,
            binding.payload_bytes,
            binding.counter_base,
            binding.counter_bytes,
        )
        self._region_ids[identity] = region_id
        self._regions.append(WorkerChipOrchRegion(self, instance, desc))
        return instance, binding

    def _region_of(self, instance: RegionInstance) -> WorkerChipOrchRegion:
        for region in self._regions:
            if region._instance is instance and isinstance(region, WorkerChipOrchRegion):
                return region
        raise RuntimeError("worker-chip queue: instance of another orchestrator")
