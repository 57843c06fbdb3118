# SPDX-License-Identifier: GPL-2.0-only
"""Queues of l3l2q.simpler, signals, threads, forks and the garbage collector."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from typing import Any, Iterator

import pytest

import l3l2q
import simpler_util as util
from simpler_util import G1, GENERATIONS, STOP, Generation, Rig


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


@pytest.fixture(params=util.MEMORIES)
def rig(generation: Generation, request: Any) -> Iterator[Rig]:
    made = util.make_rig(generation, str(request.param))
    yield made
    util.close_rig(made)


class Rang(BaseException):
    """What the handler of a signal raises, as that of Ctrl-C does."""


@contextlib.contextmanager
def on_alarm(handler: Any, seconds: float) -> Iterator[None]:
    """Have a signal handled by ``handler``, which may set the timer again."""
    # What a handler raises within a callback of the collector is lost, and the call goes on.
    gc.disable()
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_signal_ends_a_blocked_call(rig: Rig) -> None:
    def ring(number: int, frame: Any) -> None:
        raise Rang

    with util.Unchanged(rig), pytest.raises(Rang), on_alarm(ring, 0.02):
        rig.queue.output.peek(3600.0)
    rig.peer.send(b"x")
    assert rig.queue.output.try_peek().seq == 1


def test_signal_that_another_thread_gets_ends_a_blocked_call(rig: Rig) -> None:
    def ring(number: int, frame: Any) -> None:
        raise Rang

    other = threading.Thread(
        target=lambda: signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
    )
    with util.Unchanged(rig), pytest.raises(Rang), on_alarm(ring, 0):
        other.start()
        rig.queue.output.peek(3600.0)
    other.join()


def test_signals_that_only_return(rig: Rig) -> None:
    """They neither end a blocked call nor disturb it."""
    count = [0]

    def tick(number: int, frame: Any) -> None:
        count[0] += 1
        if count[0] == 3:
            rig.peer.send(b"x")
        else:
            # By a period the call would never run where a handler takes longer than that.
            signal.setitimer(signal.ITIMER_REAL, 0.001)

    with on_alarm(tick, 0.001):
        assert rig.queue.output.peek(3600.0).seq == 1
    assert count[0] == 3


def own(generation: Generation) -> Any:
    orch = generation.module.Orchestrator(util.TRANSPORT)
    return orch, generation.create_on(orch, 4, 128, 192)


def test_child_of_a_fork(generation: Generation) -> None:
    """The queue is the parent's. In the child its calls fail, and the parent goes on."""
    orch, queue = own(generation)
    peer = l3l2q.attach(orch.open_peer(queue))
    child = os.fork()
    if child == 0:
        try:
            queue.input.try_enqueue(b"from the child", 14)
        except (RuntimeError, OSError):
            try:
                queue.output.try_peek()
                orch.close()
            except (RuntimeError, OSError):
                os._exit(0)
        os._exit(1)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0
    queue.input.enqueue(b"parent", 6, 1.0)
    assert peer.consumer.dequeue(timeout=10).data == b"parent"
    assert peer.consumer.try_dequeue() is None
    peer.close()
    orch.close()


def test_a_thread_for_each_direction() -> None:
    """G1: one sends, one receives, and L2 is a third."""
    orch, queue = own(G1)
    peer = l3l2q.attach(orch.open_peer(queue))

    def echo() -> None:
        while True:
            received = peer.consumer.dequeue(timeout=30)
            if received.opcode == STOP:
                return
            peer.producer.enqueue(received.data, timeout=30)

    def send() -> None:
        for turn in range(500):
            queue.input.enqueue(turn.to_bytes(8, "little"), 8, 30.0)
        queue.request_stop(30.0)

    threads = [threading.Thread(target=echo), threading.Thread(target=send)]
    for thread in threads:
        thread.start()
    body = bytearray(8)
    for turn in range(500):
        queue.output.dequeue_into(body, 30.0)
        assert int.from_bytes(body, "little") == turn
    for thread in threads:
        thread.join()
    peer.close()
    orch.close()


def test_forgotten_queue_ends_cleanly(generation: Generation) -> None:
    orch, queue = own(generation)
    peer = l3l2q.attach(orch.open_peer(queue))
    queue.input.enqueue(b"last", 4, 1.0)
    del orch, queue
    gc.collect()
    assert peer.consumer.dequeue(timeout=10).data == b"last"
    with pytest.raises(l3l2q.PeerDetached):
        peer.consumer.peek(timeout=10)
    peer.close()


def test_queue_keeps_its_memory(generation: Generation) -> None:
    """Also if nobody holds the orchestrator that made it."""
    orch, queue = own(generation)
    peer = l3l2q.attach(orch.open_peer(queue))
    del orch
    gc.collect()
    for _ in range(8):
        queue.input.enqueue(b"still", 5, 1.0)
        assert peer.consumer.dequeue(timeout=10).data == b"still"
    peer.close()


def test_end_of_run_in_a_blocked_call() -> None:
    """G1: another thread ends the run. The call raises and touches no memory that is gone."""
    orch, queue = own(G1)
    late = threading.Timer(0.05, orch.close)
    late.start()
    with pytest.raises(RuntimeError):
        queue.output.peek(3600.0)
    late.join()
    with pytest.raises(RuntimeError):
        queue.output.try_peek()
