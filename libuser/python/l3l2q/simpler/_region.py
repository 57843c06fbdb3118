# SPDX-License-Identifier: MIT
"""Regions, their counters, and the instances that they access memory by."""

from __future__ import annotations

import dataclasses
import enum
import re
from threading import get_ident
from typing import Any, Callable, List, NamedTuple, NoReturn, Optional, Tuple

from l3l2q._l3l2q import Cursors

from . import _hostmem, _wire
from ._rings import ForeignPort, Scratch
from .memory import Memory, NativeMemory


class NotifyOp(enum.IntEnum):
    """How a counter is changed."""

    Set = 0
    Add = 1


class WaitCmp(enum.IntEnum):
    """Signed comparison of a counter with a value."""

    EQ = 0
    NE = 1
    GT = 2
    GE = 3
    LT = 4
    LE = 5


class SignalTestResult(NamedTuple):
    """One snapshot of a counter."""

    matched: bool
    observed: int


class RegionInstanceState(enum.Enum):
    LIVE = "live"
    CLOSED = "closed"


def check_int32(value: int) -> int:
    if not -(1 << 31) <= value < 1 << 31:
        raise TypeError(f"counter value {value} is not an int32")
    return value


def check_payload_range(offset: int, nbytes: int, payload_bytes: int) -> None:
    if offset < 0 or nbytes <= 0 or offset + nbytes > payload_bytes:
        raise ValueError(
            f"payload range of {nbytes} bytes at {offset} is not in {payload_bytes} bytes"
        )


def check_counter_offset(offset: int, counter_bytes: int) -> None:
    if offset < 0 or offset % 4 or offset + 4 > counter_bytes:
        raise ValueError(f"no counter at offset {offset} of {counter_bytes} bytes")


@dataclasses.dataclass(frozen=True)
class RegionDesc:
    """The six scalars that describe a region to L2."""

    magic_version: int
    region_id: int
    payload_base: int
    payload_bytes: int
    counter_base: int
    counter_bytes: int

    def scalars(self) -> List[int]:
        return list(dataclasses.astuple(self))


class InstanceCounter:
    """A counter of an instance."""

    def __init__(self, instance: RegionInstance, offset: int) -> None:
        self._instance = instance
        self.offset = offset

    def notify(self, value: int, op: int = NotifyOp.Set) -> None:
        self._instance.memory_now().notify(self.offset, NotifyOp(op), check_int32(value))

    def test(self, cmp_value: int, cmp: int) -> SignalTestResult:
        memory = self._instance.memory_now()
        return SignalTestResult(*memory.test(self.offset, WaitCmp(cmp), check_int32(cmp_value)))

    def wait(self, cmp_value: int, cmp: int, timeout: float) -> int:
        memory = self._instance.memory_now()
        return memory.wait(self.offset, WaitCmp(cmp), check_int32(cmp_value), timeout)


class RegionInstance:
    """One region's memory, with the methods that the reference's instances have.

    :param to_bytes: makes a memoryview of a host buffer; ValueError if it cannot
    :param one_thread: refuse other threads than the one that makes the instance
    """

    def __init__(
        self,
        memory: Memory,
        worker_id: int,
        payload_bytes: int,
        counter_bytes: int,
        to_bytes: Callable[[Any, bool], memoryview],
        one_thread: bool,
    ) -> None:
        self.worker_id = worker_id
        self.payload_bytes = payload_bytes
        self.counter_bytes = counter_bytes
        self._live = True
        self._memory = memory
        self._to_bytes = to_bytes
        self._thread = get_ident() if one_thread else None
        self._starts_zeroed = memory.starts_zeroed
        self._cursors: List[Cursors] = []
        self._has_ended = False

    @property
    def memory(self) -> Memory:
        return self._memory

    @property
    def state(self) -> RegionInstanceState:
        return RegionInstanceState.LIVE if self._live else RegionInstanceState.CLOSED

    def memory_now(self) -> Memory:
        """The memory, if it may be accessed."""
        if not self._live:
            raise RuntimeError("region instance is closed")
        if self._thread is not None and get_ident() != self._thread:
            raise RuntimeError("region is used by another thread than the orchestration's")
        return self._memory

    def payload_write(self, offset: int, host_buffer: Any, nbytes: int) -> None:
        check_payload_range(offset, nbytes, self.payload_bytes)
        view = _hostmem.check_size(self._to_bytes(host_buffer, False), nbytes, "region")
        self.memory_now().write(offset, view)

    def payload_read(self, offset: int, host_buffer: Any, nbytes: int) -> None:
        check_payload_range(offset, nbytes, self.payload_bytes)
        view = _hostmem.check_size(self._to_bytes(host_buffer, True), nbytes, "region")
        self.memory_now().read(offset, view)

    def counter(self, offset: int) -> InstanceCounter:
        check_counter_offset(offset, self.counter_bytes)
        return InstanceCounter(self, offset)

    def _port(self, scratch: Scratch) -> OwnPort:
        return OwnPort(self, ErrorPolicy())

    def bind(self, cursors: Cursors) -> None:
        """Let cursors of a queue send or take by themselves, until anything ends."""
        if isinstance(self._memory, NativeMemory) and not self._has_ended:
            self._memory.endpoint.bind(cursors, self._thread)
            self._cursors.append(cursors)

    def unbind(self) -> None:
        self._has_ended = True
        for cursors in self._cursors:
            cursors.off = True

    def _pause(self, offset: int, seen: int, seconds: float) -> bool:
        return self.memory_now().pause(offset, seen, seconds)

    def close(self) -> None:
        if self._live:
            self._live = False
            self._memory.close()


def instance_failure(instance: Any) -> Optional[str]:
    """Why an instance cannot be used: one of this package's or of the reference's."""
    if getattr(instance, "data_plane_error", None) is not None:
        return f"is poisoned: {instance.data_plane_error}"
    state = getattr(instance, "state", None)
    name = str(getattr(state, "name", state)).upper()
    if name in ("CLOSED", "CLOSING", "RELEASED", "EXPIRED", "FAILED", "POISONED"):
        return f"is {name.lower()}"
    return None


class OrchCounter:
    """A counter of a region."""

    def __init__(self, region: OrchRegion, offset: int, addr: int) -> None:
        self._region = region
        self._counter = region._instance.counter(offset)
        self.offset = offset
        self.addr = addr

    def notify(self, value: int, op: int = NotifyOp.Set) -> None:
        """Change the counter; publishes every write before it."""
        self._region._check_value(value)
        self._region._access(lambda: self._counter.notify(value, op))

    def _notify_past_liveness(self, value: int) -> None:
        """Write an abort flag, also of a region that has failed."""
        self._counter.notify(value)

    def test(self, cmp_value: int, cmp: int) -> SignalTestResult:
        """One snapshot; not an error if it does not match."""
        self._region._check_value(cmp_value)
        return SignalTestResult(*self._region._access(lambda: self._counter.test(cmp_value, cmp)))

    def wait(self, cmp_value: int, cmp: int, timeout: float) -> int:
        """Wait until the comparison holds and return the value; TimeoutError."""
        self._region._check_value(cmp_value)
        observed: int = self._region._access(lambda: self._counter.wait(cmp_value, cmp, timeout))
        return observed


class ErrorPolicy:
    """What a failed access of an instance is to the queue over it: the exception as it is."""

    _text = "region"

    def _check_value(self, value: int) -> None:
        """Raise if a value is no int32."""

    def _fail(self, error: Exception) -> NoReturn:
        raise error

    def _refuse_payload(self, error: ValueError) -> NoReturn:
        raise error


class OwnPort:
    """A port over an instance of this package.

    The queue has looked at the state of the region, and the ranges are its layout's. What is
    left is who may access the memory, and what a failure means.
    """

    def __init__(self, instance: RegionInstance, policy: ErrorPolicy) -> None:
        memory = instance.memory
        self._instance = instance
        self._policy = policy
        self._thread = instance._thread
        self._read = memory.read
        self._pause = instance._pause
        self.load = memory.load
        self.read_slot = memory.read_slot
        self.write_message = memory.write_message
        self.notify = memory.set
        self.bind = instance.bind
        self.unbind = instance.unbind

    def enter(self) -> None:
        if self._thread is not None and get_ident() != self._thread:
            try:
                self._instance.memory_now()
            except RuntimeError as error:
                self.fail(error)

    def fail(self, error: Exception) -> NoReturn:
        if not self._instance._live:
            error = RuntimeError("region instance is closed")
        self._policy._fail(error)

    def as_int32(self, count: int) -> int:
        self._policy._check_value(count)
        return count

    def host_bytes(self, body: Any, nbytes: int, writable: bool) -> memoryview:
        try:
            view = self._instance._to_bytes(body, writable)
            return _hostmem.check_size(view, nbytes, self._policy._text)
        except ValueError as error:
            self._policy._refuse_payload(error)

    def read(self, offset: int, body: Any, nbytes: int) -> None:
        try:
            self._read(offset, body)
        except Exception as error:
            self.fail(error)

    def set_abort_flag(self) -> None:
        self._instance.memory_now().set(_wire.L3_ABORT, 1)


def port_of(thing: Any, scratch: Scratch) -> Any:
    """What a queue accesses a region or an instance by."""
    own = getattr(thing, "_port", None)
    return own(scratch) if own is not None else ForeignPort(thing, scratch)


class OrchRegion(ErrorPolicy):
    """A region of an orchestration run."""

    _text = "region"
    _counter_type = OrchCounter
    _range_poisons = False

    def __init__(self, owner: Any, instance: Any, desc: Any) -> None:
        self._owner = owner
        self._instance = instance
        self._worker_id: int = instance.worker_id
        self._desc = desc
        self._copies_here = isinstance(instance, RegionInstance)
        self._expired = False
        self._released = False
        self._error: Optional[BaseException] = None
        self._starts_zeroed: bool = getattr(instance, "_starts_zeroed", False)

    @property
    def _expired(self) -> bool:
        return self._is_expired

    @_expired.setter
    def _expired(self, expired: bool) -> None:
        """By whatever orchestrator the run is of."""
        self._is_expired = expired
        if expired:
            self._unbind()

    def _unbind(self) -> None:
        """Something has ended: have the queue find out what it is."""
        if self._copies_here:
            self._instance.unbind()

    @property
    def descriptor(self) -> Any:
        return self._desc

    @property
    def region_id(self) -> int:
        region_id: int = self._desc.region_id
        return region_id

    def descriptor_scalars(self) -> List[int]:
        """The six scalars that describe the region to L2."""
        self._ensure_live()
        return list(dataclasses.astuple(self._desc))

    def _ensure_live(self) -> None:
        if self._released:
            self._refuse("has been released")
        if self._error is not None:
            self._refuse(f"is poisoned: {self._error}")
        if self._expired:
            self._refuse("expired after orchestration run")
        failure = instance_failure(self._instance)
        if failure:
            self._refuse(failure)

    def _refuse(self, why: str) -> NoReturn:
        raise RuntimeError(f"{self._text} {self.region_id} {why}")

    def _poison(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._unbind()

    def _check_value(self, value: int) -> None:
        check_int32(value)

    def _access(self, access: Callable[[], Any]) -> Any:
        self._ensure_live()
        try:
            return access()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise what a failed access is to the caller. It poisons, unless it was refused."""
        if isinstance(error, (TimeoutError, ValueError)):
            raise error
        self._poison(error)
        if isinstance(error, RuntimeError):
            raise error
        raise RuntimeError(f"{self._text} {self.region_id} access failed: {error}") from error

    def _port(self, scratch: Scratch) -> Any:
        """What a queue in the region accesses it by."""
        return OwnPort(self._instance, self) if self._copies_here else ForeignPort(self, scratch)

    def _payload(self, access: Callable[[], Any]) -> Any:
        try:
            return self._access(access)
        except ValueError as error:
            self._refuse_payload(error)

    def _refuse_payload(self, error: ValueError) -> NoReturn:
        """A bad range or buffer of a payload access."""
        if self._range_poisons:
            self._poison(error)
        raise error

    def payload_write(self, offset: int, host_buffer: Any, nbytes: Optional[int] = None) -> None:
        """Copy host bytes into the payload; all of the buffer if ``nbytes`` is None."""
        instance = self._instance
        self._payload(
            lambda: instance.payload_write(offset, host_buffer, self._size(host_buffer, nbytes))
        )

    def payload_read(self, offset: int, host_buffer: Any, nbytes: Optional[int] = None) -> None:
        """Copy bytes of the payload into a host buffer."""
        instance = self._instance
        self._payload(
            lambda: instance.payload_read(offset, host_buffer, self._size(host_buffer, nbytes))
        )

    def _size(self, host_buffer: Any, nbytes: Optional[int]) -> int:
        return _hostmem.size_of(host_buffer, self._text) if nbytes is None else int(nbytes)

    def counter(self, offset: int) -> Any:
        """The counter at a byte offset; ValueError if there is none."""
        self._ensure_live()
        check_counter_offset(offset, self._desc.counter_bytes)
        return self._counter_type(self, offset, self._desc.counter_base + offset)

    def free(self) -> None:
        """Mark the region released. Its memory goes when the run ends."""
        self._released = True
        self._unbind()


_FATAL = re.compile(r"L3-L2 endpoint error .*?\bregion=(0x[0-9a-fA-F]+|\d+)")
_SPSC_FATAL = re.compile(
    r"SPSC queue endpoint error .*?\bsession=(0x[0-9a-fA-F]+) transaction=(\d+)"
)


def fatal_region(text: str) -> Optional[int]:
    """The region that an error text of L2's raw endpoint names."""
    found = _FATAL.search(text)
    return int(found.group(1), 0) if found else None


def fatal_transaction(text: str) -> Optional[Tuple[int, int]]:
    """Session bits and transaction that an error text of L2's SPSC queue names."""
    found = _SPSC_FATAL.search(text)
    return (int(found.group(1), 16), int(found.group(2))) if found else None
