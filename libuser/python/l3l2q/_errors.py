# SPDX-License-Identifier: MIT
"""Exceptions of the library's calls.

    Error(OSError)
      Timeout(TimeoutError)                 the time passed; nothing was changed
      Interrupted(InterruptedError)         Endpoint.interrupt() ended the call
      InvalidArgument(ValueError)           a bad argument; nothing was changed
        TooLarge                            larger than the arena, or than the buffer
        HandleError                         a message or span that was given back already
      BusyError                             another thread is in this half, a message or span
                                            is held, or the other end was handed out before
      Unavailable                           no driver, device or permission
      Closed                                this side ended: closed, detached, or after STOP
      NotPermitted(PermissionError)         not for this role or end
        WrongProcess                        the endpoint belongs to the parent process
      PeerGone(ConnectionError)             the other side ended
        PeerDetached(BrokenPipeError)       cleanly
        PeerAborted(ConnectionAbortedError) it aborted or died, or its memory was removed
      Poisoned                              the endpoint's first error, which sticks
        Aborted                             this side aborted, or the endpoint failed
        ProtocolError                       the other side broke the protocol
        OwnershipError                      a stale handle or a second reservation
"""

from __future__ import annotations

import os
from typing import Optional, Tuple

from ._types import Binding, ErrorKind, Failure


class Error(OSError):
    """Base of all. ``errno`` and ``strerror`` are set as for any OSError."""

    op: str
    """The call that raised, such as ``"producer.enqueue"``."""
    kind: ErrorKind
    """Kind of the endpoint's first error; NONE if it lives on."""
    region_id: int
    """The region; 0 if there is none yet."""
    binding: Binding
    identity: Tuple[int, int]
    """Session bits and transaction of an SPSQ queue, else zeroes."""
    failure: Optional[Failure]
    """The endpoint's first error in full, or None."""

    def __init__(
        self,
        errno: int = 0,
        strerror: Optional[str] = None,
        op: str = "",
        failure: Optional[Failure] = None,
        region_id: int = 0,
    ) -> None:
        # OSError takes its arguments in __new__ unless a subclass has an __init__.
        OSError.__init__(self, errno, strerror or os.strerror(errno))
        self.op = op
        self.failure = failure
        self.kind = failure.kind if failure else ErrorKind.NONE
        self.region_id = failure.region_id if failure else region_id
        self.binding = failure.binding if failure else Binding.L3Q2
        self.identity = failure.identity if failure else (0, 0)

    def __str__(self) -> str:
        text = f"{self.op}: {self.strerror}" if self.op else f"{self.strerror}"
        if self.failure:
            text += f" ({self.failure.op}: {self.failure.message})"
        if self.binding is Binding.SPSQ:
            text += f" [session {self.identity[0]:#x}, transaction {self.identity[1]}]"
        elif self.region_id:
            text += f" [region {self.region_id:#x}]"
        return text


class Timeout(Error, TimeoutError):
    """The time passed; nothing was changed."""


class Interrupted(Error, InterruptedError):
    """Endpoint.interrupt() ended the call; nothing was changed."""


class InvalidArgument(Error, ValueError):
    """A bad argument; nothing was changed."""


class TooLarge(InvalidArgument):
    """The message is larger than the arena, or than the buffer that it should go to."""


class HandleError(InvalidArgument):
    """The message or the span was given back already."""


class BusyError(Error):
    """Another thread's call, a held message or a reserved span has to end first.

    Or the other end was handed out before, or is attached.
    """


class Unavailable(Error):
    """There is no driver, no such device, or no permission to use it."""


class Closed(Error):
    """This side ended: it was closed or detached, or STOP was sent."""


class NotPermitted(Error, PermissionError):
    """The call is not for this role, or not for this end of the region."""


class WrongProcess(NotPermitted):
    """The endpoint belongs to the process that made it, and this is a child of it."""


class PeerGone(Error, ConnectionError):
    """The other side ended."""


class PeerDetached(PeerGone, BrokenPipeError):
    """The other side ended cleanly, and all that it sent was received."""


class PeerAborted(PeerGone, ConnectionAbortedError):
    """The other side aborted or died, or the memory was removed."""


class Poisoned(Error):
    """The endpoint has failed; its first error sticks."""


class Aborted(Poisoned):
    """This side was aborted, or anything else that ends an endpoint."""


class ProtocolError(Poisoned):
    """The other side broke the protocol, or its description was refused."""


class OwnershipError(Poisoned):
    """A stale handle, or a second reservation."""
