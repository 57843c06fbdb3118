# SPDX-License-Identifier: MIT
"""The SPSC queue template of the third generation: simpler.comm_region_template."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Callable, List, NoReturn, Tuple, TypeVar

from .. import _wire
from .._hostmem import HostBytes
from .._region import port_of
from .._rings import InputRing, OutputRing, Scratch, Slot, message_maker

__all__ = ["SpscQueueOpcode"]

T = TypeVar("T")

PREFIX = "SPSC queue"
OUTPUT_OPCODES = frozenset((_wire.DATA, _wire.ERROR))


class SpscQueueOpcode(enum.IntEnum):
    """What a message is."""

    INVALID = 0
    DATA = 1
    STOP = 2
    ERROR = 3


@dataclasses.dataclass(frozen=True)
class _SpscQueueLayout:
    """Where the parts of a queue are in its region."""

    depth: int
    input_arena_bytes: int
    output_arena_bytes: int
    input_desc_offset: int
    output_desc_offset: int
    input_arena_offset: int
    output_arena_offset: int
    payload_bytes: int
    input_desc_tail_offset: int
    input_desc_head_offset: int
    output_desc_tail_offset: int
    output_desc_head_offset: int
    initiator_abort_offset: int
    peer_abort_offset: int
    counter_bytes: int

    @classmethod
    def create(
        cls, depth: int, input_arena_bytes: int, output_arena_bytes: int
    ) -> _SpscQueueLayout:
        """The layout of a queue; TypeError unless all three are ints, ValueError."""
        given = {
            "depth": depth,
            "input_arena_bytes": input_arena_bytes,
            "output_arena_bytes": output_arena_bytes,
        }
        for name, value in given.items():
            if type(value) is not int:
                raise TypeError(f"{PREFIX} {name} must be an int, not {type(value).__name__}")
        fields = _wire.layout_fields(PREFIX, depth, input_arena_bytes, output_arena_bytes)
        return cls(
            **fields, initiator_abort_offset=_wire.L3_ABORT, peer_abort_offset=_wire.L2_ABORT
        )


@dataclasses.dataclass(frozen=True)
class _SpscQueueMessage:
    """A message of the output. Only the object itself is a handle, not an equal one."""

    seq: int
    opcode: SpscQueueOpcode
    payload_offset: int
    payload_nbytes: int
    _owner_token: object = dataclasses.field(default=None, compare=False, repr=False)


_make_message = message_maker(_SpscQueueMessage, tuple(SpscQueueOpcode))


@dataclasses.dataclass(frozen=True)
class _SpscQueueBinding:
    """The ten scalars that L2 makes its endpoint of."""

    magic_version: int
    session_instance_id_bits: int
    transaction_id: int
    payload_base: int
    payload_bytes: int
    counter_base: int
    counter_bytes: int
    depth: int
    input_arena_bytes: int
    output_arena_bytes: int

    def scalars(self) -> List[int]:
        return list(dataclasses.astuple(self))


def _session_instance_id_to_bits(session_instance_id: bytes) -> int:
    """The eight bytes of a session's id as a number."""
    if len(session_instance_id) != 8:
        raise ValueError(f"{PREFIX} session instance id must have 8 bytes")
    return int.from_bytes(session_instance_id, "little")


def _make_binding(
    layout: _SpscQueueLayout,
    session_instance_id: bytes,
    transaction_id: int,
    payload_base: int,
    counter_base: int,
) -> _SpscQueueBinding:
    """The binding of a queue; ValueError."""
    if transaction_id < 1:
        raise ValueError(f"{PREFIX} transaction id must be positive")
    return _SpscQueueBinding(
        _wire.SPSQ_VERSION,
        _session_instance_id_to_bits(session_instance_id),
        transaction_id,
        payload_base,
        layout.payload_bytes,
        counter_base,
        layout.counter_bytes,
        layout.depth,
        layout.input_arena_bytes,
        layout.output_arena_bytes,
    )


class _Unique:
    """An object that stands for shared state: a copy of it would work on the same memory."""

    def _refuse_copy(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be copied")

    def __copy__(self) -> NoReturn:
        self._refuse_copy()

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self._refuse_copy()

    def __reduce__(self) -> NoReturn:
        self._refuse_copy()


class _BoundSpscQueue(_Unique):
    """A layout bound to an instance: this package's or the reference's.

    The instance has ``state``, ``payload_write(offset, buffer, nbytes)``, ``payload_read`` and
    ``counter(offset)`` with ``test``, ``wait`` and ``notify``.
    """

    def __init__(self, instance: Any, layout: _SpscQueueLayout, binding: _SpscQueueBinding) -> None:
        self.instance = instance
        sizes = (_wire.FIELDS.size, _wire.SEQ.size, _wire.SLOT.size)
        scratch = Scratch(*(HostBytes(b, b) for b in (memoryview(bytearray(n)) for n in sizes)))
        self.port = port_of(instance, scratch)
        self.layout = layout
        self.binding = binding
        self._taken = False

    def _take(self) -> Tuple[InputRing, OutputRing]:
        """The rings, for the one queue over it."""
        if self._taken:
            raise RuntimeError(f"{PREFIX} is bound to a queue already")
        self._taken = True
        common = (self.port, PREFIX, self.layout, _wire.signed32)
        rings = InputRing(*common), OutputRing(*common, OUTPUT_OPCODES, wraps_early=False)
        for ring in rings:
            ring.checks_abort = True
        return rings

    def make_message(self, slot: Slot) -> _SpscQueueMessage:
        message = _make_message(slot)
        message.__dict__["_owner_token"] = self
        return message


class _SpscQueuePlan(_Unique):
    """A queue that is to be made. It is bound once."""

    def __init__(self, layout: _SpscQueueLayout) -> None:
        self.layout = layout
        self._bound = False

    def bind(self, instance: Any, binding: _SpscQueueBinding) -> _BoundSpscQueue:
        if self._bound:
            raise RuntimeError(f"{PREFIX} plan was bound before")
        self._bound = True
        return _BoundSpscQueue(instance, self.layout, binding)


class _SpscQueueTemplate:
    """What the coordinator makes queues by. A config is (depth, input and output arena bytes)."""

    def plan(self, config: Tuple[int, int, int]) -> _SpscQueuePlan:
        return _SpscQueuePlan(_SpscQueueLayout.create(*config))


class _RegionTemplateCoordinator:
    """Makes an instance on a worker and what a template binds to it."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def _materialize(self, placement: Any, layout: _SpscQueueLayout) -> Any:
        """An instance on the worker, and the binding of a queue in it."""
        materialize = getattr(self._worker, "_materialize", None)
        if materialize is None:
            raise TypeError(
                f"{PREFIX} needs an Orchestrator of l3l2q.simpler.g3, "
                f"not {type(self._worker).__name__}; "
                "over an instance of the reference, build a _BoundSpscQueue"
            )
        return materialize(placement, layout)

    def create(
        self,
        template: _SpscQueueTemplate,
        config: Tuple[int, int, int],
        placement: Any,
        result_projector: Callable[[_BoundSpscQueue], T],
    ) -> T:
        """What ``result_projector`` makes of the queue; if it fails the instance is closed."""
        plan = template.plan(config)
        instance, binding = self._materialize(placement, plan.layout)
        try:
            return result_projector(plan.bind(instance, binding))
        except BaseException:
            instance.close()
            raise
