# SPDX-License-Identifier: GPL-2.0-only
"""What the queues of l3l2q.simpler do, in each generation and over each memory.

Names follow those of the reference's own tests.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Iterator

import pytest

import simpler_util as util
from simpler_util import DATA, ERROR, G1, G2, G3, GENERATIONS, MEMORIES, STOP, Rig, Unchanged


@pytest.fixture(params=MEMORIES)
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> util.Generation:
    assert isinstance(request.param, util.Generation)
    return request.param


@pytest.fixture
def rig(generation: util.Generation, kind: str) -> Iterator[Rig]:
    made = util.make_rig(generation, kind)
    yield made
    util.close_rig(made)


def test_create_returns_scalars_and_zeroed_counters(rig: Rig, generation: util.Generation) -> None:
    scalars = generation.task_scalars(rig.queue)
    if generation is G3:
        assert len(scalars) == 10
        assert scalars[0] == rig.queue.magic_version == 0x5350535100010000
        assert scalars[7:] == [4, 128, 192]
        assert scalars[4] == 576 and scalars[6] == 384
    else:
        assert len(scalars) == 12
        assert scalars[6:] == [0x4C33513200010001, 4, 128, 192, 576, 384]
        assert rig.queue.magic_version == 0x4C33513200010001
        assert scalars[:6] == rig.queue.region.descriptor_scalars()
        assert scalars[0] >> 32 == 0x4C334C32
    assert [rig.shared.load(offset) for offset in range(0, 384, 64)] == [0] * 6


def test_region_version_is_the_generations() -> None:
    for generation, version in ((G1, 0x4C334C3200020000), (G2, 0x4C334C3200030000)):
        rig = util.make_rig(generation, "copied")
        assert generation.task_scalars(rig.queue)[0] == version


def test_enqueue_writes_slot_payload_and_tail(rig: Rig) -> None:
    rig.queue.input.enqueue(b"0123456789", 10, 1.0)
    assert rig.shared.read(0, 32) == util.SLOT.pack(1, DATA, 256, 10)
    assert rig.shared.read(256, 10) == b"0123456789"
    assert rig.peer.input_tail() == 1
    assert rig.peer.consume() == (DATA, b"0123456789")


def test_bytes_beyond_nbytes_are_not_sent(rig: Rig) -> None:
    rig.queue.input.enqueue(bytearray(b"abcdefgh"), 3, 1.0)
    assert rig.shared.read(256, 8) == b"abc" + bytes(5)


def test_zero_byte_enqueue_has_no_payload(rig: Rig) -> None:
    assert rig.queue.input.try_enqueue(None, 0)
    assert rig.shared.read(0, 32) == util.SLOT.pack(1, DATA, 0, 0)
    assert rig.peer.consume() == (DATA, b"")


def test_stop_is_a_zero_byte_descriptor(rig: Rig) -> None:
    rig.queue.request_stop(1.0)
    assert rig.shared.read(0, 32) == util.SLOT.pack(1, STOP, 0, 0)
    assert rig.peer.consume() == (STOP, b"")


def test_after_stop_nothing_is_sent(rig: Rig) -> None:
    assert rig.queue.try_request_stop()
    with Unchanged(rig):
        assert not rig.queue.input.try_enqueue(b"x", 1)
        assert not rig.queue.input.try_enqueue(None, 0)
        assert not rig.queue.try_request_stop()
        with pytest.raises(RuntimeError, match="input is stopped"):
            rig.queue.input.enqueue(b"x", 1, 1.0)
        with pytest.raises(RuntimeError, match="input is stopped"):
            rig.queue.request_stop(1.0)
    rig.peer.send(b"late")
    assert rig.queue.output.peek(1.0).payload_nbytes == 4


def test_stop_waits_for_room(rig: Rig) -> None:
    for _ in range(4):
        assert rig.queue.input.try_enqueue(None, 0)
    with Unchanged(rig):
        assert not rig.queue.try_request_stop()
        with pytest.raises(TimeoutError):
            rig.queue.request_stop(0.001)
    rig.peer.consume()
    rig.queue.request_stop(1.0)


def test_capacity_equals_depth(rig: Rig) -> None:
    for _ in range(4):
        assert rig.queue.input.try_enqueue(None, 0)
    with Unchanged(rig):
        assert not rig.queue.input.try_enqueue(None, 0)
    rig.peer.consume()
    assert rig.queue.input.try_enqueue(None, 0)
    assert rig.peer.input_tail() == 5


def test_full_arena_is_no_progress(rig: Rig) -> None:
    assert rig.queue.input.try_enqueue(bytes(100), 100)
    with Unchanged(rig):
        assert not rig.queue.input.try_enqueue(bytes(40), 40)
        assert not rig.queue.input.try_enqueue(bytes(29), 29)
    assert rig.queue.input.try_enqueue(bytes(28), 28)


def test_wrap_full_keeps_tail(rig: Rig) -> None:
    """A message that would wrap and does not fit moves no cursor: a smaller one goes behind."""
    assert rig.queue.input.try_enqueue(bytes(96), 96)
    rig.peer.take()
    with Unchanged(rig):
        assert not rig.queue.input.try_enqueue(bytes(64), 64)
    assert rig.queue.input.try_enqueue(b"z" * 32, 32)
    assert rig.peer.take() == (DATA, b"z" * 32)


def test_skipped_bytes_count_as_occupied(rig: Rig) -> None:
    """As there: with nothing in flight too, so that this message never goes."""
    assert rig.queue.input.try_enqueue(bytes(64), 64)
    rig.peer.consume()
    assert not rig.queue.input.try_enqueue(bytes(65), 65)
    assert rig.queue.input.try_enqueue(bytes(64), 64)


def test_wrap_starts_at_the_arena_begin(rig: Rig) -> None:
    assert rig.queue.input.try_enqueue(bytes(96), 96)
    rig.peer.consume()
    assert rig.queue.input.try_enqueue(b"w" * 40, 40)
    assert util.SLOT.unpack(rig.shared.read(32, 32)) == (2, DATA, 256, 40)
    assert rig.peer.consume() == (DATA, b"w" * 40)


def test_exact_fit_is_no_wrap(rig: Rig) -> None:
    """A body that ends with the arena, and the next one at its begin, both ways."""
    for first in (100, 28):
        assert rig.queue.input.try_enqueue(bytes(first), first)
    assert util.SLOT.unpack(rig.shared.read(32, 32)) == (2, DATA, 356, 28)
    for _ in range(2):
        rig.peer.consume()
    assert rig.queue.input.try_enqueue(bytes(128), 128)
    assert util.SLOT.unpack(rig.shared.read(64, 32)) == (3, DATA, 256, 128)
    rig.peer.consume()
    assert rig.queue.input.try_enqueue(None, 0)
    for size, offset in ((150, 384), (42, 534), (192, 384)):
        rig.peer.send(bytes(size))
        assert rig.queue.output.dequeue_into(bytearray(size), 1.0).payload_offset == offset


def test_released_space_is_used_again(rig: Rig) -> None:
    for turn in range(50):
        body = bytes([turn]) * (turn * 7 % 60 + 1)
        assert rig.queue.input.try_enqueue(body, len(body))
        assert rig.peer.consume() == (DATA, body)


def test_bad_replay_poisons(rig: Rig) -> None:
    assert rig.queue.input.try_enqueue(b"abc", 3)
    rig.peer.consume()
    rig.shared.write(0, util.SLOT.pack(9, DATA, 256, 3))
    with pytest.raises(RuntimeError):
        rig.queue.input.try_enqueue(b"abc", 3)
    assert rig.peer.l3_flag == 1


@pytest.mark.parametrize("head", [-1, 2, 5, -(1 << 31)])
def test_impossible_head_poisons(rig: Rig, head: int) -> None:
    assert rig.queue.input.try_enqueue(None, 0)
    rig.shared.store(util.HEAD_IN, head)
    with pytest.raises(RuntimeError):
        rig.queue.input.try_enqueue(None, 0)
    assert rig.peer.l3_flag == 1


@pytest.mark.parametrize("tail", [-1, 5, -(1 << 31)])
def test_impossible_tail_poisons(rig: Rig, tail: int) -> None:
    rig.shared.store(util.TAIL_OUT, tail)
    with pytest.raises(RuntimeError):
        rig.queue.output.try_peek()
    assert rig.peer.l3_flag == 1


def test_empty_try_forms_return_none(rig: Rig) -> None:
    with Unchanged(rig):
        assert rig.queue.output.try_peek() is None
        assert rig.queue.output.try_dequeue_into(bytearray(8)) is None


def test_peek_read_release(rig: Rig) -> None:
    rig.peer.send(b"hello")
    message = rig.queue.output.peek(1.0)
    assert (message.seq, message.opcode) == (1, DATA)
    assert (message.payload_offset, message.payload_nbytes) == (384, 5)
    body = bytearray(8)
    with Unchanged(rig):
        rig.queue.output.read_into(message, body)
        assert body == b"hello\0\0\0"
        rig.queue.output.read_into(message, body)
    rig.queue.output.release(message)
    assert rig.peer.output_head() == 1
    assert rig.queue.output.try_peek() is None


def test_active_message_is_the_same_object(rig: Rig) -> None:
    rig.peer.send(b"1")
    rig.peer.send(b"2")
    message = rig.queue.output.try_peek()
    assert rig.queue.output.try_peek() is message
    assert rig.queue.output.peek(1.0) is message
    rig.queue.output.release(message)
    assert rig.queue.output.peek(1.0).seq == 2


def test_dequeue_into(rig: Rig) -> None:
    rig.peer.send(b"first")
    rig.peer.send(opcode=ERROR)
    body = bytearray(5)
    assert rig.queue.output.dequeue_into(body, 1.0).seq == 1
    assert body == b"first"
    message = rig.queue.output.try_dequeue_into(None)
    assert (message.seq, message.opcode, message.payload_nbytes) == (2, ERROR, 0)
    assert rig.peer.output_head() == 2


def test_error_is_delivered_like_data(rig: Rig, generation: util.Generation) -> None:
    rig.peer.send(b"why", ERROR)
    message = rig.queue.output.peek(1.0)
    assert message.opcode == ERROR and message.opcode.name == "ERROR"
    assert rig.queue.input.try_enqueue(None, 0)
    assert rig.peer.l3_flag == 0


def test_output_wraps(rig: Rig) -> None:
    for turn in range(40):
        body = bytes([turn]) * (turn * 31 % 192 + 1)
        rig.peer.send(body)
        got = bytearray(len(body))
        rig.queue.output.dequeue_into(got, 1.0)
        assert got == body


def test_early_wrap(rig: Rig, generation: util.Generation) -> None:
    """G1 and G2 take a body at the arena's begin at any time; G3 poisons once."""
    rig.peer.send(bytes(10))
    rig.queue.output.dequeue_into(bytearray(10), 1.0)
    rig.shared.write(rig.peer.output_arena, b"early")
    rig.peer.put_slot(2, DATA, rig.peer.output_arena, 5)
    if generation is G3:
        with pytest.raises(RuntimeError) as first:
            rig.queue.output.try_peek()
        with pytest.raises(RuntimeError) as second:
            rig.queue.output.try_peek()
        assert first.value is second.value
        assert rig.peer.l3_flag == 1
        return
    body = bytearray(5)
    rig.queue.output.dequeue_into(body, 1.0)
    assert body == b"early"
    rig.peer.output_cursor = 192 + 5
    rig.peer.send(b"next")
    assert rig.queue.output.peek(1.0).payload_offset == rig.peer.output_arena + 5


BAD_SLOTS = {
    "seq": (7, DATA, 384, 4),
    "stop": (1, STOP, 0, 0),
    "stop with payload": (1, STOP, 384, 4),
    "opcode 4": (1, 4, 384, 4),
    "opcode 2^40": (1, 1 << 40, 384, 4),
    "zero-byte with an offset": (1, DATA, 384, 0),
    "before the arena": (1, DATA, 380, 4),
    "behind the arena": (1, DATA, 576, 4),
    "larger than the arena": (1, DATA, 384, 193),
    "input arena": (1, DATA, 256, 4),
    "not at the cursor": (1, DATA, 388, 4),
    "wraps u64": (1, DATA, (1 << 64) - 4, 8),
    "huge": (1, DATA, 384, 1 << 63),
}


@pytest.mark.parametrize("slot", BAD_SLOTS.values(), ids=list(BAD_SLOTS))
def test_bad_output_slot_poisons(rig: Rig, slot: Any) -> None:
    rig.peer.put_slot(*slot)
    with pytest.raises(RuntimeError):
        rig.queue.output.try_peek()
    assert rig.peer.l3_flag == 1
    assert rig.peer.output_head() == 0
    with pytest.raises(RuntimeError):
        rig.queue.input.try_enqueue(None, 0)
    assert rig.peer.input_tail() == 0


def test_output_opcode_0(rig: Rig, generation: util.Generation) -> None:
    rig.peer.send(b"odd", util.INVALID)
    if generation is G3:
        with pytest.raises(RuntimeError):
            rig.queue.output.try_peek()
        assert rig.peer.l3_flag == 1
    else:
        assert rig.queue.output.try_peek().opcode == 0
        assert rig.peer.l3_flag == 0


def test_blocking_forms_wait_for_the_peer(rig: Rig, generation: util.Generation) -> None:
    for _ in range(4):
        assert rig.queue.input.try_enqueue(None, 0)
    late = threading.Timer(0.05, lambda: rig.peer.consume())
    late.start()
    rig.queue.input.enqueue(None, 0, 30.0)
    late.join()
    late = threading.Timer(0.05, lambda: rig.peer.send(b"late"))
    late.start()
    assert rig.queue.output.peek(30.0).payload_nbytes == 4
    late.join()


def test_timeout_without_abort_poisons_nothing(rig: Rig) -> None:
    with Unchanged(rig):
        with pytest.raises(TimeoutError):
            rig.queue.output.peek(0.001)
        with pytest.raises(TimeoutError):
            rig.queue.output.dequeue_into(bytearray(1), 0.001)
    for _ in range(4):
        rig.queue.input.enqueue(None, 0, 1.0)
    with Unchanged(rig), pytest.raises(TimeoutError):
        rig.queue.input.enqueue(None, 0, 0.001)
    rig.peer.send()
    assert rig.queue.output.peek(1.0).seq == 1


def test_timeout_with_abort_is_remote(rig: Rig, generation: util.Generation) -> None:
    rig.peer.abort()
    with Unchanged(rig):
        with pytest.raises(RuntimeError, match="remote abort observed"):
            rig.queue.output.peek(0.001)
        for call in every_call(rig.queue, generation):
            with pytest.raises(RuntimeError, match="remote abort observed"):
                call()


def every_call(queue: Any, generation: util.Generation) -> Any:
    """Each operation of a queue that has to be live."""
    message = "not a handle"
    return (
        lambda: queue.input.try_enqueue(None, 0),
        lambda: queue.input.enqueue(b"1", 1, 0.001),
        queue.try_request_stop,
        lambda: queue.request_stop(0.001),
        queue.output.try_peek,
        lambda: queue.output.peek(0.001),
        lambda: queue.output.read_into(message, bytearray(1)),
        lambda: queue.output.release(message),
        lambda: queue.output.dequeue_into(bytearray(1), 0.001),
        lambda: queue.output.try_dequeue_into(bytearray(1)),
        lambda: generation.task_scalars(queue),
    )


def test_try_forms_and_abort(rig: Rig, generation: util.Generation) -> None:
    """G1 and G2 never look at the flag in them; G3 does first, and raises."""
    rig.peer.send(b"last")
    rig.peer.abort()
    if generation is G3:
        with Unchanged(rig), pytest.raises(RuntimeError, match="remote abort observed"):
            rig.queue.output.try_peek()
        return
    assert rig.queue.output.try_dequeue_into(bytearray(4)).seq == 1
    assert rig.queue.output.try_peek() is None
    assert rig.queue.input.try_enqueue(b"anyway", 6)
    assert rig.queue.try_request_stop()
    assert rig.peer.input_tail() == 2


@pytest.mark.parametrize("where", ["mapped", util.TRANSPORT])
def test_abort_ends_a_wait(generation: util.Generation, where: str) -> None:
    """Memory of this library; what is polled by the reference's rules waits for its time-out."""
    rig = util.make_rig(generation, where)
    late = threading.Timer(0.05, rig.peer.abort)
    late.start()
    with pytest.raises(RuntimeError, match="remote abort observed"):
        rig.queue.output.peek(3600.0)
    late.join()
    util.close_rig(rig)


def test_free_is_idempotent_and_logical(rig: Rig, generation: util.Generation) -> None:
    rig.queue.input.enqueue(b"kept", 4, 1.0)
    with Unchanged(rig):
        rig.queue.free()
        rig.queue.free()
        for call in every_call(rig.queue, generation):
            with pytest.raises(RuntimeError, match="has been released"):
                call()
    assert rig.peer.consume() == (DATA, b"kept")


def test_freed_region(rig: Rig, generation: util.Generation) -> None:
    with Unchanged(rig):
        rig.queue.region.free()
        for call in every_call(rig.queue, generation):
            with pytest.raises(RuntimeError, match="has been released"):
                call()
        rig.queue.free()


def test_end_of_run_expires(rig: Rig, generation: util.Generation) -> None:
    before = rig.shared.snapshot()
    if hasattr(rig.orch, "close"):
        rig.orch.close()
    else:
        rig.queue.region._expired = True
    for call in every_call(rig.queue, generation):
        with pytest.raises(RuntimeError, match="expired after orchestration run"):
            call()
    rig.queue.free()
    with pytest.raises(RuntimeError, match="has been released"):
        rig.queue.output.try_peek()
    assert rig.shared.snapshot() == before


def test_use_after_local_poison(rig: Rig, generation: util.Generation) -> None:
    rig.peer.put_slot(9, DATA, 0, 0)
    with pytest.raises(RuntimeError) as first:
        rig.queue.output.try_peek()
    with Unchanged(rig):
        for call in every_call(rig.queue, generation):
            with pytest.raises(RuntimeError) as later:
                call()
            if generation is G3:
                assert later.value is first.value
            else:
                assert "is poisoned" in str(later.value)


def test_state_precedence(rig: Rig, generation: util.Generation) -> None:
    """released, remote, local poison, expired, then the region's own state."""
    output = rig.queue.output
    rig.queue.region._expired = True
    with pytest.raises(RuntimeError, match="expired"):
        output.try_peek()
    rig.queue.region._expired = False
    rig.peer.put_slot(9, DATA, 0, 0)
    with pytest.raises(RuntimeError, match="seq mismatch"):
        output.try_peek()
    rig.queue.region._expired = True
    rig.queue.region.free()
    with pytest.raises(RuntimeError, match="seq mismatch"):
        output.try_peek()
    rig.queue.free()
    with pytest.raises(RuntimeError, match="has been released"):
        output.try_peek()


def test_infinite_timeout(rig: Rig, generation: util.Generation) -> None:
    rig.peer.send(b"1")
    if generation is G3:
        with Unchanged(rig), pytest.raises(OverflowError):
            rig.queue.output.peek(math.inf)
        with Unchanged(rig), pytest.raises(OverflowError):
            rig.queue.input.enqueue(None, 0, math.inf)
        return
    assert rig.queue.output.peek(math.inf).seq == 1
    rig.queue.input.enqueue(None, 0, math.inf)


def test_duplex(rig: Rig) -> None:
    """The directions do not disturb each other."""
    for turn in range(30):
        body = bytes([turn]) * (turn % 20 + 1)
        rig.queue.input.enqueue(body, len(body), 1.0)
        opcode, got = rig.peer.consume()
        rig.peer.send(got[::-1], opcode)
        back = bytearray(len(body))
        rig.queue.output.dequeue_into(back, 1.0)
        assert back == body[::-1]
