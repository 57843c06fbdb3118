# SPDX-License-Identifier: GPL-2.0-only
"""fuzz_calls.py SEED STEPS: random calls, from threads, signal handlers and children.

Anything may be refused; nothing may crash, hang, or raise what no caller would expect. It
ends like a program that tidies nothing up: with threads in calls and views of memory.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import threading
from typing import Any, Callable, Dict, List

import l3l2q
from l3l2q._l3l2q import Cursors
from native_util import ExternalRegion, create

EXPECTED = (
    l3l2q.Error,
    ValueError,
    TypeError,
    BufferError,
    IndexError,
    OverflowError,
    StopIteration,
    KeyboardInterrupt,
    AttributeError,
)
POOL = 24
SCALARS: List[Any] = [
    None, -1, 0, 1, 2, 3, 4, 7, 8, 63, 64, 100, 384, 4096, 2**31, 2**32, 2**63, 2**64, 0.5, -0.5,
    float("inf"), float("nan"), True, "text", b"", b"bytes", [], (), [b"a", b"b"], {}, object(),
    l3l2q.Opcode.DATA, l3l2q.Opcode.STOP, l3l2q.Event.IN, l3l2q,
]  # fmt: skip
NAMES = ["timeout", "opcode", "count", "body", "buffer", "limit", "offset", "value", "wrong"]
# Calls that would not end, or that end the process.
SKIP = {"__class__", "__init_subclass__", "__subclasshook__", "__reduce__", "__reduce_ex__"}


class Interrupt:
    """A handler that sometimes makes calls and sometimes raises."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        self.fuzzer = fuzzer

    def __call__(self, *_: Any) -> None:
        if self.fuzzer.calling and self.fuzzer.random.random() < 0.1:
            raise KeyboardInterrupt
        self.fuzzer.step(depth=1)


class Reentrant:
    """A tensor whose methods make calls, too."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        self.fuzzer = fuzzer
        self.data = bytearray(64)
        self.nbytes = 64

    def data_ptr(self) -> int:
        self.fuzzer.step(depth=1)
        return ctypes.addressof((ctypes.c_char * 64).from_buffer(self.data))


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool: List[Any] = []
        self.depth = 0
        self.calling = False

    def keep(self, value: Any) -> None:
        """Remember an object to call, in the place of another."""
        if value is None or isinstance(value, (int, float, str)):
            return
        if len(self.pool) < POOL:
            self.pool.append(value)
        else:
            self.pool[self.random.randrange(POOL)] = value

    def pick(self) -> Any:
        return self.random.choice(self.pool) if self.pool else None

    def argument(self) -> Any:
        kind = self.random.randrange(10)
        if kind < 5:
            return self.random.choice(SCALARS)
        if kind == 5:
            return bytearray(self.random.choice((0, 1, 64, 100, 5000)))
        if kind == 6:
            return bytes(self.random.choice((0, 1, 64, 4096, 40000)))
        if kind == 7 and not self.random.randrange(4):
            return Reentrant(self)
        return self.pick()

    def timeout(self) -> float:
        return self.random.choice((0, 1e-9, 1e-5, 1e-3))

    # What blocks gets a time-out that is short.

    def endpoints(self) -> None:
        window = self.random.choice((1, 2, 4, 8))
        kind = self.random.randrange(5)
        if kind == 0:
            self.keep(create(payload_bytes=4096, counter_bytes=256))
        elif kind == 1:
            region = ExternalRegion()
            how = self.random.choice(("buffers", "addresses", "functions"))
            ep = region.attach(how, l3l2q.Role(self.random.randrange(2)), window=window)
            # Addresses are only good while their memory is, and threads go on to the end.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(region))
            self.keep(ep)
        else:
            ep = create(window=window)
            self.keep(ep)
            self.keep(l3l2q.attach(ep.open_peer(), window=window))
            self.keep_cursors(ep)

    def keep_cursors(self, ep: Any) -> None:
        """Of the input or the output, or of what is neither."""
        slots, arena = self.random.choice(((0, 512), (256, 4608), (2**64 - 64, 4090)))
        cursors = Cursors(8, slots, arena, self.random.choice((4096, 1, 2**64 - 1)))
        ep.bind(cursors, self.random.choice((None, threading.get_ident())))
        self.keep(cursors)

    def cursors(self) -> None:
        cursors = self.pick()
        if isinstance(cursors, Cursors):
            body = self.random.choice((None, bytes(64), bytearray(40000), self.argument()))
            self.random.choice((cursors.take, lambda b: cursors.send(b, len(b or b""))))(body)
            if not self.random.randrange(8):
                setattr(cursors, self.random.choice(("tail", "head", "cursor", "freed")),
                        self.random.choice((0, 1, 2**31 - 1, 2**64 - 1)))  # fmt: skip

    def sends(self) -> None:
        ep = self.endpoint()
        body = self.random.choice((None, b"x", bytes(64), self.argument()))
        choice = self.random.randrange(5)
        if choice == 0:
            ep.producer.enqueue(body, self.timeout())
        elif choice == 1:
            self.keep(ep.producer.reserve(self.random.choice((0, 8, 64)), self.timeout()))
        elif choice == 2:
            ep.producer.enqueue_run([body] * 3, self.timeout())
        elif choice == 3:
            batch = ep.producer.batch()
            self.keep(batch)
            with batch:
                ep.producer.enqueue(body, self.timeout())
        else:
            ep.producer.enqueuev([body, b"tail"], self.timeout())

    def receives(self) -> None:
        ep = self.endpoint()
        choice = self.random.randrange(5)
        if choice == 0:
            self.keep(ep.consumer.peek(self.timeout()))
        elif choice == 1:
            for message in ep.consumer.peek_run(4, self.timeout()):
                self.keep(message)
        elif choice == 2:
            self.keep(ep.consumer.dequeue(self.timeout()))
        elif choice == 3:
            ep.consumer.dequeue_into(self.argument(), self.timeout())
        else:
            # Without this it would block for ever.
            ep.interrupt()
            self.keep(next(ep.consumer))

    def views(self) -> None:
        holder = self.pick()
        if isinstance(holder, memoryview):
            choice = self.random.randrange(4)
            if choice == 0:
                holder.release()
            elif choice == 1 and not holder.readonly:
                holder[:1] = b"!"
            elif choice == 2:
                self.keep(holder[1:])
            else:
                bytes(holder)
        elif isinstance(holder, (l3l2q.Message, l3l2q.Reservation)):
            self.keep(self.random.choice((memoryview, lambda h: h.data))(holder))

    def releases(self) -> None:
        holder = self.pick()
        if isinstance(holder, l3l2q.Message):
            self.random.choice((holder.release, holder.release_upto, holder.tobytes))()
        elif isinstance(holder, l3l2q.Reservation):
            self.random.choice((holder.commit, holder.cancel))()
        elif isinstance(holder, l3l2q.Consumer):
            holder.release([m for m in self.pool if isinstance(m, l3l2q.Message)])
        elif self.pool:
            self.pool.pop(self.random.randrange(len(self.pool)))

    def waits(self) -> None:
        ep = self.endpoint()
        choice = self.random.randrange(5)
        if choice == 0:
            ep.wait(self.random.randrange(4), self.timeout())
        elif choice == 1:
            ep.wait_counter(64, 5, 0, self.timeout())
        elif choice == 2:
            ep.arm()
        elif choice == 3:
            self.random.choice((ep.producer, ep.consumer)).look()
        else:
            ep.interrupt()

    def anything(self) -> None:
        """Any method or attribute with any arguments."""
        target = self.random.choice((self.pick(), self.pick(), l3l2q))
        names = [n for n in dir(target) if n not in SKIP]
        if not type(target).__module__.startswith("l3l2q") and target is not l3l2q:
            return
        name = self.random.choice(names)
        if name in ("peek", "dequeue", "enqueue", "enqueuev", "enqueue_run", "reserve", "stop",
                    "peek_run", "dequeue_into", "wait", "wait_counter", "__next__"):  # fmt: skip
            self.endpoint().interrupt()
            return
        if name in ("attach", "attach_external", "recv_fd", "send_fd", "eventfd", "open_peer"):
            # Numbers as descriptors or addresses are the caller's to answer for.
            return
        value = getattr(target, name)
        if callable(value) and not isinstance(value, type):
            arguments = [self.argument() for _ in range(self.random.randrange(4))]
            named: Dict[str, Any] = {}
            if not self.random.randrange(3):
                named[self.random.choice(NAMES)] = self.argument()
            value = value(*arguments, **named)
        self.keep(value)

    def ends(self) -> None:
        ep = self.endpoint()
        if not self.random.randrange(4):
            self.random.choice((ep.close, ep.close, ep.detach, ep.abort))()

    def corrupts(self) -> None:
        """What a peer that is broken writes."""
        ep = self.endpoint()
        if not self.random.randrange(8):
            # Those of its own counters that it may write are what the peer reads.
            ep.notify(64 * self.random.randrange(6), self.random.choice((1, 2, 100, -1)))

    def collects(self) -> None:
        gc.collect(0)

    def forks(self) -> None:
        if self.depth or self.random.randrange(30):
            return
        # What else runs in a fork is not made for exceptions of handlers.
        self.calling = False
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            try:
                for _ in range(20):
                    self.step(depth=1)
                del self.pool[:]
                gc.collect()
            except BaseException:
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            print(f"a child ended with {status}", file=sys.stderr, flush=True)
            os._exit(3)

    def endpoint(self) -> Any:
        found = [o for o in self.pool if isinstance(o, l3l2q.Endpoint) and not o.closed]
        return self.random.choice(found) if found else create(window=4)

    def step(self, depth: int = 0) -> None:
        actions: List[Callable[[], None]] = [
            self.endpoints, self.sends, self.sends, self.receives, self.receives, self.views,
            self.cursors, self.releases, self.releases, self.waits, self.anything, self.anything,
            self.ends, self.corrupts, self.collects, self.forks,
        ]  # fmt: skip
        self.depth += depth
        try:
            if self.depth < 3:
                self.calling = True
                self.random.choice(actions)()
        except EXPECTED:
            pass
        finally:
            self.calling = False
            self.depth -= depth


def main() -> None:
    seed, steps = int(sys.argv[1]), int(sys.argv[2])
    fuzzers = [Fuzzer(seed + i) for i in range(3)]
    # Threads share what they call.
    for fuzzer in fuzzers[1:]:
        fuzzer.pool = fuzzers[0].pool
        fuzzer.depth = 1

    def other(fuzzer: Fuzzer) -> None:
        try:
            while True:
                fuzzer.step()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(2)

    signal.signal(signal.SIGALRM, Interrupt(fuzzers[0]))
    for fuzzer in fuzzers[1:]:
        threading.Thread(target=other, args=(fuzzer,), daemon=True).start()
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    done = 0
    while done < steps:
        try:
            fuzzers[0].step()
            done += 1
        except KeyboardInterrupt:
            pass
    while signal.getsignal(signal.SIGALRM) is not signal.SIG_IGN:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
