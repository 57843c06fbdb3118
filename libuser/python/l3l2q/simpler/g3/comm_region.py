# SPDX-License-Identifier: MIT
"""Region instances of the third generation: simpler.comm_region."""

from ..g2.comm_region import (
    NotifyOp,
    RegionInstance,
    RegionInstanceState,
    SignalTestResult,
    WaitCmp,
)

__all__ = ["NotifyOp", "RegionInstance", "RegionInstanceState", "SignalTestResult", "WaitCmp"]
