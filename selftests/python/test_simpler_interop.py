# SPDX-License-Identifier: GPL-2.0-only
"""Queues of l3l2q.simpler with an L2 of the library, and bytes that may never change."""

from __future__ import annotations

import os
import random
import threading
from typing import Any, Iterator, List, Tuple

import pytest

import l3l2q
import simpler_util as util
from simpler_util import DATA, ERROR, G3, GENERATIONS, STOP, Generation


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


def golden() -> bytes:
    """The whole region, depth 2, after what test_golden_bytes does."""
    payload = bytearray(320)
    for offset, slot in {
        0: (3, STOP, 0, 0),
        32: (2, DATA, 0, 0),
        64: (3, DATA, 192 + 102, 2),
        96: (2, DATA, 192 + 2, 100),
    }.items():
        util.SLOT.pack_into(payload, offset, *slot)
    payload[128:131] = b"abc"
    payload[192:296] = b"xy" + b"\xa5" * 100 + b"no"
    counters = bytearray(384)
    for offset, value in {0: 3, 64: 2, 128: 3, 192: 2}.items():
        util.I32.pack_into(counters, offset, value)
    return bytes(payload + counters)


def exchange(queue: Any, peer: Any) -> None:
    """Some messages each way; peer is a plain L2 or one of the library."""
    assert queue.input.try_enqueue(b"abc", 3)
    queue.input.enqueue(None, 0, 1.0)
    assert not queue.try_request_stop()
    assert peer.consume() == (DATA, b"abc")
    assert peer.consume() == (DATA, b"")
    queue.request_stop(1.0)
    peer.send(b"xy", ERROR)
    peer.send(b"\xa5" * 100)
    body = bytearray(100)
    assert queue.output.dequeue_into(body, 1.0).opcode == ERROR
    assert body[:2] == b"xy"
    assert queue.output.dequeue_into(body, 1.0).seq == 2
    assert body == b"\xa5" * 100
    peer.send(b"no")
    assert queue.output.try_peek().payload_offset == 192 + 102


@pytest.mark.parametrize("kind", util.MEMORIES)
def test_golden_bytes(generation: Generation, kind: str) -> None:
    rig = util.make_rig(generation, kind, 2, 64, 128)
    exchange(rig.queue, rig.peer)
    assert rig.shared.snapshot() == golden()
    util.close_rig(rig)


class NativePeer:
    """The library's L2."""

    def __init__(self, endpoint: l3l2q.Endpoint) -> None:
        self.endpoint = endpoint

    def consume(self) -> Tuple[int, bytes]:
        received = self.endpoint.consumer.dequeue(timeout=10)
        return received.opcode, received.data

    def send(self, body: bytes, opcode: int = DATA) -> None:
        self.endpoint.producer.enqueue(body or None, timeout=10, opcode=opcode)


@pytest.fixture(params=["descriptor", "scalars"])
def pair(generation: Generation, request: Any) -> Iterator[Tuple[Any, NativePeer, Any]]:
    """A queue and the library's L2: over the transport, or over mapped memory by the scalars."""
    made: List[util.Shared] = []
    by_scalars = request.param == "scalars"
    source = util.mapped_source(made) if by_scalars else util.TRANSPORT
    with generation.module.Orchestrator(source) as orch:
        queue = generation.create_on(orch, 4, 128, 192)
        if by_scalars:
            endpoint = l3l2q.attach_external(
                generation.task_scalars(queue),
                role=l3l2q.Role.L2,
                payload=made[0].payload,
                counters=made[0].counters,
                window=4,
            )
        else:
            endpoint = l3l2q.attach(orch.open_peer(queue), window=4)
        with endpoint:
            yield queue, NativePeer(endpoint), orch


def test_exchange_with_the_library(pair: Any, generation: Generation) -> None:
    queue, peer, _ = pair
    for turn in range(100):
        body = bytes([turn]) * (turn % 60)
        queue.input.enqueue(body or None, len(body), 10.0)
        assert peer.consume() == (DATA, body)
        peer.send(body[::-1], ERROR if turn % 3 else DATA)
        back = bytearray(len(body))
        message = queue.output.dequeue_into(back if body else None, 10.0)
        assert back == body[::-1] and message.seq == turn + 1
        assert message.opcode == (ERROR if turn % 3 else DATA)
    queue.request_stop(1.0)
    assert peer.consume() == (STOP, b"")
    assert peer.endpoint.consumer.drained


@pytest.mark.parametrize("seed", range(3))
def test_random_stream_with_the_library(pair: Any, seed: int) -> None:
    """Sizes and turns at random: nothing is lost, changed or taken for an error."""
    queue, peer, _ = pair
    dice = random.Random(seed)
    sent: List[bytes] = []
    returned: List[bytes] = []
    got = back = 0
    for _ in range(1500):
        turn = dice.randrange(4)
        body = dice.randbytes(dice.choice((0, 1, 63, dice.randrange(64))))
        if turn == 0 and queue.input.try_enqueue(body or None, len(body)):
            sent.append(body)
        elif turn == 1:
            received = peer.endpoint.consumer.try_dequeue()
            if received is not None:
                assert received.data == sent[got]
                got += 1
        elif turn == 2 and peer.endpoint.producer.try_enqueue(body or None):
            returned.append(body)
        elif turn == 3:
            message = queue.output.try_peek()
            if message is not None:
                buffer = bytearray(message.payload_nbytes) or None
                queue.output.read_into(message, buffer)
                assert (buffer or b"") == returned[back]
                queue.output.release(message)
                back += 1
    assert got > 50 and back > 50


def test_l2_is_woken_and_wakes(pair: Any) -> None:
    """Both sides sleep in turn, L2 in a thread of its own."""
    queue, peer, _ = pair

    def echo() -> None:
        while True:
            opcode, body = peer.consume()
            if opcode == STOP:
                return
            peer.send(body)

    worker = threading.Thread(target=echo)
    worker.start()
    body = bytearray(8)
    for turn in range(200):
        queue.input.enqueue(turn.to_bytes(8, "little"), 8, 30.0)
        queue.output.dequeue_into(body, 30.0)
        assert int.from_bytes(body, "little") == turn
    queue.request_stop(30.0)
    worker.join()


def test_l2_that_aborts(pair: Any, generation: Generation) -> None:
    queue, peer, _ = pair
    peer.endpoint.abort()
    with pytest.raises(RuntimeError, match="remote abort observed"):
        queue.output.peek(30.0)


def test_poison_is_seen_by_l2(pair: Any) -> None:
    queue, peer, _ = pair
    with pytest.raises(RuntimeError):
        queue.output.release("not a message")
    with pytest.raises(l3l2q.PeerAborted):
        peer.endpoint.consumer.peek(timeout=10)


def own_transport(generation: Generation) -> Tuple[Any, Any]:
    orch = generation.module.Orchestrator(util.TRANSPORT)
    return orch, generation.create_on(orch, 4, 128, 192)


def test_l2_that_detaches(generation: Generation) -> None:
    """There is no such thing in the reference: no message comes, and that is a time-out."""
    orch, queue = own_transport(generation)
    peer = l3l2q.attach(orch.open_peer(queue))
    peer.producer.enqueue(b"last", timeout=1)
    peer.close()
    body = bytearray(4)
    queue.output.dequeue_into(body, 1.0)
    assert body == b"last"
    with pytest.raises(TimeoutError):
        queue.output.peek(0.01)
    assert queue.input.try_enqueue(b"unread", 6)
    orch.close()


def test_infinite_wait_for_l2_that_detaches() -> None:
    for generation in GENERATIONS:
        if generation is G3:
            continue
        orch, queue = own_transport(generation)
        l3l2q.attach(orch.open_peer(queue)).close()
        with pytest.raises(TimeoutError):
            queue.output.peek(float("inf"))
        orch.close()


def test_l2_that_dies(generation: Generation) -> None:
    orch, queue = own_transport(generation)
    fd = orch.open_peer(queue)
    child = os.fork()
    if child == 0:
        peer = l3l2q.attach(fd)
        peer.producer.enqueue(b"alive", timeout=10)
        os._exit(0)
    os.close(fd)
    os.waitpid(child, 0)
    if generation is not G3:
        body = bytearray(5)
        queue.output.dequeue_into(body, 10.0)
        assert body == b"alive"
    else:
        # It looks at the flag first, which is set once the death was noticed.
        with pytest.raises(RuntimeError, match="remote abort observed"):
            while True:
                queue.output.dequeue_into(bytearray(5), 30.0)
    with pytest.raises(RuntimeError, match="remote abort observed"):
        queue.output.peek(30.0)
    orch.close()


def test_end_of_run_is_no_abort(generation: Generation) -> None:
    orch, queue = own_transport(generation)
    with l3l2q.attach(orch.open_peer(queue)) as peer:
        queue.input.enqueue(b"last", 4, 1.0)
        orch.close()
        assert peer.consumer.dequeue(timeout=10).data == b"last"
        with pytest.raises(l3l2q.PeerDetached):
            peer.consumer.peek(timeout=10)


def test_peer_is_opened_once(generation: Generation) -> None:
    orch, queue = own_transport(generation)
    os.close(orch.open_peer(queue.region))
    with pytest.raises(OSError):
        orch.open_peer(queue)
    orch.close()
    rig = util.make_rig(generation, "copied")
    with pytest.raises(RuntimeError):
        rig.orch.open_peer(rig.queue)
