# SPDX-License-Identifier: MIT
"""Endpoints for asyncio.

::

    async with aio.create("memfd", depth=8, input_arena_bytes=4096,
                          output_arena_bytes=4096) as ep:
        await ep.producer.enqueue(b"HAL")
        async for message in ep.consumer:
            print(bytes(message.data))

An endpoint belongs to the event loop that it is first used in. A call that cannot be served
at once looks for a few microseconds, as long as that has paid (see l3l2q.Consumer.look), and
then has its task wait, which is woken by the descriptor of the endpoint: nothing polls.
External endpoints have none, so a thread of the loop's executor waits for them. After 64
calls in a row that did not wait, other tasks run. Waiting may be cancelled, or limited by
asyncio.wait_for(), at any time: nothing was sent or received then.

Messages, reservations and what was received are those of l3l2q. The endpoint inside is
``raw``, and its calls with "try" may be used beside these.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import threading
import weakref
from types import TracebackType
from typing import Any, Callable, List, Optional, Sequence, Tuple, Type, TypeVar

import l3l2q
from l3l2q import Event, Header, Message, Opcode, Received, Reservation

__all__ = ["Consumer", "Endpoint", "Producer", "attach", "attach_external", "create"]

_T = TypeVar("_T")

# After so many calls in a row that did not have to wait, whichever endpoints they were for,
# let other tasks run. A turn of the loop, shared by as many, is a tenth of what a round trip
# takes; and with the longest looks other tasks wait for less than a millisecond.
_FAIR = 64
# How long a thread waits at a time for an endpoint without a descriptor.
_SLICE = 0.1

# A window of 1 would have peek() get the message that the loop has views of again.
_FULL = "the window is full: a message has to be released first"

# As ints: an operation on Event takes longer than all else that a wait does here.
_IN = int(Event.IN)
_OUT = int(Event.OUT)
_ENDED = int(Event.ABORT | Event.HUP)


class _Streak:
    """Calls since the loop last had a turn."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class _Thread(threading.local):
    def __init__(self) -> None:
        self.streak = _Streak()


_thread = _Thread()


class Endpoint:
    """An endpoint of l3l2q whose halves wait by await."""

    def __init__(self, raw: l3l2q.Endpoint) -> None:
        self.raw = raw
        self.producer = Producer(self)
        self.consumer = Consumer(self)
        self._waiters: List[Tuple[int, asyncio.Future[None]]] = []
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._watched = 0
        self._writable = 0
        self._fd: Optional[int] = None

    def close(self) -> None:
        """Close the endpoint; tasks that wait for it get Closed."""
        self._unwatch()
        self.raw.close()
        self._wake(_IN | _OUT)

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    async def wait(self, event: Event) -> None:
        """Sleep until there may be something to receive (IN) or room to send (OUT)."""
        if event not in (_IN, _OUT, _IN | _OUT):
            raise l3l2q.InvalidArgument(errno.EINVAL, "event is made of IN and OUT", "wait")
        await self._wait(int(event))

    async def _wait(self, event: int) -> None:
        loop = self._bind()
        if self._fd is None:
            await self._wait_in_thread(loop, event)
            return
        waiter = (event, loop.create_future())
        self._waiters.append(waiter)
        try:
            self._arm()
            await waiter[1]
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _bind(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            try:
                self._fd = self.raw.fileno()
                # Room makes the driver's descriptor writable, and those of others readable.
                if self.raw.info.transport == "driver":
                    self._writable = _OUT
            except l3l2q.Unavailable:
                self._fd = None
        elif self._loop is not loop:
            raise RuntimeError("the endpoint belongs to another event loop")
        return loop

    async def _wait_in_thread(self, loop: asyncio.AbstractEventLoop, event: int) -> None:
        while not await loop.run_in_executor(None, self.raw.wait, event, _SLICE):
            pass

    def _wake(self, events: int) -> None:
        """Wake the tasks that wait for one of these events."""
        if events & _ENDED:
            events |= _IN | _OUT
        for event, future in self._waiters:
            if event & events and not future.done():
                future.set_result(None)
        self._waiters = [w for w in self._waiters if not w[1].done()]

    def _arm(self) -> None:
        """Have the descriptor tell of what tasks wait for, or wake them."""
        while self._waiters:
            wanted = 0
            for event, _ in self._waiters:
                wanted |= event
            try:
                ready = int(self.raw.arm(wanted))
            except l3l2q.Error:
                # The calls that they make next say what it is.
                ready = wanted
            if not ready:
                self._watch(wanted & self._writable | _IN)
                return
            self._wake(ready)

    def _watch(self, events: int) -> None:
        """Have the loop look at the descriptor for these, and for nothing else."""
        if self._loop is None or self._fd is None or events == self._watched:
            return
        changed, self._watched = events ^ self._watched, events
        if self._loop.is_closed():
            return
        for event, add, remove in (
            (_IN, self._loop.add_reader, self._loop.remove_reader),
            (_OUT, self._loop.add_writer, self._loop.remove_writer),
        ):
            if event & changed & events:
                add(self._fd, self._ready)
            elif event & changed:
                remove(self._fd)

    def _unwatch(self) -> None:
        self._watch(0)

    def _ready(self) -> None:
        # It stays ready until it is armed: without a task that waits, stop looking.
        if not self._waiters:
            self._unwatch()
        self._arm()


def _fixed(values: Sequence[Any]) -> Sequence[Any]:
    """What each attempt finds as it is now: a list may change, and an iterator be at its end."""
    return tuple(values) if type(values) is list or hasattr(values, "__next__") else values


class _Half:
    """What the halves share: try, look, and wait if that did nothing.

    The calls for single messages have _now() written out, which saves a fifth of what they do.
    """

    _event: int
    raw: Any

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    @functools.cached_property
    def _streak(self) -> _Streak:
        # First used in the loop's thread, and a thread runs one loop.
        return _thread.streak

    def _now(self, attempt: Callable[..., Optional[_T]], *args: Any) -> Optional[_T]:
        """What an attempt returns, which is false if there has to be a turn of the loop."""
        streak = self._streak
        if streak.calls >= _FAIR:
            return None
        result = attempt(*args)
        if not result and self.raw.look():
            result = attempt(*args)
        if result:
            streak.calls += 1
        return result

    async def _later(self, attempt: Callable[..., Any], *args: Any) -> Any:
        """The same where that was false: wait until it is not."""
        streak = self._streak
        result = None
        if streak.calls >= _FAIR:
            streak.calls = 0
            await asyncio.sleep(0)
            result = self._now(attempt, *args)
        while not result:
            self._check()
            streak.calls = 0
            await self.endpoint._wait(self._event)
            result = attempt(*args)
        return result

    def _check(self) -> None:
        """Raise where waiting would not end."""


class Producer(_Half):
    """The sending half of an endpoint."""

    _event = _OUT

    @functools.cached_property
    def raw(self) -> l3l2q.Producer:
        """The producer inside."""
        return self.endpoint.raw.producer

    async def enqueue(self, body: Any = None, *, opcode: int = Opcode.DATA) -> None:
        """Send a message, and wait for room. The body is copied."""
        raw, streak = self.raw, self._streak
        sent = False
        if streak.calls < _FAIR:
            sent = raw.try_enqueue(body, opcode)
            if not sent and raw.look():
                sent = raw.try_enqueue(body, opcode)
            streak.calls += 1
        if not sent:
            await self._later(raw.try_enqueue, body, opcode)

    async def enqueuev(self, parts: Sequence[Any], *, opcode: int = Opcode.DATA) -> None:
        """Send one message whose body is gathered from several buffers."""
        attempt, parts = self.raw.try_enqueuev, _fixed(parts)
        self._now(attempt, parts, opcode) or await self._later(attempt, parts, opcode)

    async def enqueue_run(self, bodies: Sequence[Any], *, opcode: int = Opcode.DATA) -> int:
        """Send messages that are published at once; return how many, at least one."""
        attempt, bodies = self.raw.try_enqueue_run, _fixed(bodies)
        if not bodies:
            return 0
        return self._now(attempt, bodies, opcode) or await self._later(attempt, bodies, opcode)

    async def reserve(self, nbytes: int, count: int = 1) -> Reservation:
        """Take spans of the arena to write messages in place."""
        attempt = self.raw.try_reserve
        return self._now(attempt, nbytes, count) or await self._later(attempt, nbytes, count)

    async def stop(self) -> None:
        """Send STOP, the last message of the input. L3 only."""
        attempt = self.raw.try_stop
        self._now(attempt) or await self._later(attempt)


class Consumer(_Half):
    """The receiving half of an endpoint.

    Iteration yields messages until STOP, or until the other side has detached. The loop
    releases the message that it got when it asks for the next one, or, if views of it are
    in use, with the last of them.
    """

    _event = _IN

    @functools.cached_property
    def raw(self) -> l3l2q.Consumer:
        """The consumer inside."""
        return self.endpoint.raw.consumer

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._last: Optional[weakref.ref[Message]] = None

    async def peek(self) -> Message:
        """Acquire the next message, to read it in place."""
        raw, streak = self.raw, self._streak
        result = None
        if streak.calls < _FAIR:
            result = raw.try_peek()
            if not result and raw.look():
                result = raw.try_peek()
            streak.calls += 1
        return result or await self._later(raw.try_peek)

    async def peek_run(self, limit: int) -> List[Message]:
        """Acquire up to limit messages, at least one."""
        attempt = self.raw.try_peek_run
        return self._now(attempt, limit) or await self._later(attempt, limit)

    async def dequeue(self) -> Received:
        """Receive a message as bytes and release it."""
        raw, streak = self.raw, self._streak
        result = None
        if streak.calls < _FAIR:
            result = raw.try_dequeue()
            if not result and raw.look():
                result = raw.try_dequeue()
            streak.calls += 1
        return result or await self._later(raw.try_dequeue)

    async def dequeue_into(self, buffer: Any) -> Header:
        """Receive a message into a buffer."""
        raw, streak = self.raw, self._streak
        result = None
        if streak.calls < _FAIR:
            result = raw.try_dequeue_into(buffer)
            if not result and raw.look():
                result = raw.try_dequeue_into(buffer)
            streak.calls += 1
        return result or await self._later(raw.try_dequeue_into, buffer)

    def _check(self) -> None:
        if self.raw.full:
            # The call that may block raises, since it would block for ever.
            self.raw.peek(0)

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Message:
        kept, self._last = self._last, None
        last = kept() if kept is not None else None
        if last is not None and not last.released and not last.viewed:
            last.release()
        del last
        if self.raw.drained:
            raise StopAsyncIteration
        try:
            message = await self.peek()
        except l3l2q.PeerDetached:
            raise StopAsyncIteration from None
        if message.opcode == Opcode.STOP:
            message.release()
            raise StopAsyncIteration
        self._last = weakref.ref(message)
        if self._last == kept:
            raise l3l2q.BusyError(errno.EBUSY, _FULL, "consumer.__anext__")
        return message


def create(*args: Any, **kwargs: Any) -> Endpoint:
    """l3l2q.create() for asyncio."""
    return Endpoint(l3l2q.create(*args, **kwargs))


def attach(*args: Any, **kwargs: Any) -> Endpoint:
    """l3l2q.attach() for asyncio."""
    return Endpoint(l3l2q.attach(*args, **kwargs))


def attach_external(*args: Any, **kwargs: Any) -> Endpoint:
    """l3l2q.attach_external() for asyncio."""
    return Endpoint(l3l2q.attach_external(*args, **kwargs))
