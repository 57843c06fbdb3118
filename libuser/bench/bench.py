# SPDX-License-Identifier: MIT
"""Round trips from Python, against what Python programs use and what the reference does.

    bench.py [--rounds N] [--ms N] [--only WORD]

L2 is another process that sends each body back, after it has computed for a while. A turn
of each contestant, then the next round: a ratio is one of two turns of the same round, and
the median of all rounds is what is printed. CPU is that of the L3 process.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import struct
import time

import l3l2q
import l3l2q.aio
from l3l2q.simpler.g2 import Orchestrator

DEPTH = 8
ARENA = 1 << 20
POLL = 50e-6
LONG = 60.0

INPUT_TAIL, INPUT_HEAD, OUTPUT_TAIL, OUTPUT_HEAD = 0, 64, 128, 192


def compute(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Link:
    """Both ends of something; serve() runs in the other process and returns when it ends."""

    def __init__(self, nbytes, seconds):
        self.body = os.urandom(nbytes)
        self.back = bytearray(nbytes)
        self.seconds = seconds
        self.open()
        self.pid = os.fork()
        if not self.pid:
            try:
                self.serve()
            finally:
                os._exit(0)
        self.opened()

    def open(self):
        pass

    def opened(self):
        pass

    def trips(self, n):
        for _ in range(n):
            self.trip()

    def close(self):
        os.waitpid(self.pid, 0)


class Native(Link):
    def open(self):
        self.l3 = l3l2q.create("memfd", depth=DEPTH, input_arena_bytes=ARENA, output_arena_bytes=ARENA)
        self.fd = self.l3.open_peer()

    def opened(self):
        os.close(self.fd)

    def serve(self):
        with l3l2q.attach(self.fd) as l2:
            for message in l2.consumer:
                with message:
                    compute(self.seconds)
                    l2.producer.enqueue(message.data, LONG)

    def trip(self):
        self.l3.producer.enqueue(self.body, LONG)
        self.l3.consumer.dequeue_into(self.back, LONG)

    def close(self):
        self.l3.producer.stop(LONG)
        super().close()
        self.l3.close()


class Asyncio(Native):
    def trips(self, n):
        asyncio.run(self.several(n))

    async def several(self, n):
        end = l3l2q.aio.Endpoint(self.l3)
        for _ in range(n):
            await end.producer.enqueue(self.body)
            await end.consumer.dequeue()


class Facade(Native):
    """The reference's interface over this library."""

    def open(self):
        self.orch = Orchestrator("memfd")
        self.queue = self.orch.create_worker_chip_queue(
            worker_id=0, depth=DEPTH, input_arena_bytes=ARENA, output_arena_bytes=ARENA
        )
        self.fd = self.orch.open_peer(self.queue)

    def trip(self):
        self.queue.input.enqueue(self.body, len(self.body), LONG)
        self.queue.output.dequeue_into(self.back, LONG)

    def close(self):
        self.queue.request_stop(LONG)
        Link.close(self)
        self.orch.close()


class Reference(Native):
    """The reference's accesses in its order, over the same memory, with its poll."""

    def opened(self):
        super().opened()
        self.sent = self.taken = 0
        self.cursor = 0

    def counter(self, offset):
        return self.l3.test(offset, 0)[1]

    def trip(self):
        nbytes = len(self.body)
        while self.sent - self.counter(INPUT_HEAD) >= DEPTH:
            time.sleep(POLL)
        if self.cursor + nbytes > ARENA:
            self.cursor = 0
        arena, slot = 2 * DEPTH * 32, self.sent % DEPTH * 32
        self.l3.payload_write(arena + self.cursor, self.body)
        self.l3.payload_write(slot + 8, struct.pack("<QQQ", 1, arena + self.cursor, nbytes))
        self.l3.payload_write(slot, struct.pack("<Q", self.sent + 1))
        self.cursor += nbytes
        self.sent += 1
        self.l3.notify(INPUT_TAIL, self.sent)
        while self.counter(OUTPUT_TAIL) == self.taken:
            time.sleep(POLL)
        slot = DEPTH * 32 + self.taken % DEPTH * 32
        _, _, offset, length = struct.unpack("<QQQQ", self.l3.payload_read(slot, 32))
        self.l3.payload_read_into(offset, memoryview(self.back)[:length])
        self.taken += 1
        self.l3.notify(OUTPUT_HEAD, self.taken)

    def close(self):
        slot = self.sent % DEPTH * 32
        self.l3.payload_write(slot + 8, struct.pack("<QQQ", 2, 0, 0))
        self.l3.payload_write(slot, struct.pack("<Q", self.sent + 1))
        self.l3.notify(INPUT_TAIL, self.sent + 1)
        Link.close(self)
        self.l3.close()


class Pipe(Link):
    def open(self):
        self.near, self.far = multiprocessing.Pipe()

    def opened(self):
        self.far.close()

    def serve(self):
        while body := self.far.recv_bytes():
            compute(self.seconds)
            self.far.send_bytes(body)

    def trip(self):
        self.near.send_bytes(self.body)
        self.near.recv_bytes_into(self.back)

    def close(self):
        self.near.send_bytes(b"")
        super().close()
        self.near.close()


class SocketPair(Link):
    def open(self):
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def opened(self):
        self.far.close()

    def serve(self):
        while self.far.recv_into(self.back, len(self.back), socket.MSG_WAITALL):
            compute(self.seconds)
            self.far.sendall(self.back)

    def trip(self):
        self.near.sendall(self.body)
        self.near.recv_into(self.back, len(self.back), socket.MSG_WAITALL)

    def close(self):
        self.near.shutdown(socket.SHUT_WR)
        super().close()
        self.near.close()


CONTESTANTS = {
    "l3l2q": Native,
    "l3l2q.aio": Asyncio,
    "l3l2q.simpler": Facade,
    "reference's order": Reference,
    "multiprocessing.Pipe": Pipe,
    "socket pair": SocketPair,
}

# body, computing time in seconds
CONTESTS = (
    ("64 B", 64, 0),
    ("64 KiB", 65536, 0),
    ("64 B, L2 computes 100 us", 64, 100e-6),
    ("64 B, L2 computes 1 ms", 64, 1e-3),
    ("64 B, L2 computes 5 ms", 64, 5e-3),
)

# contest, ours, other, times faster at least, CPU too
TARGETS = (
    ("64 B", "l3l2q", "reference's order", 5.0, False),
    ("64 B", "l3l2q.simpler", "reference's order", 5.0, False),
    ("64 B, L2 computes 100 us", "l3l2q", "reference's order", 1.0, True),
    ("64 B, L2 computes 1 ms", "l3l2q", "reference's order", 1.0, True),
    ("64 B, L2 computes 5 ms", "l3l2q", "reference's order", 1.0, True),
    ("64 KiB", "l3l2q", "multiprocessing.Pipe", 3.0, False),
    ("64 B", "l3l2q.aio", "l3l2q", 1 / 1.5, False),
)


def turn(link, seconds):
    """Seconds and CPU seconds of a round trip."""
    n, spent = 1, 0.0
    while True:
        cpu, start = time.process_time(), time.perf_counter()
        link.trips(n)
        spent = time.perf_counter() - start
        if spent >= seconds:
            return spent / n, (time.process_time() - cpu) / n
        n *= 2


def contest(nbytes, computing, rounds, seconds):
    links = {name: make(nbytes, computing) for name, make in CONTESTANTS.items()}
    turns = {name: [] for name in links}
    for name, link in links.items():
        link.trips(3)
        assert name == "l3l2q.aio" or bytes(link.back) == link.body, name
    for _ in range(rounds):
        for name, link in links.items():
            turns[name].append(turn(link, seconds))
    for link in links.values():
        link.close()
    return turns


def ratio(turns, ours, other, what):
    return statistics.median(b[what] / a[what] for a, b in zip(turns[ours], turns[other]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ms", type=float, default=30)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    results = {}

    for name, nbytes, computing in CONTESTS:
        if arguments.only not in name:
            continue
        turns = contest(nbytes, computing, arguments.rounds, arguments.ms / 1000)
        results[name] = turns
        print(f"{name}: there and back")
        for who, spent in turns.items():
            median = statistics.median(a for a, _ in spent)
            cpu = statistics.median(b for _, b in spent)
            slower = ratio(turns, "l3l2q", who, 0)
            print(f"  {who:22} {median * 1e6:10.1f} us  {cpu * 1e6:10.1f} us of CPU  {slower:7.2f}x")
    print("\n| what | times faster | target | |\n| --- | --: | --: | --- |")
    for name, ours, other, least, cpu in TARGETS:
        if name not in results:
            continue
        faster = ratio(results[name], ours, other, 0)
        less = ratio(results[name], ours, other, 1) if cpu else 1.0
        met = "met" if faster >= least and less >= 1.0 else "missed"
        used = f", CPU {1 / less:.2f}x" if cpu else ""
        print(f"| {name}: {ours} to {other} | {faster:.2f}x{used} | {least:.2f}x | {met} |")


if __name__ == "__main__":
    main()
