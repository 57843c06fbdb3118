# SPDX-License-Identifier: GPL-2.0-only
"""The same random calls over the reference's seam and over each memory of this library.

Results, exception types and every shared byte have to be the same after each call: good calls
and mistakes, a peer that keeps to the rules and one that does not.
"""

from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, Tuple

import pytest

import simpler_util as util
from simpler_util import GENERATIONS, Generation, Rig

CALLS = 120
Step = Callable[[Rig], Any]


def plain(value: Any) -> Any:
    """A result that can be compared with that of another queue."""
    if hasattr(value, "payload_nbytes"):
        return value.seq, int(value.opcode), value.payload_offset, value.payload_nbytes
    return value


def outcome(step: Step, rig: Rig) -> Tuple[Any, ...]:
    try:
        return "returned", plain(step(rig))
    except Exception as error:
        return "raised", type(error).__name__


def sends(dice: random.Random) -> List[Step]:
    body = dice.randbytes(dice.choice((1, 30, 63, 64, 100, 128, 129)))
    size = len(body)
    wrong = dice.choice((-1, 0, size + 1))
    timeout = dice.choice((0, -1.0, None))
    return [
        lambda rig: rig.queue.input.try_enqueue(body, size),
        lambda rig: rig.queue.input.try_enqueue(body, size),
        lambda rig: rig.queue.input.try_enqueue(None, 0),
        lambda rig: rig.queue.input.enqueue(body, size, 1e-6),
        lambda rig: rig.queue.input.enqueue(None, 0, 1e-6),
        lambda rig: rig.queue.input.try_enqueue(body, wrong),
        lambda rig: rig.queue.input.enqueue(body, size, timeout),
    ]


def receives(dice: random.Random) -> List[Step]:
    size = dice.choice((0, 1, 64, 192))

    def into(rig: Rig) -> Any:
        buffer = bytearray(size)
        message = rig.queue.output.try_dequeue_into(buffer)
        return plain(message), bytes(buffer)

    def exactly(rig: Rig) -> Any:
        message = rig.queue.output.try_peek()
        if message is None:
            return None
        buffer = bytearray(message.payload_nbytes) or None
        rig.queue.output.read_into(message, buffer)
        rig.queue.output.release(message)
        return plain(message), bytes(buffer or b"")

    return [
        into,
        exactly,
        exactly,
        exactly,
        lambda rig: rig.queue.output.try_peek(),
        lambda rig: rig.queue.output.peek(1e-6),
        lambda rig: rig.queue.output.try_dequeue_into(None),
        lambda rig: rig.queue.output.dequeue_into(b"read-only", 1e-6),
    ]


def peer_steps(dice: random.Random) -> List[Step]:
    body = dice.randbytes(dice.choice((0, 1, 50, 96)))
    opcode = dice.choice((util.DATA, util.ERROR))

    def send(rig: Rig) -> None:
        if rig.peer.sent - rig.peer.output_head() < 4:
            rig.peer.send(body, opcode)

    def consume(rig: Rig) -> Any:
        if rig.peer.taken < rig.peer.input_tail():
            return rig.peer.consume()
        return None

    return [send, send, send, consume, consume, consume]


def rare_steps(dice: random.Random) -> List[Step]:
    offset = dice.choice((0, 256, 384, 400))
    slot = (dice.randrange(9), dice.randrange(6), offset, dice.randrange(99))
    where = dice.choice((util.HEAD_IN, util.TAIL_OUT))
    value = dice.randrange(-3, 9)
    return [
        lambda rig: rig.queue.try_request_stop(),
        lambda rig: rig.queue.request_stop(1e-6),
        lambda rig: rig.queue.output.release(None),
        lambda rig: rig.queue.output.read_into(None, None),
        lambda rig: rig.queue.free(),
        lambda rig: rig.queue.region.free(),
        lambda rig: rig.peer.abort(),
        lambda rig: rig.peer.put_slot(*slot),
        lambda rig: rig.shared.store(where, value),
    ]


def choose(dice: random.Random) -> Step:
    makers: Dict[int, Callable[[random.Random], List[Step]]] = {
        0: sends,
        1: receives,
        2: peer_steps,
    }
    maker = rare_steps if dice.random() < 0.01 else makers[dice.randrange(3)]
    return dice.choice(maker(dice))


@pytest.mark.parametrize("kind", [kind for kind in util.MEMORIES if kind != "reference"])
@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
def test_lockstep(generation: Generation, kind: str) -> None:
    for seed in range(40):
        dice = random.Random(seed)
        rigs = [util.make_rig(generation, each) for each in ("reference", kind)]
        for _ in range(CALLS):
            step = choose(dice)
            one, other = [outcome(step, rig) for rig in rigs]
            assert one == other, f"seed {seed}"
            assert rigs[0].shared.snapshot() == rigs[1].shared.snapshot(), f"seed {seed}"
        util.close_rig(rigs[1])
