# SPDX-License-Identifier: MIT
"""A file goes to an L2 process in pieces, which come back: echo.py [TRANSPORT [FILE]]"""

import os
import sys
import time

import l3l2q

PIECE = 65536


def echo(fd):
    """L2: send each message back from where it lies, until STOP."""
    with l3l2q.attach(fd, window=4) as ep:
        for message in ep.consumer:
            ep.producer.enqueue(message, timeout=10)


def main(transport="memfd", path=__file__):
    with open(path, "rb") as file:
        data = memoryview(file.read())
    ep = l3l2q.create(
        transport, depth=64, input_arena_bytes=16 * PIECE, output_arena_bytes=16 * PIECE
    )
    fd = ep.open_peer()
    pid = os.fork()
    if pid == 0:
        echo(fd)
        os._exit(0)
    os.close(fd)

    returned = bytearray(len(data))
    place = memoryview(returned)
    sent = received = 0
    started = time.perf_counter()
    with ep:
        while received < len(data):
            # Send while there is room; else, or at the end, receive.
            if sent < len(data) and ep.producer.try_enqueue(data[sent : sent + PIECE]):
                sent += len(data[sent : sent + PIECE])
            else:
                received += ep.consumer.dequeue_into(place[received:], timeout=10).nbytes
        seconds = time.perf_counter() - started
        ep.producer.stop(timeout=10)
        os.waitpid(pid, 0)
    if returned != data:
        sys.exit("what came back is not what was sent")
    print(f"{len(data)} bytes to L2 and back over {transport}: {len(data) / seconds / 2**20:.0f} MiB/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
