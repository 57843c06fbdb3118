# SPDX-License-Identifier: GPL-2.0-only
"""What can be sent from and received into, and what is refused before anything happens."""

from __future__ import annotations

import array
import ctypes
import mmap
from typing import Any, Callable

import pytest
from native_util import LONG, Pair

import l3l2q


class Tensor:
    """What a tensor has that knows no buffers."""

    def __init__(self, data: bytearray, device: Any = "cpu", contiguous: bool = True) -> None:
        self.memory = (ctypes.c_char * len(data)).from_buffer(data) if data else None
        self.device = device
        self.nbytes = len(data)
        self.contiguous = contiguous

    def data_ptr(self) -> int:
        return ctypes.addressof(self.memory) if self.memory else 0

    def is_contiguous(self) -> bool:
        return self.contiguous


class Elements:
    """One that says its size in elements."""

    def __init__(self, data: bytearray) -> None:
        self.memory = (ctypes.c_char * len(data)).from_buffer(data)

    def data_ptr(self) -> int:
        return ctypes.addressof(self.memory)

    def numel(self) -> int:
        return len(self.memory) // 4

    def element_size(self) -> int:
        return 4


class Device:
    def __init__(self, type: str) -> None:
        self.type = type


def mapped() -> mmap.mmap:
    memory = mmap.mmap(-1, 8)
    memory[:] = b"12345678"
    return memory


@pytest.mark.parametrize(
    "make_body",
    [
        lambda: b"12345678",
        lambda: bytearray(b"12345678"),
        lambda: memoryview(b"012345678")[1:],
        lambda: array.array("I", b"12345678"),
        lambda: memoryview(b"12345678").cast("B", (2, 4)),
        lambda: (ctypes.c_char * 8)(*b"12345678"),
        mapped,
        lambda: Tensor(bytearray(b"12345678")),
        lambda: Tensor(bytearray(b"12345678"), "cpu:0"),
        lambda: Tensor(bytearray(b"12345678"), Device("cpu")),
        lambda: Elements(bytearray(b"12345678")),
    ],
)
def test_bodies(pair: Pair, make_body: Callable[[], Any]) -> None:
    body = make_body()
    pair.l3.producer.enqueue(body, LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"12345678"
    pair.l3.producer.enqueuev([body, b"9"], LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b"123456789"


@pytest.mark.parametrize(
    "make_target",
    [
        lambda data: data,
        memoryview,
        Tensor,
        Elements,
        lambda data: memoryview(data).cast("I"),
        lambda data: (ctypes.c_char * 8).from_buffer(data),
    ],
)
def test_targets(pair: Pair, make_target: Callable[[bytearray], Any]) -> None:
    data = bytearray(8)
    target = make_target(data)
    pair.l3.producer.enqueue(b"12345678", LONG)
    pair.l2.consumer.dequeue_into(target, LONG)
    assert data == b"12345678"


def test_a_message_can_be_sent_on(pair: Pair) -> None:
    pair.l3.producer.enqueue(b"12345678", LONG)
    with pair.l2.consumer.peek(LONG) as message:
        pair.l2.producer.enqueue(message, LONG)
        pair.l2.producer.enqueuev([message.data[4:], message.data[:4]], LONG)
    assert pair.l3.consumer.dequeue(LONG).data == b"12345678"
    assert pair.l3.consumer.dequeue(LONG).data == b"56781234"


READ_ONLY = [b"12345678", memoryview(b"12345678"), memoryview(bytearray(8)).toreadonly()]


@pytest.mark.parametrize("target", READ_ONLY)
def test_read_only_targets_are_refused(pair: Pair, target: Any) -> None:
    pair.l3.producer.enqueue(b"abc", LONG)
    for call in (
        lambda: pair.l2.consumer.dequeue_into(target, LONG),
        lambda: pair.l2.consumer.try_dequeue_into(target),
        lambda: pair.l2.payload_read_into(0, target),
    ):
        with pytest.raises(BufferError, match="buffer: is read-only"):
            call()
    with pair.l2.consumer.peek(LONG) as message:
        with pytest.raises(BufferError, match="buffer: is read-only"):
            message.read_into(target)
        with pytest.raises(BufferError, match="buffer: is read-only"):
            message.read_into(message)
    assert bytes(target) in (b"12345678", bytes(8))


STRIDED = memoryview(bytearray(16))[::2]


def test_what_is_not_contiguous_is_refused(pair: Pair) -> None:
    with pytest.raises(BufferError, match="body: a C-contiguous buffer"):
        pair.l3.producer.enqueue(STRIDED)
    with pytest.raises(BufferError, match="parts: a C-contiguous buffer"):
        pair.l3.producer.enqueuev([b"fine", STRIDED])
    with pytest.raises(BufferError, match="buffer: a C-contiguous buffer"):
        pair.l2.consumer.try_dequeue_into(STRIDED)
    with pytest.raises(BufferError, match="not contiguous"):
        pair.l3.producer.enqueue(Tensor(bytearray(8), contiguous=False))
    for device in ("cuda:0", "npu", Device("npu")):
        with pytest.raises(BufferError, match="not on the CPU"):
            pair.l3.producer.enqueue(Tensor(bytearray(8), device))
    assert pair.l2.consumer.try_peek() is None


@pytest.mark.parametrize("wrong", ["text", 1, 1.5, [b"x"], object(), {}])
def test_a_wrong_type_says_which_argument_and_what_was_expected(pair: Pair, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"body: a bytes-like object.*not <class"):
        pair.l3.producer.enqueue(wrong)
    with pytest.raises(TypeError, match=r"buffer: a bytes-like object.*not <class"):
        pair.l2.consumer.dequeue_into(wrong)
    with pytest.raises(TypeError, match=r"parts: a (bytes-like object|sequence)"):
        pair.l3.producer.enqueuev(wrong if isinstance(wrong, (str, int, float)) else [wrong])
    assert pair.l2.consumer.try_peek() is None


def test_exceptions_of_tensors_are_theirs(pair: Pair) -> None:
    class Broken(Tensor):
        def data_ptr(self) -> int:
            raise ZeroDivisionError

    class Odd(Tensor):
        def data_ptr(self) -> Any:
            return "here"

    class Nowhere(Tensor):
        def data_ptr(self) -> int:
            return 0

    with pytest.raises(ZeroDivisionError):
        pair.l3.producer.enqueue(Broken(bytearray(8)))
    with pytest.raises(TypeError, match="data_ptr: an int"):
        pair.l3.producer.enqueue(Odd(bytearray(8)))
    with pytest.raises(ValueError, match="no memory"):
        pair.l3.producer.enqueue(Nowhere(bytearray(8)))
    pair.l3.producer.enqueue(Tensor(bytearray()), LONG)
    assert pair.l2.consumer.dequeue(LONG).data == b""


def test_released_memoryviews_are_refused(pair: Pair) -> None:
    view = memoryview(bytearray(8))
    view.release()
    with pytest.raises(BufferError, match="body: .* released memoryview"):
        pair.l3.producer.enqueue(view)
    with pytest.raises(BufferError, match="buffer: .* released memoryview"):
        pair.l2.consumer.dequeue_into(view)


def test_numpy(pair: Pair) -> None:
    np = pytest.importorskip("numpy")
    sent = np.arange(128, dtype=np.float32).reshape(8, 16)
    pair.l3.producer.enqueue(sent, LONG)
    with pair.l2.consumer.peek(LONG) as message:
        in_place = np.frombuffer(message, dtype=np.float32).reshape(8, 16)
        assert (in_place == sent).all() and not in_place.flags.writeable
        with pytest.raises(BufferError):
            message.release()
        del in_place
    with pair.l2.producer.reserve(sent.nbytes, LONG) as span:
        np.multiply(sent, 2, out=np.frombuffer(span, dtype=np.float32).reshape(8, 16))
    target = np.zeros((8, 16), dtype=np.float32)
    pair.l3.consumer.dequeue_into(target, LONG)
    assert (target == sent * 2).all()
    with pytest.raises(BufferError, match="C-contiguous"):
        pair.l3.producer.enqueue(sent.T, LONG)
    target.flags.writeable = False
    with pytest.raises(BufferError, match="read-only"):
        pair.l3.consumer.dequeue_into(target)


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda e: e.producer.enqueue(b"", -1), ValueError),
        (lambda e: e.producer.enqueue(b"", float("nan")), ValueError),
        (lambda e: e.producer.enqueue(b"", "soon"), TypeError),
        (lambda e: e.producer.enqueue(b"", 1, "DATA"), TypeError),
        (lambda e: e.producer.enqueue(b"", 1, -1), ValueError),
        (lambda e: e.producer.enqueue(b"", 1, 2**64), ValueError),
        (lambda e: e.producer.enqueue(b"", 1, 1, 1), TypeError),
        (lambda e: e.producer.enqueue(b"", body=b""), TypeError),
        (lambda e: e.producer.enqueue(bodies=b""), TypeError),
        (lambda e: e.producer.reserve(), TypeError),
        (lambda e: e.producer.reserve(-1), ValueError),
        (lambda e: e.producer.reserve(2**63), ValueError),
        (lambda e: e.producer.reserve(1, count=0), ValueError),
        (lambda e: e.producer.reserve(4097), l3l2q.TooLarge),
        (lambda e: e.consumer.peek_run(0), ValueError),
        (lambda e: e.consumer.peek_run(1.5), TypeError),
        (lambda e: e.consumer.release(None), TypeError),
        (lambda e: e.consumer.release([None]), TypeError),
        (lambda e: e.wait(16), ValueError),
        (lambda e: e.wait(4), ValueError),
        (lambda e: e.arm("IN"), TypeError),
        (lambda e: e.notify(2, 0), ValueError),
        (lambda e: e.test(4096, 0), ValueError),
        (lambda e: e.test(0, 2**31), ValueError),
        (lambda e: e.test(0, 0, 6), ValueError),
        (lambda e: e.payload_read(0, 2**40), ValueError),
        (lambda e: e.payload_read(0, 0), ValueError),
        (lambda e: e.payload_read(2**64 - 1, 1), ValueError),
        (lambda e: e.payload_write(2**63, b"x"), ValueError),
        (lambda e: e.eventfd(3, 0), OSError),
        (lambda e: type(e)(), TypeError),
        (lambda e: type(e.producer)(), TypeError),
        (lambda e: l3l2q.Message(), TypeError),
        (lambda e: l3l2q.attach(-1), OSError),
        (lambda e: l3l2q.attach("fd"), TypeError),
        (lambda e: l3l2q.create(1), TypeError),
        (lambda e: l3l2q.create("memfd\0"), ValueError),
        (lambda e: l3l2q.create("nothing"), ValueError),
        (lambda e: l3l2q.create("memfd"), ValueError),
        (lambda e: l3l2q.create("memfd", depth=3), ValueError),
        (lambda e: l3l2q.create("memfd", depth="8"), TypeError),
        (lambda e: l3l2q.create("memfd", identity=1), TypeError),
        (lambda e: l3l2q.create("memfd", identity=(1,)), ValueError),
        (lambda e: l3l2q.create("memfd", spin="no"), TypeError),
        (lambda e: l3l2q.create("memfd", nap=-1), ValueError),
    ],
)
def test_bad_arguments_change_nothing(
    pair: Pair, call: Callable[[l3l2q.Endpoint], Any], error: type
) -> None:
    for ep in (pair.l3, pair.l2):
        with pytest.raises(error):
            call(ep)
        assert ep.error is None
    pair.l3.producer.enqueue(b"still works", LONG)
    assert pair.l2.consumer.dequeue(LONG).seq == 1
