# SPDX-License-Identifier: MIT
"""Raw regions of the first generation: simpler.l3_l2_orch_comm."""

from __future__ import annotations

import enum
import struct
from typing import Any

from .._region import (
    NotifyOp,
    OrchCounter,
    OrchRegion,
    RegionDesc,
    SignalTestResult,
    WaitCmp,
)

__all__ = [
    "L3L2OrchCommCmd",
    "L3L2OrchCounter",
    "L3L2OrchRegion",
    "L3L2OrchRegionDesc",
    "NotifyOp",
    "SignalTestResult",
    "WaitCmp",
]


class L3L2OrchCommCmd(enum.IntEnum):
    """Commands of the reference's service thread."""

    ALLOC_REGION = 1
    FREE_REGION = 2
    PAYLOAD_WRITE = 3
    PAYLOAD_READ = 4
    SIGNAL_NOTIFY = 5
    SIGNAL_WAIT = 6
    SIGNAL_TEST = 7


class L3L2OrchRegionDesc(RegionDesc):
    __doc__ = RegionDesc.__doc__


class L3L2OrchCounter(OrchCounter):
    """A counter of a region; int32 values."""


class L3L2OrchRegion(OrchRegion):
    """A region. ``owner`` is the orchestrator that has the memory of ``desc``."""

    _text = "L3-L2 region"
    _counter_type = L3L2OrchCounter

    def __init__(self, owner: Any, worker_id: int, desc: L3L2OrchRegionDesc) -> None:
        super().__init__(owner, owner._instances[desc.region_id], desc)
        self._worker_id = worker_id

    def _check_value(self, value: int) -> None:
        # The reference packs it for its service thread.
        struct.pack("<i", value)
