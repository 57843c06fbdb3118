# SPDX-License-Identifier: MIT
"""L3 sends HAL to an L2 process, which adds 1 to each byte: hello.py [memfd|driver]"""

import os
import sys

import l3l2q

transport = sys.argv[1] if len(sys.argv) > 1 else "memfd"
with l3l2q.create(transport, depth=8, input_arena_bytes=4096, output_arena_bytes=4096) as ep:
    fd = ep.open_peer()
    if os.fork() == 0:
        with l3l2q.attach(fd) as l2, l2.consumer.peek(timeout=1) as message:
            l2.producer.enqueue(bytes(byte + 1 for byte in message.data), timeout=1)
        os._exit(0)
    ep.producer.enqueue(b"HAL", timeout=1)
    print(ep.consumer.dequeue(timeout=1).data.decode())
