# SPDX-License-Identifier: GPL-2.0-only
"""Which accesses of shared memory the queues of l3l2q.simpler make, in which order.

The other side sees the order, and the runtime pays for each one by a copy.
"""

from __future__ import annotations

import struct
from typing import Any, Iterator

import pytest

import simpler_util as util
from simpler_util import G1, G2, G3, GENERATIONS, Generation, Rig, Unchanged, accesses

COUNTERS = list(range(0, 384, 64))


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


@pytest.fixture
def rig(generation: Generation) -> Iterator[Rig]:
    made = util.make_rig(generation, "reference")
    made.log.clear()
    yield made


def flag(generation: Generation) -> Any:
    """What the third generation looks at first."""
    return [("test", 320)] if generation is G3 else []


def test_create(generation: Generation) -> None:
    if generation is G3:
        assert util.make_rig(G3, "reference").log == []
        return
    orch = util.ReferenceOrch()
    generation.create_on(orch, 4, 128, 192)
    assert orch.regions[0].shared.log == [("notify", offset, 0) for offset in COUNTERS]
    assert orch.allocs == [24, 8, 32]


def test_enqueue(rig: Rig, generation: Generation) -> None:
    assert rig.queue.input.try_enqueue(b"12345", 5)
    assert accesses(rig) == flag(generation) + [
        ("test", 64),
        ("write", 256, 5),
        ("write", 8, 24),
        ("write", 0, 8),
        ("notify", 0),
    ]


def test_zero_byte_enqueue_writes_no_payload(rig: Rig, generation: Generation) -> None:
    message = [("test", 64), ("write", 8, 24), ("write", 0, 8), ("notify", 0)]
    assert rig.queue.input.try_enqueue(None, 0)
    assert accesses(rig) == flag(generation) + message
    assert rig.queue.try_request_stop()
    message = [("test", 64), ("write", 40, 24), ("write", 32, 8), ("notify", 0)]
    assert accesses(rig) == flag(generation) + message


def test_replay_reads_each_released_slot_before_the_arena_is_used_again(
    rig: Rig, generation: Generation
) -> None:
    for _ in range(3):
        assert rig.queue.input.try_enqueue(bytes(40), 40)
        rig.peer.take()
    rig.peer.give_back(2)
    accesses(rig)
    assert rig.queue.input.try_enqueue(bytes(60), 60)
    assert accesses(rig) == flag(generation) + [
        ("test", 64),
        ("read", 0, 32),
        ("read", 32, 32),
        ("write", 256, 60),
        ("write", 104, 24),
        ("write", 96, 8),
        ("notify", 0),
    ]


def test_dequeue(rig: Rig, generation: Generation) -> None:
    rig.peer.send(b"12345")
    rig.queue.output.dequeue_into(bytearray(5), 1.0)
    assert accesses(rig) == flag(generation) + [
        ("test", 128),
        ("read", 128, 32),
        ("read", 384, 5),
        ("notify", 192),
    ]
    rig.peer.send()
    rig.queue.output.try_dequeue_into(None)
    assert accesses(rig) == flag(generation) + [
        ("test", 128),
        ("read", 160, 32),
        ("notify", 192),
    ]


def test_empty_peek_and_full_enqueue(rig: Rig, generation: Generation) -> None:
    assert rig.queue.output.try_peek() is None
    assert accesses(rig) == flag(generation) + [("test", 128)]
    for _ in range(4):
        rig.queue.input.try_enqueue(None, 0)
    accesses(rig)
    assert not rig.queue.input.try_enqueue(b"x", 1)
    assert accesses(rig) == flag(generation) + [("test", 64)]


def test_active_message_costs_no_look(rig: Rig, generation: Generation) -> None:
    rig.peer.send(b"1")
    rig.queue.output.try_peek()
    accesses(rig)
    rig.queue.output.try_peek()
    rig.queue.output.peek(1.0)
    assert accesses(rig) == flag(generation) * 2


def test_offset_mismatch_poisons_before_the_body_is_read(rig: Rig, generation: Generation) -> None:
    rig.peer.put_slot(1, util.DATA, 388, 4)
    with pytest.raises(RuntimeError):
        rig.queue.output.dequeue_into(bytearray(4), 1.0)
    assert accesses(rig) == flag(generation) + [
        ("test", 128),
        ("read", 128, 32),
        ("notify", 256),
    ]


def test_refused_without_access(rig: Rig, generation: Generation) -> None:
    assert not rig.queue.input.try_enqueue(bytes(129), 129)
    with pytest.raises(ValueError):
        rig.queue.input.try_enqueue(b"x", 2)
    assert accesses(rig) == []


def test_after_stop_no_requests(rig: Rig) -> None:
    rig.queue.try_request_stop()
    accesses(rig)
    assert not rig.queue.input.try_enqueue(b"x", 1)
    assert not rig.queue.try_request_stop()
    assert accesses(rig) == []


def test_blocking_round_at_the_time_out(rig: Rig, generation: Generation) -> None:
    with pytest.raises(TimeoutError):
        rig.queue.output.peek(1e-9)
    if generation is G3:
        assert accesses(rig) == [("test", 320), ("test", 128), ("test", 320)]
    else:
        assert accesses(rig) == [("test", 128), ("test", 320)]


def test_blocking_round(rig: Rig, generation: Generation) -> None:
    """G1 and G2 poll; G3 tests the flag, waits for the counter, and tests it again."""

    def send_at_last(what: Any) -> None:
        if what[0] == "wait" or len(rig.log) == 2 and generation is not G3:
            rig.shared.before = None
            rig.peer.send(b"1")

    rig.shared.before = send_at_last
    rig.queue.output.peek(30.0)
    if generation is not G3:
        assert accesses(rig) == [("test", 128)] * 3 + [("read", 128, 32)]
        return
    assert accesses(rig) == [
        ("test", 320),
        ("test", 128),
        ("wait", 128),
        ("test", 320),
        ("test", 320),
        ("test", 128),
        ("read", 128, 32),
    ]


@pytest.mark.parametrize("generation", [G3], ids=str)
def test_peer_abort_during_the_wait(rig: Rig, generation: Generation) -> None:
    """G1 and G2 look at the time-out only."""

    def abort(what: Any) -> None:
        if what[0] == "wait":
            rig.shared.before = None
            rig.peer.abort()
            rig.peer.send(b"too late")

    rig.shared.before = abort
    with pytest.raises(RuntimeError, match="remote abort observed"):
        rig.queue.output.peek(30.0)
    assert accesses(rig) == [("test", 320), ("test", 128), ("wait", 128), ("test", 320)]
    assert rig.peer.l3_flag == 0


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
def test_counts_are_not_masked(generation: Generation) -> None:
    """The 2^31st message ends the queue, as there: its count is no int32."""
    rig = util.make_rig(generation, "copied")
    start_at(rig, (1 << 31) - 2)
    assert rig.queue.input.try_enqueue(None, 0)
    assert rig.shared.load(util.TAIL_IN) == (1 << 31) - 1
    expected: Any = struct.error if generation is G1 else TypeError
    with pytest.raises(expected):
        rig.queue.input.try_enqueue(None, 0)
    assert rig.peer.l3_flag == 1
    with pytest.raises(RuntimeError, match="is poisoned"):
        rig.queue.input.try_enqueue(None, 0)


@pytest.mark.parametrize("kind", ["reference", "copied"])
@pytest.mark.parametrize("start", [(1 << 31) - 2, (1 << 32) - 2])
def test_generation_3_counters_wrap(kind: str, start: int) -> None:
    rig = util.make_rig(G3, kind)
    start_at(rig, start)
    for turn in range(6):
        assert rig.queue.input.try_enqueue(None, 0)
        assert rig.shared.load(util.TAIL_IN) & 0xFFFFFFFF == (start + turn + 1) & 0xFFFFFFFF
        slot = (start + turn) % 4 * 32
        assert rig.shared.read(slot, 8) == (start + turn + 1).to_bytes(8, "little")
        rig.shared.store(util.HEAD_IN, rig.shared.load(util.TAIL_IN))
    for turn in range(6):
        rig.shared.write(
            128 + (start + turn) % 4 * 32, util.SLOT.pack(start + turn + 1, util.DATA, 0, 0)
        )
        rig.shared.store(util.TAIL_OUT, as_int32(start + turn + 1))
        assert rig.queue.output.try_dequeue_into(None).seq == start + turn + 1
        assert rig.shared.load(util.HEAD_OUT) == as_int32(start + turn + 1)


def as_int32(count: int) -> int:
    return (count + (1 << 31)) % (1 << 32) - (1 << 31)


def start_at(rig: Rig, count: int) -> None:
    """Make the queue and its memory believe that so many messages have gone each way."""
    core = rig.queue._core
    for ring in (core.sending, core.receiving):
        ring.tail = ring.head = count
    for offset in (util.TAIL_IN, util.HEAD_IN, util.TAIL_OUT, util.HEAD_OUT):
        rig.shared.store(offset, as_int32(count))
    accesses(rig)


@pytest.mark.parametrize("kind", ["mapped", util.TRANSPORT])
def test_ordinary_messages_take_one_call(
    generation: Generation, kind: str, monkeypatch: Any
) -> None:
    """Over mapped memory the rings' Python code sees only what is out of the ordinary."""
    rig = util.make_rig(generation, kind)
    core = rig.queue._core

    def refuse(*args: Any) -> None:
        raise AssertionError("the long way")

    monkeypatch.setattr(core.sending, "find_room", refuse)
    monkeypatch.setattr(core.receiving, "look", refuse)
    for turn in range(9):
        rig.queue.input.enqueue(b"there", 5, 10.0)
        assert rig.queue.input.try_enqueue(None, 0)
        assert rig.peer.consume() == (util.DATA, b"there")
        assert rig.peer.consume() == (util.DATA, b"")
        rig.peer.send(b"back")
        rig.peer.send(b"")
        back = bytearray(4)
        assert rig.queue.output.dequeue_into(back, 10.0).seq == 2 * turn + 1
        assert back == b"back"
        assert rig.queue.output.try_dequeue_into(None).payload_nbytes == 0
    with pytest.raises(AssertionError, match="the long way"):
        rig.queue.try_request_stop()
    util.close_rig(rig)


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
def test_a_queue_in_a_region_that_was_released(generation: Generation) -> None:
    rig = util.make_rig(generation, util.TRANSPORT)
    region = rig.queue.region
    region.free()
    scratch = [bytearray(size) for size in (24, 8, 32)]
    queue = type(rig.queue)(rig.orch, region, rig.queue.layout, *scratch)
    rig.peer.send(b"x")
    with Unchanged(rig), pytest.raises(RuntimeError, match="has been released"):
        queue.input.try_enqueue(b"x", 1)
    with Unchanged(rig), pytest.raises(RuntimeError, match="has been released"):
        queue.output.try_dequeue_into(bytearray(1))
    util.close_rig(rig)
