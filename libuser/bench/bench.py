# SPDX-License-Identifier: MIT
"""Round trips and streams from Python, against what Python programs use and what the
reference does.

    bench.py [--rounds N] [--ms N] [--only WORD] [--json FILE]

L2 is another process that sends each body back, after it has computed for a while; of a
stream it sends back the last one of a turn alone. Arrays that are computed are the negative of
one, at both ends, and L3 adds up what comes back. A turn of each contestant, then the next
round: a ratio is one of two turns of the same round, and the median of all rounds is what is
printed. CPU is that of the L3 process.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import struct
import time
from typing import NamedTuple

import l3l2q
import l3l2q.aio
from l3l2q.simpler.g2 import Orchestrator

try:
    import numpy
except ImportError:
    numpy = None

DEPTH = 64
ARENA = 1 << 20
POLL = 50e-6
LONG = 60.0
SHAPE = (128, 128)

INPUT_TAIL, INPUT_HEAD, OUTPUT_TAIL, OUTPUT_HEAD = 0, 64, 128, 192


def compute(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def array_of(data):
    return numpy.frombuffer(data, numpy.float32).reshape(SHAPE)


class Link:
    """Both ends of something; serve() runs in the other process and returns when it ends."""

    def __init__(self, contest):
        self.contest = contest
        self.back = bytearray(contest.nbytes)
        self.body = self.swallowed = contest.body()
        self.made = numpy.empty_like(self.body) if contest.computed else None
        if contest.stream:
            # L2 answers what does not begin with a zero.
            self.body, self.swallowed = bytearray(self.body), bytearray(self.body)
            self.body[0], self.swallowed[0] = 1, 0
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

    def answers(self, data):
        """L2 has got a message: compute, and say whether it is sent back."""
        compute(self.contest.seconds)
        return not self.contest.stream or data[0]

    def trips(self, n):
        if not self.contest.stream:
            for _ in range(n):
                self.trip()
            return
        for _ in range(n - 1):
            self.send(self.swallowed)
        self.trip()

    def trip(self):
        self.send(self.result(self.body))
        self.receive()
        if self.contest.computed:
            self.total = array_of(self.back).sum()

    def result(self, data):
        """What is sent for a body."""
        if not self.contest.computed:
            return data
        return numpy.negative(array_of(data), out=self.made)

    def came_back(self):
        return bytes(self.back) == bytes(self.body)

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
                    if self.answers(message.data):
                        l2.producer.enqueue(self.result(message.data), LONG)

    def send(self, body):
        self.l3.producer.enqueue(body, LONG)

    def receive(self):
        self.l3.consumer.dequeue_into(self.back, LONG)

    def close(self):
        self.l3.producer.stop(LONG)
        super().close()
        self.l3.close()


class InPlace(Native):
    """Arrays are computed into the span that is sent, and read where they arrive."""

    def serve(self):
        with l3l2q.attach(self.fd) as l2:
            for message in l2.consumer:
                with message, l2.producer.reserve(len(message), LONG) as span:
                    numpy.negative(array_of(message.data), out=array_of(span.data))

    def trip(self):
        with self.l3.producer.reserve(self.contest.nbytes, LONG) as span:
            numpy.negative(self.body, out=array_of(span.data))
        with self.l3.consumer.peek(LONG) as message:
            self.total = array_of(message.data).sum()

    def came_back(self):
        return self.total == self.body.sum()


class Asyncio(Native):
    def trips(self, n):
        asyncio.run(self.several(n))

    async def several(self, n):
        end = l3l2q.aio.Endpoint(self.l3)
        if self.contest.stream:
            for _ in range(n - 1):
                await end.producer.enqueue(self.swallowed)
            n = 1
        for _ in range(n):
            await end.producer.enqueue(self.body)
            await end.consumer.dequeue_into(self.back)


class Facade(Native):
    """The reference's interface over this library."""

    def open(self):
        self.orch = Orchestrator("memfd")
        self.queue = self.orch.create_worker_chip_queue(
            worker_id=0, depth=DEPTH, input_arena_bytes=ARENA, output_arena_bytes=ARENA
        )
        self.fd = self.orch.open_peer(self.queue)

    def send(self, body):
        self.queue.input.enqueue(body if self.contest.nbytes else None, self.contest.nbytes, LONG)

    def receive(self):
        self.queue.output.dequeue_into(self.back if self.contest.nbytes else None, LONG)

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

    def send(self, body):
        nbytes = self.contest.nbytes
        while self.sent - self.counter(INPUT_HEAD) >= DEPTH:
            time.sleep(POLL)
        if self.cursor + nbytes > ARENA:
            self.cursor = 0
        slot = self.sent % DEPTH * 32
        offset = 2 * DEPTH * 32 + self.cursor if nbytes else 0
        if nbytes:
            self.l3.payload_write(offset, body)
        self.l3.payload_write(slot + 8, struct.pack("<QQQ", 1, offset, nbytes))
        self.l3.payload_write(slot, struct.pack("<Q", self.sent + 1))
        self.cursor += nbytes
        self.sent += 1
        self.l3.notify(INPUT_TAIL, self.sent)

    def receive(self):
        while self.counter(OUTPUT_TAIL) == self.taken:
            time.sleep(POLL)
        slot = DEPTH * 32 + self.taken % DEPTH * 32
        _, _, offset, length = struct.unpack("<QQQQ", self.l3.payload_read(slot, 32))
        if length:
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
        # An empty message is one; later contestants hold copies of the descriptor.
        while len(body := self.far.recv_bytes()) <= self.contest.nbytes:
            if self.answers(body):
                self.far.send_bytes(self.result(body))

    def send(self, body):
        self.near.send_bytes(body)

    def receive(self):
        self.near.recv_bytes_into(self.back)

    def close(self):
        self.near.send_bytes(bytes(self.contest.nbytes + 1))
        super().close()
        self.near.close()


class SocketPair(Link):
    """Bodies of one size, so that nothing frames them. An empty one is a byte."""

    def open(self):
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.buffer = memoryview(self.back or bytearray(1))

    def opened(self):
        self.far.close()

    def serve(self):
        while self.far.recv_into(self.buffer, len(self.buffer), socket.MSG_WAITALL):
            if self.answers(self.buffer):
                self.far.sendall(self.result(self.buffer))

    def send(self, body):
        self.near.sendall(body if self.contest.nbytes else self.buffer)

    def receive(self):
        self.near.recv_into(self.buffer, len(self.buffer), socket.MSG_WAITALL)

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
COMPUTING = {"l3l2q in place": InPlace} | {
    name: CONTESTANTS[name] for name in ("l3l2q", "multiprocessing.Pipe", "socket pair")
}


class Contest(NamedTuple):
    name: str
    nbytes: int
    seconds: float = 0.0
    stream: bool = False
    numpy: bool = False
    computed: bool = False

    def body(self):
        if self.numpy:
            return numpy.random.default_rng(1).random(SHAPE, dtype=numpy.float32)
        return os.urandom(self.nbytes)


CONTESTS = (
    Contest("0 B", 0),
    Contest("64 B", 64),
    Contest("64 KiB", 65536),
    Contest("numpy 128x128", 65536, numpy=True),
    Contest("numpy 128x128, computed", 65536, numpy=True, computed=True),
    Contest("64 B, L2 computes 100 us", 64, 100e-6),
    Contest("64 B, L2 computes 1 ms", 64, 1e-3),
    Contest("64 B, L2 computes 5 ms", 64, 5e-3),
    Contest("stream of 64 B", 64, stream=True),
    Contest("stream of 64 KiB", 65536, stream=True),
)

TIME, CPU = 0, 1  # what a turn returns


class Target(NamedTuple):
    """Ours is to be ``limit`` times as fast as theirs, or to take at most so many times as much."""

    what: str
    contest: str
    ours: str
    theirs: str
    faster: bool
    limit: float
    measure: int = TIME


def targets():
    reference = "reference's order"
    for ours in ("l3l2q", "l3l2q.simpler"):
        for size in ("0 B", "64 B"):
            yield Target(f"{ours}: {size}, to the reference", size, ours, reference, True, 5.0)
        # At no computing time slower, and at no more CPU.
        for computing in ("", ", L2 computes 100 us", ", L2 computes 1 ms", ", L2 computes 5 ms"):
            contest = f"64 B{computing}"
            what = f"{ours}: {contest}, to the reference"
            if computing:
                yield Target(what, contest, ours, reference, True, 1.0)
            yield Target(f"{what}, CPU time", contest, ours, reference, False, 1.0, CPU)
    yield Target("l3l2q: 64 KiB, to multiprocessing.Pipe", "64 KiB", "l3l2q", "multiprocessing.Pipe",
                 True, 3.0)  # fmt: skip
    yield Target("l3l2q in place: numpy 128x128, computed, to multiprocessing.Pipe",
                 "numpy 128x128, computed", "l3l2q in place", "multiprocessing.Pipe", True, 3.0)  # fmt: skip
    yield Target("l3l2q.aio: 64 B, to blocking calls", "64 B", "l3l2q.aio", "l3l2q", False, 1.5)


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


def hold(contest, rounds, seconds):
    contestants = COMPUTING if contest.computed else CONTESTANTS
    links = {name: make(contest) for name, make in contestants.items()}
    turns = {name: [] for name in links}
    for name, link in links.items():
        link.trips(3)
        assert link.came_back(), name
    for _ in range(rounds):
        for name, link in links.items():
            turns[name].append(turn(link, seconds))
    for link in links.values():
        link.close()
    return turns


def ratios(turns, a, b, measure):
    """What a takes to what b takes: the median of the rounds' ratios, and that of the best."""
    pairs = [(x[measure], y[measure]) for x, y in zip(turns[a], turns[b])]
    best = min(x for x, _ in pairs) / min(y for _, y in pairs)
    return statistics.median(x / y for x, y in pairs), best


class Reached(NamedTuple):
    """What became of a target."""

    target: Target
    median: float
    best: float

    @property
    def met(self):
        if self.target.faster:
            return self.median >= self.target.limit
        return self.median <= self.target.limit

    def as_json(self):
        target = self.target
        return {
            "what": target.what,
            "unit": "x",
            "at_least" if target.faster else "at_most": target.limit,
            "measured": round(self.median, 3),
            "best": round(self.best, 3),
            "met": self.met,
        }


def reached(results):
    for target in targets():
        if target.contest in results:
            pair = (target.theirs, target.ours) if target.faster else (target.ours, target.theirs)
            yield Reached(target, *ratios(results[target.contest], *pair, target.measure))


def print_contest(contest, turns):
    print(f"{contest.name}: {'a message' if contest.stream else 'there and back'}")
    for who, spent in turns.items():
        median = statistics.median(a for a, _ in spent)
        cpu = statistics.median(b for _, b in spent)
        slower = ratios(turns, who, "l3l2q", TIME)[0]
        print(f"  {who:22} {median * 1e6:10.1f} us  {cpu * 1e6:10.1f} us of CPU  {slower:7.2f}x")


def print_targets(results):
    print(f"\n| {'what':64} | {'median':>9} | {'best':>9} | {'target':14} | {'':6} |")
    print(f"| {'-' * 64} | --------: | --------: | -------------- | ------ |")
    for row in reached(results):
        limit = f"at {'least' if row.target.faster else 'most':5} {row.target.limit:4g}x"
        print(f"| {row.target.what:64} | {row.median:8.2f}x | {row.best:8.2f}x | {limit:14} "
              f"| {'met' if row.met else 'missed':6} |")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ms", type=float, default=30)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    results = {}

    for contest in CONTESTS:
        if arguments.only not in contest.name:
            continue
        if contest.numpy and numpy is None:
            print(f"{contest.name}: numpy is not installed")
            continue
        results[contest.name] = hold(contest, arguments.rounds, arguments.ms / 1000)
        print_contest(contest, results[contest.name])
    print_targets(results)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(
                {
                    "rounds": arguments.rounds,
                    "round_ns": round(arguments.ms * 1e6),
                    "targets": [row.as_json() for row in reached(results)],
                },
                file,
                indent=1,
            )


if __name__ == "__main__":
    main()
