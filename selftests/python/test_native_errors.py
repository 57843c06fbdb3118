# SPDX-License-Identifier: GPL-2.0-only
"""Exceptions: which one, of which call, and what they say of the endpoint."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from native_util import LONG, TRANSPORT, Pair, create

import l3l2q
from l3l2q import Binding, ErrorKind


def test_classes() -> None:
    for name in l3l2q.__all__:
        value = getattr(l3l2q, name)
        if isinstance(value, type) and issubclass(value, BaseException):
            assert issubclass(value, l3l2q.Error) and issubclass(value, OSError)
            assert value.__doc__
    assert issubclass(l3l2q.Timeout, TimeoutError)
    assert issubclass(l3l2q.Interrupted, InterruptedError)
    assert issubclass(l3l2q.InvalidArgument, ValueError)
    assert issubclass(l3l2q.PeerDetached, BrokenPipeError)
    assert issubclass(l3l2q.PeerAborted, ConnectionAbortedError)
    assert issubclass(l3l2q.WrongProcess, PermissionError)


def test_an_exception_says_what_and_where(pair: Pair) -> None:
    with pytest.raises(l3l2q.Timeout) as raised:
        pair.l2.consumer.peek(0)
    error = raised.value
    assert error.errno == errno.ETIMEDOUT and error.strerror == "the time-out passed"
    assert error.op == "consumer.peek" and error.kind is ErrorKind.NONE and error.failure is None
    assert error.region_id == pair.l2.region_id
    assert str(error).startswith("consumer.peek: ") and f"{error.region_id:#x}" in str(error)


@pytest.mark.parametrize(
    "call, raised, text",
    [
        (lambda p: p.l3.open_peer(), l3l2q.BusyError, "handed out before"),
        (lambda p: p.l2.open_peer(), l3l2q.NotPermitted, "only the endpoint that created"),
        (lambda p: p.l3.notify(3, 1), l3l2q.InvalidArgument, "multiple of 4"),
        (lambda p: p.l3.notify(0, 1, 9), l3l2q.InvalidArgument, "NotifyOp"),
        (lambda p: p.l3.notify(64, 1), l3l2q.NotPermitted, "the other role writes"),
        (lambda p: p.l3.test(0, 0, 9), l3l2q.InvalidArgument, "Compare"),
        (lambda p: p.l3.wait_counter(0, 0, 9, 0), l3l2q.InvalidArgument, "Compare"),
        (lambda p: p.l3.load(3), l3l2q.InvalidArgument, "multiple of 4"),
        (lambda p: p.l3.arm(4), l3l2q.InvalidArgument, "IN and OUT"),
        (lambda p: p.l3.wait(4, 0), l3l2q.InvalidArgument, "IN and OUT"),
        (lambda p: p.l3.eventfd(9, -1), l3l2q.InvalidArgument, "EventFdKind"),
        (lambda p: p.l3.producer.enqueue(bytes(4097)), l3l2q.TooLarge, "4096 bytes"),
        (lambda p: p.l3.producer.try_enqueuev([bytes(4097)]), l3l2q.TooLarge, "4096 bytes"),
        (lambda p: p.l2.producer.reserve(129), l3l2q.TooLarge, "128 bytes"),
    ],
)
def test_a_mistake_is_told_in_words(
    make: Callable[..., Pair], call: Callable[[Pair], Any], raised: type[Exception], text: str
) -> None:
    with pytest.raises(raised, match=text):
        call(make(output_arena_bytes=128))


def test_a_message_larger_than_the_buffer(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"1234", LONG)
    message = pair.l2.consumer.peek(LONG)
    for buffer in (bytearray(3), bytearray()):
        with pytest.raises(l3l2q.TooLarge, match=f"has 4 bytes, the buffer {len(buffer)}"):
            message.read_into(buffer)
    message.release()


def test_after_stop_it_is_said_that_it_was_sent(pair: Pair) -> None:
    pair.l3.producer.stop(LONG)
    with pytest.raises(l3l2q.Closed, match="STOP"):
        pair.l3.producer.enqueue(b"x", LONG)


def test_the_first_error_sticks_and_is_told(pair: Pair) -> None:
    pair.l3.abort()
    with pytest.raises(l3l2q.PeerAborted) as raised:
        pair.l2.consumer.dequeue(LONG)
    error = raised.value
    assert error.kind is ErrorKind.REMOTE_ABORTED and error.errno == errno.ECONNABORTED
    assert error.failure is not None and error.failure == pair.l2.error
    assert error.failure.region_id == pair.l2.region_id and error.failure.message in str(error)
    with pytest.raises(l3l2q.PeerAborted):
        pair.l2.producer.enqueue(b"x", LONG)
    with pytest.raises(l3l2q.Aborted) as own:
        pair.l3.producer.enqueue(b"x", LONG)
    assert own.value.kind is ErrorKind.ENDPOINT_ERROR and own.value.op == "producer.enqueue"


def test_the_identity_of_an_spsq_queue_is_told(make: Callable[..., Pair]) -> None:
    pair = make(binding=Binding.SPSQ, identity=(0x1234, 42))
    assert pair.l3.info.identity == (0x1234, 42) and len(pair.l3.scalars) == 10
    pair.l3.abort()
    with pytest.raises(l3l2q.PeerAborted) as raised:
        pair.l2.consumer.dequeue(LONG)
    assert raised.value.binding is Binding.SPSQ and raised.value.identity == (0x1234, 42)
    assert "0x1234" in str(raised.value) and "42" in str(raised.value)


def test_a_protocol_error(make: Callable[..., Pair]) -> None:
    pair = make()
    # A tail that is too far on is what a broken peer writes.
    ctypes = pytest.importorskip("ctypes")
    ctypes.c_int32.from_address(pair.l3.info.counters).value = 1000
    with pytest.raises(l3l2q.ProtocolError) as raised:
        pair.l2.consumer.peek(LONG)
    assert isinstance(raised.value, l3l2q.Poisoned) and raised.value.errno == errno.EBADMSG
    assert raised.value.kind is ErrorKind.INVALID_DESCRIPTOR
    with pytest.raises(l3l2q.ProtocolError):
        pair.l2.producer.enqueue(b"x", LONG)
    with pytest.raises(l3l2q.PeerAborted):
        pair.l3.consumer.peek(LONG)


def test_a_peer_that_detached(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"last", LONG)
    pair.l3.detach()
    assert pair.l2.consumer.dequeue(LONG).data == b"last"
    with pytest.raises(l3l2q.PeerDetached) as raised:
        pair.l2.consumer.dequeue(LONG)
    assert isinstance(raised.value, l3l2q.PeerGone) and raised.value.errno == errno.EPIPE
    with pytest.raises(l3l2q.Closed):
        pair.l3.producer.enqueue(b"x", LONG)


def test_closed_endpoints(pair: Pair) -> None:
    ep, producer, consumer = pair.l3, pair.l3.producer, pair.l3.consumer
    ep.close()
    ep.close()
    assert ep.closed and "closed" in repr(ep)
    for call in (
        lambda: producer.enqueue(b"x"),
        lambda: producer.reserve(1),
        lambda: producer.room,
        lambda: producer.batch().__enter__(),
        consumer.peek,
        consumer.try_dequeue,
        lambda: next(consumer),
        lambda: consumer.drained,
        ep.fileno,
        ep.arm,
        ep.wait,
        ep.open_peer,
        ep.detach,
        ep.abort,
        ep.interrupt,
        ep.dump,
        lambda: ep.info,
        lambda: ep.stats,
        lambda: ep.scalars,
        lambda: ep.error,
        lambda: ep.producer,
        lambda: ep.test(0, 0),
        lambda: ep.payload_read(0, 1),
    ):
        with pytest.raises(l3l2q.Closed, match="closed"):
            call()


def test_context_managers_close(make: Callable[..., Pair]) -> None:
    pair = make()
    with pytest.raises(KeyError):
        with pair.l2 as ep:
            raise KeyError
    assert ep is pair.l2 and ep.closed
    with pytest.raises(l3l2q.PeerDetached):
        pair.l3.consumer.peek(LONG)


def test_a_dropped_endpoint_is_closed(make: Callable[..., Pair]) -> None:
    pair = make()
    pair.l2 = create()
    with pytest.raises(l3l2q.PeerDetached):
        pair.l3.consumer.peek(LONG)


def test_exceptions_can_be_pickled(pair: Pair) -> None:
    pair.l3.abort()
    with pytest.raises(l3l2q.PeerAborted) as raised:
        pair.l2.consumer.dequeue(LONG)
    copy = pickle.loads(pickle.dumps(raised.value))
    assert type(copy) is l3l2q.PeerAborted and str(copy) == str(raised.value)
    assert copy.failure == raised.value.failure and copy.errno == raised.value.errno


def test_without_a_driver_it_is_said_what_to_do() -> None:
    with pytest.raises(l3l2q.Unavailable, match="no such|No such|open|node") as raised:
        l3l2q.create("driver:/dev/there-is-no-such-node", depth=8, input_arena_bytes=64,
                     output_arena_bytes=64)
    assert "l3l2q.ko" in str(raised.value) and "memfd" in str(raised.value)
    assert raised.value.op == "create" and raised.value.errno == errno.ENOENT


def test_without_the_extension_it_is_said_what_to_do(tmp_path: Path) -> None:
    package = tmp_path / "l3l2q"
    package.mkdir()
    for source in Path(l3l2q.__file__).parent.glob("*.py"):
        (package / source.name).write_text(source.read_text())
    result = subprocess.run(
        [sys.executable, "-c", "import l3l2q"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert result.returncode == 1
    assert "make python" in result.stderr and "python3-dev" in result.stderr


def test_what_an_endpoint_is(pair: Pair) -> None:
    info = pair.l3.info
    assert (info.role, pair.l2.role) == (l3l2q.Role.L3, l3l2q.Role.L2)
    assert info.window == 4 and info.tag == "" and info.binding is Binding.L3Q2
    assert info.transport == TRANSPORT.split(":")[0] and info.region_id == pair.l2.region_id
    assert info.layout is not None and info.layout.depth == 8
    assert info.layout.payload_bytes == info.payload_bytes
    assert len(pair.l3.scalars) == 12 and pair.l3.scalars[7] == 8
    assert pair.l3.dump() and f"{info.transport}" in repr(pair.l3)
    assert pair.l3.error is None and not pair.l3.closed


def test_stats(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"12345", LONG)
    pair.l2.consumer.dequeue(LONG)
    assert pair.l3.stats.sent == 1 and pair.l3.stats.sent_bytes == 5
    assert pair.l2.stats.received == 1 and pair.l2.stats.received_bytes == 5


def test_tags(make: Callable[..., Pair]) -> None:
    assert make(tag="tensors").l3.info.tag == "tensors"
    with pytest.raises(ValueError):
        create(tag="x" * 32)


def test_the_other_end_is_given_once(make: Callable[..., Pair]) -> None:
    pair = make()
    with pytest.raises(l3l2q.BusyError):
        pair.l3.open_peer()
    with pytest.raises(PermissionError):
        pair.l2.open_peer()


def test_a_failed_attach_leaves_the_descriptor() -> None:
    ep = create()
    fd = ep.open_peer()
    with pytest.raises(l3l2q.InvalidArgument):
        l3l2q.attach(fd, window=9)
    l3l2q.attach(fd, window=8).close()


def test_descriptors_over_a_socket(make: Callable[..., Pair]) -> None:
    ep = create()
    a, b = socket.socketpair()
    with a, b:
        fd = ep.open_peer()
        l3l2q.send_fd(a, fd)
        os.close(fd)
        with l3l2q.attach(l3l2q.recv_fd(b)) as peer:
            ep.producer.enqueue(b"x", LONG)
            assert peer.consumer.dequeue(LONG).data == b"x"
        a.close()
        with pytest.raises(OSError) as raised:
            l3l2q.recv_fd(b.fileno())
        assert raised.value.errno == errno.ENOTCONN


@pytest.mark.parametrize("spin, nap", [(0, None), (None, 0.001), (1e-6, 1e-4)])
def test_tuning(make: Callable[..., Pair], spin: Any, nap: Any) -> None:
    pair = make(spin=spin, nap=nap)
    pair.l3.producer.enqueue(b"x", LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"x"
