# SPDX-License-Identifier: GPL-2.0-only
"""Sending and receiving: every form, both directions, what it returns when it cannot."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from native_util import LONG, Pair, bodies, create, in_child, sleeping

import l3l2q
from l3l2q import Opcode


def test_enqueue_and_dequeue_both_ways(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"in", LONG)
    pair.l2.producer.enqueue(b"out", timeout=LONG, opcode=Opcode.ERROR)
    assert pair.l2.consumer.dequeue(LONG) == (Opcode.DATA, b"in", 1)
    received = pair.l3.consumer.dequeue(LONG)
    assert (received.opcode, received.data, received.seq) == (Opcode.ERROR, b"out", 1)
    assert isinstance(received.opcode, Opcode)


def test_between_processes() -> None:
    ep = create()
    fd = ep.open_peer()

    def echo() -> None:
        with l3l2q.attach(fd) as peer:
            for message in peer.consumer:
                peer.producer.enqueue(message, LONG)

    import os
    import threading

    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(in_child(echo)))
    thread.start()
    for i in range(100):
        ep.producer.enqueue(b"%d" % i, LONG)
        assert ep.consumer.dequeue(LONG).data == b"%d" % i
    ep.producer.stop(LONG)
    thread.join(LONG)
    assert statuses == [0]
    os.close(fd)
    ep.close()


def test_a_message_without_a_body(pair: Pair) -> None:
    for body in (None, b"", bytearray(), memoryview(b"")):
        pair.l3.producer.enqueue(body, LONG)
        with pair.l2.consumer.peek(LONG) as message:
            assert message.nbytes == 0 and message.payload_offset == 0
            assert bytes(message.data) == b"" and message.tobytes() == b""
            assert message and len(message) == 0
        pair.l3.producer.enqueue(body, LONG)
        assert pair.l2.consumer.dequeue(LONG).data == b""


def test_try_forms_say_what_they_did(pair: Pair) -> None:
    producer, consumer = pair.l3.producer, pair.l2.consumer
    assert consumer.try_peek() is None
    assert consumer.try_dequeue() is None
    assert consumer.try_dequeue_into(bytearray(8)) is None
    assert consumer.try_peek_run(4) == []
    assert producer.try_enqueue(b"1") is True
    assert producer.try_enqueuev([b"2", b"3"]) is True
    assert producer.try_enqueue_run([b"4", b"5"]) == 2
    assert pair.fill_input() == 8 - 4
    assert producer.try_enqueue(b"6") is False
    assert producer.try_enqueuev([b"6"]) is False
    assert producer.try_enqueue_run([b"6"]) == 0
    assert producer.try_reserve(1) is None
    assert producer.try_stop() is False
    assert consumer.try_dequeue() == (Opcode.DATA, b"1", 1)
    assert bodies(consumer.try_peek_run(3)) == [b"23", b"4", b"5"]


def test_a_timeout_of_zero_makes_one_attempt(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"x", 0)
    assert pair.l2.consumer.dequeue(0).data == b"x"
    for ep in (pair.l3, pair.l2):
        with pytest.raises(l3l2q.Timeout):
            ep.consumer.peek(0)
        with pytest.raises(l3l2q.Timeout):
            ep.consumer.dequeue(timeout=0.0)
    pair.fill_input()
    for call in (
        lambda: pair.l3.producer.enqueue(b"x", 0),
        lambda: pair.l3.producer.enqueuev([b"x"], 0),
        lambda: pair.l3.producer.enqueue_run([b"x"], 0),
        lambda: pair.l3.producer.reserve(1, 0),
        lambda: pair.l3.producer.stop(0),
    ):
        with pytest.raises(TimeoutError) as raised:
            call()
        assert isinstance(raised.value, l3l2q.Timeout)


def test_dequeue_into(pair: Pair) -> None:
    buffer = bytearray(b"........")
    pair.l3.producer.enqueue(b"12345", LONG)
    header = pair.l2.consumer.dequeue_into(buffer, LONG)
    assert header == (Opcode.DATA, 5, 1) and header.nbytes == 5
    assert buffer == b"12345..."


def test_a_message_that_does_not_fit_stays(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"12345", LONG)
    with pytest.raises(l3l2q.TooLarge, match="5 bytes, the buffer 4"):
        pair.l2.consumer.dequeue_into(bytearray(4), LONG)
    with pytest.raises(l3l2q.TooLarge):
        pair.l2.consumer.dequeue_into(bytearray(), LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"12345"
    with pytest.raises(l3l2q.TooLarge):
        pair.l3.producer.enqueue(bytes(4097), LONG)
    pair.l3.producer.enqueue(bytes(4096), LONG)


def test_read_into_of_a_held_message(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"12345", LONG)
    message = pair.l2.consumer.peek(LONG)
    buffer = bytearray(8)
    assert message.read_into(buffer) == 5
    assert buffer == b"12345\0\0\0"
    with pytest.raises(l3l2q.TooLarge):
        message.read_into(bytearray(4))
    message.release()
    with pytest.raises(l3l2q.HandleError):
        message.read_into(buffer)


def test_large_bodies_let_other_threads_run(make: Callable[..., Pair]) -> None:
    pair = make(input_arena_bytes=1 << 20, output_arena_bytes=64)
    body = bytes(range(256)) * 4096
    pair.l3.producer.enqueue(body, LONG)
    assert pair.l2.consumer.dequeue(LONG).data == body
    pair.l3.producer.enqueue(body, LONG)
    buffer = bytearray(1 << 20)
    pair.l2.consumer.dequeue_into(buffer, LONG)
    assert buffer == body


def test_out_of_order_release(pair: Pair) -> None:
    for i in range(8):
        pair.l3.producer.enqueue(b"%d" % i, LONG)
    held = pair.l2.consumer.peek_run(16, LONG)
    assert bodies(held) == [b"0", b"1", b"2", b"3"] and pair.l2.consumer.held == 4
    assert pair.l2.consumer.try_peek() is None
    held[2].release()
    held[0].release()
    assert pair.l2.consumer.held == 2
    with held[3], held[1]:
        pass
    assert pair.l2.consumer.held == 0
    assert bodies(pair.l2.consumer.peek_run(2, LONG)) == [b"4", b"5"]


def test_release_of_several(pair: Pair) -> None:
    pair.l3.producer.enqueue_run([b"%d" % i for i in range(8)], LONG)
    a, b, c, d = pair.l2.consumer.peek_run(4, LONG)
    pair.l2.consumer.release([c, a])
    assert c.released and a.released and not b.released
    with pytest.raises(l3l2q.HandleError):
        pair.l2.consumer.release([b, a])
    assert not b.released
    # named twice, released once
    pair.l2.consumer.release([b, b])
    pair.l2.consumer.release([])
    e, f = pair.l2.consumer.peek_run(2, LONG)
    e.release_upto()
    assert d.released and e.released and not f.released
    assert pair.l2.error is None


def test_a_dropped_message_is_released(make: Callable[..., Pair]) -> None:
    pair = make(window=1)
    for i in range(3):
        pair.l3.producer.enqueue(b"%d" % i, LONG)
        message = pair.l2.consumer.peek(LONG)
        assert message.tobytes() == b"%d" % i
        del message
    assert pair.l2.consumer.held == 0
    assert pair.l2.stats.received == 3


def test_window_of_one(make: Callable[..., Pair]) -> None:
    pair = make(window=1)
    pair.l3.producer.enqueue_run([b"1", b"2"], LONG)
    pair.l2.producer.enqueue_run([b"1", b"2"], LONG)
    held = pair.l3.consumer.peek(LONG)
    assert pair.l3.consumer.peek(LONG) is held
    held.release()
    assert pair.l3.consumer.peek(LONG).seq == 2
    held = pair.l2.consumer.peek(LONG)
    for call in (
        pair.l2.consumer.peek,
        pair.l2.consumer.try_peek,
        pair.l2.consumer.dequeue,
        lambda: pair.l2.consumer.dequeue_into(bytearray(8)),
        lambda: pair.l2.consumer.peek_run(2),
    ):
        with pytest.raises(l3l2q.BusyError, match="held|released first"):
            call()
    held.release()
    assert pair.l2.consumer.peek(LONG).seq == 2
    assert pair.l2.error is None


def test_a_full_window_raises_instead_of_blocking_for_ever(pair: Pair) -> None:
    pair.l3.producer.enqueue_run([b"%d" % i for i in range(6)], LONG)
    held = pair.l2.consumer.peek_run(4, LONG)
    with pytest.raises(l3l2q.BusyError, match="window"):
        pair.l2.consumer.peek()
    # Behind one that is held, a release makes no room.
    held[2].release()
    assert pair.l2.consumer.full and pair.l2.consumer.held == 3
    with pytest.raises(l3l2q.BusyError, match="window"):
        pair.l2.consumer.peek()
    held[0].release()
    assert not pair.l2.consumer.full
    assert pair.l2.consumer.peek(LONG).tobytes() == b"4"


def test_stop_is_taken_with_a_full_window(pair: Pair) -> None:
    pair.l3.producer.enqueue_run([b"%d" % i for i in range(4)], LONG)
    pair.l3.producer.stop(LONG)
    held = pair.l2.consumer.peek_run(4, LONG)
    stop = pair.l2.consumer.peek(LONG)
    assert stop.opcode is Opcode.STOP and stop.nbytes == 0
    assert not pair.l2.consumer.drained
    stop.release()
    pair.l2.consumer.release(held)
    assert pair.l2.consumer.drained
    with pytest.raises(l3l2q.Closed):
        pair.l3.producer.enqueue(b"after STOP", LONG)
    with pytest.raises(l3l2q.Closed):
        pair.l3.producer.try_enqueue(b"after STOP")


def test_iteration_ends_with_stop(pair: Pair) -> None:
    for i in range(5):
        pair.l3.producer.enqueue(b"%d" % i, LONG)
    pair.l3.producer.stop(LONG)
    seen = []
    for message in pair.l2.consumer:
        assert pair.l2.consumer.held == 1
        seen.append(message.tobytes())
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert message.released and pair.l2.consumer.drained
    assert list(pair.l2.consumer) == []


def test_iteration_ends_with_the_peer(pair: Pair) -> None:
    pair.l2.producer.enqueue(b"last", LONG)
    pair.l2.detach()
    assert [m.tobytes() for m in pair.l3.consumer] == [b"last"]
    pair = Pair()
    pair.l2.abort()
    with pytest.raises(l3l2q.PeerAborted):
        next(pair.l3.consumer)
    pair.close()


def test_iteration_keeps_nothing_that_the_program_dropped(make: Callable[..., Pair]) -> None:
    pair = make(window=1)
    pair.l3.producer.enqueue_run([b"1", b"2"], LONG)
    for message in pair.l2.consumer:
        break
    del message
    assert pair.l2.consumer.held == 0
    assert pair.l2.consumer.dequeue(LONG).data == b"2"


def test_iteration_leaves_messages_whose_views_are_in_use(pair: Pair) -> None:
    pair.l3.producer.enqueue_run([b"1", b"2", b"3"], LONG)
    kept = []
    for message in pair.l2.consumer:
        kept.append(memoryview(message)[:1])
        if message.seq == 3:
            break
    assert [bytes(v) for v in kept] == [b"1", b"2", b"3"]
    assert pair.l2.consumer.held == 3
    del message
    for view in kept:
        view.release()
    del kept[:], view
    assert pair.l2.consumer.held == 0 and pair.l2.stats.received == 3


@pytest.mark.parametrize("role", ["l3", "l2"])
def test_iteration_yields_no_message_twice(make: Callable[..., Pair], role: str) -> None:
    """Where there is room for one, and views of it are in use."""
    pair = make(window=1)
    pair.l3.producer.enqueue_run([b"1", b"2"], LONG)
    pair.l2.producer.enqueue_run([b"1", b"2"], LONG)
    consumer = getattr(pair, role).consumer
    message = next(consumer)
    view = memoryview(message)
    for _ in range(2):
        with pytest.raises(l3l2q.BusyError, match="window"):
            next(consumer)
    view.release()
    assert next(consumer).seq == 2 and message.released


def test_gathered_messages(pair: Pair) -> None:
    pair.l3.producer.enqueuev([b"head", bytearray(b"body"), b"", memoryview(b"tail")], LONG)
    pair.l3.producer.enqueuev([], LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"headbodytail"
    assert pair.l2.consumer.dequeue(LONG).data == b""


def test_runs_of_messages(pair: Pair) -> None:
    assert pair.l3.producer.enqueue_run((b"%d" % i for i in range(12)), LONG) == 8
    assert pair.l3.producer.enqueue_run([]) == 0
    assert bodies(pair.l2.consumer.peek_run(3, LONG)) == [b"0", b"1", b"2"]


def test_spans(pair: Pair) -> None:
    producer = pair.l3.producer
    span = producer.reserve(5, LONG)
    assert span.active and span.nbytes == 5 and len(span) == 1 and span.seq == 1
    span.data[:] = b"12345"
    span.commit(Opcode.ERROR)
    assert not span.active
    assert pair.l2.consumer.dequeue(LONG) == (Opcode.ERROR, b"12345", 1)
    span = producer.reserve(5, LONG)
    span.cancel()
    for call in (span.commit, span.cancel, lambda: span.data):
        with pytest.raises(l3l2q.HandleError):
            call()
    with producer.reserve(2, LONG) as span:
        span.data[:] = b"ok"
    with pytest.raises(KeyError):
        with producer.reserve(2, LONG):
            raise KeyError
    with producer.reserve(2, LONG) as span:
        span.cancel()
    with producer.reserve(0, LONG) as span:
        assert len(span.data) == 0
    assert pair.l2.consumer.dequeue(LONG).data == b"ok"
    assert pair.l2.consumer.dequeue(LONG).data == b""
    assert pair.l2.consumer.try_dequeue() is None


def test_a_run_of_spans(pair: Pair) -> None:
    span = pair.l3.producer.reserve(4, LONG, count=3)
    assert len(span) == 3 and len(span.data) == 12
    for i, view in enumerate(span):
        view[:] = b"%04d" % i
    del view
    with pytest.raises(IndexError):
        span[3]
    with pytest.raises(ValueError):
        span.commit(count=0)
    with pytest.raises(ValueError):
        span.commit(count=4)
    span.commit(count=2)
    assert bodies(pair.l2.consumer.peek_run(4, LONG)) == [b"0000", b"0001"]
    with pair.l3.producer.reserve(4, LONG, count=2) as span:
        span[0][:] = b"abcd"
        span[1][:] = b"efgh"
    assert bodies(pair.l2.consumer.peek_run(2, LONG)) == [b"abcd", b"efgh"]


def test_one_reservation_at_a_time(pair: Pair) -> None:
    producer = pair.l3.producer
    span = producer.reserve(5, LONG)
    for call in (
        lambda: producer.enqueue(b"x"),
        lambda: producer.try_enqueue(b"x"),
        lambda: producer.enqueuev([b"x"]),
        lambda: producer.enqueue_run([b"x"]),
        lambda: producer.reserve(1),
        lambda: producer.try_reserve(1),
        lambda: producer.stop(),
        lambda: producer.try_stop(),
    ):
        with pytest.raises(l3l2q.BusyError, match="reserved"):
            call()
    assert producer.room == 0
    del span
    producer.enqueue(b"x", LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"x" and pair.l3.error is None


def test_batches(pair: Pair) -> None:
    with pair.l3.producer.batch() as batch:
        pair.l3.producer.enqueue(b"1", LONG)
        assert pair.l2.consumer.try_dequeue() is None
        batch.publish()
        assert pair.l2.consumer.try_dequeue() == (Opcode.DATA, b"1", 1)
        with pytest.raises(l3l2q.HandleError):
            batch.publish()
    with pytest.raises(KeyError):
        with pair.l3.producer.batch():
            pair.l3.producer.enqueue(b"2", LONG)
            with pytest.raises(l3l2q.InvalidArgument, match="a batch is open already"):
                with pair.l3.producer.batch():
                    pass
            assert pair.l2.consumer.try_dequeue() is None
            raise KeyError
    assert pair.l2.consumer.try_dequeue() == (Opcode.DATA, b"2", 2)


def test_a_batch_that_is_dropped_is_published(pair: Pair) -> None:
    """After the call of another thread that is in this half, if there is one."""
    batch = pair.l3.producer.batch()
    batch.__enter__()
    pair.l3.producer.enqueue(b"1", LONG)
    del batch
    assert pair.l2.consumer.try_dequeue() == (Opcode.DATA, b"1", 1)
    pair.fill_input()
    batch = pair.l3.producer.batch()
    batch.__enter__()
    sender = sleeping(pair.l3, lambda: pair.l3.producer.enqueue(b"last", LONG))
    del batch
    pair.l2.consumer.dequeue(LONG)
    sender.join()
    assert [pair.l2.consumer.dequeue(LONG).data for _ in range(8)] == [b"full"] * 7 + [b"last"]
    with pair.l3.producer.batch():
        pass


def test_room_and_pending(pair: Pair) -> None:
    assert pair.l3.producer.room == 8 and pair.l3.producer.room_bytes == 4096
    pair.l3.producer.enqueue_run([b"x"] * 6, LONG)
    assert pair.l3.producer.room == 2 and pair.l2.consumer.pending == 4
    pair.l2.consumer.dequeue(LONG)
    assert pair.l3.producer.room == 3


def test_only_l3_sends_stop(pair: Pair) -> None:
    for call in (pair.l2.producer.stop, pair.l2.producer.try_stop):
        with pytest.raises(l3l2q.InvalidArgument, match="L3"):
            call()
    for ep in (pair.l3, pair.l2):
        for opcode in (Opcode.STOP, Opcode.INVALID, 4, 2**32 - 1):
            with pytest.raises(l3l2q.InvalidArgument):
                ep.producer.enqueue(b"", LONG, opcode)
        assert ep.error is None


def test_halves_are_the_same_objects(pair: Pair) -> None:
    producer: Any = pair.l3.producer
    assert pair.l3.producer is producer and producer.endpoint is pair.l3
    consumer = pair.l3.consumer
    assert pair.l3.consumer is consumer and consumer.endpoint is pair.l3


def test_halves_keep_the_endpoint() -> None:
    producer = create().producer
    assert producer.try_enqueue(b"x")
    assert not producer.endpoint.closed
