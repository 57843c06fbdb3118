# SPDX-License-Identifier: GPL-2.0-only
"""Raw regions and counters of l3l2q.simpler, and their instances."""

from __future__ import annotations

import copy
import pickle
import struct
import threading
from typing import Any, Callable, Iterator, List, NamedTuple

import pytest

import l3l2q
import simpler_util as util
from l3l2q.simpler import g1, g2, g3
from simpler_util import G1, G2, G3, Generation
from test_simpler_mistakes import in_thread

REGION = {"g1": "create_l3_l2_region", "g2": "create_worker_chip_region"}


class Raw(NamedTuple):
    region: Any
    orch: Any
    shared: Any
    module: Any

    def peer(self) -> Any:
        """What L2 sees of it."""
        if self.shared:
            return self.shared[0]
        return util.EndpointShared(l3l2q.attach(self.orch.open_peer(self.region)))


@pytest.fixture(params=[G1, G2], ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


@pytest.fixture(params=["copied", util.TRANSPORT])
def raw(generation: Generation, request: Any) -> Iterator[Raw]:
    made: List[util.Shared] = []
    source = util.copied_source(made) if request.param == "copied" else request.param
    with generation.module.Orchestrator(source) as orch:
        create = getattr(orch, REGION[generation.name])
        region = create(worker_id=0, payload_bytes=200, counter_bytes=128)
        yield Raw(region, orch, made, generation.module)


def test_descriptor(raw: Raw, generation: Generation) -> None:
    desc = raw.region.descriptor
    version = 0x4C334C3200020000 if generation is G1 else 0x4C334C3200030000
    assert desc.magic_version == version
    assert desc.region_id == raw.region.region_id != 0
    assert (desc.payload_bytes, desc.counter_bytes) == (200, 128)
    assert desc.counter_base % 64 == 0
    scalars = raw.region.descriptor_scalars()
    assert scalars == desc.scalars() and len(scalars) == 6
    assert raw.region.counter(8).addr == desc.counter_base + 8
    assert raw.region.counter(8).offset == 8


def test_payload(raw: Raw) -> None:
    raw.region.payload_write(190, b"0123456789")
    raw.region.payload_write(10, bytearray(b"abcdef"), 3)
    peer = raw.peer()
    assert peer.read(190, 10) == b"0123456789"
    assert peer.read(10, 6) == b"abc\0\0\0"
    peer.write(0, b"hello")
    body = bytearray(8)
    raw.region.payload_read(0, body, 5)
    assert body == b"hello\0\0\0"
    raw.region.payload_read(190, body)
    assert body == b"01234567"


def test_notify(raw: Raw) -> None:
    counter = raw.region.counter(64)
    counter.notify(5)
    assert raw.peer().load(64) == 5


def test_notify_add_wraps(raw: Raw) -> None:
    counter = raw.region.counter(0)
    op = g1.NotifyOp
    counter.notify(5, op.Add)
    assert counter.test(5, g1.WaitCmp.EQ) == (True, 5)
    counter.notify((1 << 31) - 1, op.Set)
    counter.notify(1, op.Add)
    assert counter.test(0, g1.WaitCmp.LT) == (True, -(1 << 31))


@pytest.mark.parametrize("value", [-3, 0, 7])
def test_comparisons(raw: Raw, value: int) -> None:
    cmp = raw.module.WaitCmp
    counter = raw.region.counter(0)
    counter.notify(value)
    for operand in (-3, 0, 7):
        expected = {
            cmp.EQ: value == operand,
            cmp.NE: value != operand,
            cmp.GT: value > operand,
            cmp.GE: value >= operand,
            cmp.LT: value < operand,
            cmp.LE: value <= operand,
        }
        for compare, holds in expected.items():
            result = counter.test(operand, compare)
            assert (result.matched, result.observed) == (holds, value)
            if holds:
                assert counter.wait(operand, compare, 1.0) == value
            else:
                with pytest.raises(TimeoutError):
                    counter.wait(operand, compare, 0.001)
    assert counter.test(value, cmp.EQ).matched


def test_wait_is_woken(raw: Raw) -> None:
    peer = raw.peer()
    late = threading.Timer(0.02, lambda: peer.store(4, 9))
    late.start()
    assert raw.region.counter(4).wait(9, raw.module.WaitCmp.EQ, 30.0) == 9
    late.join()


@pytest.mark.parametrize("offset", [-4, 1, 2, 126, 128, 1 << 40])
def test_bad_counter_offset(raw: Raw, offset: int) -> None:
    with pytest.raises(ValueError):
        raw.region.counter(offset)
    assert raw.region.counter(124).test(0, 0).matched


@pytest.mark.parametrize("where", [(-1, 4), (197, 4), (200, 1), (0, 201), (0, 0), (1 << 64, 1)])
def test_bad_payload_range(raw: Raw, generation: Generation, where: Any) -> None:
    """ValueError; G2 poisons the region by it."""
    with pytest.raises(ValueError):
        raw.region.payload_write(where[0], bytes(300), where[1])
    if generation is G1:
        with pytest.raises(ValueError):
            raw.region.payload_read(where[0], bytearray(300), where[1])
        raw.region.payload_write(0, b"x")
    else:
        with pytest.raises(RuntimeError, match="is poisoned"):
            raw.region.payload_write(0, b"x")


def test_bad_buffers(raw: Raw, generation: Generation) -> None:
    with pytest.raises(ValueError):
        raw.region.payload_write(0, b"1234", 5)
    if generation is G1:
        for bad in (None, "text", 5):
            with pytest.raises(ValueError):
                raw.region.payload_write(0, bad, 4)
        with pytest.raises(ValueError):
            raw.region.payload_read(0, bytes(4))
        raw.region.payload_write(0, b"x")


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1])
def test_value_that_is_no_int32(raw: Raw, generation: Generation, value: int) -> None:
    expected: Any = struct.error if generation is G1 else TypeError
    counter = raw.region.counter(0)
    with pytest.raises(expected):
        counter.notify(value)
    with pytest.raises(expected):
        counter.test(value, 0)
    with pytest.raises(expected):
        counter.wait(value, 0, 0.001)
    assert counter.test(0, 0).matched


def test_free(raw: Raw) -> None:
    counter = raw.region.counter(0)
    raw.region.free()
    raw.region.free()
    calls: Any = (
        lambda: counter.notify(1),
        lambda: counter.test(0, 0),
        lambda: counter.wait(0, 0, 0.001),
        lambda: raw.region.counter(0),
        lambda: raw.region.payload_write(0, b"x"),
        lambda: raw.region.payload_read(0, bytearray(1)),
        raw.region.descriptor_scalars,
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="has been released"):
            call()


def test_end_of_run(raw: Raw, generation: Generation) -> None:
    counter = raw.region.counter(0)
    if generation is G2:
        assert not raw.region.expired
    raw.orch.close()
    with pytest.raises(RuntimeError, match="expired after orchestration run"):
        counter.test(0, 0)
    if generation is G2:
        assert raw.region.expired
    raw.orch.close()


def test_failing_access_poisons() -> None:
    """Whatever the memory raises is a RuntimeError of the region, which stays."""
    for generation in (G1, G2):
        made: List[util.Shared] = []
        orch = generation.module.Orchestrator(util.copied_source(made))
        create = getattr(orch, REGION[generation.name])
        region = create(worker_id=0, payload_bytes=64, counter_bytes=64)
        made[0].failures["read", None] = OSError("gone")
        with pytest.raises(RuntimeError, match="gone") as raised:
            region.counter(0).test(0, 0)
        assert isinstance(raised.value.__cause__, OSError)
        made[0].failures.clear()
        with pytest.raises(RuntimeError, match="is poisoned"):
            region.counter(0)


def test_another_thread(raw: Raw, generation: Generation) -> None:
    raised = in_thread(lambda: raw.region.payload_write(0, b"x"))
    if generation is G1:
        assert not raised
    else:
        assert [type(error) for error in raised] == [RuntimeError]


def fatal(region_id: Any) -> str:
    return f"L3-L2 endpoint error op=payload_read kind=2 region={region_id} addr=0 msg=bad"


def test_fatal_text_of_l2(raw: Raw, generation: Generation) -> None:
    raw.orch.note_fatal("L3-L2 queue error op=init region=%d" % raw.region.region_id)
    raw.orch.note_fatal(fatal(raw.region.region_id + 1))
    raw.region.payload_write(0, b"x")
    raw.orch.note_fatal(fatal(raw.region.region_id))
    with pytest.raises(RuntimeError, match="is poisoned"):
        raw.region.payload_write(0, b"x")
    create = getattr(raw.orch, REGION[generation.name])
    if generation is G2:
        with pytest.raises(RuntimeError, match="admits no more work"):
            create(worker_id=0, payload_bytes=64, counter_bytes=64)
    else:
        create(worker_id=0, payload_bytes=64, counter_bytes=64)


def test_fatal_text_ends_a_queue() -> None:
    for generation in (G1, G2, G3):
        rig = util.make_rig(generation, "copied")
        if generation is G3:
            _, session, transaction = generation.task_scalars(rig.queue)[:3]
            text = "SPSC queue endpoint error op=init kind=3 session=%#018x transaction=%d msg=x"
            rig.orch.note_fatal(text % (session, transaction + 1))
            assert rig.queue.output.try_peek() is None
            other = generation.create_on(rig.orch, 4, 64, 64)
            rig.orch.note_fatal(text % (session, transaction))
            with pytest.raises(RuntimeError, match="admits no more work"):
                other.output.try_peek()
            with pytest.raises(RuntimeError, match="admits no more work"):
                generation.create_on(rig.orch, 4, 64, 64)
        else:
            rig.orch.note_fatal(fatal(rig.queue.region.region_id))
        with util.Unchanged(rig), pytest.raises(RuntimeError):
            rig.queue.output.try_peek()


# ---- the reference's own instances --------------------------------------------------------------


def over_instance() -> Any:
    shared = util.Shared(576, 384)
    instance = util.ReferenceRegion(None, shared)
    desc = g2.WorkerChipOrchRegionDesc(0x4C334C3200030000, 3, 0x1000, 576, 0x20000, 384)
    return g2.WorkerChipOrchRegion(None, instance, desc), instance, shared


def test_region_over_an_instance_of_the_reference() -> None:
    region, _, shared = over_instance()
    region.payload_write(8, b"1234")
    region.counter(64).notify(3)
    body = bytearray(4)
    region.payload_read(8, body)
    assert body == b"1234"
    assert region.counter(64).test(3, g2.WaitCmp.GE) == (True, 3)
    assert shared.log == [("write", 8, 4), ("notify", 64, 3), ("read", 8, 4), ("test", 64)]
    for offset in (-4, 2, 384):
        with pytest.raises(ValueError):
            region.counter(offset)


def test_queue_over_an_instance_of_the_reference() -> None:
    region, instance, shared = over_instance()
    layout = g2.make_worker_chip_queue_layout(4, 128, 192)
    scratch = bytearray(24), bytearray(8), bytearray(32)
    queue = g2.WorkerChipQueue(util.ReferenceOrch(), region, layout, *scratch)
    peer = util.Peer(shared, 4, 128, 192)
    queue.input.enqueue(b"over there", 10, 1.0)
    assert peer.consume() == (util.DATA, b"over there")
    peer.send(b"and back")
    body = bytearray(8)
    queue.output.dequeue_into(body, 1.0)
    assert body == b"and back"
    assert queue.chip_task_arg_scalars()[:6] == region.descriptor_scalars()
    instance.data_plane_error = OSError("link down")
    with pytest.raises(RuntimeError, match="link down"):
        queue.output.try_peek()


@pytest.mark.parametrize("state", ["CLOSED", "released", "Failed"])
def test_instance_that_has_ended(state: str) -> None:
    region, instance, _ = over_instance()
    region.payload_write(0, b"x")
    instance.state = state
    with pytest.raises(RuntimeError):
        region.payload_write(0, b"x")


def test_failing_instance_sets_the_queues_flag() -> None:
    """The flag is written past the check of the region, which is poisoned by then."""
    region, _, shared = over_instance()
    layout = g2.make_worker_chip_queue_layout(4, 128, 192)
    scratch = bytearray(24), bytearray(8), bytearray(32)
    queue = g2.WorkerChipQueue(util.ReferenceOrch(), region, layout, *scratch)
    shared.failures["write", None] = OSError("copy failed")
    with pytest.raises(RuntimeError, match="copy failed"):
        queue.input.enqueue(b"x", 1, 1.0)
    assert shared.load(util.L3_FLAG) == 1


# ---- the third generation's parts ---------------------------------------------------------------


def bound_queue() -> Any:
    layout = g3.make_worker_chip_queue_layout(4, 128, 192)
    template = g3.comm_region_template
    instance = util.ReferenceRegion(None, util.Shared(576, 384))
    binding = template._make_binding(layout, bytes(8), 1, 0x1000, 0x2000)
    return template._BoundSpscQueue(instance, layout, binding), instance


def test_bound_queue_is_used_once() -> None:
    bound, instance = bound_queue()
    g3.WorkerChipQueue(None, bound, instance)
    with pytest.raises(RuntimeError):
        g3.WorkerChipQueue(None, bound, instance)


def test_bound_queue_and_plan_cannot_be_copied() -> None:
    template = g3.comm_region_template
    plan = template._SpscQueueTemplate().plan((4, 128, 192))
    bound, instance = bound_queue()
    for thing in (plan, bound):
        duplicates: List[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, pickle.dumps]
        for duplicate in duplicates:
            with pytest.raises(TypeError):
                duplicate(thing)
    plan.bind(instance, bound.binding)
    with pytest.raises(RuntimeError):
        plan.bind(instance, bound.binding)


class Worker:
    """A worker whose instances are stand-ins."""

    def __init__(self) -> None:
        self.instances: List[util.ReferenceRegion] = []
        self.placements: List[Any] = []

    def _materialize(self, placement: Any, layout: Any) -> Any:
        sizes = layout.payload_bytes, layout.counter_bytes
        self.instances.append(util.ReferenceRegion(None, util.Shared(*sizes)))
        self.placements.append(placement)
        binding = g3.comm_region_template._make_binding(layout, bytes(8), 1, 0x1000, 0x2000)
        return self.instances[-1], binding


def test_projector_failure_closes_the_instance() -> None:
    template = g3.comm_region_template
    worker = Worker()
    coordinator = template._RegionTemplateCoordinator(worker)

    def fail(bound: Any) -> Any:
        raise LookupError("no result")

    with pytest.raises(LookupError):
        coordinator.create(template._SpscQueueTemplate(), (4, 128, 192), 3, fail)
    assert [instance.closed for instance in worker.instances] == [1]
    assert worker.placements == [3]
    bound = coordinator.create(template._SpscQueueTemplate(), (4, 128, 192), 0, lambda b: b)
    assert bound.layout.depth == 4
    assert worker.instances[1].closed == 0
    assert not worker.instances[1].shared.log


def test_admission() -> None:
    """State comes before admission, and admission before the arguments."""
    admitted: List[Any] = []

    class Refusing:
        def _ensure_admission(self) -> None:
            admitted.append(1)
            raise RuntimeError("no more work")

    bound, instance = bound_queue()
    queue: Any = g3.WorkerChipQueue(Refusing(), bound, instance)
    calls: Any = (
        lambda: queue.input.try_enqueue(b"", -1),
        lambda: queue.input.enqueue(b"", -1, None),
        queue.try_request_stop,
        lambda: queue.request_stop(None),
        queue.output.try_peek,
        lambda: queue.output.peek(1.0),
        lambda: queue.output.dequeue_into(bytearray(1), None),
        queue.chip_task_arg_scalars,
    )
    for call in calls:
        with pytest.raises(RuntimeError, match="no more work"):
            call()
    assert len(admitted) == len(calls)
    queue.free()
    for call in calls:
        with pytest.raises(RuntimeError, match="has been released"):
            call()
    assert len(admitted) == len(calls) and not instance.shared.log


def test_free_is_logical_only() -> None:
    rig = util.make_rig(G3, "copied")
    instance = rig.orch._instances[rig.queue.region.region_id]
    rig.queue.free()
    assert instance.state.name == "LIVE"
    rig.orch.close()
    assert instance.state.name == "CLOSED"


def test_transactions_count_from_1_in_a_session() -> None:
    made: List[util.Shared] = []
    orch = g3.Orchestrator(util.copied_source(made))
    scalars = [G3.task_scalars(G3.create_on(orch, 4, 64, 64)) for _ in range(3)]
    assert [s[2] for s in scalars] == [1, 2, 3]
    assert len({s[1] for s in scalars}) == 1


class Opaque:
    """Host memory that only the reference's regions know how to access."""


class PublicRegion:
    """A region that shows its expiry as a property, and checks its state in its own calls."""

    expired = False

    def __init__(self, region: util.ReferenceRegion) -> None:
        self.descriptor_scalars = region.descriptor_scalars
        self.payload_write = region.payload_write
        self.payload_read = region.payload_read
        self.counter = region.counter
        self.free = region.free


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
def test_region_with_public_names_only(generation: Generation) -> None:
    class Orch(util.ReferenceOrch):
        def create_l3_l2_region(self, **sizes: Any) -> Any:
            return PublicRegion(super().create_l3_l2_region(**sizes))

        create_worker_chip_region = create_l3_l2_region

        def alloc(self, shape: Any, dtype: Any) -> Any:
            return Opaque()

    orch = Orch()
    queue = generation.create_on(orch, 4, 128, 192)
    peer = util.Peer(orch.regions[0].shared, 4, 128, 192)
    queue.input.enqueue(b"hello", 5, 1.0)
    assert peer.consume() == (util.DATA, b"hello")
    queue.region.expired = True
    with pytest.raises(RuntimeError, match="expired after orchestration run"):
        queue.input.try_enqueue(b"x", 1)
