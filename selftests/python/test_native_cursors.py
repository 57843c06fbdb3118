# SPDX-License-Identifier: GPL-2.0-only
"""Cursors: what send() and take() pass, and what they keep off."""

from __future__ import annotations

import array
import os
import signal
import sys
import threading
from typing import Any, Callable, Iterator, List, NamedTuple, Tuple

import pytest
from native_util import LONG, Caller, ExternalRegion, Pair, create, sleeping, until

import l3l2q
from l3l2q import Opcode, Role
from l3l2q._l3l2q import Cursors

DEPTH = 8
ARENA = 4096
INPUT_ARENA = 2 * DEPTH * 32
OUTPUT_ARENA = INPUT_ARENA + ARENA
INPUT_TAIL, INPUT_HEAD, OUTPUT_TAIL, OUTPUT_HEAD, L2_ABORT = 0, 64, 128, 192, 320


class Ends(NamedTuple):
    """L3's cursors, and L2, which is the library's."""

    pair: Pair
    sending: Cursors
    receiving: Cursors

    @property
    def l3(self) -> l3l2q.Endpoint:
        return self.pair.l3

    @property
    def l2(self) -> l3l2q.Endpoint:
        return self.pair.l2


def cursors() -> Tuple[Cursors, Cursors]:
    return (
        Cursors(DEPTH, 0, INPUT_ARENA, ARENA),
        Cursors(DEPTH, DEPTH * 32, OUTPUT_ARENA, ARENA),
    )


@pytest.fixture
def ends() -> Iterator[Ends]:
    pair = Pair(window=4)
    made = Ends(pair, *cursors())
    for each in made[1:]:
        pair.l3.bind(each)
    yield made
    pair.close()


def state(each: Cursors) -> List[int]:
    return [each.tail, each.head, each.cursor, each.freed]


def refuses(ends: Ends, each: Cursors, call: Callable[[], Any]) -> None:
    """A call that returns None, and nothing has changed that L2 or Python code looks at."""
    before = state(each)
    announced = [ends.l2.load(offset) for offset in (INPUT_TAIL, OUTPUT_HEAD)]
    assert call() is None
    assert [ends.l2.load(offset) for offset in (INPUT_TAIL, OUTPUT_HEAD)] == announced
    # What L2 has announced may have been learned.
    assert state(each)[1:] == before[1:]


# ---- what is ordinary ---------------------------------------------------------------------------


@pytest.mark.parametrize("nbytes", [0, 1, 64, 100, 1500, 4096])
def test_bodies_there_and_back(ends: Ends, nbytes: int) -> None:
    """Many times around ring and arena."""
    for turn in range(40):
        body = os.urandom(nbytes) or None
        assert ends.sending.send(body, nbytes) is True
        with ends.l2.consumer.peek(LONG) as message:
            assert message.tobytes() == (body or b"")
            ends.l2.producer.enqueue(message.data, LONG, Opcode.ERROR if turn % 2 else Opcode.DATA)
        back = bytearray(nbytes) if nbytes else None
        slot = ends.receiving.take(back)
        assert slot
        assert (slot[0], slot[1], slot[3]) == (turn + 1, 3 if turn % 2 else 1, nbytes)
        assert bytes(back or b"") == (body or b"")
        assert ends.receiving.take(back) is False


def test_a_body_of_many_pages() -> None:
    """Other threads run while it is copied."""
    with create(depth=2, input_arena_bytes=1 << 17, output_arena_bytes=1 << 17) as l3:
        sending = Cursors(2, 0, 128, 1 << 17)
        receiving = Cursors(2, 64, 128 + (1 << 17), 1 << 17)
        l3.bind(sending)
        l3.bind(receiving)
        with l3l2q.attach(l3.open_peer()) as l2:
            body = os.urandom(100000)
            assert sending.send(body, len(body))
            with l2.consumer.peek(LONG) as message:
                l2.producer.enqueue(message.data, LONG)
            back = bytearray(len(body))
            assert receiving.take(back) and back == body


def test_no_room_and_no_message(ends: Ends) -> None:
    assert ends.receiving.take(bytearray(1)) is False
    for _ in range(DEPTH):
        assert ends.sending.send(b"x", 1) is True
    assert ends.sending.send(b"x", 1) is False
    assert ends.l2.consumer.dequeue(LONG).data == b"x"
    assert ends.sending.send(b"x", 1) is True
    assert ends.sending.seen == 1 and ends.sending.head == 1


def test_no_room_in_the_arena(ends: Ends) -> None:
    assert ends.sending.send(bytes(3000), 3000) is True
    before = state(ends.sending)
    assert ends.sending.send(bytes(2000), 2000) is False
    assert state(ends.sending) == before
    assert ends.l2.consumer.dequeue(LONG).data == bytes(3000)
    assert ends.sending.send(bytes(2000), 2000) is True
    assert ends.l2.consumer.dequeue(LONG).data == bytes(2000)


def test_buffers_that_are_larger(ends: Ends) -> None:
    assert ends.sending.send(memoryview(b"abcdef"), 3) is True
    assert ends.l2.consumer.dequeue(LONG).data == b"abc"
    ends.l2.producer.enqueue(b"xyz", LONG)
    back = bytearray(b"......")
    assert ends.receiving.take(back)
    assert back == b"xyz..."


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the type does not say that it is C code")
def test_arrays(ends: Ends) -> None:
    words = array.array("I", [1, 2, 3])
    assert ends.sending.send(words, 12) is True
    ends.l2.producer.enqueue(ends.l2.consumer.dequeue(LONG).data, LONG)
    back = array.array("I", [0] * 3)
    assert ends.receiving.take(back) and back == words


# ---- what is out of the ordinary ----------------------------------------------------------------


class Int(int):
    pass


class Bytes(bytearray):
    pass


UNSENT = {
    "too large for the arena": (bytes(ARENA + 1), ARENA + 1),
    "a body that is too small": (b"x", 2),
    "a body for no bytes": (b"", 0),
    "no body": (None, 1),
    "a negative size": (b"x", -1),
    "a size of 65 bits": (b"x", 1 << 64),
    "a size that is a float": (b"x", 1.0),
    "a size of another type": (b"x", Int(1)),
    "a bool": (b"x", True),
    "text": ("x", 1),
    "a type of Python code": (Bytes(b"x"), 1),
    "every second byte": (memoryview(b"xyz")[::2], 1),
    "a format that has no cast": (memoryview(b"x").cast("?"), 1),
}


@pytest.mark.parametrize("what", UNSENT)
def test_what_send_refuses(ends: Ends, what: str) -> None:
    body, nbytes = UNSENT[what]
    refuses(ends, ends.sending, lambda: ends.sending.send(body, nbytes))
    assert ends.sending.send(b"x", 1) is True
    assert ends.l2.consumer.dequeue(LONG).data == b"x"


@pytest.mark.parametrize("buffer", [None, b"xy", bytearray(1), Bytes(b"xy"), "xy"])
def test_buffers_that_take_refuses(ends: Ends, buffer: Any) -> None:
    ends.l2.producer.enqueue(b"ab", LONG)
    refuses(ends, ends.receiving, lambda: ends.receiving.take(buffer))
    back = bytearray(2)
    assert ends.receiving.take(back) and back == b"ab"


def test_a_buffer_for_no_bytes(ends: Ends) -> None:
    ends.l2.producer.enqueue(None, LONG)
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1)))
    assert ends.receiving.take(None)


@pytest.mark.parametrize(
    "slot",
    [
        (2, 1, OUTPUT_ARENA, 1),
        (1, 0, OUTPUT_ARENA, 1),
        (1, 2, 0, 0),
        (1, 4, OUTPUT_ARENA, 1),
        (1, 1 << 63, OUTPUT_ARENA, 1),
        (1, 1, OUTPUT_ARENA + 64, 1),
        (1, 1, 0, 1),
        (1, 1, OUTPUT_ARENA, 0),
        (1, 1, OUTPUT_ARENA, ARENA + 1),
        (1, 1, OUTPUT_ARENA, (1 << 64) - 1),
    ],
)
def test_slots_that_take_refuses(ends: Ends, slot: Tuple[int, int, int, int]) -> None:
    seq, opcode, offset, nbytes = slot
    ends.l2.payload_write(DEPTH * 32, b"".join(x.to_bytes(8, "little") for x in slot))
    ends.l2.notify(OUTPUT_TAIL, 1)
    buffer = bytearray(1) if nbytes else None
    refuses(ends, ends.receiving, lambda: ends.receiving.take(buffer))


@pytest.mark.parametrize("counter", [DEPTH + 1, -1, 1 << 30])
def test_counters_that_are_out_of_range(ends: Ends, counter: int) -> None:
    ends.l2.notify(OUTPUT_TAIL, counter)
    refuses(ends, ends.receiving, lambda: ends.receiving.take(None))
    ends.l2.notify(INPUT_HEAD, counter)
    refuses(ends, ends.sending, lambda: ends.sending.send(None, 0))


@pytest.mark.parametrize("slot", [(2, 1, 0, 0), (1, 1, INPUT_ARENA, 1), (1, 1, 0, ARENA + 1)])
def test_released_slots_that_have_changed(ends: Ends, slot: Tuple[int, ...]) -> None:
    assert ends.sending.send(b"xy", 2) is True
    ends.l2.payload_write(0, b"".join(x.to_bytes(8, "little") for x in slot))
    ends.l2.notify(INPUT_HEAD, 1)
    if slot[0] == 1 and slot[3] == 1:
        # Of another size, but where it belongs: that is what L2 says is free.
        assert ends.sending.send(None, 0) is True and ends.sending.freed == 1
    else:
        refuses(ends, ends.sending, lambda: ends.sending.send(None, 0))


def test_the_last_count_is_left_to_others(ends: Ends) -> None:
    most = (1 << 31) - 1
    for each, offset in ((ends.sending, INPUT_HEAD), (ends.receiving, OUTPUT_TAIL)):
        each.tail = each.head = most
        ends.l2.notify(offset, most)
    refuses(ends, ends.sending, lambda: ends.sending.send(None, 0))
    slot = (most + 1, 1, 0, 0)
    at = DEPTH * 32 + most % DEPTH * 32
    ends.l2.payload_write(at, b"".join(x.to_bytes(8, "little") for x in slot))
    ends.l2.notify(OUTPUT_TAIL, -(1 << 31))
    refuses(ends, ends.receiving, lambda: ends.receiving.take(None))


@pytest.mark.parametrize(
    "timeout", [None, 0, -1.0, float("nan"), float("inf"), 1e10, 10**400, True, "1", Int(1)]
)
def test_time_outs_that_are_not_plain(ends: Ends, timeout: Any) -> None:
    ends.l2.producer.enqueue(b"x", LONG)
    refuses(ends, ends.sending, lambda: ends.sending.send(b"x", 1, timeout))
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1), timeout))


@pytest.mark.parametrize("timeout", [1e-9, 0.5, 1, 8e9])
def test_time_outs_that_are_plain(ends: Ends, timeout: float) -> None:
    ends.l2.producer.enqueue(b"x", LONG)
    assert ends.sending.send(b"x", 1, timeout) is True
    assert ends.receiving.take(bytearray(1), timeout)


def test_cursors_that_are_off(ends: Ends) -> None:
    ends.l2.producer.enqueue(b"x", LONG)
    for each in (ends.sending, ends.receiving):
        each.off = True
    refuses(ends, ends.sending, lambda: ends.sending.send(b"x", 1))
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1)))


def test_a_message_that_is_held(ends: Ends) -> None:
    ends.l2.producer.enqueue(b"x", LONG)
    ends.receiving.held = True
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1)))
    ends.receiving.held = False
    assert ends.receiving.take(bytearray(1))


def test_the_flag_of_the_peer(ends: Ends) -> None:
    """Those that check it keep off once it is set; others do not look."""
    ends.l2.producer.enqueue(b"x", LONG)
    ends.l2.notify(L2_ABORT, 1)
    for each in (ends.sending, ends.receiving):
        each.checks_abort = True
    refuses(ends, ends.sending, lambda: ends.sending.send(b"x", 1))
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1)))
    for each in (ends.sending, ends.receiving):
        each.checks_abort = False
    assert ends.sending.send(b"x", 1) is True
    assert ends.receiving.take(bytearray(1))


# ---- waiting -------------------------------------------------------------------------------------


def test_take_waits(ends: Ends) -> None:
    back = bytearray(4)
    taker = sleeping(ends.l3, lambda: ends.receiving.take(back, LONG))
    ends.l2.producer.enqueue(b"late", LONG)
    assert taker.join().result == (1, 1, OUTPUT_ARENA, 4)
    assert back == b"late"


def test_none_came_in_time(ends: Ends) -> None:
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1), 0.001))


@pytest.mark.parametrize("end", ["abort", "detach", "close"])
def test_the_peer_ends_while_take_waits(ends: Ends, end: str) -> None:
    taker = sleeping(ends.l3, lambda: ends.receiving.take(bytearray(1), LONG))
    getattr(ends.l2, end)()
    caller = taker.join()
    assert caller.raised is None and caller.result is None


def test_the_endpoint_is_closed_while_take_waits(ends: Ends) -> None:
    taker = sleeping(ends.l3, lambda: ends.receiving.take(bytearray(1), LONG))
    ends.l3.close()
    caller = taker.join()
    assert caller.raised is None and caller.result is None


@pytest.mark.parametrize("name", ["off", "held"])
def test_cursors_are_taken_off_while_take_waits(ends: Ends, name: str) -> None:
    taker = sleeping(ends.l3, lambda: ends.receiving.take(bytearray(1), LONG))
    setattr(ends.receiving, name, True)
    ends.l2.producer.enqueue(b"x", LONG)
    caller = taker.join()
    assert caller.raised is None and caller.result is None
    assert ends.l2.load(OUTPUT_HEAD) == 0


def test_interrupt_ends_take(ends: Ends) -> None:
    taker = sleeping(ends.l3, lambda: ends.receiving.take(bytearray(1), LONG))
    ends.l3.interrupt()
    assert isinstance(taker.join().raised, l3l2q.Interrupted)


def test_a_signal_handler_that_raises_ends_take(ends: Ends) -> None:
    def handler(*_: Any) -> None:
        raise KeyboardInterrupt

    before = ends.l3.stats.sleeps
    old = signal.signal(signal.SIGUSR1, handler)
    main = threading.get_ident()

    def send() -> None:
        until(lambda: ends.l3.stats.sleeps > before)
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        sender = Caller(send)
        with pytest.raises(KeyboardInterrupt):
            ends.receiving.take(bytearray(1), LONG)
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    ends.l2.producer.enqueue(b"x", LONG)
    assert ends.receiving.take(bytearray(1), LONG)


# ---- whose memory it is -------------------------------------------------------------------------


def test_cursors_that_are_not_bound() -> None:
    for each in cursors():
        assert each.send(b"x", 1) is None and each.take(None) is None


def test_a_closed_endpoint(ends: Ends) -> None:
    ends.l3.close()
    assert ends.sending.send(b"x", 1) is None and ends.receiving.take(None) is None


def test_an_endpoint_that_has_ended(ends: Ends) -> None:
    ends.l2.producer.enqueue(b"x", LONG)
    ends.l3.abort()
    refuses(ends, ends.sending, lambda: ends.sending.send(b"x", 1))
    refuses(ends, ends.receiving, lambda: ends.receiving.take(bytearray(1)))


def test_the_end_that_does_not_send_there(ends: Ends) -> None:
    """Neither counter is L2's to write."""
    sending, receiving = cursors()
    ends.l2.bind(sending)
    ends.l2.bind(receiving)
    refuses(ends, sending, lambda: sending.send(b"x", 1))
    ends.l2.producer.enqueue(b"x", LONG)
    refuses(ends, receiving, lambda: receiving.take(bytearray(1)))


def test_copied_memory() -> None:
    with ExternalRegion().attach("functions", Role.L3) as l3:
        each = Cursors(8, 0, 512, 4096)
        l3.bind(each)
        assert each.send(b"x", 1) is None and each.take(None) is None


def test_one_thread() -> None:
    pair = Pair()
    sending, _ = cursors()
    pair.l3.bind(sending, threading.get_ident())
    results: List[Any] = []
    thread = threading.Thread(target=lambda: results.append(sending.send(b"x", 1)))
    thread.start()
    thread.join()
    assert results == [None]
    assert sending.send(b"x", 1) is True
    pair.close()


def test_a_child(ends: Ends) -> None:
    pid = os.fork()
    if not pid:
        refused = ends.sending.send(b"x", 1) is None and ends.receiving.take(None) is None
        os._exit(0 if refused else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_cursors_keep_their_endpoint() -> None:
    pair = Pair()
    sending, _ = cursors()
    pair.l3.bind(sending)
    l2 = pair.l2
    del pair
    assert sending.send(b"x", 1) is True
    assert l2.consumer.dequeue(LONG).data == b"x"
    l2.close()


# ---- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth, arena", [(0, 64), (3, 64), (8, 0)])
def test_geometry(depth: int, arena: int) -> None:
    with pytest.raises(ValueError):
        Cursors(depth, 0, 0, arena)


def test_arguments(ends: Ends) -> None:
    for bad in ((), (8, 0, 0), ("8", 0, 0, 64)):
        with pytest.raises(TypeError):
            Cursors(*bad)  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError):
        Cursors(8, 0, 0, 64, depth=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ends.sending.send(b"x")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ends.receiving.take(bytearray(1), 1.0, 2)  # type: ignore[call-arg]
    for bad_cursors in (None, 8, ends.l3):
        with pytest.raises(TypeError):
            ends.l3.bind(bad_cursors)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ends.l3.bind(Cursors(8, 0, 0, 64), "thread")  # type: ignore[arg-type]


def test_cursors_are_bound_once(ends: Ends) -> None:
    with pytest.raises(ValueError):
        ends.l3.bind(ends.sending)
    with pytest.raises(ValueError):
        ends.l3.bind(Cursors.__new__(Cursors))
