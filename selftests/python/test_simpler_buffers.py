# SPDX-License-Identifier: GPL-2.0-only
"""Which buffers the generations of l3l2q.simpler take, and how bodies reach the region."""

from __future__ import annotations

import array
import ctypes
import gc
from typing import Any, List

import pytest

import simpler_util as util
from l3l2q.simpler import g3
from simpler_util import DATA, G1, G2, G3, GENERATIONS, Generation, Rig, Unchanged
from test_simpler_mistakes import Counted, Pointer

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


class Record(ctypes.Structure):
    _fields_ = [("first", ctypes.c_uint64), ("second", ctypes.c_double)]


def test_objects_with_the_buffer_protocol(generation: Generation) -> None:
    rig = util.make_rig(generation, "reference", 4, 1024, 1024)
    body = bytes(range(16))
    sources: List[Any] = [body, bytearray(body), memoryview(body), array.array("I", [0] * 4)]
    sources += [(ctypes.c_ubyte * 16)(*body), memoryview(body).cast("I", (2, 2)), Record(1, 2.5)]
    if numpy is not None:
        sources.append(numpy.frombuffer(body, "float32").reshape(2, 2))
    for source in sources:
        assert rig.queue.input.try_enqueue(source, 16)
        assert rig.peer.consume() == (DATA, bytes(memoryview(source).cast("B")))
        rig.peer.send(body)
        target = bytearray(16)
        rig.queue.output.dequeue_into(memoryview(target).cast("I"), 1.0)
        assert target == body


@pytest.mark.parametrize("make", [Pointer, lambda nbytes: Counted(nbytes // 4)])
def test_generation_1_takes_tensors_of_other_libraries(make: Any) -> None:
    for kind in ("reference", "copied"):
        rig = util.make_rig(G1, kind)
        tensor = make(16)
        tensor.tensor.memory.raw = b"0123456789abcdef"
        assert rig.queue.input.try_enqueue(tensor, 10)
        assert rig.peer.consume() == (DATA, b"0123456789")
        rig.peer.send(b"backwards")
        rig.queue.output.dequeue_into(tensor, 1.0)
        assert tensor.tensor.memory[:16] == b"backwards9abcdef"


def test_generation_1_checks_tensors_of_other_libraries() -> None:
    rig = util.make_rig(G1, "reference")
    with Unchanged(rig):
        for name, value in (("contiguous", False), ("device", "npu:0"), ("address", 0)):
            tensor = Pointer(16)
            setattr(tensor, name, value)
            with pytest.raises(ValueError):
                rig.queue.input.try_enqueue(tensor, 4)
        with pytest.raises(ValueError):
            rig.queue.input.try_enqueue(Pointer(3), 4)


class Sizeless:
    device = "cpu"

    def data_ptr(self) -> int:
        return 4096


def test_tensor_without_a_size(generation: Generation) -> None:
    rig = util.make_rig(generation, "reference")
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(Sizeless(), 4)


def test_generation_1_tensors_are_not_staged() -> None:
    rig = util.make_rig(G1, "reference")
    tensor = util.ReferenceTensor(8)
    tensor.memory.raw = b"on board"
    assert rig.queue.input.try_enqueue(tensor, 8)
    assert rig.peer.consume() == (DATA, b"on board")
    assert rig.orch.allocs == [24, 8, 32]


@pytest.mark.parametrize("mistake", ["child_memory", "nbytes", "is_contiguous"])
def test_generation_1_checks_tensors(mistake: str) -> None:
    rig = util.make_rig(G1, "reference")
    tensor: Any = util.ReferenceTensor(8)
    bad = {"child_memory": True, "nbytes": 3, "is_contiguous": lambda: False}
    setattr(tensor, mistake, bad[mistake])
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(tensor, 8)


def test_generation_1_bytes_are_staged_lazily() -> None:
    rig = util.make_rig(G1, "reference")
    assert rig.orch.allocs == [24, 8, 32]
    assert rig.queue.input.try_enqueue(b"12345", 5)
    assert rig.orch.allocs == [24, 8, 32, 5]
    assert rig.queue.input.try_enqueue(b"123", 3)
    assert rig.orch.allocs == [24, 8, 32, 5]
    assert rig.queue.input.try_enqueue(b"54321", 5)
    assert rig.orch.allocs == [24, 8, 32, 5]
    rig.peer.send(b"1234567")
    body = bytearray(7)
    rig.queue.output.dequeue_into(body, 1.0)
    assert body == b"1234567"
    assert rig.orch.allocs == [24, 8, 32, 5, 7]


def test_generation_1_full_is_false_without_staging() -> None:
    rig = util.make_rig(G1, "reference")
    for _ in range(4):
        assert rig.queue.input.try_enqueue(None, 0)
    assert not rig.queue.input.try_enqueue(b"12345", 5)
    assert not rig.queue.input.try_enqueue(bytes(200), 200)
    assert rig.orch.allocs == [24, 8, 32]


def test_generation_1_staging_failure_poisons_nothing() -> None:
    rig = util.make_rig(G1, "reference")
    rig.orch.fail_alloc = 3
    with Unchanged(rig), pytest.raises(MemoryError):
        rig.queue.input.try_enqueue(b"12345", 5)
    rig.peer.send(b"x")
    with Unchanged(rig), pytest.raises(MemoryError):
        rig.queue.output.dequeue_into(bytearray(1), 1.0)
    rig.orch.fail_alloc = None
    assert rig.queue.input.try_enqueue(b"12345", 5)
    rig.queue.output.dequeue_into(bytearray(1), 1.0)


def test_generation_2_uses_buffers_without_alloc() -> None:
    rig = util.make_rig(G2, "reference")
    assert rig.queue.input.try_enqueue(b"12345", 5)
    rig.peer.send(b"x")
    rig.queue.output.dequeue_into(bytearray(1), 1.0)
    assert rig.orch.allocs == [24, 8, 32]


def test_generation_2_pointer_fails_inside_the_region() -> None:
    for kind in ("copied", "mapped"):
        rig = util.make_rig(G2, kind)
        with Unchanged(rig), pytest.raises(ValueError):
            rig.queue.input.try_enqueue(Pointer(3), 4)
        with pytest.raises(ValueError):
            rig.queue.input.try_enqueue(Pointer(4), 4)
        assert rig.peer.l3_flag == 1 and rig.peer.input_tail() == 0
        with pytest.raises(RuntimeError, match="is poisoned"):
            rig.queue.input.try_enqueue(b"x", 1)
        with pytest.raises(RuntimeError, match="is poisoned"):
            rig.queue.region.counter(0)
        util.close_rig(rig)


def test_generation_3_takes_no_pointer() -> None:
    rig = util.make_rig(G3, "copied")
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(Pointer(4), 4)


def own_rig(generation: Generation) -> Rig:
    return util.make_rig(generation, "copied", 4, 128, 192)


def uint8(generation: Generation) -> Any:
    return generation.module.DataType.UINT8


def test_buffers_of_the_orchestrator(generation: Generation) -> None:
    rig = own_rig(generation)
    buffer = rig.orch.alloc((2, 4), uint8(generation))
    assert buffer.nbytes == 8 and buffer.shape == (2, 4)
    buffer.view[:] = b"whole it"
    assert rig.queue.input.try_enqueue(buffer, 5)
    assert rig.peer.consume() == (DATA, b"whole")
    rig.peer.send(b"back")
    rig.queue.output.dequeue_into(buffer, 1.0)
    assert bytes(buffer.view) == b"backe it"


def test_element_types(generation: Generation) -> None:
    orch = own_rig(generation).orch
    for dtype in generation.module.DataType:
        assert orch.alloc((3,), dtype).nbytes == 3 * dtype.itemsize


def test_unregistered_buffer(generation: Generation) -> None:
    rig = own_rig(generation)
    other = own_rig(generation).orch.alloc((8,), uint8(generation))
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(other, 4)
    small = rig.orch.alloc((3,), uint8(generation))
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(small, 4)
    assert rig.queue.input.try_enqueue(b"x", 1)


def test_generation_1_child_memory() -> None:
    rig = own_rig(G1)
    tensor = rig.orch.alloc((8,), uint8(G1))
    tensor.child_memory = True
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(tensor, 4)


def test_generation_3_buffer_checks() -> None:
    rig = own_rig(G3)
    dtype = uint8(G3)
    reading = rig.orch.alloc((8,), dtype, g3.AccessMode.READ)
    writing = rig.orch.alloc((8,), dtype, g3.AccessMode.WRITE)
    assert rig.queue.input.try_enqueue(reading, 4)
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(writing, 4)
    rig.peer.send(b"back")
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.output.dequeue_into(reading, 1.0)
    rig.queue.output.dequeue_into(writing, 1.0)
    writing.kind = g3.BufferKind.CHIP
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.output.try_dequeue_into(writing)
    reading.close()
    with Unchanged(rig), pytest.raises(ValueError):
        rig.queue.input.try_enqueue(reading, 4)


def test_buffers_are_forgotten(generation: Generation) -> None:
    orch = own_rig(generation).orch
    gc.collect()
    kept = len(orch._allocated)
    orch.alloc((8,), uint8(generation))
    gc.collect()
    assert len(orch._allocated) == kept


def test_wrong_types_are_named(generation: Generation) -> None:
    rig = own_rig(generation)
    with pytest.raises(ValueError, match="str"):
        rig.queue.input.try_enqueue("text", 4)
