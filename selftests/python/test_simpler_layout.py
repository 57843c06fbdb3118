# SPDX-License-Identifier: GPL-2.0-only
"""Layouts, constants and names of l3l2q.simpler."""

from __future__ import annotations

import dataclasses
from typing import Any, List

import pytest

from l3l2q.simpler import g1, g2, g3
from simpler_util import G1, G2, G3, GENERATIONS, Generation

COMMON = ["depth", "input_desc_offset", "output_desc_offset", "input_arena_offset"]
COMMON += ["output_arena_offset", "input_arena_bytes", "output_arena_bytes", "payload_bytes"]
COUNTERS = [f"{way}_desc_{end}_offset" for way in ("input", "output") for end in ("tail", "head")]
SPSQ = ["depth", "input_arena_bytes", "output_arena_bytes", "input_desc_offset"]
SPSQ += ["output_desc_offset", "input_arena_offset", "output_arena_offset", "payload_bytes"]
FIELDS = {
    "g1": [*COMMON, *COUNTERS, "l3_abort_flag_offset", "l2_abort_flag_offset", "counter_bytes"],
    "g2": [
        *COMMON,
        *COUNTERS,
        "worker_abort_flag_offset",
        "chip_abort_flag_offset",
        "counter_bytes",
    ],
    "g3": [*SPSQ, *COUNTERS, "initiator_abort_offset", "peer_abort_offset", "counter_bytes"],
}

GOLDEN = [
    ((1, 64, 64), (32, 64, 128, 192)),
    ((4, 128, 192), (128, 256, 384, 576)),
    ((8, 192, 64), (256, 512, 704, 768)),
    ((2, 64, 128), (64, 128, 192, 320)),
    ((1 << 30, 64, 64), (1 << 35, 1 << 36, (1 << 36) + 64, (1 << 36) + 128)),
]


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


@pytest.mark.parametrize("shape, offsets", GOLDEN)
def test_golden_layouts(generation: Generation, shape: Any, offsets: Any) -> None:
    layout = generation.make_layout(*shape)
    assert (layout.depth, layout.input_arena_bytes, layout.output_arena_bytes) == shape
    assert layout.input_desc_offset == 0
    assert offsets == (
        layout.output_desc_offset,
        layout.input_arena_offset,
        layout.output_arena_offset,
        layout.payload_bytes,
    )
    assert [getattr(layout, name) for name in COUNTERS] == [0, 64, 128, 192]
    aborts = [getattr(layout, name) for name in FIELDS[generation.name][-3:]]
    assert aborts == [256, 320, 384]


def test_layout_fields_are_in_order_and_frozen(generation: Generation) -> None:
    layout = generation.make_layout(4, 128, 192)
    assert [field.name for field in dataclasses.fields(layout)] == FIELDS[generation.name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.depth = 8


@pytest.mark.parametrize(
    "shape",
    [
        (0, 64, 64),
        (-1, 64, 64),
        (3, 64, 64),
        (1 << 31, 64, 64),
        (4, 0, 64),
        (4, 64, 0),
        (4, 63, 64),
        (4, 64, 65),
        (4, -64, 64),
    ],
)
def test_invalid_layouts(generation: Generation, shape: Any) -> None:
    with pytest.raises(ValueError):
        generation.make_layout(*shape)


@pytest.mark.parametrize(
    "shape",
    [(1, (1 << 64) - 128, 64), (1, 64, (1 << 64) - 64), (1, 1 << 63, 1 << 63), (1, 1 << 64, 64)],
)
def test_layout_overflow(generation: Generation, shape: Any) -> None:
    with pytest.raises(ValueError):
        generation.make_layout(*shape)


def test_largest_layout(generation: Generation) -> None:
    layout = generation.make_layout(1, (1 << 64) - 64 - 64 - 64, 64)
    assert layout.payload_bytes == (1 << 64) - 64


def test_integers(generation: Generation) -> None:
    """G1 and G2 convert with int(); G3 takes nothing but an int."""
    if generation is G3:
        for shape in ((4.0, 64, 64), (True, 64, 64), (4, "64", 64), (4, 64, None)):
            with pytest.raises(TypeError):
                generation.make_layout(*shape)
        return
    assert generation.make_layout(4.0, "64", 64) == generation.make_layout(4, 64, 64)
    assert type(generation.make_layout(True, 64, 64).depth) is int
    with pytest.raises(TypeError):
        generation.make_layout(None, 64, 64)
    with pytest.raises(ValueError):
        generation.make_layout("many", 64, 64)


def test_opcodes(generation: Generation) -> None:
    module = generation.module
    opcode = module.L3L2QueueOpcode if generation is G1 else module.WorkerChipQueueOpcode
    assert {member.name: int(member) for member in opcode} == {
        "INVALID": 0,
        "DATA": 1,
        "STOP": 2,
        "ERROR": 3,
    }


VALUES = {
    "MAGIC": 0x4C335132,
    "ABI_MAJOR": 1,
    "ABI_MINOR": 1,
    "DESC_SLOT_BYTES": 32,
    "DESC_RING_ALIGNMENT": 8,
    "PAYLOAD_ARENA_ALIGNMENT": 64,
    "COUNTER_STRIDE": 64,
    "INPUT_DESC_TAIL_OFFSET": 0,
    "INPUT_DESC_HEAD_OFFSET": 64,
    "OUTPUT_DESC_TAIL_OFFSET": 128,
    "OUTPUT_DESC_HEAD_OFFSET": 192,
    "COUNTER_BYTES": 384,
    "MAX_DEPTH": 1 << 30,
}


def constants(module: Any, prefix: str) -> Any:
    names = [name for name in vars(module) if name.startswith(prefix)]
    return {name[len(prefix) :]: getattr(module, name) for name in names}


def test_constants() -> None:
    assert constants(g1.l3_l2_message_queue, "L3L2_QUEUE_") == {
        **VALUES,
        "L3_ABORT_FLAG_OFFSET": 256,
        "L2_ABORT_FLAG_OFFSET": 320,
    }
    assert constants(g2.worker_chip_message_queue, "WORKER_CHIP_QUEUE_") == {
        **VALUES,
        "WORKER_ABORT_FLAG_OFFSET": 256,
        "CHIP_ABORT_FLAG_OFFSET": 320,
    }
    assert constants(g3.worker_chip_message_queue, "WORKER_CHIP_QUEUE_") == {
        "DESC_SLOT_BYTES": 32,
        "COUNTER_BYTES": 384,
        "WORKER_ABORT_FLAG_OFFSET": 256,
        "CHIP_ABORT_FLAG_OFFSET": 320,
    }


def test_magic_versions() -> None:
    assert g1.l3_l2_queue_magic_version() == 0x4C33513200010001
    assert g2.worker_chip_queue_magic_version() == 0x4C33513200010001
    assert not hasattr(g3.worker_chip_message_queue, "worker_chip_queue_magic_version")


def test_generation_3_names_are_aliases() -> None:
    template = g3.comm_region_template
    assert g3.WorkerChipQueueOpcode is template.SpscQueueOpcode
    assert g3.WorkerChipQueueLayout is template._SpscQueueLayout
    assert g3.WorkerChipQueueMessage is template._SpscQueueMessage


def message_fields(message: Any) -> List[str]:
    return [field.name for field in dataclasses.fields(message)]


def test_messages() -> None:
    names = ["seq", "opcode", "payload_offset", "payload_nbytes"]
    assert message_fields(g1.L3L2QueueMessage) == names
    assert message_fields(g2.WorkerChipQueueMessage) == names
    assert message_fields(g3.WorkerChipQueueMessage) == [*names, "_owner_token"]
    opcode = g3.WorkerChipQueueOpcode.DATA
    assert g3.WorkerChipQueueMessage(1, opcode, 2, 3, "a") == g3.WorkerChipQueueMessage(
        1, opcode, 2, 3, "b"
    )


def test_signal_enumerations() -> None:
    for module in (g1.l3_l2_orch_comm, g2.comm_region, g3.comm_region):
        assert [op.name for op in module.NotifyOp] == ["Set", "Add"]
        assert [cmp.name for cmp in module.WaitCmp] == ["EQ", "NE", "GT", "GE", "LT", "LE"]
        assert [int(cmp) for cmp in module.WaitCmp] == list(range(6))
    commands = [command.name for command in g1.L3L2OrchCommCmd]
    assert commands[0] == "ALLOC_REGION" and commands[-1] == "SIGNAL_TEST"
    assert [int(command) for command in g1.L3L2OrchCommCmd] == list(range(1, 8))


def test_session_and_binding_golden_vector() -> None:
    template = g3.comm_region_template
    layout = g3.make_worker_chip_queue_layout(1, 64, 64)
    binding = template._make_binding(layout, bytes(range(1, 9)), 42, 0x1000, 0x2000)
    assert binding.scalars() == [
        0x5350535100010000,
        0x0807060504030201,
        42,
        0x1000,
        192,
        0x2000,
        384,
        1,
        64,
        64,
    ]
    for transaction in (0, -1):
        with pytest.raises(ValueError):
            template._make_binding(layout, bytes(8), transaction, 0x1000, 0x2000)
    with pytest.raises(ValueError):
        template._make_binding(layout, bytes(7), 1, 0x1000, 0x2000)
