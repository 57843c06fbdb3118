# SPDX-License-Identifier: GPL-2.0-only
"""l3l2q.aio: tasks that wait, are woken, cancelled and ended, and never poll."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, List

import pytest
from native_util import LONG, TRANSPORT, ExternalRegion, Pair, in_child

import l3l2q
from l3l2q import Event, Opcode, aio


class Ends:
    """Both ends of a region, in one event loop."""

    def __init__(self, **options: Any) -> None:
        self.pair = Pair(**options)
        self.l3 = aio.Endpoint(self.pair.l3)
        self.l2 = aio.Endpoint(self.pair.l2)

    async def __aenter__(self) -> Ends:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.l3.close()
        self.l2.close()


def run(body: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(body(), LONG)

    return asyncio.run(limited())


async def waits(ep: aio.Endpoint, awaitable: Any) -> asyncio.Task[Any]:
    """Start a task, and return once it waits."""
    before = len(ep._waiters)
    task = asyncio.ensure_future(awaitable)
    while len(ep._waiters) == before and not task.done():
        await asyncio.sleep(0)
    return task


def test_echo() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:

            async def echo() -> int:
                count = 0
                async for message in ends.l2.consumer:
                    await ends.l2.producer.enqueue(message, opcode=Opcode.ERROR)
                    count += 1
                return count

            server = asyncio.ensure_future(echo())
            for i in range(200):
                await ends.l3.producer.enqueue(b"%d" % i)
                received = await ends.l3.consumer.dequeue()
                assert (received.opcode, received.data) == (Opcode.ERROR, b"%d" % i)
            await ends.l3.producer.stop()
            assert await server == 200
            assert ends.pair.l2.consumer.drained

    run(body)


def test_a_stream_that_is_larger_than_the_ring() -> None:
    async def body() -> None:
        async with Ends(window=8) as ends:

            async def send() -> None:
                for i in range(500):
                    await ends.l3.producer.enqueue(b"%d" % i * 50)
                await ends.l3.producer.stop()

            sender = asyncio.ensure_future(send())
            seen = [m.tobytes() async for m in ends.l2.consumer]
            assert seen == [b"%d" % i * 50 for i in range(500)]
            await sender

    run(body)


def test_every_form() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            producer, consumer = ends.l3.producer, ends.l2.consumer
            await producer.enqueuev([b"1", b"2"])
            assert await producer.enqueue_run([b"3", b"4"]) == 2
            assert await producer.enqueue_run([]) == 0
            with await producer.reserve(1) as span:
                span.data[:] = b"5"
            buffer = bytearray(2)
            assert (await consumer.dequeue_into(buffer)).nbytes == 2 and buffer == b"12"
            with await consumer.peek() as message:
                assert message.tobytes() == b"3"
            assert [m.tobytes() for m in await consumer.peek_run(8)] == [b"4", b"5"]

    run(body)


def test_waiting_for_room_and_for_messages_at_once() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            sent = ends.pair.fill_input()
            sender = await waits(ends.l3, ends.l3.producer.enqueue(b"last"))
            receiver = await waits(ends.l3, ends.l3.consumer.dequeue())
            assert not sender.done() and not receiver.done()
            ends.pair.l2.producer.enqueue(b"out", LONG)
            assert (await receiver).data == b"out"
            assert not sender.done()
            for _ in range(sent):
                assert (await ends.l2.consumer.dequeue()).data == b"full"
            await sender
            assert (await ends.l2.consumer.dequeue()).data == b"last"

    run(body)


def test_a_task_that_waits_can_be_cancelled() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            task = await waits(ends.l2, ends.l2.consumer.dequeue())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ends.l2.consumer.dequeue(), 0.001)
            await ends.l3.producer.enqueue(b"kept")
            assert (await ends.l2.consumer.dequeue()).data == b"kept"
            assert ends.l2._waiters == []

    run(body)


def test_a_call_that_gives_way_can_be_cancelled() -> None:
    """It has received nothing."""

    async def body() -> None:
        async with Ends(window=4) as ends:
            received = 0
            for _ in range(200):
                ends.pair.l3.producer.enqueue(b"x", LONG)
                task = asyncio.ensure_future(ends.l2.consumer.dequeue())
                await asyncio.sleep(0)
                received += not task.cancel()
                await asyncio.wait([task])
                if task.cancelled():
                    assert ends.pair.l2.consumer.try_dequeue()
            assert 190 < received < 200

    run(body)


def test_the_end_of_either_side_ends_a_wait() -> None:
    async def body() -> None:
        for end, error in (
            (lambda ends: ends.l2.close(), l3l2q.PeerDetached),
            (lambda ends: ends.pair.l2.abort(), l3l2q.PeerAborted),
            (lambda ends: ends.l3.close(), l3l2q.Closed),
            (lambda ends: ends.pair.l3.abort(), l3l2q.Aborted),
        ):
            async with Ends(window=4) as ends:
                task = await waits(ends.l3, ends.l3.consumer.dequeue())
                end(ends)
                with pytest.raises(error):
                    await task

    run(body)


def test_iteration_ends_with_the_peer() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            await ends.l2.producer.enqueue(b"last")
            ends.l2.close()
            assert [m.tobytes() async for m in ends.l3.consumer] == [b"last"]

    run(body)


def test_a_peer_that_dies_ends_a_wait() -> None:
    async def body() -> None:
        ep = l3l2q.create(TRANSPORT, depth=8, input_arena_bytes=64, output_arena_bytes=64)
        fd = ep.open_peer()

        def die() -> None:
            import os
            import signal

            l3l2q.attach(fd)
            os.kill(os.getpid(), signal.SIGKILL)

        async with aio.Endpoint(ep) as a:
            task = await waits(a, a.consumer.dequeue())
            assert in_child(die) == -9
            import os

            os.close(fd)
            with pytest.raises(l3l2q.PeerGone):
                await task

    run(body)


def test_a_window_that_is_full_raises() -> None:
    async def body() -> None:
        async with Ends(window=2) as ends:
            await ends.l3.producer.enqueue_run([b"1", b"2", b"3"])
            held = await ends.l2.consumer.peek_run(2)
            with pytest.raises(l3l2q.BusyError):
                await ends.l2.consumer.peek()
            held[0].release()
            assert (await ends.l2.consumer.peek()).tobytes() == b"3"

    run(body)


def test_a_loop_keeps_what_has_views_and_drops_the_rest() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            await ends.l3.producer.enqueue_run([b"1", b"2", b"3", b"4"])
            views: List[memoryview] = []
            async for message in ends.l2.consumer:
                if message.seq == 1:
                    views += [memoryview(message), message.data]
                if message.seq == 2:
                    views.append(message.data)
                if message.seq == 4:
                    break
            assert message.viewed is False and ends.pair.l2.consumer.held == 3
            assert [bytes(v) for v in views] == [b"1", b"1", b"2"]
            del message, views[:]
            assert ends.pair.l2.consumer.held == 0

    run(body)


def test_a_loop_yields_no_message_twice() -> None:
    async def body() -> None:
        async with Ends(window=1) as ends:
            for producer in (ends.l2.producer, ends.l3.producer):
                await producer.enqueue_run([b"1", b"2"])
            for consumer in (ends.l3.consumer, ends.l2.consumer):
                message = await consumer.__anext__()
                view = memoryview(message)
                for _ in range(2):
                    with pytest.raises(l3l2q.BusyError, match="window|held"):
                        await consumer.__anext__()
                view.release()
                message.release()
                assert (await consumer.__anext__()).seq == 2

    run(body)


def test_what_waits_is_sent_as_it_was() -> None:
    """Iterators too, and lists that change meanwhile."""

    async def body() -> None:
        async with Ends() as ends:
            ends.pair.fill_input()
            parts, bodies = [b"1", b"2"], [b"3"]
            producer = ends.l3.producer
            tasks = [
                asyncio.ensure_future(call)
                for call in (
                    producer.enqueuev(parts),
                    producer.enqueuev(iter([b"1", b"2"])),  # type: ignore[arg-type]
                    producer.enqueue_run(bodies),
                    producer.enqueue_run(iter([b"3"])),  # type: ignore[arg-type]
                )
            ]
            await asyncio.sleep(0)
            parts.clear()
            bodies.clear()
            received = [(await ends.l2.consumer.dequeue()).data for _ in range(12)]
            assert sorted(received[8:]) == [b"12", b"12", b"3", b"3"]
            assert await asyncio.gather(*tasks) == [None, None, 1, 1]
            assert await producer.enqueue_run(iter([])) == 0  # type: ignore[arg-type]

    run(body)


@pytest.mark.parametrize("event", [0, 4, 8])
def test_events_that_are_not_waited_for(event: int) -> None:
    async def body() -> None:
        async with Ends() as ends:
            with pytest.raises(l3l2q.InvalidArgument, match="IN and OUT"):
                await ends.l3.wait(Event(event))

    run(body)


def test_busy_queues_let_other_tasks_run() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.ensure_future(other())
            for _ in range(1000):
                await ends.l3.producer.enqueue(b"x")
                await ends.l2.consumer.dequeue()
            assert turns >= 10
            task.cancel()

    run(body)


class Late:
    """A consumer that has nothing until it is looked at."""

    full = False

    def __init__(self, raw: l3l2q.Consumer, send: Callable[[], Any]) -> None:
        self.raw = raw
        self.send = send
        self.looks = 0

    def try_dequeue(self) -> Any:
        return self.raw.try_dequeue()

    def look(self) -> bool:
        self.looks += 1
        self.send()
        return True


def test_what_a_look_finds_takes_no_turn_of_the_loop() -> None:
    ends = Ends(window=4)
    late = Late(ends.pair.l2.consumer, lambda: ends.pair.l3.producer.enqueue(b"x", LONG))
    ends.l2.consumer.raw = late  # type: ignore[assignment]
    for looks in range(1, 10):
        with pytest.raises(StopIteration) as returned:
            ends.l2.consumer.dequeue().send(None)
        assert returned.value.value.data == b"x"
        assert late.looks == looks
    ends.pair.close()


def test_calls_of_all_queues_together_let_other_tasks_run() -> None:
    async def body() -> None:
        queues = [Ends(window=2) for _ in range(40)]
        turns: List[int] = []
        calls = 0

        async def other() -> None:
            while True:
                turns.append(calls)
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        for _ in range(10):
            for ends in queues:
                await ends.l3.producer.enqueue(b"x")
                await ends.l2.consumer.dequeue()
                calls += 2
        turns.append(calls)
        task.cancel()
        assert max(b - a for a, b in zip(turns, turns[1:])) <= 64
        for ends in queues:
            ends.pair.close()

    run(body)


def test_waiting_does_not_poll() -> None:
    async def body() -> None:
        async with Ends(window=4) as ends:
            arms = 0
            arm = ends.l2._arm

            def counted() -> None:
                nonlocal arms
                arms += 1
                arm()

            ends.l2._arm = counted  # type: ignore[method-assign]
            task = await waits(ends.l2, ends.l2.consumer.dequeue())
            for _ in range(1000):
                await asyncio.sleep(0)
            assert arms == 1
            await ends.l3.producer.enqueue(b"x")
            await task
            # Without a task that waits, readiness is looked at once and no more.
            arms = 0
            await ends.l3.producer.enqueue(b"y")
            for _ in range(100):
                await asyncio.sleep(0)
            assert arms <= 2

    run(body)


def test_many_queues() -> None:
    async def body() -> None:
        queues = [Ends(window=2) for _ in range(100)]

        async def serve(ends: Ends) -> None:
            async for message in ends.l2.consumer:
                await ends.l2.producer.enqueue(message)

        async def use(ends: Ends) -> None:
            for i in range(5):
                await ends.l3.producer.enqueue(b"%d" % i)
                assert (await ends.l3.consumer.dequeue()).data == b"%d" % i
            await ends.l3.producer.stop()

        await asyncio.gather(*map(serve, queues), *map(use, queues))
        for ends in queues:
            ends.l3.close()
            ends.l2.close()

    run(body)


def test_endpoints_without_a_descriptor() -> None:
    async def body() -> None:
        region = ExternalRegion()
        l3 = aio.Endpoint(region.attach("buffers", l3l2q.Role.L3))
        l2 = aio.Endpoint(region.attach("functions", l3l2q.Role.L2))
        async with l3, l2:
            task = asyncio.ensure_future(l2.consumer.dequeue())
            await asyncio.sleep(0)
            await l3.producer.enqueue(b"x")
            assert (await task).data == b"x"
            await l2.producer.enqueue(b"y")
            assert (await l3.consumer.dequeue()).data == b"y"

    run(body)


def test_an_endpoint_belongs_to_one_loop() -> None:
    ends = Ends(window=4)

    async def first() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ends.l3.wait(Event.IN), 0.001)

    async def second() -> None:
        with pytest.raises(RuntimeError, match="loop"):
            await ends.l3.consumer.dequeue()

    run(first)
    run(second)
    ends.pair.close()


def test_the_functions_that_make_endpoints() -> None:
    async def body() -> None:
        async with aio.create(
            TRANSPORT, depth=8, input_arena_bytes=64, output_arena_bytes=64
        ) as ep, aio.attach(ep.raw.open_peer()) as peer:
            await ep.producer.enqueue(b"x")
            assert (await peer.consumer.dequeue()).data == b"x"
        with pytest.raises(ValueError):
            aio.create("nothing")
        with pytest.raises(ValueError):
            aio.attach_external([], role=0)

    run(body)
