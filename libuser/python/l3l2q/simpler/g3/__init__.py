# SPDX-License-Identifier: MIT
"""The third generation, SPSQ 1.0: names ``WorkerChip*`` and ten scalars.

Where the reference has ``simpler.worker_chip_message_queue``, ``simpler.comm_region_template``,
``simpler.comm_region`` and ``simpler.buffer``, this package has modules of the same names.
"""

from . import (
    buffer,
    comm_region,
    comm_region_template,
    worker_chip_message_queue,
    worker_chip_orch_comm,
)
from .buffer import AccessMode, Buffer, BufferKind, DataType
from .comm_region import NotifyOp, RegionInstance, SignalTestResult, WaitCmp
from .comm_region_template import SpscQueueOpcode
from .orchestrator import Orchestrator
from .worker_chip_message_queue import (
    WorkerChipQueue,
    WorkerChipQueueLayout,
    WorkerChipQueueMessage,
    WorkerChipQueueOpcode,
    create_worker_chip_queue,
    make_worker_chip_queue_layout,
)
from .worker_chip_orch_comm import (
    WorkerChipOrchCounter,
    WorkerChipOrchRegion,
    WorkerChipOrchRegionDesc,
)

__all__ = [
    "AccessMode",
    "Buffer",
    "BufferKind",
    "DataType",
    "NotifyOp",
    "Orchestrator",
    "RegionInstance",
    "SignalTestResult",
    "SpscQueueOpcode",
    "WaitCmp",
    "WorkerChipOrchCounter",
    "WorkerChipOrchRegion",
    "WorkerChipOrchRegionDesc",
    "WorkerChipQueue",
    "WorkerChipQueueLayout",
    "WorkerChipQueueMessage",
    "WorkerChipQueueOpcode",
    "buffer",
    "comm_region",
    "comm_region_template",
    "create_worker_chip_queue",
    "make_worker_chip_queue_layout",
    "worker_chip_message_queue",
    "worker_chip_orch_comm",
]
