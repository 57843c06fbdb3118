# SPDX-License-Identifier: GPL-2.0-only
"""Endpoints for tests, over the transport that L3L2Q_TRANSPORT names."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Callable, Dict, List, Optional

import l3l2q

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
