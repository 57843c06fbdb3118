# SPDX-License-Identifier: MIT
"""Host buffers of the stand-in orchestrator, in place of simpler.buffer."""

from __future__ import annotations

import enum
from typing import Sequence

from .._datatype import DataType, HostArray

__all__ = ["AccessMode", "Buffer", "BufferKind", "DataType"]


class AccessMode(enum.Flag):
    """What a queue may do with a buffer."""

    READ = 1
    WRITE = 2
    READ_WRITE = 3


class BufferKind(enum.Enum):
    HOST = "host"
    CHIP = "chip"


class Buffer(HostArray):
    """What ``alloc`` returns."""

    kind = BufferKind.HOST

    def __init__(
        self,
        shape: Sequence[int],
        dtype: DataType,
        access: AccessMode = AccessMode.READ_WRITE,
    ) -> None:
        super().__init__(shape, dtype)
        self.access = access
        self.closed = False

    def close(self) -> None:
        self.closed = True
