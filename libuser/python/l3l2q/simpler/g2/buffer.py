# SPDX-License-Identifier: MIT
"""Host buffers of the stand-in orchestrator, in place of simpler.buffer."""

from __future__ import annotations

from .._datatype import DataType, HostArray

__all__ = ["Buffer", "DataType"]


class Buffer(HostArray):
    """What ``alloc`` returns."""
