# SPDX-License-Identifier: GPL-2.0-only
"""Endpoints for tests, over the transport that L3L2Q_TRANSPORT names."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import l3l2q
from l3l2q import Range, Role

TRANSPORT = os.environ.get("L3L2Q_TRANSPORT", "memfd")
# Long enough for any machine: a call that takes that long has failed.
LONG = 60.0


def create(**options: Any) -> l3l2q.Endpoint:
    geometry: Dict[str, Any] = {"depth": 8, "input_arena_bytes": 4096, "output_arena_bytes": 4096}
    if "payload_bytes" in options:
        geometry = {}
    return l3l2q.create(TRANSPORT, **{**geometry, **options})


class Pair:
    """L3 and L2 of one region, in this process."""

    def __init__(self, window: int = 1, **options: Any) -> None:
        self.l3 = create(window=window, **options)
        self.l2 = l3l2q.attach(self.l3.open_peer(), window=window)

    def close(self) -> None:
        self.l2.close()
        self.l3.close()

    def fill_input(self) -> int:
        """Send until there is no room; return how many messages."""
        sent = 0
        while self.l3.producer.try_enqueue(b"full"):
            sent += 1
        return sent


def until(condition: Callable[[], Any]) -> None:
    """Let other threads and processes run until a condition holds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.0005)


class Caller:
    """A call in a thread, with what it returned or raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.raised: Optional[BaseException] = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self.call()
        except BaseException as error:  # the test looks at it
            self.raised = error

    def join(self) -> Caller:
        self.thread.join(LONG)
        assert not self.thread.is_alive(), "the call did not end"
        return self


def sleeping(ep: l3l2q.Endpoint, call: Callable[[], Any]) -> Caller:
    """Start a call that blocks, and wait until it sleeps."""
    before = ep.stats.sleeps
    caller = Caller(call)
    until(lambda: ep.stats.sleeps > before or not caller.thread.is_alive())
    return caller


def in_child(body: Callable[[], Any]) -> int:
    """Run a function in a forked child; return its exit status, 0 if it raised nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(int(LONG))
            body()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return wait_for(pid)


def wait_for(pid: int) -> int:
    """The exit status of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def bodies(messages: List[l3l2q.Message]) -> List[bytes]:
    return [m.tobytes() for m in messages]


PAYLOAD_BYTES, COUNTER_BYTES = 512 + 2 * 4096, 384


def scalars() -> Tuple[int, ...]:
    """Of an external region; the addresses in it are not used."""
    with l3l2q.create("memfd", depth=8, input_arena_bytes=4096, output_arena_bytes=4096) as ep:
        s = ep.scalars
    return (s[0], 7, 4096, PAYLOAD_BYTES, 65536, COUNTER_BYTES, *s[6:])


class ExternalRegion:
    """Two mappings, with buffers, addresses and copy functions of them."""

    def __init__(self) -> None:
        self.payload = mmap.mmap(-1, PAYLOAD_BYTES)
        self.counters = mmap.mmap(-1, COUNTER_BYTES)
        self.ranges = {Range.PAYLOAD: self.payload, Range.COUNTERS: self.counters}
        self.raising: Any = None
        self.keep: List[Any] = []

    def addresses(self) -> Tuple[int, int]:
        views = [ctypes.c_char.from_buffer(r) for r in (self.payload, self.counters)]
        self.keep += views
        return ctypes.addressof(views[0]), ctypes.addressof(views[1])

    def read(self, range: int, offset: int, nbytes: int) -> bytes:
        if self.raising:
            raise self.raising
        return self.ranges[Range(range)][offset : offset + nbytes]

    def write(self, range: int, offset: int, data: bytes) -> None:
        if self.raising:
            raise self.raising
        self.ranges[Range(range)][offset : offset + len(data)] = data

    def c_functions(self) -> Tuple[int, int]:
        payload, counters = self.addresses()
        at = {0: payload, 1: counters}
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p,
            ctypes.c_size_t,
        )

        def read(ctx: Any, range: int, offset: int, to: int, n: int) -> int:
            assert ctx == 4711
            ctypes.memmove(to, at[range] + offset, n)
            return 0

        def write(ctx: Any, range: int, offset: int, source: int, n: int) -> int:
            ctypes.memmove(at[range] + offset, source, n)
            return 0

        functions = prototype(read), prototype(write)
        self.keep += functions
        addresses = [ctypes.cast(f, ctypes.c_void_p).value for f in functions]
        assert addresses[0] and addresses[1]
        return addresses[0], addresses[1]

    def attach(self, kind: str, role: Role, **options: Any) -> l3l2q.Endpoint:
        if kind == "buffers":
            options.update(payload=self.payload, counters=self.counters)
        elif kind == "addresses":
            payload, counters = self.addresses()
            options.update(payload=payload, counters=counters)
        elif kind == "functions":
            options.update(read=self.read, write=self.write)
        else:
            read, write = self.c_functions()
            options.update(read=read, write=write, ctx=4711)
        return l3l2q.attach_external(scalars(), role=role, **options)
