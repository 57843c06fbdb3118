# SPDX-License-Identifier: MIT
"""Where the stand-in orchestrators get the memory of regions from.

A source is called once for each region::

    native("memfd")        RAM without the driver
    native("driver")       RAM or NPU memory by the driver; "pci", "ascend:VA:BYTES", ...
    mapped(map_region)     memory that the runtime has mapped into this process
    copied(open_region)    memory that only the runtime's copy functions reach
"""

from __future__ import annotations

import math
import struct
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence, Tuple

import l3l2q
from l3l2q import Binding, Compare, Range, Role

from . import _wire
from ._status import LONGEST_SLEEP, POLL_SECONDS

__all__ = ["Copies", "Mapping", "Memory", "Request", "Source", "copied", "mapped", "native"]

_I32 = struct.Struct("<i")

_HOLDS: Sequence[Callable[[int, int], bool]] = (
    lambda a, b: a == b,
    lambda a, b: a != b,
    lambda a, b: a > b,
    lambda a, b: a >= b,
    lambda a, b: a < b,
    lambda a, b: a <= b,
)


class Request(NamedTuple):
    """What memory is needed for."""

    worker_id: int
    region_id: int
    """Counted from 1 by the orchestrator. The driver and memfd number regions themselves."""
    region_version: int
    """Of the region's scalars: 0x20000 or 0x30000."""
    payload_bytes: int
    counter_bytes: int
    queue: Optional[Tuple[int, int, int]] = None
    """Depth and bytes of both arenas; None for a raw region."""
    identity: Optional[Tuple[int, int]] = None
    """Session bits and transaction of an SPSQ queue."""

    def scalars(self, payload_base: int, counter_base: int) -> List[int]:
        """The scalars that describe the region, or the queue in it, to L2."""
        ranges = [payload_base, self.payload_bytes, counter_base, self.counter_bytes]
        if self.identity and self.queue:
            return [_wire.SPSQ_VERSION, *self.identity, *ranges, *self.queue]
        version = _wire.REGION_MAGIC << 32 | self.region_version
        scalars = [version, self.region_id, *ranges]
        if self.queue:
            scalars += [_wire.QUEUE_VERSION, *self.queue, self.payload_bytes, self.counter_bytes]
        return scalars


class Memory(Protocol):
    """The ranges of a region. Offsets and sizes were checked before."""

    @property
    def scalars(self) -> Sequence[int]: ...
    @property
    def starts_zeroed(self) -> bool: ...
    def write(self, offset: int, data: Any) -> None: ...
    def read(self, offset: int, buffer: Any) -> None: ...
    def read_slot(self, offset: int) -> Tuple[int, int, int, int]: ...
    def write_message(
        self, slot: int, seq: int, opcode: int, payload_offset: int, nbytes: int, body: Any, /
    ) -> None: ...
    def load(self, offset: int) -> int: ...
    def set(self, offset: int, value: int) -> None: ...
    def notify(self, offset: int, op: int, value: int) -> None: ...
    def test(self, offset: int, cmp: int, value: int) -> Tuple[bool, int]: ...
    def wait(self, offset: int, cmp: int, value: int, seconds: float) -> int: ...
    def pause(self, offset: int, seen: int, seconds: float) -> bool: ...
    def open_peer(self) -> int: ...
    def close(self) -> None: ...


Source = Callable[[Request], Memory]


class NativeMemory:
    """The memory of an endpoint. Its cursors stay unused: the queue above has its own."""

    starts_zeroed = True

    def __init__(self, endpoint: l3l2q.Endpoint) -> None:
        self.endpoint = endpoint
        self.scalars: Sequence[int] = endpoint.scalars
        self.write = endpoint.payload_write
        self.read = endpoint.payload_read_into
        self.read_slot = endpoint.read_slot
        self.write_message = endpoint.write_message
        self.load = endpoint.load
        self.set = endpoint.notify

    def notify(self, offset: int, op: int, value: int) -> None:
        self.endpoint.notify(offset, value, op)

    def test(self, offset: int, cmp: int, value: int) -> Tuple[bool, int]:
        return self.endpoint.test(offset, value, cmp)

    def wait(self, offset: int, cmp: int, value: int, seconds: float) -> int:
        try:
            return self.endpoint.wait_counter(offset, value, cmp, seconds)
        except l3l2q.Timeout as error:
            raise TimeoutError(str(error)) from None

    def pause(self, offset: int, seen: int, seconds: float) -> bool:
        try:
            self.endpoint.wait_counter(offset, seen, Compare.NE, min(seconds, LONGEST_SLEEP))
        except (l3l2q.Timeout, l3l2q.Closed):
            pass  # the queue looks at its clock, and whether its run has ended
        except l3l2q.PeerDetached:
            # Nothing can come any more, but the caller asked for this time.
            if math.isinf(seconds):
                raise TimeoutError("L2 has detached") from None
            time.sleep(seconds)
        except l3l2q.PeerAborted:
            return True
        return False

    def open_peer(self) -> int:
        return self.endpoint.open_peer()

    def close(self) -> None:
        self.endpoint.close()


class Copies(NamedTuple):
    """A region that functions copy from and to. Copies complete in the order of the calls."""

    read: Callable[[int, int, int], Any]
    """``read(range, offset, nbytes)`` returns bytes; see :class:`l3l2q.Range`."""
    write: Callable[[int, int, bytes], Any]
    """``write(range, offset, data)``"""
    payload_base: int
    """Where L2 finds the payload."""
    counter_base: int
    close: Optional[Callable[[], Any]] = None


class CopiedMemory:
    """A region that functions copy from and to; their exceptions pass through."""

    starts_zeroed = False

    def __init__(self, request: Request, copies: Copies) -> None:
        self.scalars: Sequence[int] = request.scalars(copies.payload_base, copies.counter_base)
        self._copies = copies

    def write(self, offset: int, data: Any) -> None:
        self._copies.write(Range.PAYLOAD, offset, bytes(data))

    def read(self, offset: int, buffer: Any) -> None:
        view = memoryview(buffer)
        view[:] = memoryview(self._copies.read(Range.PAYLOAD, offset, view.nbytes))

    def read_slot(self, offset: int) -> Tuple[int, int, int, int]:
        data = self._copies.read(Range.PAYLOAD, offset, _wire.SLOT.size)
        seq, opcode, payload_offset, nbytes = _wire.SLOT.unpack(data)
        return seq, opcode, payload_offset, nbytes

    def write_message(
        self, slot: int, seq: int, opcode: int, payload_offset: int, nbytes: int, body: Any, /
    ) -> None:
        if nbytes:
            self.write(payload_offset, body[:nbytes])
        self.write(slot + _wire.SEQ.size, _wire.FIELDS.pack(opcode, payload_offset, nbytes))
        self.write(slot, _wire.SEQ.pack(seq))

    def load(self, offset: int) -> int:
        value: int = _I32.unpack(self._copies.read(Range.COUNTERS, offset, _I32.size))[0]
        return value

    def set(self, offset: int, value: int) -> None:
        self._copies.write(Range.COUNTERS, offset, _I32.pack(value))

    def notify(self, offset: int, op: int, value: int) -> None:
        self.set(offset, _wire.signed32(value + self.load(offset)) if op else value)

    def test(self, offset: int, cmp: int, value: int) -> Tuple[bool, int]:
        observed = self.load(offset)
        return _HOLDS[cmp](observed, value), observed

    def wait(self, offset: int, cmp: int, value: int, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        while True:
            matched, observed = self.test(offset, cmp, value)
            if matched:
                return observed
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"counter {offset} is {observed}")
            time.sleep(min(left, POLL_SECONDS))

    def pause(self, offset: int, seen: int, seconds: float) -> bool:
        time.sleep(min(seconds, POLL_SECONDS))
        return False

    def open_peer(self) -> int:
        raise RuntimeError("L2 reaches this memory by its scalars, not by a descriptor")

    def close(self) -> None:
        if self._copies.close:
            self._copies.close()


class Mapping(NamedTuple):
    """A region that is mapped here."""

    payload: Any
    """A writable buffer, or an address."""
    counters: Any
    """The same, 64-byte aligned. An orchestrator sets the counters of a buffer to 0."""
    payload_base: int
    """Where L2 finds the payload."""
    counter_base: int
    memory: int = l3l2q.Memory.CACHED


def native(transport: str = "memfd", **attributes: Any) -> Source:
    """Memory of :func:`l3l2q.create`, which takes the attributes."""

    def source(request: Request) -> Memory:
        described: Dict[str, Any] = {"region_version": request.region_version}
        if request.queue:
            names = ("depth", "input_arena_bytes", "output_arena_bytes")
            described.update(zip(names, request.queue))
        else:
            described["payload_bytes"] = request.payload_bytes
            described["counter_bytes"] = request.counter_bytes
        if request.identity:
            described.update(binding=Binding.SPSQ, identity=request.identity)
        return NativeMemory(l3l2q.create(transport, **described, **attributes))

    return source


def mapped(map_region: Callable[[Request], Mapping]) -> Source:
    """Memory that the runtime maps. For queues: a raw region there is the runtime's own."""

    def source(request: Request) -> Memory:
        if not request.queue:
            raise RuntimeError("mapped memory has queues only; raw regions are the runtime's")
        mapping = map_region(request)
        if not isinstance(mapping.counters, int) and not request.identity:
            view = memoryview(mapping.counters).cast("B")
            view[: request.counter_bytes] = bytes(request.counter_bytes)
        return NativeMemory(
            l3l2q.attach_external(
                request.scalars(mapping.payload_base, mapping.counter_base),
                role=Role.L3,
                payload=mapping.payload,
                counters=mapping.counters,
                memory=mapping.memory,
            )
        )

    return source


def copied(open_region: Callable[[Request], Copies]) -> Source:
    """Memory that only the runtime's copy functions reach."""

    def source(request: Request) -> Memory:
        return CopiedMemory(request, open_region(request))

    return source
