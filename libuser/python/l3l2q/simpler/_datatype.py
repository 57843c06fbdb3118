# SPDX-License-Identifier: MIT
"""Host memory that the stand-in orchestrators allocate."""

from __future__ import annotations

import enum
import math
import mmap
from typing import Sequence, Tuple


class DataType(enum.Enum):
    """Type of the elements; the value is the size of one in bytes, and its name."""

    UINT8 = (1, "uint8")
    INT8 = (1, "int8")
    INT16 = (2, "int16")
    UINT16 = (2, "uint16")
    FLOAT16 = (2, "float16")
    BFLOAT16 = (2, "bfloat16")
    INT32 = (4, "int32")
    UINT32 = (4, "uint32")
    FLOAT32 = (4, "float32")
    INT64 = (8, "int64")
    UINT64 = (8, "uint64")

    @property
    def itemsize(self) -> int:
        return self.value[0]


class HostArray:
    """Contiguous zeroed host memory with a shape. ``view`` is its bytes.

    It is mapped shared, as the reference's is, so that children of a fork see it too.
    """

    def __init__(self, shape: Sequence[int], dtype: DataType) -> None:
        self.shape: Tuple[int, ...] = tuple(int(size) for size in shape)
        self.dtype = dtype
        self.nbytes = math.prod(self.shape) * dtype.itemsize
        self.view = memoryview(mmap.mmap(-1, max(self.nbytes, 1)))[: self.nbytes]
