# SPDX-License-Identifier: MIT
"""Host tensors of the stand-in orchestrator."""

from __future__ import annotations

import ctypes

from .._datatype import DataType, HostArray

__all__ = ["DataType", "Tensor"]


class Tensor(HostArray):
    """What ``alloc`` returns."""

    child_memory = False

    def data_ptr(self) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(self.view)) if self.nbytes else 0

    def is_contiguous(self) -> bool:
        return True
