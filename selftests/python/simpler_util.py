# SPDX-License-Identifier: GPL-2.0-only
"""Counterparts for tests of l3l2q.simpler, written without it.

Shared is a region's memory, Peer an L2 that speaks the wire format over it, and the classes
named Reference* have what facade code uses of the reference's objects: its seams.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import l3l2q
from l3l2q.simpler import g1, g2, g3, memory

INVALID, DATA, STOP, ERROR = range(4)
TAIL_IN, HEAD_IN, TAIL_OUT, HEAD_OUT, L3_FLAG, L2_FLAG = range(0, 384, 64)
I32 = struct.Struct("<i")
SLOT = struct.Struct("<QQQQ")
POLL = 50e-6


class Shared:
    """A region's two ranges, and a log of how they are accessed."""

    def __init__(self, payload_bytes: int, counter_bytes: int) -> None:
        self.payload = mmap.mmap(-1, payload_bytes)
        self.counters = mmap.mmap(-1, counter_bytes)
        self.payload_bytes = payload_bytes
        self.counter_bytes = counter_bytes
        self.log: List[Tuple[Any, ...]] = []
        self.failures: Dict[Tuple[str, Optional[int]], BaseException] = {}
        self.before: Optional[Callable[[Tuple[Any, ...]], None]] = None

    def access(self, *what: Any) -> None:
        """Log an access, and raise if it is to fail: a kind at an offset, or anywhere."""
        if self.before:
            self.before(what)
        self.log.append(what)
        for key in ((what[0], what[1]), (what[0], None)):
            if key in self.failures:
                raise self.failures[key]

    def snapshot(self) -> bytes:
        return self.payload[:] + self.counters[:]

    def load(self, offset: int) -> int:
        return int(I32.unpack_from(self.counters, offset)[0])

    def store(self, offset: int, value: int) -> None:
        I32.pack_into(self.counters, offset, value)

    def read(self, offset: int, nbytes: int) -> bytes:
        return self.payload[offset : offset + nbytes]

    def write(self, offset: int, data: bytes) -> None:
        self.payload[offset : offset + len(data)] = data


class EndpointShared:
    """The same over an L2 endpoint of the library, used as a raw region."""

    def __init__(self, endpoint: l3l2q.Endpoint) -> None:
        info = endpoint.info
        self.endpoint = endpoint
        self.payload_bytes = info.payload_bytes
        self.counter_bytes = info.counter_bytes
        self.counters = info.counters

    def snapshot(self) -> bytes:
        counters = ctypes.string_at(self.counters, self.counter_bytes)
        return self.read(0, self.payload_bytes) + counters

    def load(self, offset: int) -> int:
        return self.endpoint.test(offset, 0)[1]

    def store(self, offset: int, value: int) -> None:
        self.endpoint.notify(offset, value)

    def read(self, offset: int, nbytes: int) -> bytes:
        return self.endpoint.payload_read(offset, nbytes)

    def write(self, offset: int, data: bytes) -> None:
        self.endpoint.payload_write(offset, data)


class Peer:
    """L2: takes input, sends output, and can do either wrongly."""

    def __init__(self, shared: Any, depth: int, input_bytes: int, output_bytes: int) -> None:
        self.shared = shared
        self.depth = depth
        self.input_arena = (2 * depth * 32 + 63) // 64 * 64
        self.output_arena = self.input_arena + input_bytes
        self.input_bytes = input_bytes
        self.output_bytes = output_bytes
        self.taken = self.given = 0  # input messages looked at and given back
        self.sent = 0
        self.input_cursor = self.output_cursor = 0

    def place(self, cursor: int, nbytes: int, size: int) -> Tuple[int, int]:
        if cursor % size + nbytes > size:
            cursor += size - cursor % size
        return cursor % size, cursor + nbytes

    def input_tail(self) -> int:
        return int(self.shared.load(TAIL_IN))

    def input_slot(self, index: int) -> Tuple[Any, ...]:
        return SLOT.unpack(self.shared.read(index % self.depth * 32, 32))

    def take(self) -> Tuple[int, bytes]:
        """The next input message, checked as a strict L2 does."""
        assert self.taken < self.input_tail()
        seq, opcode, offset, nbytes = self.input_slot(self.taken)
        assert seq == self.taken + 1
        self.taken += 1
        if not nbytes:
            assert offset == 0
            return opcode, b""
        at, self.input_cursor = self.place(self.input_cursor, nbytes, self.input_bytes)
        assert offset == self.input_arena + at
        return opcode, bytes(self.shared.read(offset, nbytes))

    def give_back(self, count: int = 1) -> None:
        self.given += count
        assert self.given <= self.taken
        self.shared.store(HEAD_IN, self.given)

    def consume(self) -> Tuple[int, bytes]:
        message = self.take()
        self.give_back()
        return message

    def slot_at(self, index: int) -> int:
        return self.depth * 32 + index % self.depth * 32

    def put_slot(self, seq: int, opcode: int, offset: int, nbytes: int) -> None:
        """Announce an output slot as given, right or wrong."""
        self.shared.write(self.slot_at(self.sent), SLOT.pack(seq, opcode, offset, nbytes))
        self.sent += 1
        self.shared.store(TAIL_OUT, self.sent)

    def send(self, body: bytes = b"", opcode: int = DATA) -> None:
        offset = 0
        if body:
            at, self.output_cursor = self.place(self.output_cursor, len(body), self.output_bytes)
            offset = self.output_arena + at
            self.shared.write(offset, body)
        self.put_slot(self.sent + 1, opcode, offset, len(body))

    def output_head(self) -> int:
        return int(self.shared.load(HEAD_OUT))

    def abort(self) -> None:
        self.shared.store(L2_FLAG, 1)

    @property
    def l3_flag(self) -> int:
        return int(self.shared.load(L3_FLAG))


# ---- the reference's side of the seams --------------------------------------------------------

COMPARE: Dict[int, Callable[[int, int], bool]] = {
    0: lambda a, b: a == b,
    1: lambda a, b: a != b,
    2: lambda a, b: a > b,
    3: lambda a, b: a >= b,
    4: lambda a, b: a < b,
    5: lambda a, b: a <= b,
}


def host_bytes(buffer: Any, nbytes: int) -> memoryview:
    if isinstance(buffer, ReferenceTensor):
        return memoryview(buffer.memory).cast("B")[:nbytes]
    return memoryview(buffer).cast("B")[:nbytes]


class ReferenceTensor:
    """What the first generation's orch.alloc returns."""

    child_memory = False

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.memory = ctypes.create_string_buffer(nbytes)

    def data_ptr(self) -> int:
        return ctypes.addressof(self.memory)

    def is_contiguous(self) -> bool:
        return True


class ReferenceCounter:
    def __init__(self, shared: Shared, offset: int) -> None:
        self.shared = shared
        self.offset = offset

    def notify(self, value: int, op: int = 0) -> None:
        self.shared.access("notify", self.offset, value)
        assert op == 0
        self.shared.store(self.offset, value)

    def test(self, cmp_value: int, cmp: int) -> Tuple[bool, int]:
        self.shared.access("test", self.offset)
        observed = self.shared.load(self.offset)
        return COMPARE[int(cmp)](observed, cmp_value), observed

    def wait(self, cmp_value: int, cmp: int, timeout: float) -> int:
        self.shared.access("wait", self.offset)
        observed = self.shared.load(self.offset)
        if not COMPARE[int(cmp)](observed, cmp_value):
            # The reference's sleeps, too. A signal that another thread of the process gets is
            # not noticed by one that never gives up the GIL.
            time.sleep(POLL)
            raise TimeoutError("wait timed out")
        return observed


class ReferenceRegion:
    """The first generation's region; also what all generations access memory by."""

    def __init__(self, owner: Any, shared: Shared, worker_id: int = 0) -> None:
        self._owner = owner
        self._worker_id = self.worker_id = worker_id
        self._expired = False
        self.freed = 0
        self.shared = shared
        self.region_id = 7
        self.state = "live"
        self.data_plane_error: Optional[BaseException] = None
        self.closed = 0

    def _ensure_live(self) -> None:
        if self.freed:
            raise RuntimeError("region has been released")

    def descriptor_scalars(self) -> List[int]:
        sizes = self.shared.payload_bytes, self.shared.counter_bytes
        return [0x4C334C3200020000, 7, 0x1000, sizes[0], 0x20000, sizes[1]]

    def payload_write(self, offset: int, host_buffer: Any, nbytes: Optional[int] = None) -> None:
        assert nbytes is not None
        self.shared.access("write", offset, nbytes)
        self.shared.write(offset, bytes(host_bytes(host_buffer, nbytes)))

    def payload_read(self, offset: int, host_buffer: Any, nbytes: Optional[int] = None) -> None:
        assert nbytes is not None
        self.shared.access("read", offset, nbytes)
        host_bytes(host_buffer, nbytes)[:] = self.shared.read(offset, nbytes)

    def counter(self, offset: int) -> ReferenceCounter:
        return ReferenceCounter(self.shared, offset)

    def free(self) -> None:
        self.freed += 1

    def close(self) -> None:
        self.closed += 1


class ReferenceOrch:
    """An orchestrator whose regions are not this library's."""

    def __init__(self) -> None:
        self.regions: List[ReferenceRegion] = []
        self.allocs: List[int] = []
        self.fail_alloc: Optional[int] = None
        self.tensors = True

    def _create(self, worker_id: int, payload_bytes: int, counter_bytes: int) -> ReferenceRegion:
        region = ReferenceRegion(self, Shared(payload_bytes, counter_bytes), worker_id)
        self.regions.append(region)
        return region

    def create_l3_l2_region(
        self, *, worker_id: int, payload_bytes: int, counter_bytes: int
    ) -> ReferenceRegion:
        return self._create(worker_id, payload_bytes, counter_bytes)

    create_worker_chip_region = create_l3_l2_region

    def alloc(self, shape: Any, dtype: Any) -> Any:
        if self.fail_alloc == len(self.allocs):
            raise MemoryError("no host memory")
        self.allocs.append(shape[0])
        return ReferenceTensor(shape[0]) if self.tensors else bytearray(shape[0])


# ---- generations and memories -----------------------------------------------------------------


class Rig(NamedTuple):
    """A queue, the memory behind it, and its peer."""

    queue: Any
    peer: Peer
    orch: Any
    shared: Any

    @property
    def log(self) -> List[Tuple[Any, ...]]:
        """Accesses of shared memory, where they can be seen."""
        log: List[Tuple[Any, ...]] = self.shared.log
        return log


class Generation(NamedTuple):
    name: str
    module: Any
    create: str
    scalars: str

    def __str__(self) -> str:
        return self.name

    def task_scalars(self, queue: Any) -> List[int]:
        scalars: List[int] = getattr(queue, self.scalars)()
        return scalars

    def make_layout(self, *shape: Any) -> Any:
        return getattr(self.module, f"make_{self.create[len('create_'):]}_layout")(*shape)

    def create_on(
        self, orch: Any, depth: Any, in_bytes: Any, out_bytes: Any, worker: Any = 0
    ) -> Any:
        return getattr(self.module, self.create)(
            orch,
            worker_id=worker,
            depth=depth,
            input_arena_bytes=in_bytes,
            output_arena_bytes=out_bytes,
        )


G1 = Generation("g1", g1, "create_l3_l2_queue", "l2_task_arg_scalars")
G2 = Generation("g2", g2, "create_worker_chip_queue", "chip_task_arg_scalars")
G3 = Generation("g3", g3, "create_worker_chip_queue", "chip_task_arg_scalars")
GENERATIONS = (G1, G2, G3)

TRANSPORT = os.environ.get("L3L2Q_TRANSPORT", "memfd")
MEMORIES = ("reference", "mapped", "copied", TRANSPORT)


def over_reference(generation: Generation, depth: int, in_bytes: int, out_bytes: int) -> Rig:
    """A queue over an object that has no more than the seam of the reference's."""
    orch = ReferenceOrch()
    if generation is G3:
        layout = g3.make_worker_chip_queue_layout(depth, in_bytes, out_bytes)
        template = g3.comm_region_template
        shared = Shared(layout.payload_bytes, layout.counter_bytes)
        region = ReferenceRegion(orch, shared)
        binding = template._make_binding(layout, bytes(range(1, 9)), 42, 0x1000, 0x2000)
        bound = template._BoundSpscQueue(region, layout, binding)
        queue: Any = g3.WorkerChipQueue(orch, bound, region)
    else:
        orch.tensors = generation is G1
        queue = generation.create_on(orch, depth, in_bytes, out_bytes)
        shared = orch.regions[0].shared
        shared.log.clear()
    return Rig(queue, Peer(shared, depth, in_bytes, out_bytes), orch, shared)


def over_source(generation: Generation, source: Any, made: List[Shared], *shape: int) -> Rig:
    orch = generation.module.Orchestrator(source)
    queue = generation.create_on(orch, *shape)
    shared: Any = made[0] if made else EndpointShared(l3l2q.attach(orch.open_peer(queue)))
    if made:
        shared.log.clear()
    return Rig(queue, Peer(shared, *shape), orch, shared)


def mapped_source(made: List[Shared]) -> memory.Source:
    def map_region(request: memory.Request) -> memory.Mapping:
        shared = Shared(request.payload_bytes, request.counter_bytes)
        made.append(shared)
        return memory.Mapping(shared.payload, shared.counters, 0x1000, 0x200000)

    return memory.mapped(map_region)


def copied_source(made: List[Shared]) -> memory.Source:
    def open_region(request: memory.Request) -> memory.Copies:
        shared = Shared(request.payload_bytes, request.counter_bytes)
        made.append(shared)

        def read(part: int, offset: int, nbytes: int) -> bytes:
            shared.access("read", offset, nbytes)
            return (shared.counters if part else shared.payload)[offset : offset + nbytes]

        def write(part: int, offset: int, data: bytes) -> None:
            shared.access("write", offset, len(data))
            (shared.counters if part else shared.payload)[offset : offset + len(data)] = data

        return memory.Copies(read, write, 0x1000, 0x200000)

    return memory.copied(open_region)


def make_rig(
    generation: Generation, kind: str, depth: int = 4, in_bytes: int = 128, out_bytes: int = 192
) -> Rig:
    shape = (depth, in_bytes, out_bytes)
    made: List[Shared] = []
    if kind == "reference":
        return over_reference(generation, *shape)
    if kind == "mapped":
        return over_source(generation, mapped_source(made), made, *shape)
    if kind == "copied":
        return over_source(generation, copied_source(made), made, *shape)
    return over_source(generation, kind, made, *shape)


def close_rig(rig: Rig) -> None:
    if hasattr(rig.orch, "close"):
        rig.orch.close()
    if isinstance(rig.shared, EndpointShared):
        rig.shared.endpoint.close()


class Unchanged:
    """Asserts that a block changes no shared byte, and that the queue lives on."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def __enter__(self) -> None:
        self.before = self.rig.shared.snapshot()

    def __exit__(self, *error: Any) -> None:
        assert self.rig.shared.snapshot() == self.before


def accesses(rig: Rig) -> List[Tuple[Any, ...]]:
    """What was accessed since the last time, without the values of notifies."""
    log = [entry[:2] if entry[0] == "notify" else entry for entry in rig.log]
    rig.log.clear()
    return log
