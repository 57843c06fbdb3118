# SPDX-License-Identifier: MIT
"""Raw regions of the second generation: simpler.worker_chip_orch_comm."""

from __future__ import annotations

import dataclasses
from typing import List

from .._region import OrchCounter, OrchRegion, scalars_of

__all__ = ["WorkerChipOrchCounter", "WorkerChipOrchRegion", "WorkerChipOrchRegionDesc"]


@dataclasses.dataclass(frozen=True)
class WorkerChipOrchRegionDesc:
    """The six scalars that describe a region to L2."""

    magic_version: int
    region_id: int
    payload_base: int
    payload_bytes: int
    counter_base: int
    counter_bytes: int

    def scalars(self) -> List[int]:
        return scalars_of(self)


class WorkerChipOrchCounter(OrchCounter):
    """A counter of a region; int32 values."""


class WorkerChipOrchRegion(OrchRegion):
    """A region over an instance: of this package, or of the reference.

    A payload access with a bad range or buffer poisons it.
    """

    _text = "worker-chip region"
    _counter_type = WorkerChipOrchCounter
    _range_poisons = True

    @property
    def expired(self) -> bool:
        """Whether the run that made the region has ended."""
        return self._expired
