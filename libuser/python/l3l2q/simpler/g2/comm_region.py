# SPDX-License-Identifier: MIT
"""Region instances of the second generation: simpler.comm_region."""

from .._region import (
    NotifyOp,
    RegionInstance,
    RegionInstanceState,
    SignalTestResult,
    WaitCmp,
)

__all__ = ["NotifyOp", "RegionInstance", "RegionInstanceState", "SignalTestResult", "WaitCmp"]
