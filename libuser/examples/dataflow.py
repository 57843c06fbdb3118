# SPDX-License-Identifier: MIT
"""L3 as a program of simpler is written (G2), with an L2 in C++: orchestration.cc.

    dataflow.py ORCHESTRATION [TRANSPORT]

ORCHESTRATION is the program of examples/orchestration.cc. L2 holds two inputs and answers
them in the other order, answers one input by three outputs, and merges two inputs while it
drains. With simpler itself, the first import and the with line change.

TRANSPORT is one of l3l2q.create(), by default memfd; or "external": memory that this program
maps, as a runtime would; or npusim:SOCKET: that of the NPU of l3l2q-npusim.
"""

import mmap
import os
import socket
import subprocess
import sys
from array import array

from l3l2q.simpler import memory
from l3l2q.simpler.g2 import Orchestrator
from l3l2q.simpler.g2.worker_chip_message_queue import WorkerChipQueueOpcode

TIMEOUT = 5.0
# Where L2 finds the memory of a device, as far as L3 knows.
DEVICE_BASE = 0x120000000000


class Native:
    """Memory of this library, of which the worker gets a descriptor."""

    def __init__(self, transport):
        self.orchestrator = Orchestrator(transport, silent_peer=True)

    def start(self, program, queue):
        fd = self.orchestrator.open_peer(queue)
        return subprocess.Popen([program, "--l2", str(fd)], pass_fds=[fd])


class Device:
    """A file that both sides map. The worker has other addresses for it."""

    def __init__(self, fd):
        self.fd = fd
        self.memory = memoryview(mmap.mmap(fd, 0))
        self.used = 0
        self.orchestrator = Orchestrator(memory.mapped(self.map_region))

    def carve(self, nbytes):
        at, self.used = self.used, self.used + -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        return self.memory[at : at + nbytes], DEVICE_BASE + at

    def map_region(self, request):
        payload, payload_base = self.carve(request.payload_bytes)
        counters, counter_base = self.carve(request.counter_bytes)
        return memory.Mapping(payload, counters, payload_base, counter_base)

    def start(self, program, queue):
        scalars = queue.chip_task_arg_scalars()
        arguments = [program, "--device", self.fd, DEVICE_BASE, *scalars]
        return subprocess.Popen(list(map(str, arguments)), pass_fds=[self.fd])


def shared_memory():
    fd = os.memfd_create("dataflow")
    os.ftruncate(fd, 16 * mmap.PAGESIZE)
    return fd


def npu_memory(path):
    """The file behind an ivshmem device, from its server."""
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(TIMEOUT)
        server.connect(path)
        for _ in ("version", "own number", "memory"):
            _, fds, _, _ = socket.recv_fds(server, 8, 1)
        return fds[0]


if len(sys.argv) < 2:
    sys.exit("usage: dataflow.py ORCHESTRATION [TRANSPORT]")
program = sys.argv[1]
transport = sys.argv[2] if len(sys.argv) > 2 else "memfd"
if transport == "external":
    worker = Device(shared_memory())
elif transport.startswith("npusim:"):
    worker = Device(npu_memory(transport[len("npusim:") :]))
else:
    worker = Native(transport)
with worker.orchestrator as orch:
    queue = orch.create_worker_chip_queue(
        worker_id=0, depth=8, input_arena_bytes=4096, output_arena_bytes=4096
    )
    l2 = worker.start(program, queue)

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
