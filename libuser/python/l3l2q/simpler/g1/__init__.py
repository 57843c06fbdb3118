# SPDX-License-Identifier: MIT
"""The first generation: names ``L3L2*`` and ``create_l3_l2_queue``.

Where the reference has ``simpler.l3_l2_message_queue`` and ``simpler.l3_l2_orch_comm``, this
package has modules of the same names.
"""

from . import l3_l2_message_queue, l3_l2_orch_comm
from .l3_l2_message_queue import (
    L3L2Queue,
    L3L2QueueLayout,
    L3L2QueueMessage,
    L3L2QueueOpcode,
    create_l3_l2_queue,
    l3_l2_queue_magic_version,
    make_l3_l2_queue_layout,
)
from .l3_l2_orch_comm import (
    L3L2OrchCommCmd,
    L3L2OrchCounter,
    L3L2OrchRegion,
    L3L2OrchRegionDesc,
    NotifyOp,
    SignalTestResult,
    WaitCmp,
)
from .orchestrator import DataType, Orchestrator, Tensor

__all__ = [
    "DataType",
    "L3L2OrchCommCmd",
    "L3L2OrchCounter",
    "L3L2OrchRegion",
    "L3L2OrchRegionDesc",
    "L3L2Queue",
    "L3L2QueueLayout",
    "L3L2QueueMessage",
    "L3L2QueueOpcode",
    "NotifyOp",
    "Orchestrator",
    "SignalTestResult",
    "Tensor",
    "WaitCmp",
    "create_l3_l2_queue",
    "l3_l2_message_queue",
    "l3_l2_orch_comm",
    "l3_l2_queue_magic_version",
    "make_l3_l2_queue_layout",
]
