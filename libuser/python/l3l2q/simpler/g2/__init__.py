# SPDX-License-Identifier: MIT
"""The second generation: names ``WorkerChip*`` and ``create_worker_chip_queue``.

Where the reference has ``simpler.worker_chip_message_queue``, ``simpler.worker_chip_orch_comm``,
``simpler.comm_region`` and ``simpler.buffer``, this package has modules of the same names.
"""

from . import buffer, comm_region, worker_chip_message_queue, worker_chip_orch_comm
from .buffer import Buffer, DataType
from .comm_region import NotifyOp, RegionInstance, SignalTestResult, WaitCmp
from .orchestrator import Orchestrator
from .worker_chip_message_queue import (
    WorkerChipQueue,
    WorkerChipQueueLayout,
    WorkerChipQueueMessage,
    WorkerChipQueueOpcode,
    create_worker_chip_queue,
    make_worker_chip_queue_layout,
    worker_chip_queue_magic_version,
)
from .worker_chip_orch_comm import (
    WorkerChipOrchCounter,
    WorkerChipOrchRegion,
    WorkerChipOrchRegionDesc,
)

__all__ = [
    "Buffer",
    "DataType",
    "NotifyOp",
    "Orchestrator",
    "RegionInstance",
    "SignalTestResult",
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
    "create_worker_chip_queue",
    "make_worker_chip_queue_layout",
    "worker_chip_message_queue",
    "worker_chip_orch_comm",
    "worker_chip_queue_magic_version",
]
