# SPDX-License-Identifier: GPL-2.0-only
"""Memory that the caller has mapped, or has functions for."""

from __future__ import annotations

import gc
import mmap
import weakref
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from native_util import LONG, PAYLOAD_BYTES, Caller, ExternalRegion, scalars, until

import l3l2q
from l3l2q import Memory, Role

KINDS = ["buffers", "addresses", "functions", "c_functions"]


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def region() -> ExternalRegion:
    return ExternalRegion()


@pytest.fixture
def ends(kind: str, region: ExternalRegion) -> Iterator[Tuple[l3l2q.Endpoint, l3l2q.Endpoint]]:
    with region.attach(kind, Role.L3, window=4) as l3, region.attach(
        "buffers", Role.L2, window=4
    ) as l2:
        yield l3, l2


def test_messages(ends: Tuple[l3l2q.Endpoint, l3l2q.Endpoint], kind: str) -> None:
    l3, l2 = ends
    copied = kind.endswith("functions")
    assert l3.info.transport == "external"
    assert l3.info.memory is (Memory.COPIED if copied else Memory.CACHED)
    l3.producer.enqueue(b"in", LONG)
    l3.producer.enqueuev([b"a", b"b"], LONG)
    with l2.consumer.peek(LONG) as message:
        assert bytes(message.data) == b"in"
    assert l2.consumer.dequeue(LONG).data == b"ab"
    l2.producer.enqueue_run([b"1", b"2", b"3", b"4", b""], LONG)
    assert l3.consumer.dequeue(LONG).data == b"1"
    buffer = bytearray(8)
    assert l3.consumer.dequeue_into(buffer, LONG).nbytes == 1 and buffer[:1] == b"2"
    held = l3.consumer.peek_run(4, LONG)
    assert [bytes(m.data) for m in held] == [b"3", b"4", b""]
    assert held[0].tobytes() == b"3" and held[1].read_into(buffer) == 1
    del held
    assert l3.consumer.drained is False and l3.stats.received == 5
    if copied:
        with pytest.raises(l3l2q.Unavailable):
            l3.producer.reserve(8, LONG)
    else:
        with l3.producer.reserve(2, LONG) as span:
            span.data[:] = b"in"
    l3.payload_write(512, b"raw") if copied else None
    assert l3.test(0, 2 if copied else 3, l3l2q.Compare.GE)[0]
    with pytest.raises(l3l2q.Unavailable):
        l3.fileno()


def test_blocking(ends: Tuple[l3l2q.Endpoint, l3l2q.Endpoint]) -> None:
    l3, l2 = ends
    before = l3.stats.sleeps
    receiver = Caller(lambda: l3.consumer.dequeue())
    until(lambda: l3.stats.sleeps > before)
    l2.producer.enqueue(b"x", LONG)
    assert receiver.join().result.data == b"x"
    before = l3.stats.sleeps
    receiver = Caller(lambda: l3.consumer.dequeue())
    until(lambda: l3.stats.sleeps > before)
    l3.close()
    assert isinstance(receiver.join().raised, l3l2q.Closed)


def test_buffers_are_kept_until_the_last_view(region: ExternalRegion) -> None:
    l3 = region.attach("buffers", Role.L3)
    with region.attach("buffers", Role.L2) as l2:
        l2.producer.enqueue(b"x", LONG)
        message = l3.consumer.peek(LONG)
        view = memoryview(message)
    l3.close()
    with pytest.raises(BufferError):
        region.payload.close()
    del view, message
    region.payload.close()
    region.counters.close()


def test_functions_are_kept_no_longer_than_the_endpoint() -> None:
    region = ExternalRegion()
    gone = weakref.ref(region)
    ep = region.attach("functions", Role.L3)
    del region
    gc.collect()
    assert gone() is not None
    ep.close()
    gc.collect()
    assert gone() is None


class Device(ExternalRegion):
    """Memory that has the endpoint over it."""

    def __init__(self) -> None:
        super().__init__()
        self.endpoint: Any = None


@pytest.mark.parametrize("hold", ["endpoint", "producer", "consumer", "raised"])
def test_a_cycle_through_an_endpoint_is_collected(hold: str) -> None:
    device = Device()
    ep = device.attach("functions", Role.L3)
    device.endpoint = getattr(ep, hold, ep)
    if hold == "raised":
        device.raising = OSError(19, "no device")
        with pytest.raises(l3l2q.Error):
            ep.producer.enqueue(b"x", LONG)
    gone = weakref.ref(device)
    del device, ep
    gc.collect()
    assert gone() is None


class Special(Exception):
    errno = 5


@pytest.mark.parametrize("error", [ValueError("broken"), OSError(19, "no device"), Special()])
def test_what_a_function_raises_is_the_cause(region: ExternalRegion, error: Exception) -> None:
    ep = region.attach("functions", Role.L3)
    region.raising = error
    with pytest.raises(l3l2q.PeerAborted) as raised:
        while True:
            ep.producer.enqueue(b"x", LONG)
    assert raised.value.__cause__ is error
    region.raising = None
    with pytest.raises(l3l2q.PeerAborted):
        ep.consumer.try_peek()
    ep.close()


def test_an_interrupt_in_a_function_is_raised(region: ExternalRegion) -> None:
    ep = region.attach("functions", Role.L3)
    region.raising = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        while True:
            ep.producer.enqueue(b"x", LONG)
    ep.close()


def test_a_function_that_fails_at_once(region: ExternalRegion) -> None:
    region.raising = OSError(19, "no device")
    with pytest.raises(OSError) as raised:
        region.attach("functions", Role.L3)
    assert raised.value.errno == 19 and raised.value.__cause__ is region.raising


@pytest.mark.parametrize("result", [b"", b"12345", None, 5, "text"])
def test_a_function_that_returns_something_else(region: ExternalRegion, result: Any) -> None:
    def read(*_: int) -> Any:
        return result

    with pytest.raises(OSError) as raised:
        l3l2q.attach_external(scalars(), role=Role.L3, read=read, write=region.write)
    assert isinstance(raised.value.__cause__, (ValueError, TypeError))


@pytest.mark.parametrize("nested", [False, True])
def test_a_function_must_not_use_its_endpoint(region: ExternalRegion, nested: bool) -> None:
    """Nor may one of another endpoint, which the first one uses."""
    uses: List[Callable[[], Any]] = [
        lambda: ep.consumer.try_peek(),
        lambda: ep.producer.try_enqueue(b"x"),
        lambda: ep.close(),
        lambda: ep.stats,
        lambda: ep.interrupt(),
    ]
    raised: List[BaseException] = []

    def use_all() -> None:
        for use in uses:
            try:
                use()
            except BaseException as error:
                raised.append(error)

    def read(range: int, offset: int, nbytes: int) -> bytes:
        if attached and nested:
            other.load(0)
        elif attached:
            use_all()
        return region.read(range, offset, nbytes)

    def read_other(range: int, offset: int, nbytes: int) -> bytes:
        if attached:
            use_all()
        return region.read(range, offset, nbytes)

    attached = False
    ep = l3l2q.attach_external(scalars(), role=Role.L3, read=read, write=region.write)
    other = l3l2q.attach_external(scalars(), role=Role.L3, read=read_other, write=region.write)
    attached = True
    assert Caller(ep.consumer.try_peek).join().result is None
    attached = False
    other.close()
    assert len(raised) >= len(uses) and all(isinstance(e, l3l2q.BusyError) for e in raised)
    ep.close()


def test_close_waits_for_a_batch_that_is_dropped(region: ExternalRegion) -> None:
    closers: List[Caller] = []
    waited: List[bool] = []

    def write(range: int, offset: int, data: bytes) -> None:
        region.write(range, offset, data)
        if dropped and not closers:
            closers.append(Caller(ep.close))
            until(lambda: ep.closed)
            # It would be done soon.
            closers[0].thread.join(0.1)
            waited.append(closers[0].thread.is_alive())

    dropped = False
    ep = l3l2q.attach_external(scalars(), role=Role.L3, read=region.read, write=write)
    batch = ep.producer.batch()
    batch.__enter__()
    ep.producer.enqueue(b"x", LONG)
    dropped = True
    del batch
    closers[0].join()
    assert waited == [True]


def test_messages_dropped_during_release_upto_are_released_once(region: ExternalRegion) -> None:
    held: List[l3l2q.Message] = []

    def write(range: int, offset: int, data: bytes) -> None:
        region.write(range, offset, data)
        if releasing:
            held.clear()

    releasing = False
    l3 = region.attach("buffers", Role.L3)
    ep = l3l2q.attach_external(scalars(), role=Role.L2, read=region.read, write=write, window=4)
    for _ in range(3):
        l3.producer.enqueue(b"x", LONG)
    held.extend(ep.consumer.peek_run(2))
    releasing = True
    held[1].release_upto()
    releasing = False
    assert not held
    assert ep.consumer.dequeue(LONG).seq == 3 and ep.error is None
    ep.close()
    l3.close()


@pytest.mark.parametrize(
    "options, error",
    [
        ({}, ValueError),
        ({"payload": bytearray(PAYLOAD_BYTES)}, ValueError),
        ({"payload": bytes(PAYLOAD_BYTES), "counters": bytearray(384)}, BufferError),
        ({"payload": bytearray(PAYLOAD_BYTES - 1), "counters": bytearray(384)}, ValueError),
        ({"payload": mmap.mmap(-1, PAYLOAD_BYTES), "counters": bytearray(383)}, ValueError),
        ({"payload": "here", "counters": 0}, TypeError),
        ({"payload": 4097, "counters": 4096}, ValueError),
        ({"read": print}, TypeError),
        ({"read": print, "write": 1}, TypeError),
        ({"read": 0, "write": 0}, ValueError),
        ({"read": 1, "write": 1, "ctx": "x"}, TypeError),
        ({"memory": 3, "payload": 4096, "counters": 65536}, ValueError),
        ({"role": 2, "payload": 4096, "counters": 65536}, ValueError),
        ({"scalars": [1, 2, 3]}, ValueError),
        ({"scalars": None}, TypeError),
        ({"scalars": [-1] * 12}, ValueError),
        ({"scalars": [0] * 12, "payload": 4096, "counters": 65536}, l3l2q.ProtocolError),
    ],
)
def test_bad_arguments(options: Any, error: type) -> None:
    arguments = {"role": Role.L3, "scalars": scalars(), **options}
    with pytest.raises(error):
        l3l2q.attach_external(**arguments)
