# SPDX-License-Identifier: MIT
"""L3 as a program of simpler is written (G2), with an L2 in C++: orchestration.cc.

    dataflow.py ORCHESTRATION [TRANSPORT]

ORCHESTRATION is the program of examples/orchestration.cc. L2 holds two inputs and answers
them in the other order, answers one input by three outputs, and merges two inputs while it
drains. With simpler itself, the first import and the with line change.
"""

import subprocess
import sys
from array import array

from l3l2q.simpler.g2 import Orchestrator
from l3l2q.simpler.g2.worker_chip_message_queue import WorkerChipQueueOpcode

TIMEOUT = 5.0

program = sys.argv[1]
transport = sys.argv[2] if len(sys.argv) > 2 else "memfd"
with Orchestrator(transport, silent_peer=True) as orch:
    queue = orch.create_worker_chip_queue(
        worker_id=0, depth=8, input_arena_bytes=4096, output_arena_bytes=4096
    )
    fd = orch.open_peer(queue)
    l2 = subprocess.Popen([program, "--l2", str(fd)], pass_fds=[fd])

    for first in range(1, 16, 3):
        words = array("I", range(first, first + 3))
        queue.input.enqueue(words, words.itemsize * len(words), TIMEOUT)
    queue.request_stop(TIMEOUT)

    for _ in range(6):
        message = queue.output.peek(TIMEOUT)
        assert message.opcode == WorkerChipQueueOpcode.DATA
        words = array("I", bytes(message.payload_nbytes))
        queue.output.read_into(message, words)
        queue.output.release(message)
        print(*words)
    sys.exit(l2.wait(timeout=TIMEOUT))
