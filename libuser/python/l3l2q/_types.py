# SPDX-License-Identifier: MIT
"""Constants and descriptions: what endpoints take and report."""

from __future__ import annotations

import enum
from typing import NamedTuple, Optional, Tuple


class Role(enum.IntEnum):
    """The two ends of a region."""

    L3 = 0
    L2 = 1


class Opcode(enum.IntEnum):
    """What a message is. STOP ends the input and has no body; ERROR is the application's."""

    INVALID = 0
    DATA = 1
    STOP = 2
    ERROR = 3


class ErrorKind(enum.IntEnum):
    """Kind of the first error of an endpoint, which sticks."""

    NONE = 0
    BAD_ARGUMENT = 1
    BAD_DESCRIPTOR = 2
    INVALID_DESCRIPTOR = 3
    OUT_OF_SPACE = 4
    OWNERSHIP = 5
    REMOTE_ABORTED = 6
    ENDPOINT_ERROR = 7


class NotifyOp(enum.IntEnum):
    """How :meth:`Endpoint.notify` changes a counter."""

    SET = 0
    ADD = 1


class Compare(enum.IntEnum):
    """Signed comparison of a counter with a value: EQ holds if counter == value, and so on."""

    EQ = 0
    NE = 1
    GT = 2
    GE = 3
    LT = 4
    LE = 5


class Memory(enum.IntEnum):
    """Type of a mapping; COPIED memory is reached by functions that copy."""

    CACHED = 0
    WC = 1
    DEVICE = 2
    COPIED = 4


class Binding(enum.IntEnum):
    """How the scalars describe a queue to L2: twelve of "L3Q2" 1.1 or ten of "SPSQ" 1.0."""

    L3Q2 = 0
    SPSQ = 1


class Event(enum.IntFlag):
    """What :meth:`Endpoint.wait` and :meth:`Endpoint.arm` report.

    They can be asked for IN and OUT; the others are always reported.
    """

    IN = 1
    OUT = 2
    ABORT = 4
    HUP = 8


class EventFdKind(enum.IntEnum):
    """The event that :meth:`Endpoint.eventfd` signals a descriptor for."""

    IN = 0
    OUT = 1
    ABORT = 2


class Range(enum.IntEnum):
    """The ranges of a region, for functions that copy."""

    PAYLOAD = 0
    COUNTERS = 1


class Layout(NamedTuple):
    """Offsets and sizes in the payload range of a queue, in bytes."""

    depth: int
    input_desc_offset: int
    output_desc_offset: int
    input_arena_offset: int
    output_arena_offset: int
    input_arena_bytes: int
    output_arena_bytes: int
    payload_bytes: int
    counter_bytes: int


class Info(NamedTuple):
    """What an endpoint is.

    ``payload`` and ``counters`` are addresses in this process, 0 with copied memory; they
    are valid until the endpoint is closed. ``layout`` is None for a raw region.
    """

    transport: str
    role: Role
    memory: Memory
    window: int
    region_version: int
    region_id: int
    payload: int
    counters: int
    payload_bytes: int
    counter_bytes: int
    layout: Optional[Layout]
    backend: str
    copy_path: str
    binding: Binding
    identity: Tuple[int, int]
    tag: str


class Stats(NamedTuple):
    """Counts since the endpoint was made."""

    sent: int
    received: int
    sent_bytes: int
    received_bytes: int
    kicks: int
    sleeps: int
    spins: int
    syscalls: int
    membarriers: int


class Failure(NamedTuple):
    """The first error of an endpoint: its kind, the queue it belongs to, and why."""

    kind: ErrorKind
    binding: Binding
    region_id: int
    identity: Tuple[int, int]
    op: str
    message: str
