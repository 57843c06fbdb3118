# SPDX-License-Identifier: MIT
"""The wire format that the generations share: layout, descriptors, counters."""

from __future__ import annotations

import struct
from typing import Dict, Protocol, Tuple

U64_LIMIT = 1 << 64
MAX_DEPTH = 1 << 30
SLOT_BYTES = 32
RING_ALIGNMENT = 8
ARENA_ALIGNMENT = 64
COUNTER_STRIDE = 64
COUNTER_BYTES = 384

INPUT_TAIL = 0
INPUT_HEAD = 64
OUTPUT_TAIL = 128
OUTPUT_HEAD = 192
L3_ABORT = 256
L2_ABORT = 320
COUNTERS = (INPUT_TAIL, INPUT_HEAD, OUTPUT_TAIL, OUTPUT_HEAD, L3_ABORT, L2_ABORT)

INVALID, DATA, STOP, ERROR = range(4)

SLOT = struct.Struct("<QQQQ")
FIELDS = struct.Struct("<QQQ")  # a slot without its seq
SEQ = struct.Struct("<Q")


def pack_version(magic: int, major: int, minor: int) -> int:
    return magic << 32 | major << 16 | minor


QUEUE_MAGIC = 0x4C335132
QUEUE_VERSION = pack_version(QUEUE_MAGIC, 1, 1)
SPSQ_MAGIC = 0x53505351
SPSQ_VERSION = pack_version(SPSQ_MAGIC, 1, 0)
REGION_MAGIC = 0x4C334C32


class Layout(Protocol):
    """What every generation's layout has."""

    @property
    def depth(self) -> int: ...
    @property
    def input_desc_offset(self) -> int: ...
    @property
    def output_desc_offset(self) -> int: ...
    @property
    def input_arena_offset(self) -> int: ...
    @property
    def output_arena_offset(self) -> int: ...
    @property
    def input_arena_bytes(self) -> int: ...
    @property
    def output_arena_bytes(self) -> int: ...
    @property
    def payload_bytes(self) -> int: ...
    @property
    def counter_bytes(self) -> int: ...


def layout_fields(
    prefix: str, depth: int, input_arena_bytes: int, output_arena_bytes: int
) -> Dict[str, int]:
    """The fields that the layouts of all generations have, by name; ValueError."""
    if depth < 1 or depth > MAX_DEPTH or depth & (depth - 1):
        raise ValueError(f"{prefix} depth must be a power of two from 1 to 2^30, not {depth}")
    for name, size in (("input", input_arena_bytes), ("output", output_arena_bytes)):
        if size < 1 or size % ARENA_ALIGNMENT:
            raise ValueError(
                f"{prefix} {name}_arena_bytes must be a positive multiple of "
                f"{ARENA_ALIGNMENT}, not {size}"
            )
    input_arena = -(-2 * depth * SLOT_BYTES // ARENA_ALIGNMENT) * ARENA_ALIGNMENT
    output_arena = input_arena + input_arena_bytes
    payload_bytes = output_arena + output_arena_bytes
    if payload_bytes >= U64_LIMIT:
        raise ValueError(f"{prefix} payload does not fit in 64 bits")
    return {
        "depth": depth,
        "input_desc_offset": 0,
        "output_desc_offset": depth * SLOT_BYTES,
        "input_arena_offset": input_arena,
        "output_arena_offset": output_arena,
        "input_arena_bytes": input_arena_bytes,
        "output_arena_bytes": output_arena_bytes,
        "payload_bytes": payload_bytes,
        "input_desc_tail_offset": INPUT_TAIL,
        "input_desc_head_offset": INPUT_HEAD,
        "output_desc_tail_offset": OUTPUT_TAIL,
        "output_desc_head_offset": OUTPUT_HEAD,
        "counter_bytes": COUNTER_BYTES,
    }


def signed32(count: int) -> int:
    """The int32 that a counter holds for a count."""
    return ((count + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class Arena:
    """Where the bodies of one direction go."""

    __slots__ = ("offset", "size")

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size

    def place(self, cursor: int, nbytes: int) -> Tuple[int, int]:
        """Payload offset of a body of ``nbytes``, and the cursor behind it."""
        if not nbytes:
            return 0, cursor
        position = cursor % self.size
        if position + nbytes > self.size:
            cursor += self.size - position
            position = 0
        return self.offset + position, cursor + nbytes
