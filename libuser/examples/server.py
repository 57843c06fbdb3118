# SPDX-License-Identifier: MIT
"""A server of 100 queues with asyncio: server.py [TRANSPORT [QUEUES]]

One process has the L3 end of each queue and one the L2 end; in both, each queue is a task.
"""

import asyncio
import os
import sys

from l3l2q import aio


async def serve(fd):
    """L2: answer each message, until STOP."""
    async with aio.attach(fd) as ep:
        async for message in ep.consumer:
            await ep.producer.enqueue(message.tobytes().upper())


async def ask(ep, name):
    """L3: ten questions, each after the answer to the last."""
    async with ep:
        for i in range(10):
            question = f"{name}: question {i}".encode()
            await ep.producer.enqueue(question)
            answer = await ep.consumer.dequeue()
            assert answer.data == question.upper()
        await ep.producer.stop()
    return 10


async def gather(coroutines):
    return await asyncio.wait_for(asyncio.gather(*coroutines), 60)


def main(transport="memfd", queues="100"):
    endpoints = [
        aio.create(transport, depth=8, input_arena_bytes=4096, output_arena_bytes=4096)
        for _ in range(int(queues))
    ]
    fds = [ep.raw.open_peer() for ep in endpoints]
    pid = os.fork()
    if pid == 0:
        asyncio.run(gather([serve(fd) for fd in fds]))
        os._exit(0)
    for fd in fds:
        os.close(fd)
    answers = asyncio.run(gather([ask(ep, f"queue {i}") for i, ep in enumerate(endpoints)]))
    os.waitpid(pid, 0)
    print(f"{sum(answers)} answers over {len(endpoints)} queues of {transport}")


if __name__ == "__main__":
    main(*sys.argv[1:])
