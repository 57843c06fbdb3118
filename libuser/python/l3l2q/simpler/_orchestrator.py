# SPDX-License-Identifier: MIT
"""What the stand-in orchestrators of the generations have in common."""

from __future__ import annotations

import itertools
import weakref
from types import TracebackType
from typing import Any, Dict, List, Optional, Tuple, Type, TypeVar, Union

from . import memory
from ._region import OrchRegion, RegionInstance, fatal_region

S = TypeVar("S", bound="StandIn")


class StandIn:
    """Makes regions for one orchestration run, which ends with ``close`` or the with block.

    :param source: a transport of :func:`l3l2q.create`, such as "memfd" or "driver", a source
        of :mod:`l3l2q.simpler.memory`, or None for an orchestrator that no worker is bound to
    :param workers: number of workers; worker ids are counted from 0
    :param attributes: for :func:`l3l2q.create`, if ``source`` is a transport
    """

    _region_version = 0x20000
    _one_thread = True

    def __init__(
        self,
        source: Union[str, memory.Source, None] = "memfd",
        *,
        workers: int = 1,
        **attributes: Any,
    ) -> None:
        if isinstance(source, str):
            source = memory.native(source, **attributes)
        elif attributes:
            raise TypeError(f"only a transport takes attributes: {', '.join(attributes)}")
        elif source is not None and not callable(source):
            raise TypeError(
                "source must be the name of a transport, a source of l3l2q.simpler.memory or "
                f"None, not {type(source).__name__}"
            )
        self._source = source
        self._workers = workers
        self._closed = False
        self._submitted = False
        self._failed = False
        self._ids = itertools.count(1)
        self._instances: Dict[int, RegionInstance] = {}
        self._regions: List[OrchRegion] = []
        self._allocated: "weakref.WeakSet[Any]" = weakref.WeakSet()

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc_value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the run: every region of it expires, and its memory is given back."""
        self._closed = True
        for region in self._regions:
            region._expired = True
        for instance in self._instances.values():
            instance.close()

    def note_submit(self) -> None:
        """Tell that the run has submitted its first task."""
        self._submitted = True

    def note_fatal(self, text: str) -> None:
        """Tell what L2 reported as fatal: the region that the text names is poisoned."""
        self._poison_region(fatal_region(text), text)

    def _poison_region(self, region_id: Optional[int], text: str) -> None:
        for region in self._regions:
            if region.region_id == region_id:
                self._failed = True
                region._poison(RuntimeError(text))

    def open_peer(self, queue_or_region: Any) -> int:
        """A descriptor of the L2 end, once; :func:`l3l2q.attach` makes an endpoint of it."""
        region = getattr(queue_or_region, "region", queue_or_region)
        return self._instances[region.region_id].memory.open_peer()

    def _is_registered(self, buffer: Any) -> bool:
        return buffer in self._allocated

    def _to_bytes(self, buffer: Any, writable: bool) -> memoryview:
        """What the generation's regions take for a host buffer; ValueError."""
        raise NotImplementedError

    def _check_run(self) -> None:
        """RuntimeError unless regions can be made now."""
        if self._source is None:
            raise RuntimeError("orchestrator is not bound to a worker")
        if self._closed:
            raise RuntimeError("worker is not initialised, or the run has ended")

    def _check_worker(self, worker_id: int) -> int:
        if not 0 <= worker_id < self._workers:
            raise ValueError(f"worker_id must be from 0 to {self._workers - 1}, not {worker_id}")
        return worker_id

    def _allocate(
        self,
        worker_id: int,
        payload_bytes: int,
        counter_bytes: int,
        queue: Optional[Tuple[int, int, int]] = None,
        identity: Optional[Tuple[int, int]] = None,
    ) -> Tuple[int, RegionInstance]:
        """A region's id and its instance."""
        if payload_bytes <= 0:
            raise ValueError(f"payload_bytes must be positive, not {payload_bytes}")
        if counter_bytes <= 0 or counter_bytes % 4:
            raise ValueError(f"counter_bytes must be a positive multiple of 4, not {counter_bytes}")
        worker = self._check_worker(worker_id)
        self._check_run()
        assert self._source is not None
        request = memory.Request(
            worker,
            next(self._ids),
            self._region_version,
            payload_bytes,
            counter_bytes,
            queue,
            identity,
        )
        made = self._source(request)
        region_id = request.region_id if identity else made.scalars[1]
        instance = RegionInstance(
            made, worker, payload_bytes, counter_bytes, self._to_bytes, self._one_thread
        )
        self._instances[region_id] = instance
        return region_id, instance


class RegionOrchestrator(StandIn):
    __doc__ = StandIn.__doc__

    def _build_region(self, instance: RegionInstance) -> OrchRegion:
        raise NotImplementedError

    def _make_region(
        self,
        worker_id: Any,
        payload_bytes: Any,
        counter_bytes: Any,
        queue: Optional[Tuple[int, int, int]] = None,
    ) -> Any:
        _, instance = self._allocate(
            int(worker_id), int(payload_bytes), int(counter_bytes), queue
        )
        region = self._build_region(instance)
        self._regions.append(region)
        return region

    def _create_queue_region(self, worker_id: Any, layout: Any) -> Any:
        sizes = layout.payload_bytes, layout.counter_bytes
        return self._make_region(worker_id, *sizes, queue_shape(layout))


def queue_shape(layout: Any) -> Tuple[int, int, int]:
    return layout.depth, layout.input_arena_bytes, layout.output_arena_bytes
