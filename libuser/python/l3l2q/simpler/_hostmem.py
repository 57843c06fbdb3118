# SPDX-License-Identifier: MIT
"""Host memory that bodies are copied from and to."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, Optional


class HostBytes(NamedTuple):
    """An object that names host memory, and its bytes."""

    source: Any
    view: memoryview


def plain_bytes(buffer: Any, nbytes: int, writable: bool) -> Optional[memoryview]:
    """All of a bytearray or bytes, which every generation takes; None if it is another case."""
    kind = type(buffer)
    if (kind is bytearray or (kind is bytes and not writable)) and len(buffer) == nbytes:
        return memoryview(buffer)
    return None


def by_protocol(buffer: Any, prefix: str, writable: bool) -> Optional[memoryview]:
    """The bytes of an object with the buffer protocol; None without it, ValueError if unfit."""
    try:
        view = memoryview(buffer)
    except TypeError:
        return None
    except BufferError as error:
        raise ValueError(f"{prefix} buffer cannot be used: {error}") from error
    if not view.c_contiguous:
        raise ValueError(f"{prefix} buffer must be C-contiguous")
    if writable and view.readonly:
        raise ValueError(f"{prefix} buffer is read-only")
    try:
        return view if view.format == "B" and view.ndim == 1 else view.cast("B")
    except TypeError as error:
        raise ValueError(f"{prefix} buffer cannot be seen as bytes: {error}") from error


def _value(thing: Any) -> Any:
    """An attribute that is a method with some libraries and a value with others."""
    return thing() if callable(thing) else thing


def pointer_bytes(buffer: Any, prefix: str) -> int:
    """The size of a tensor; ValueError if it does not say."""
    if hasattr(buffer, "nbytes"):
        return int(_value(buffer.nbytes))
    if hasattr(buffer, "numel") and hasattr(buffer, "element_size"):
        return int(buffer.numel()) * int(buffer.element_size())
    raise ValueError(f"{prefix} buffer of type {type(buffer).__name__} has no size in bytes")


def by_pointer(buffer: Any, prefix: str) -> Optional[memoryview]:
    """The bytes of a CPU tensor; None without data_ptr(), ValueError if unfit."""
    if not callable(getattr(buffer, "data_ptr", None)):
        return None
    if hasattr(buffer, "is_contiguous") and not _value(buffer.is_contiguous):
        raise ValueError(f"{prefix} tensor must be contiguous")
    device = getattr(buffer, "device", None)
    if device is not None and str(getattr(device, "type", device)).split(":")[0] != "cpu":
        raise ValueError(f"{prefix} tensor must be on the CPU, not on {device}")
    nbytes = pointer_bytes(buffer, prefix)
    address = int(buffer.data_ptr())
    if not address:
        raise ValueError(f"{prefix} tensor has no memory")
    return memoryview((ctypes.c_char * nbytes).from_address(address)).cast("B")


def check_size(view: memoryview, nbytes: int, prefix: str) -> memoryview:
    """The first ``nbytes`` of a view; ValueError if it has fewer."""
    size = view.nbytes
    if size == nbytes:
        return view
    if size < nbytes:
        raise ValueError(f"{prefix} buffer has {size} bytes, {nbytes} are needed")
    return view[:nbytes]


def allocated(source: Any, nbytes: int, prefix: str) -> HostBytes:
    """Memory that an orchestrator has allocated.

    If it does not show its bytes, ordinary memory takes its place: ports take that too.
    """
    view = getattr(source, "view", None)
    if not isinstance(view, memoryview):
        view = by_protocol(source, prefix, True)
    if view is None:
        view = by_pointer(source, prefix)
    if view is None:
        source = view = memoryview(bytearray(nbytes))
    return HostBytes(source, check_size(view, nbytes, prefix))


def size_of(buffer: Any, prefix: str) -> int:
    """The size of any host buffer in bytes."""
    view = by_protocol(buffer, prefix, False)
    if view is not None:
        return view.nbytes
    return pointer_bytes(buffer, prefix)
