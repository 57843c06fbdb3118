# SPDX-License-Identifier: MIT
"""Raw regions of the second generation: simpler.worker_chip_orch_comm."""

from __future__ import annotations

from .._region import OrchCounter, OrchRegion, RegionDesc

__all__ = ["WorkerChipOrchCounter", "WorkerChipOrchRegion", "WorkerChipOrchRegionDesc"]


class WorkerChipOrchRegionDesc(RegionDesc):
    __doc__ = RegionDesc.__doc__


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
