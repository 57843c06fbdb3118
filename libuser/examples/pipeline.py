# SPDX-License-Identifier: MIT
"""Tensors with numpy: L2 holds four at once and answers them out of order.

pipeline.py [TRANSPORT]. L3 writes each tensor where L2 reads it, and L2 computes where L3
reads: numpy's arrays are views of the queue, and nothing is copied.
"""

import os
import sys

import numpy as np

import l3l2q

WINDOW, TENSORS, SHAPE = 4, 32, (128, 128)
NBYTES = 4 * SHAPE[0] * SHAPE[1]


def tensor(memory):
    return np.frombuffer(memory, dtype=np.float32).reshape(SHAPE)


def compute(fd):
    """L2: of each four, answer the last one first."""
    with l3l2q.attach(fd, window=WINDOW) as ep:
        held = []
        while not ep.consumer.drained:
            message = ep.consumer.peek(timeout=10)
            if message.opcode != l3l2q.Opcode.STOP:
                held.append(message)
                if len(held) < WINDOW:
                    continue
            for done in reversed(held):
                with done, ep.producer.reserve(NBYTES, timeout=10) as span:
                    np.multiply(tensor(done), 2, out=tensor(span))
            held.clear()
            if message.opcode == l3l2q.Opcode.STOP:
                message.release()


def main(transport="memfd"):
    ep = l3l2q.create(
        transport, depth=16, input_arena_bytes=8 * NBYTES, output_arena_bytes=8 * NBYTES
    )
    fd = ep.open_peer()
    pid = os.fork()
    if pid == 0:
        compute(fd)
        os._exit(0)
    os.close(fd)
    order = []
    with ep:
        for first in range(0, TENSORS, WINDOW):
            for number in range(first, first + WINDOW):
                with ep.producer.reserve(NBYTES, timeout=10) as span:
                    tensor(span)[:] = number
            for _ in range(WINDOW):
                with ep.consumer.peek(timeout=10) as message:
                    result = tensor(message)
                    assert (result == result[0, 0]).all()
                    order.append(int(result[0, 0]) // 2)
                    # A message with views is not released.
                    del result
        ep.producer.stop(timeout=10)
        os.waitpid(pid, 0)
    assert sorted(order) == list(range(TENSORS))
    print("tensors in the order in which they came back:", *order)


if __name__ == "__main__":
    main(*sys.argv[1:])
