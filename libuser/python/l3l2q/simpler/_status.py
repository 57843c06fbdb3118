# SPDX-License-Identifier: MIT
"""What ended a queue, and how a blocking call waits."""

from __future__ import annotations

import time
from typing import Any, Callable, NoReturn, Optional

from . import _wire

# The interval at which foreign memory is polled.
POLL_SECONDS = 50e-6
# The longest time that one call sleeps for.
LONGEST_SLEEP = 3600.0


class Status:
    """State of a queue. What is reported first: released, remote abort, poison, expiry."""

    def __init__(self, prefix: str, port: Any, region: Any) -> None:
        self.prefix = prefix
        self.released = False
        self.remote = False
        self.error: Optional[BaseException] = None
        self._region = region
        # The reference's regions of the second generation show it under another name.
        self._expiry = "_expired" if hasattr(region, "_expired") else "expired"
        self._ensure_region_live: Callable[[], Any] = getattr(
            region, "_ensure_live", lambda: None
        )
        self._port = port
        self._own_region = region if getattr(region, "_copies_here", False) else None

    def ensure_live(self) -> None:
        region = self._own_region
        if (
            region is not None
            and region._instance._live
            and region._error is None
            and self.error is None
            and not (region._released or region._expired or self.released or self.remote)
        ):
            return  # nothing has ended, so that the order does not matter
        if self.released:
            raise RuntimeError(f"{self.prefix} has been released")
        if self.remote:
            self.raise_remote()
        if self.error is not None:
            self.raise_poisoned(self.error)
        if getattr(self._region, self._expiry, False):
            raise RuntimeError(f"{self.prefix} expired after orchestration run")
        self._ensure_region_live()

    def raise_remote(self) -> NoReturn:
        raise RuntimeError(f"{self.prefix} remote abort observed")

    def raise_poisoned(self, error: BaseException) -> NoReturn:
        raise RuntimeError(f"{self.prefix} is poisoned: {error}")

    def poison(self, error: BaseException) -> None:
        """Keep the first error, and tell L2 by the flag."""
        if self.error is not None:
            return
        self.error = error
        self._port.unbind()
        try:
            self._port.set_abort_flag()
        except Exception as failure:
            self.note_unwritten(error, failure)

    def note_unwritten(self, error: BaseException, failure: Exception) -> None:
        """The flag could not be written. The first error says enough."""

    def check_peer(self) -> None:
        """RuntimeError if L2 has set its flag."""
        port = self._port
        try:
            port.enter()
            try:
                flag = port.load(_wire.L2_ABORT)
            except Exception as error:
                port.fail(error)
        except Exception as error:
            self.note_failure(error)
            raise
        if flag >= 1:
            self.remote = True
            self._port.unbind()
            self.raise_remote()

    def note_failure(self, error: BaseException) -> None:
        """Poison for what an access of shared memory has raised."""
        self.poison(error)


def pause(port: Any, offset: int, seen: int, seconds: float) -> bool:
    """Wait until a counter is no longer as it was seen, or for a while.

    Memory of this package sleeps in the kernel; what only the reference can access is
    polled. True: L2 has ended, and its flag says how.
    """
    sleep = getattr(port, "_pause", None)
    if sleep is not None:
        return bool(sleep(offset, seen, seconds))
    time.sleep(min(POLL_SECONDS, seconds))
    return False
