# SPDX-License-Identifier: GPL-2.0-only
"""Memoryviews of messages and spans, and what ends them."""

from __future__ import annotations

import gc
import weakref
from typing import Callable

import pytest
from native_util import LONG, Pair, in_child

import l3l2q


def received(pair: Pair, body: bytes = b"12345678") -> l3l2q.Message:
    pair.l3.producer.enqueue(body, LONG)
    return pair.l2.consumer.peek(LONG)


def test_data_is_the_same_view_while_it_lives(pair: Pair) -> None:
    message = received(pair)
    data = message.data
    assert message.data is data and data.readonly and data.nbytes == 8
    data.release()
    assert bytes(message.data) == b"12345678"


def test_release_ends_the_view_of_data(pair: Pair) -> None:
    message = received(pair)
    data = message.data
    message.release()
    with pytest.raises(ValueError):
        data[0]
    with pytest.raises(l3l2q.HandleError):
        message.data
    with pytest.raises(BufferError):
        memoryview(message)


def test_release_upto_ends_a_view_that_alone_keeps_its_message() -> None:
    pair = Pair(window=4)
    views = [received(pair).data for _ in range(2)]
    received(pair).release_upto()
    for view in views:
        with pytest.raises(ValueError):
            view[0]
    assert pair.l2.consumer.held == 0 and pair.l2.error is None
    pair.close()


@pytest.mark.parametrize("cut", [lambda m: m.data[2:], memoryview, lambda m: m.data.cast("I")])
def test_release_refuses_while_other_views_exist(
    pair: Pair, cut: Callable[[l3l2q.Message], memoryview]
) -> None:
    message = received(pair)
    view = cut(message)
    with pytest.raises(BufferError, match="in use: 1; release or delete"):
        message.release()
    with pytest.raises(BufferError):
        message.release_upto()
    with pytest.raises(BufferError):
        pair.l2.consumer.release([message])
    with pytest.raises(BufferError):
        with message:
            pass
    assert not message.released
    view.release()
    message.release()


def test_an_exception_is_not_hidden_by_views(pair: Pair) -> None:
    with pytest.raises(KeyError):
        with received(pair) as message:
            view = memoryview(message)
            raise KeyError
    assert not message.released and bytes(view) == b"12345678"
    del message, view
    assert pair.l2.consumer.held == 0


def test_a_view_keeps_its_message(pair: Pair) -> None:
    view = memoryview(received(pair))
    gc.collect()
    assert pair.l2.consumer.held == 1 and bytes(view) == b"12345678"
    del view
    assert pair.l2.consumer.held == 0


def test_a_view_keeps_the_memory_of_a_closed_endpoint(pair: Pair) -> None:
    message = received(pair)
    view = message.data
    span = pair.l3.producer.reserve(4, LONG)
    hole = memoryview(span)
    pair.close()
    assert bytes(view) == b"12345678"
    hole[:] = b"lost"
    for call in (message.release, span.commit, span.cancel, message.tobytes):
        with pytest.raises((BufferError, l3l2q.Closed)):
            call()
    with pytest.raises(BufferError, match="endpoint is closed"):
        memoryview(span)
    del view, message, span, hole
    gc.collect()


def test_no_cycle_keeps_a_message(pair: Pair) -> None:
    gc.disable()
    try:
        message = received(pair)
        message.data
        gone = weakref.ref(message)
        del message
        assert gone() is None and pair.l2.consumer.held == 0
    finally:
        gc.enable()


def test_spans_are_writable_until_committed(pair: Pair) -> None:
    span = pair.l3.producer.reserve(4, LONG)
    data = span.data
    assert span.data is data and not data.readonly
    other = data[1:]
    for call in (span.commit, span.cancel):
        with pytest.raises(BufferError):
            call()
    other.release()
    span.data[:] = b"done"
    span.commit()
    with pytest.raises(ValueError):
        data[0] = 1
    assert pair.l2.consumer.dequeue(LONG).data == b"done"


def test_a_span_with_views_is_cancelled_with_the_last(pair: Pair) -> None:
    view = memoryview(pair.l3.producer.reserve(4, LONG))
    with pytest.raises(l3l2q.BusyError):
        pair.l3.producer.enqueue(b"x", LONG)
    del view
    pair.l3.producer.enqueue(b"x", LONG)
    assert pair.l2.consumer.dequeue(LONG) == (1, b"x", 1)


def test_views_in_a_child_do_no_harm(pair: Pair) -> None:
    message = received(pair)
    view = memoryview(message)
    span = pair.l3.producer.reserve(4, LONG)
    hole = memoryview(span)

    def child() -> None:
        # Over the driver the memory is not there.
        assert bytes(view) in (b"12345678", bytes(8))
        hole[0] = 0
        with pytest.raises(l3l2q.WrongProcess):
            message.tobytes()
        with pytest.raises(BufferError, match="parent process"):
            memoryview(message)

    def child_drops() -> None:
        nonlocal view, message
        del view, message

    assert in_child(child) == 0
    assert in_child(child_drops) == 0
    view.release()
    message.release()
    hole[:] = b"good"
    hole.release()
    span.commit()
    assert pair.l2.consumer.dequeue(LONG).data == b"good"


def test_views_in_a_child_that_has_no_mapping(pair: Pair) -> None:
    """As over the driver, whose mappings a child does not inherit."""
    ctypes = pytest.importorskip("ctypes")
    libc = ctypes.CDLL(None, use_errno=True)
    message = received(pair)
    view = memoryview(message)
    span = pair.l3.producer.reserve(4, LONG)
    hole = memoryview(span)
    dont_fork = 10
    for ep in (pair.l3, pair.l2):
        info = ep.info
        start = info.payload & ~4095
        length = ctypes.c_size_t(info.payload + info.payload_bytes - start)
        if libc.madvise(ctypes.c_void_p(start), length, dont_fork):
            pytest.skip("the mapping is not inherited anyway, or cannot be told so")

    def child() -> None:
        assert bytes(view) == bytes(8)
        hole[:] = b"lost"
        view.release()
        hole.release()
        pair.close()

    assert in_child(child) == 0
    assert bytes(view) == b"12345678"
    hole[:] = b"kept"
    del hole, view
    span.commit()
    message.release()
    assert pair.l2.consumer.dequeue(LONG).data == b"kept"
