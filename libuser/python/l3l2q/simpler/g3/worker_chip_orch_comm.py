# SPDX-License-Identifier: MIT
"""Regions of the third generation: simpler.worker_chip_orch_comm."""

from ..g2.worker_chip_orch_comm import (
    WorkerChipOrchCounter,
    WorkerChipOrchRegion,
    WorkerChipOrchRegionDesc,
)

__all__ = ["WorkerChipOrchCounter", "WorkerChipOrchRegion", "WorkerChipOrchRegionDesc"]
