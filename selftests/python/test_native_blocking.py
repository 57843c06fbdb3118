# SPDX-License-Identifier: GPL-2.0-only
"""Calls that block: what ends them, and what other threads may do meanwhile."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import Any, Callable, List

import pytest
from native_util import LONG, Caller, Pair, create, in_child, sleeping, until

import l3l2q
from l3l2q import Compare, Event


def receive(pair: Pair) -> l3l2q.Received:
    return pair.l3.consumer.dequeue()


BLOCKING: List[Callable[[Pair], Any]] = [
    receive,
    lambda pair: pair.l3.consumer.peek(),
    lambda pair: pair.l3.consumer.peek_run(4),
    lambda pair: pair.l3.consumer.dequeue_into(bytearray(64)),
    lambda pair: next(pair.l3.consumer),
    lambda pair: pair.l3.producer.enqueue(b"x"),
    lambda pair: pair.l3.producer.enqueuev([b"x"], LONG),
    lambda pair: pair.l3.producer.enqueue_run([b"x"]),
    lambda pair: pair.l3.producer.reserve(8),
    lambda pair: pair.l3.producer.stop(),
    lambda pair: pair.l3.wait(Event.IN),
    lambda pair: pair.l3.wait(Event.IN, LONG),
]


@pytest.fixture(params=range(len(BLOCKING)))
def blocked(request: Any, pair: Pair) -> Callable[[], Any]:
    """A call on L3 that blocks."""
    pair.fill_input()
    return lambda: BLOCKING[request.param](pair)


def test_close_ends_a_call_of_another_thread(pair: Pair, blocked: Callable[[], Any]) -> None:
    caller = sleeping(pair.l3, blocked)
    pair.l3.close()
    assert isinstance(caller.join().raised, l3l2q.Closed)


def test_interrupt_ends_a_call_of_another_thread(pair: Pair, blocked: Callable[[], Any]) -> None:
    caller = sleeping(pair.l3, blocked)
    pair.l3.interrupt()
    assert isinstance(caller.join().raised, l3l2q.Interrupted)
    assert pair.l3.error is None


def test_the_peers_end_ends_a_call(pair: Pair, blocked: Callable[[], Any]) -> None:
    caller = sleeping(pair.l3, blocked)
    pair.l2.close()
    caller.join()
    assert isinstance(caller.raised, (l3l2q.PeerDetached, StopIteration)) or (
        caller.result & Event.HUP
    )


def test_a_signal_handler_that_raises_ends_a_call(
    pair: Pair, blocked: Callable[[], Any]
) -> None:
    def handler(*_: Any) -> None:
        raise KeyboardInterrupt

    before = pair.l3.stats.sleeps
    old = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        until(lambda: pair.l3.stats.sleeps > before)
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        sender = Caller(send)
        with pytest.raises(KeyboardInterrupt):
            blocked()
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert pair.l3.error is None


def test_a_call_goes_on_after_a_signal_handler_that_returns(pair: Pair) -> None:
    """PEP 475. What the handler does with the endpoint does not disturb it."""
    ran = []

    def handler(*_: Any) -> None:
        ran.append(pair.l3.consumer.try_dequeue())
        pair.l3.producer.enqueue(b"from a handler", LONG)
        if len(ran) == 3:
            pair.l2.producer.enqueue(b"the end", LONG)
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        received = pair.l3.consumer.dequeue(LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert received.data == b"the end" and len(ran) == 3
    assert pair.l2.consumer.dequeue(LONG).data == b"from a handler"


def test_signals_do_not_prolong_a_time_out(pair: Pair) -> None:
    old = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        started = time.monotonic()
        with pytest.raises(l3l2q.Timeout):
            pair.l3.consumer.dequeue(0.05)
        assert time.monotonic() - started >= 0.05
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_handler_may_close_the_endpoint_of_the_call(pair: Pair) -> None:
    old = signal.signal(signal.SIGALRM, lambda *_: pair.l3.close())
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(l3l2q.Closed):
            pair.l3.consumer.dequeue()
    finally:
        signal.signal(signal.SIGALRM, old)


def held_by_a_handler(call: Callable[[], Any], handler: Callable[[], Any]) -> Any:
    """Make a call that has to wait, with a handler that keeps what it got; return that."""
    kept: List[Any] = []
    old = signal.signal(signal.SIGALRM, lambda *_: kept.append(handler()))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(l3l2q.BusyError):
            call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    return kept[0]


SENDING: List[Callable[[l3l2q.Producer], Any]] = [
    lambda producer: producer.enqueue(b"x", LONG),
    lambda producer: producer.enqueuev([b"x"], LONG),
    lambda producer: producer.enqueue_run([b"x"], LONG),
    lambda producer: producer.reserve(8, LONG),
    lambda producer: producer.stop(LONG),
]


@pytest.mark.parametrize("send", SENDING)
def test_a_handler_may_reserve_while_a_call_sends(
    pair: Pair, send: Callable[[l3l2q.Producer], Any]
) -> None:
    """The call ends as one that comes later does; the endpoint lives on."""

    def reserve() -> Any:
        pair.l2.consumer.dequeue(LONG)
        return pair.l3.producer.try_reserve(8)

    pair.fill_input()
    span = held_by_a_handler(lambda: send(pair.l3.producer), reserve)
    span.commit()
    assert pair.l3.error is None


RECEIVING: List[Callable[[l3l2q.Consumer], Any]] = [
    lambda consumer: consumer.peek(LONG),
    lambda consumer: consumer.peek_run(2, LONG),
    lambda consumer: consumer.dequeue(LONG),
    lambda consumer: consumer.dequeue_into(bytearray(64), LONG),
]


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("receive", RECEIVING)
def test_a_handler_may_hold_messages_while_a_call_receives(
    make: Callable[..., Pair], receive: Callable[[l3l2q.Consumer], Any], window: int
) -> None:
    pair = make(window=window)

    def peek() -> List[l3l2q.Message]:
        for _ in range(window + 1):
            pair.l3.producer.enqueue(b"x", LONG)
        return pair.l2.consumer.peek_run(window)

    messages = held_by_a_handler(lambda: receive(pair.l2.consumer), peek)
    assert len(messages) == window and pair.l2.error is None
    pair.l2.consumer.release(messages)
    assert pair.l2.consumer.dequeue(LONG).seq == window + 1


def test_what_a_handler_raises_is_not_lost(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor if it runs while the call asks whether it is in the main thread."""

    class Rang(BaseException):
        pass

    class Asked:
        @property
        def ident(self) -> int:
            raise Rang

    monkeypatch.setattr(threading, "_main_thread", Asked())
    with pytest.raises(Rang):
        pair.l3.consumer.dequeue(LONG)
    monkeypatch.undo()
    pair.l2.producer.enqueue(b"x", LONG)
    assert pair.l3.consumer.dequeue(LONG).data == b"x"


def test_ctrl_c_ends_a_program(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import l3l2q, native_util, os\n"
        "pair = native_util.Pair()\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    pair.l3.consumer.dequeue()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    here = os.path.dirname(os.path.abspath(__file__))
    child = subprocess.Popen(
        [sys.executable, program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "") + ":" + here},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    # It may not sleep yet: a signal that comes before ends the call as well.
    child.send_signal(signal.SIGINT)
    assert child.stdout.read() == b"interrupted\n"
    assert child.wait(LONG) == 0
    child.stdout.close()


def test_an_interruption_waits_for_the_next_call(pair: Pair) -> None:
    pair.l3.interrupt()
    pair.l3.interrupt()
    with pytest.raises(l3l2q.Interrupted) as raised:
        pair.l3.producer.enqueue(b"x", LONG)
    assert isinstance(raised.value, InterruptedError) and raised.value.op == "producer.enqueue"
    with pytest.raises(l3l2q.Interrupted):
        pair.l3.consumer.peek(LONG)
    with pytest.raises(l3l2q.Interrupted):
        pair.l3.wait(Event.IN, LONG)
    pair.l3.producer.enqueue(b"y", LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"y"


def test_a_second_thread_is_refused(pair: Pair) -> None:
    pair.fill_input()
    receiver = sleeping(pair.l3, lambda: pair.l3.consumer.dequeue())
    for call in (
        pair.l3.consumer.peek,
        pair.l3.consumer.try_peek,
        pair.l3.consumer.try_dequeue,
        lambda: pair.l3.consumer.drained,
    ):
        with pytest.raises(l3l2q.BusyError, match="another thread"):
            call()
    sender = sleeping(pair.l3, lambda: pair.l3.producer.enqueue(b"x"))
    for call in (
        lambda: pair.l3.producer.enqueue(b"y"),
        lambda: pair.l3.producer.try_reserve(1),
        lambda: pair.l3.producer.batch().__enter__(),
        lambda: pair.l3.producer.room,
    ):
        with pytest.raises(l3l2q.BusyError, match="another thread"):
            call()
    # The halves are independent, and so is the endpoint.
    assert pair.l3.stats.sent == 8 and pair.l3.wait(Event.IN, 0) == 0
    pair.l2.producer.enqueue(b"out", LONG)
    assert receiver.join().result.data == b"out"
    pair.l2.consumer.dequeue(LONG)
    assert sender.join().raised is None


def test_what_is_dropped_while_another_thread_is_in_the_half(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"1", LONG)
    dropped = pair.l2.consumer.peek(LONG)
    receiver = sleeping(pair.l2, lambda: pair.l2.consumer.peek())
    del dropped
    assert pair.l2.consumer.held == 0 and pair.l2.stats.received == 0
    pair.l3.producer.enqueue(b"2", LONG)
    assert receiver.join().result.tobytes() == b"2"
    # The next call of the half gives it back.
    assert pair.l2.consumer.pending == 0
    assert pair.l2.stats.received == 1
    pair.l2.producer.enqueue(b"3", LONG)
    pair.fill_input()
    span = pair.l2.producer.reserve(1, LONG)
    sender = sleeping(pair.l3, lambda: pair.l3.producer.enqueue(b"4"))
    del span
    receiver.result.release()
    assert sender.join().raised is None
    pair.l2.producer.enqueue(b"5", LONG)


def test_threads_that_all_use_everything(make: Callable[..., Pair]) -> None:
    pair = make(window=4)
    stop = threading.Event()
    raised: List[BaseException] = []

    def use(ep: l3l2q.Endpoint) -> None:
        while not stop.is_set():
            for call in (
                lambda: ep.producer.enqueue(b"x" * 100, 0.001),
                lambda: ep.consumer.dequeue(0.001),
                lambda: ep.producer.reserve(64, 0.001).commit(),
                lambda: ep.consumer.peek(0.001),
                lambda: ep.wait(timeout=0.001),
                ep.interrupt,
                lambda: ep.stats,
            ):
                try:
                    call()
                except (l3l2q.BusyError, l3l2q.Timeout, l3l2q.Interrupted):
                    pass
                except BaseException as error:
                    raised.append(error)
                    return

    threads = [Caller(lambda ep=ep: use(ep)) for ep in (pair.l3, pair.l2) for _ in range(4)]
    until(lambda: pair.l2.stats.received > 50 or raised)
    stop.set()
    for thread in threads:
        thread.join()
    assert raised == [] and pair.l3.error is None and pair.l2.error is None


def test_a_child_cannot_use_the_endpoint(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"x", LONG)
    message = pair.l2.consumer.peek(LONG)
    span = pair.l2.producer.reserve(1, LONG)
    batch = pair.l3.producer.batch()

    def child() -> None:
        for call in (
            lambda: pair.l3.producer,
            lambda: pair.l3.info,
            lambda: pair.l3.wait(timeout=0),
            pair.l3.fileno,
            pair.l3.abort,
            pair.l3.detach,
            message.release,
            message.tobytes,
            span.commit,
            span.cancel,
            batch.__enter__,
        ):
            with pytest.raises(l3l2q.WrongProcess) as raised:
                call()
            assert isinstance(raised.value, PermissionError)
        assert "parent" in repr(pair.l3)
        pair.close()

    assert in_child(child) == 0
    assert in_child(lambda: None) == 0
    message.release()
    span.cancel()
    pair.l3.producer.enqueue(b"y", LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"y"


def test_a_child_of_a_process_with_blocked_threads(pair: Pair) -> None:
    receiver = sleeping(pair.l3, lambda: pair.l3.consumer.dequeue())
    assert in_child(pair.close) == 0
    pair.l2.producer.enqueue(b"x", LONG)
    assert receiver.join().result.data == b"x"


def test_the_interpreter_ends_with_blocked_threads(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import l3l2q, native_util\n"
        "pair = native_util.Pair()\n"
        "native_util.sleeping(pair.l3, pair.l3.consumer.dequeue)\n"
        "native_util.sleeping(pair.l2, lambda: pair.l2.wait(l3l2q.Event.IN))\n"
        "message = pair.l3.producer.reserve(8)\n"
        "view = memoryview(message)\n"
    )
    here = os.path.dirname(os.path.abspath(__file__))
    result = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "") + ":" + here},
        timeout=LONG,
    )
    assert result.returncode == 0


def test_wait(pair: Pair) -> None:
    assert pair.l3.wait(Event.OUT, 0) == Event.OUT
    assert pair.l3.wait(Event.IN, 0) == Event(0)
    assert pair.l3.wait(Event.IN, 0.001) == Event(0)
    assert isinstance(pair.l3.wait(timeout=LONG), Event)
    pair.l2.producer.enqueue(b"x", LONG)
    assert pair.l3.wait(Event.IN) == Event.IN
    waiter = sleeping(pair.l2, lambda: pair.l2.wait(Event.IN))
    pair.l3.close()
    assert waiter.join().result & Event.HUP


def test_arm_and_poll(pair: Pair) -> None:
    poll = select.poll()
    poll.register(pair.l2.fileno(), select.POLLIN)
    assert pair.l2.arm(Event.IN) == Event(0)
    sender = Caller(lambda: pair.l3.producer.enqueue(b"x", LONG))
    assert poll.poll(LONG * 1000)
    sender.join()
    assert pair.l2.arm(Event.IN) == Event.IN
    assert pair.l2.consumer.dequeue(LONG).data == b"x"


def test_looks(pair: Pair, make: Callable[..., Pair]) -> None:
    assert pair.l3.producer.look()
    pair.fill_input()
    assert not pair.l3.producer.look()
    assert pair.l2.consumer.look()
    assert not pair.l3.consumer.look()
    pair.l3.close()
    with pytest.raises(l3l2q.Closed):
        pair.l3.consumer.look()
    off = make(window=4, spin=0)
    off.l2.producer.enqueue(b"x", LONG)
    assert not off.l3.consumer.look()


def test_looks_that_find_nothing_become_rare(pair: Pair) -> None:
    """One in 64 then, and all of them again once it has found something."""
    consumer = pair.l2.consumer
    assert not any(consumer.look() for _ in range(40))
    pair.l3.producer.enqueue(b"x", LONG)
    assert not any(consumer.look() for _ in range(24))
    assert all(consumer.look() for _ in range(100))


def test_the_end_of_the_peer_ends_a_look(pair: Pair) -> None:
    pair.l2.close()
    assert pair.l3.consumer.look()


def test_raw_regions() -> None:
    with create(payload_bytes=4096, counter_bytes=128) as ep:
        with l3l2q.attach(ep.open_peer()) as peer:
            assert ep.info.layout is None and len(ep.scalars) == 6
            for half in (lambda: ep.producer, lambda: ep.consumer):
                with pytest.raises(l3l2q.Unavailable, match="raw"):
                    half()
            ep.payload_write(100, b"12345")
            assert peer.payload_read(100, 5) == b"12345"
            buffer = bytearray(3)
            peer.payload_read_into(102, buffer)
            assert buffer == b"345"
            waiter = sleeping(peer, lambda: peer.wait_counter(64, 7, Compare.GE))
            ep.notify(64, 7)
            assert waiter.join().result == 7
            ep.notify(64, -10, l3l2q.NotifyOp.ADD)
            assert peer.test(64, -3) == (True, -3)
            assert peer.test(64, 0, Compare.GT) == (False, -3)
            assert peer.load(64) == -3 and peer.load(0) == 0
            assert peer.wait_counter(64, 0, Compare.LT, 0) == -3
            with pytest.raises(l3l2q.Timeout):
                peer.wait_counter(64, 0, Compare.EQ, 0.001)
            with pytest.raises(l3l2q.Unavailable):
                ep.abort()
            waiter = sleeping(peer, lambda: peer.wait_counter(64, 100))
            peer.interrupt()
            assert isinstance(waiter.join().raised, l3l2q.Interrupted)
            waiter = sleeping(peer, lambda: peer.wait_counter(64, 100))
            ep.close()
            assert isinstance(waiter.join().raised, l3l2q.PeerGone)


def test_load_of_a_bad_offset() -> None:
    with create(payload_bytes=4096, counter_bytes=128) as ep:
        for offset in (2, 128, 1 << 40):
            with pytest.raises(l3l2q.InvalidArgument):
                ep.load(offset)
        for bad in (-1, 1 << 64):
            with pytest.raises(ValueError, match="offset: out of range"):
                ep.load(bad)
        with pytest.raises(TypeError, match="offset: an int"):
            ep.load("0")  # type: ignore[arg-type]
    with pytest.raises(l3l2q.Closed):
        ep.load(0)


def test_descriptors() -> None:
    with create(payload_bytes=4096, counter_bytes=128) as ep:
        with l3l2q.attach(ep.open_peer()) as peer:
            ep.write_message(32, 7, 3, 1024, 4, memoryview(b"-body-")[1:])
            assert peer.read_slot(32) == (7, 3, 1024, 4)
            assert peer.payload_read(32, 32) == struct.pack("<QQQQ", 7, 3, 1024, 4)
            assert peer.payload_read(1023, 6) == b"\0body\0"
            for body in (None, b""):
                ep.write_message(64, (1 << 64) - 1, 2, payload_offset=0, nbytes=0, body=body)
                assert peer.read_slot(64) == ((1 << 64) - 1, 2, 0, 0)


def test_bad_descriptors_change_nothing() -> None:
    with create(payload_bytes=4096, counter_bytes=128) as ep:
        for offset in (4065, 4096, 1 << 63):
            with pytest.raises(l3l2q.InvalidArgument):
                ep.read_slot(offset)
        for arguments in ((0, 1, 1, 4093, 4, b"body"), (4096, 1, 1, 64, 0)):
            with pytest.raises(l3l2q.InvalidArgument):
                ep.write_message(*arguments)
        with pytest.raises(TypeError, match="body: a bytes-like object"):
            ep.write_message(0, 1, 1, 64, 1, 5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="needs 'nbytes'"):
            ep.write_message(0, 1, 1, 64)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="seq: out of range"):
            ep.write_message(0, 1 << 64, 1, 64, 0)
        with pytest.raises(ValueError, match="body: has 4 bytes of 5"):
            ep.write_message(0, 1, 1, 64, 5, b"body")
        assert ep.payload_read(0, 4096) == bytes(4096)
    for call in (lambda: ep.read_slot(0), lambda: ep.write_message(0, 1, 1, 64, 0)):
        with pytest.raises(l3l2q.Closed):
            call()


def test_a_queues_counters_and_payload(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"x", LONG)
    assert pair.l2.test(0, 1) == (True, 1)
    assert pair.l2.wait_counter(0, 1, Compare.GE, LONG) == 1
    with pytest.raises(PermissionError):
        pair.l2.notify(0, 2)
    layout = pair.l2.info.layout
    assert layout is not None
    assert pair.l2.payload_read(layout.input_arena_offset, 1) == b"x"
    assert pair.l2.load(0) == 1
    assert pair.l2.read_slot(layout.input_desc_offset) == (1, 1, layout.input_arena_offset, 1)


def kicks_of(ep: l3l2q.Endpoint, offset: int, value: int) -> int:
    before = ep.stats.kicks
    ep.notify(offset, value)
    return ep.stats.kicks - before


def test_a_counter_wakes_only_those_that_it_concerns(pair: Pair) -> None:
    assert pair.l2.arm(Event.IN) == 0
    assert kicks_of(pair.l3, 192, 0) == 0
    assert kicks_of(pair.l3, 0, 0) == 1
    while pair.l2.producer.try_enqueue():
        pass
    assert pair.l2.arm(Event.OUT) == 0
    assert kicks_of(pair.l3, 0, 0) == 0
    assert kicks_of(pair.l3, 192, 1) == 1
