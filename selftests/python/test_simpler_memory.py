# SPDX-License-Identifier: GPL-2.0-only
"""Where the stand-in orchestrators of l3l2q.simpler get memory from."""

from __future__ import annotations

import ctypes
from typing import Any, List

import pytest

import l3l2q
import simpler_util as util
from l3l2q.simpler import g1, memory
from simpler_util import G3, GENERATIONS, Generation


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


def recorded(requests: List[memory.Request], closed: List[int]) -> memory.Source:
    def open_region(request: memory.Request) -> memory.Copies:
        requests.append(request)
        counters = bytearray(request.counter_bytes)

        def read(part: int, offset: int, nbytes: int) -> bytes:
            return bytes(counters[offset : offset + nbytes]) if part else bytes(nbytes)

        def write(part: int, offset: int, data: bytes) -> None:
            if part:
                counters[offset : offset + len(data)] = data

        number = len(requests)
        return memory.Copies(read, write, 0x1000, 0x200000, lambda: closed.append(number))

    return memory.copied(open_region)


def test_what_a_source_is_asked_for(generation: Generation) -> None:
    requests: List[memory.Request] = []
    closed: List[int] = []
    orch = generation.module.Orchestrator(recorded(requests, closed), workers=3)
    queues = [generation.create_on(orch, 4, 128, 192, worker) for worker in (2, 0)]
    assert [request.worker_id for request in requests] == [2, 0]
    assert [request.region_id for request in requests] == [1, 2]
    version = 0x20000 if generation.name == "g1" else 0x30000
    for request, queue in zip(requests, queues):
        assert request.region_version == version
        assert (request.payload_bytes, request.counter_bytes) == (576, 384)
        assert request.queue == (4, 128, 192)
        assert request.scalars(0x1000, 0x200000) == generation.task_scalars(queue)
        assert (request.identity is not None) == (generation is G3)
    queues[0].free()
    assert not closed
    orch.close()
    orch.close()
    assert closed == [1, 2]


def test_raw_region_is_asked_for_without_a_queue() -> None:
    requests: List[memory.Request] = []
    orch = g1.Orchestrator(recorded(requests, []))
    region = orch.create_l3_l2_region(worker_id=0, payload_bytes=100, counter_bytes=64)
    assert requests[0].queue is None
    assert requests[0].scalars(0x1000, 0x200000) == region.descriptor_scalars()


def test_source_that_fails(generation: Generation) -> None:
    def source(request: memory.Request) -> memory.Memory:
        raise MemoryError("no GM left")

    orch = generation.module.Orchestrator(source)
    with pytest.raises(MemoryError):
        generation.create_on(orch, 4, 64, 64)
    assert not orch._instances and not orch._regions


def test_sources_of_a_wrong_type(generation: Generation) -> None:
    with pytest.raises(TypeError, match="source must be .* not int"):
        generation.module.Orchestrator(5)
    with pytest.raises(TypeError, match="tag"):
        generation.module.Orchestrator(util.copied_source([]), tag="of the test")


def test_orchestrator_of_a_wrong_type() -> None:
    with pytest.raises(TypeError, match="Orchestrator of l3l2q.simpler.g3, not ReferenceOrch"):
        G3.create_on(util.ReferenceOrch(), 4, 64, 64)


def test_attributes_of_a_transport(generation: Generation) -> None:
    with generation.module.Orchestrator(util.TRANSPORT, tag="of the test") as orch:
        queue = generation.create_on(orch, 4, 64, 64)
        with l3l2q.attach(orch.open_peer(queue)) as peer:
            assert peer.info.tag == "of the test"
            assert (peer.info.binding == l3l2q.Binding.SPSQ) == (generation is G3)


def test_mapped_memory_that_is_not_zeroed(generation: Generation) -> None:
    """L3 of g1 and g2 zeroes the counters; that of g3 leaves them, and then there is no queue."""
    made: List[util.Shared] = []

    def map_region(request: memory.Request) -> memory.Mapping:
        shared = util.Shared(request.payload_bytes, request.counter_bytes)
        shared.counters[:] = b"\xff" * request.counter_bytes
        made.append(shared)
        return memory.Mapping(shared.payload, shared.counters, 0x1000, 0x200000)

    with generation.module.Orchestrator(memory.mapped(map_region)) as orch:
        if generation is G3:
            with pytest.raises(l3l2q.Error):
                generation.create_on(orch, 4, 64, 64)
            assert made[0].counters[:] == b"\xff" * 384
            return
        queue = generation.create_on(orch, 4, 64, 64)
        assert generation.task_scalars(queue)[2:6] == [0x1000, made[0].payload_bytes, 0x200000, 384]
        assert made[0].counters[:] == bytes(384)
        assert queue.input.try_enqueue(b"x", 1)


def test_mapped_memory_by_address() -> None:
    made: List[Any] = []

    def map_region(request: memory.Request) -> memory.Mapping:
        block = ctypes.create_string_buffer(request.payload_bytes + request.counter_bytes + 128)
        made.append(block)
        payload = -(-ctypes.addressof(block) // 64) * 64
        counters = -(-(payload + request.payload_bytes) // 64) * 64
        return memory.Mapping(payload, counters, payload, counters)

    with g1.Orchestrator(memory.mapped(map_region)) as orch:
        queue = util.G1.create_on(orch, 4, 64, 64)
        assert queue.input.try_enqueue(b"hello", 5)
        assert b"hello" in made[0].raw


def test_mapped_memory_has_no_raw_regions() -> None:
    orch = g1.Orchestrator(util.mapped_source([]))
    with pytest.raises(RuntimeError):
        orch.create_l3_l2_region(worker_id=0, payload_bytes=64, counter_bytes=64)


def test_copied_memory_waits_by_polling() -> None:
    made: List[util.Shared] = []
    orch = g1.Orchestrator(util.copied_source(made))
    region = orch.create_l3_l2_region(worker_id=0, payload_bytes=64, counter_bytes=64)
    looks: List[int] = []

    def look(what: Any) -> None:
        looks.append(1)
        if len(looks) == 3:
            made[0].store(4, 1)

    made[0].before = look
    assert region.counter(4).wait(0, g1.WaitCmp.GT, 30.0) == 1
    assert len(looks) == 3
