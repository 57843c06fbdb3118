# SPDX-License-Identifier: GPL-2.0-only
"""What mistakes raise, in which order they are found, and that nothing else happens.

A mistake that poisons changes the own abort flag and no other shared byte.
"""

from __future__ import annotations

import copy
import dataclasses
import threading
from typing import Any, Callable, Iterator, List, Union

import pytest

import simpler_util as util
from simpler_util import DATA, G1, G2, G3, GENERATIONS, MEMORIES, Generation, Rig, Unchanged


@pytest.fixture(params=GENERATIONS, ids=str)
def generation(request: Any) -> Generation:
    assert isinstance(request.param, Generation)
    return request.param


@pytest.fixture(params=MEMORIES)
def rig(generation: Generation, request: Any) -> Iterator[Rig]:
    made = util.make_rig(generation, str(request.param))
    yield made
    util.close_rig(made)


@pytest.fixture
def seam(generation: Generation) -> Rig:
    """A queue over a stand-in for the reference's objects, which can be made to fail."""
    return util.make_rig(generation, "reference")


class Poisons:
    """Asserts that a block sets the abort flag, changes nothing else, and ends the queue."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def __enter__(self) -> None:
        self.before = self.rig.shared.snapshot()

    def __exit__(self, *error: Any) -> None:
        offset = self.rig.shared.payload_bytes + util.L3_FLAG
        after = self.rig.shared.snapshot()
        assert after[:offset] == self.before[:offset]
        assert after[offset : offset + 4] == util.I32.pack(1)
        assert after[offset + 4 :] == self.before[offset + 4 :]
        with Unchanged(self.rig), pytest.raises(RuntimeError):
            self.rig.queue.output.try_peek()


class Pointer:
    """A tensor of a library that this one does not know, on the CPU or elsewhere."""

    device = "cpu"

    def __init__(self, nbytes: int) -> None:
        self.tensor = util.ReferenceTensor(nbytes)
        self.nbytes = nbytes
        self.contiguous = True
        self.address = self.tensor.data_ptr()

    def data_ptr(self) -> int:
        return self.address

    def is_contiguous(self) -> bool:
        return self.contiguous


class Counted(Pointer):
    """The same without nbytes."""

    def __init__(self, elements: int) -> None:
        super().__init__(4 * elements)
        del self.nbytes

    def numel(self) -> int:
        return len(self.tensor.memory) // 4

    def element_size(self) -> int:
        return 4


BAD_SOURCES = {
    "negative": (b"x", -1),
    "negative without buffer": (None, -1),
    "zero-byte with a buffer": (b"x", 0),
    "zero-byte with an empty buffer": (b"", 0),
    "no buffer": (None, 1),
    "small": (b"1234", 5),
    "not contiguous": (memoryview(bytes(8))[::2], 4),
    "not a buffer": ("text", 4),
    "a number": (5, 4),
    "a list": ([1, 2, 3, 4], 4),
}


@pytest.mark.parametrize("bad", BAD_SOURCES.values(), ids=list(BAD_SOURCES))
def test_bad_source(rig: Rig, bad: Any) -> None:
    with Unchanged(rig):
        with pytest.raises(ValueError):
            rig.queue.input.try_enqueue(*bad)
        with pytest.raises(ValueError):
            rig.queue.input.enqueue(*bad, 1.0)
    assert rig.queue.input.try_enqueue(b"good", 4)


BAD_TARGETS = {
    "none": None,
    "small": bytearray(4),
    "read-only": bytes(5),
    "not contiguous": memoryview(bytearray(16))[::2],
    "not a buffer": "text!",
}


@pytest.mark.parametrize("bad", BAD_TARGETS.values(), ids=list(BAD_TARGETS))
def test_bad_target(rig: Rig, bad: Any) -> None:
    """Nothing is released, and the message can be read into a better buffer."""
    rig.peer.send(b"hello")
    with Unchanged(rig):
        message = rig.queue.output.peek(1.0)
        with pytest.raises(ValueError):
            rig.queue.output.read_into(message, bad)
        with pytest.raises(ValueError):
            rig.queue.output.dequeue_into(bad, 1.0)
        with pytest.raises(ValueError):
            rig.queue.output.try_dequeue_into(bad)
    body = bytearray(5)
    assert rig.queue.output.dequeue_into(body, 1.0) is message
    assert body == b"hello"


def test_zero_byte_read_needs_none(rig: Rig) -> None:
    rig.peer.send()
    with Unchanged(rig):
        message = rig.queue.output.peek(1.0)
        for buffer in (bytearray(0), bytearray(1), b""):
            with pytest.raises(ValueError):
                rig.queue.output.read_into(message, buffer)
            with pytest.raises(ValueError):
                rig.queue.output.dequeue_into(buffer, 1.0)
        rig.queue.output.read_into(message, None)
    rig.queue.output.release(message)


@pytest.mark.parametrize("timeout", [None, 0, 0.0, -1, -0.5])
def test_bad_timeout(rig: Rig, timeout: Any) -> None:
    rig.peer.send(b"x")
    with Unchanged(rig):
        with pytest.raises(ValueError):
            rig.queue.input.enqueue(b"x", 1, timeout)
        with pytest.raises(ValueError):
            rig.queue.request_stop(timeout)
        with pytest.raises(ValueError):
            rig.queue.output.peek(timeout)
        with pytest.raises(ValueError):
            rig.queue.output.dequeue_into(bytearray(1), timeout)
    assert rig.queue.output.try_peek().seq == 1


def test_oversize(rig: Rig, generation: Generation) -> None:
    with Unchanged(rig):
        assert rig.queue.input.try_enqueue(bytes(129), 129) is False
        with pytest.raises(ValueError if generation is G3 else TimeoutError):
            rig.queue.input.enqueue(bytes(129), 129, 0.001)
    assert rig.queue.input.try_enqueue(bytes(128), 128)


def after_bad_read(rig: Rig, generation: Generation) -> Union[Poisons, Unchanged]:
    return Poisons(rig) if generation is G3 else Unchanged(rig)


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
@pytest.mark.parametrize("kind", MEMORIES)
def test_oversize_enqueue_sleeps(generation: Generation, kind: str, monkeypatch: Any) -> None:
    """Also if L2 releases messages meanwhile, which is what other calls wait for."""
    rig = util.make_rig(generation, kind)
    rig.queue.input.enqueue(b"x", 1, 1.0)
    rig.peer.consume()
    core = rig.queue._core
    attempts: List[int] = []
    send = core.send

    def counted(*args: Any) -> Any:
        attempts.append(1)
        return send(*args)

    monkeypatch.setattr(core, "send", counted)
    with pytest.raises(TimeoutError):
        rig.queue.input.enqueue(bytes(129), 129, 0.01)
    assert len(attempts) == 2
    util.close_rig(rig)


def test_read_into_with_the_wrong_handle(rig: Rig, generation: Generation) -> None:
    rig.peer.send(b"hello")
    message = rig.queue.output.peek(1.0)
    wrong = dataclasses.replace(message, seq=2)
    with after_bad_read(rig, generation):
        with pytest.raises(RuntimeError):
            rig.queue.output.read_into(wrong, bytearray(5))
    if generation is not G3:
        rig.queue.output.read_into(message, bytearray(5))


def test_read_into_of_a_released_message(rig: Rig, generation: Generation) -> None:
    rig.peer.send(b"hello")
    message = rig.queue.output.peek(1.0)
    rig.queue.output.release(message)
    with after_bad_read(rig, generation):
        with pytest.raises(RuntimeError):
            rig.queue.output.read_into(message, bytearray(5))


@pytest.mark.parametrize("wrong", ["altered", "none", "string"])
def test_release_of_the_wrong_handle_poisons(rig: Rig, wrong: str) -> None:
    rig.peer.send(b"hello")
    message = rig.queue.output.peek(1.0)
    handles = {"altered": dataclasses.replace(message, payload_nbytes=4), "none": None}
    with Poisons(rig), pytest.raises(RuntimeError):
        rig.queue.output.release(handles.get(wrong, wrong))


def test_release_of_an_inactive_message_poisons(rig: Rig) -> None:
    rig.peer.send(b"hello")
    message = rig.queue.output.peek(1.0)
    rig.queue.output.release(message)
    with Poisons(rig), pytest.raises(RuntimeError):
        rig.queue.output.release(message)


def test_equal_handles(rig: Rig, generation: Generation) -> None:
    """G1 and G2 compare handles, G3 wants the object itself."""
    rig.peer.send(b"hello")
    message = rig.queue.output.peek(1.0)
    twin = copy.copy(message)
    assert twin == message and twin is not message
    if generation is G3:
        with Poisons(rig), pytest.raises(RuntimeError):
            rig.queue.output.release(twin)
        return
    rig.queue.output.read_into(twin, bytearray(5))
    rig.queue.output.release(twin)
    assert rig.peer.output_head() == 1


def fails(rig: Rig, call: Callable[[], Any], *where: Any) -> BaseException:
    """The exception of a call during which an access fails; it has to be the original."""
    error = OSError("the bus is gone")
    rig.shared.failures[where] = error
    with pytest.raises(OSError) as raised:
        call()
    assert raised.value is error
    del rig.shared.failures[where]
    return error


ACCESSES = {
    "test of the head": ("test", util.HEAD_IN),
    "payload": ("write", 256),
    "descriptor": ("write", 8),
    "seq": ("write", 0),
    "tail": ("notify", util.TAIL_IN),
}


@pytest.mark.parametrize("where", ACCESSES.values(), ids=list(ACCESSES))
def test_failing_access_of_enqueue(seam: Rig, where: Any) -> None:
    fails(seam, lambda: seam.queue.input.try_enqueue(b"abc", 3), *where)
    assert seam.peer.l3_flag == 1
    assert seam.peer.input_tail() == 0
    with Unchanged(seam), pytest.raises((RuntimeError, OSError)):
        seam.queue.input.try_enqueue(b"abc", 3)


OUTPUT_ACCESSES = {
    "test of the tail": ("test", util.TAIL_OUT),
    "descriptor": ("read", 128),
    "payload": ("read", 384),
    "head": ("notify", util.HEAD_OUT),
}


@pytest.mark.parametrize("where", OUTPUT_ACCESSES.values(), ids=list(OUTPUT_ACCESSES))
def test_failing_access_of_dequeue(seam: Rig, where: Any) -> None:
    seam.peer.send(b"abc")
    fails(seam, lambda: seam.queue.output.dequeue_into(bytearray(3), 1.0), *where)
    assert seam.peer.l3_flag == 1
    assert seam.peer.output_head() == 0


@pytest.mark.parametrize("kind", ["reference", "copied"])
def test_each_access_in_turn_fails(generation: Generation, kind: str) -> None:
    """Whichever it is, the call raises, the flag is set, and the queue has ended."""
    for fatal in range(1, 100):
        rig = util.make_rig(generation, kind)
        rig.peer.send(b"output")
        left = [fatal]

        def count(what: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise OSError("the bus is gone")

        rig.shared.before = count
        try:
            exchange(rig)
        except (OSError, RuntimeError):
            pass
        else:
            break
        assert rig.peer.l3_flag == 1
        with Unchanged(rig), pytest.raises((OSError, RuntimeError)):
            rig.queue.input.try_enqueue(None, 0)
    accesses = 5 + 5 + 1 + 4 + 2 if generation is not G3 else 6 + 6 + 1 + 5 + 2 + 1
    assert fatal == accesses + 1


def exchange(rig: Rig) -> None:
    rig.queue.input.try_enqueue(b"first", 5)
    rig.peer.consume()
    rig.queue.input.try_enqueue(b"second", 6)
    rig.queue.output.dequeue_into(bytearray(6), 1.0)
    with pytest.raises(TimeoutError):
        rig.queue.output.peek(1e-9)


def test_failing_flag_write_is_swallowed(seam: Rig, generation: Generation) -> None:
    seam.shared.failures["notify", util.L3_FLAG] = OSError("flag")
    error = fails(seam, lambda: seam.queue.input.try_enqueue(b"abc", 3), "write", 256)
    assert seam.peer.l3_flag == 0
    if generation is G3:
        assert any("abort notify failed" in note for note in error.__notes__)
    del seam.shared.failures["notify", util.L3_FLAG]
    with Unchanged(seam), pytest.raises((RuntimeError, OSError)):
        seam.queue.output.try_peek()


def test_flag_is_written_once(seam: Rig) -> None:
    seam.peer.put_slot(9, DATA, 0, 0)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            seam.queue.output.try_peek()
    assert seam.log.count(("notify", util.L3_FLAG, 1)) == 1


def test_timeout_of_an_access(seam: Rig, generation: Generation) -> None:
    """It poisons G1 and G2 like any other exception; not G3."""
    error = TimeoutError("the service is busy")
    seam.shared.failures["write", 256] = error
    with pytest.raises(TimeoutError) as raised:
        seam.queue.input.try_enqueue(b"abc", 3)
    assert raised.value is error
    del seam.shared.failures["write", 256]
    if generation is G3:
        assert seam.peer.l3_flag == 0
        assert seam.queue.input.try_enqueue(b"abc", 3)
        assert seam.peer.consume() == (DATA, b"abc")
    else:
        assert seam.peer.l3_flag == 1


def test_failing_test_of_the_peers_flag(seam: Rig) -> None:
    fails(seam, lambda: seam.queue.output.peek(0.001), "test", util.L2_FLAG)
    assert seam.peer.l3_flag == 1


def test_interrupt_while_waiting_poisons_nothing(rig: Rig, monkeypatch: Any) -> None:
    """Ctrl-C in a blocked call; the next call goes on."""
    core = rig.queue._core

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    port = core.port
    if hasattr(port, "_pause"):
        monkeypatch.setattr(port, "_pause", interrupt)
    else:
        monkeypatch.setattr("time.sleep", interrupt)
        monkeypatch.setattr(util.ReferenceCounter, "wait", interrupt)
    with Unchanged(rig), pytest.raises(KeyboardInterrupt):
        rig.queue.output.peek(10.0)
    rig.peer.send(b"x")
    assert rig.queue.output.try_peek().seq == 1


# ---- the order in which mistakes are found ----------------------------------------------------


def test_bad_buffer_before_state(rig: Rig, generation: Generation) -> None:
    """G1 and G2: a bad buffer is ValueError even of a dead queue; G3 looks at the state first."""
    rig.queue.try_request_stop()
    with pytest.raises(ValueError):
        rig.queue.input.try_enqueue(b"", 0)
    rig.queue.free()
    expected = RuntimeError if generation is G3 else ValueError
    with Unchanged(rig):
        for bad in BAD_SOURCES.values():
            with pytest.raises(expected):
                rig.queue.input.try_enqueue(*bad)


def test_bad_timeout_before_all_else(rig: Rig, generation: Generation) -> None:
    """G3: an oversize message before the time-out, and state before both."""
    if generation is G3:
        with pytest.raises(ValueError, match="larger than the arena"):
            rig.queue.input.enqueue(bytes(200), 200, None)
    else:
        with pytest.raises(ValueError, match="timeout"):
            rig.queue.input.enqueue(bytes(200), 200, None)
        with pytest.raises(ValueError, match="timeout"):
            rig.queue.input.enqueue(None, -1, 0)
    rig.queue.free()
    with pytest.raises(RuntimeError if generation is G3 else ValueError):
        rig.queue.input.enqueue(b"x", 1, 0)
    with pytest.raises(ValueError):
        rig.queue.output.peek(0)
    with pytest.raises(RuntimeError if generation is G3 else ValueError):
        rig.queue.output.dequeue_into(bytearray(1), 0)


def test_stopped_before_oversize_before_full(rig: Rig, generation: Generation) -> None:
    for _ in range(4):
        rig.queue.input.try_enqueue(None, 0)
    rig.shared.store(util.HEAD_IN, -1)
    assert rig.queue.input.try_enqueue(bytes(129), 129) is False
    assert rig.peer.l3_flag == 0
    with pytest.raises(RuntimeError):
        rig.queue.input.try_enqueue(bytes(1), 1)
    assert rig.peer.l3_flag == 1


def test_dequeue_into_with_a_bad_buffer_and_no_message(rig: Rig, generation: Generation) -> None:
    """G1 and G2 look at it after the peek; G3 at its kind before, at its size after."""
    with Unchanged(rig):
        assert rig.queue.output.try_dequeue_into(bytearray(0)) is None
        if generation is G3:
            with pytest.raises(ValueError):
                rig.queue.output.try_dequeue_into(b"read-only")
            with pytest.raises(ValueError):
                rig.queue.output.dequeue_into("text", 0.001)
        else:
            assert rig.queue.output.try_dequeue_into(b"read-only") is None
            with pytest.raises(TimeoutError):
                rig.queue.output.dequeue_into("text", 0.001)


def test_read_into_state_before_handle_before_buffer(rig: Rig, generation: Generation) -> None:
    rig.peer.send(b"hello")
    rig.queue.output.peek(1.0)
    if generation is not G3:
        with Unchanged(rig), pytest.raises(RuntimeError):
            rig.queue.output.read_into(None, None)
    rig.queue.free()
    with Unchanged(rig), pytest.raises(RuntimeError, match="has been released"):
        rig.queue.output.read_into(None, None)


# ---- threads ----------------------------------------------------------------------------------


def in_thread(call: Callable[[], Any]) -> List[BaseException]:
    raised: List[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


@pytest.mark.parametrize("kind", ["mapped", "copied", util.TRANSPORT])
def test_another_thread(generation: Generation, kind: str) -> None:
    """G1 has a lock only. G2 and G3 poison, and the flag is refused to that thread too."""
    rig = util.make_rig(generation, kind)
    raised = in_thread(lambda: rig.queue.input.enqueue(b"x", 1, 1.0))
    if generation is G1:
        assert not raised
        assert rig.peer.consume() == (DATA, b"x")
    else:
        assert [type(error) for error in raised] == [RuntimeError]
        assert rig.peer.l3_flag == 0 and rig.peer.input_tail() == 0
        with Unchanged(rig), pytest.raises(RuntimeError):
            rig.queue.input.try_enqueue(b"x", 1)
    util.close_rig(rig)


# ---- making a queue ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 64, 64), (4, 1, 64), (4, 64, 0), (0, 64, 64)])
def test_create_with_a_bad_layout(generation: Generation, shape: Any) -> None:
    orch = util.ReferenceOrch()
    with pytest.raises(ValueError):
        generation.create_on(orch, *shape)
    assert not orch.regions and not orch.allocs


def orchestrator(generation: Generation, *args: Any, **kwargs: Any) -> Any:
    made: List[util.Shared] = []
    return generation.module.Orchestrator(util.copied_source(made), *args, **kwargs)


@pytest.mark.parametrize("worker", [-1, 2, 1 << 40])
def test_create_on_a_worker_that_is_not_there(generation: Generation, worker: int) -> None:
    orch = orchestrator(generation, workers=2)
    with pytest.raises(ValueError):
        generation.create_on(orch, 4, 64, 64, worker)
    assert generation.create_on(orch, 4, 64, 64, 1).layout.depth == 4


@pytest.mark.parametrize("worker", [True, "0", 0.0, None])
def test_worker_id_of_a_wrong_type(worker: Any) -> None:
    with pytest.raises(TypeError):
        G3.create_on(orchestrator(G3), 4, 64, 64, worker)


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
def test_worker_id_is_converted(generation: Generation) -> None:
    orch = orchestrator(generation)
    for worker in ("0", 0.9, False):
        assert generation.create_on(orch, 4, 64, 64, worker).layout.depth == 4
    with pytest.raises(TypeError):
        generation.create_on(orch, 4, 64, 64, None)


def test_create_on_an_unbound_orchestrator(generation: Generation) -> None:
    with pytest.raises(RuntimeError):
        generation.create_on(generation.module.Orchestrator(None), 4, 64, 64)


def test_create_after_the_run(generation: Generation) -> None:
    orch = orchestrator(generation)
    with orch:
        pass
    with pytest.raises(RuntimeError):
        generation.create_on(orch, 4, 64, 64)


def test_create_after_the_first_submit(generation: Generation) -> None:
    orch = orchestrator(generation)
    queue = generation.create_on(orch, 4, 64, 64)
    orch.note_submit()
    if generation is G1:
        generation.create_on(orch, 4, 64, 64)
    else:
        with pytest.raises(RuntimeError):
            generation.create_on(orch, 4, 64, 64)
    assert queue.input.try_enqueue(b"x", 1)


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_region_is_freed_if_scratch_alloc_fails(generation: Generation, which: int) -> None:
    orch = util.ReferenceOrch()
    orch.fail_alloc = which
    with pytest.raises(MemoryError):
        generation.create_on(orch, 4, 64, 64)
    assert [region.freed for region in orch.regions] == [1]


@pytest.mark.parametrize("generation", [G1, G2], ids=str)
def test_region_is_freed_if_a_counter_cannot_be_zeroed(generation: Generation) -> None:
    class BrokenOrch(util.ReferenceOrch):
        def _create(self, *args: Any) -> util.ReferenceRegion:
            region = super()._create(*args)
            region.shared.failures["notify", util.HEAD_OUT] = OSError("no")
            return region

    orch = BrokenOrch()
    with pytest.raises(OSError):
        generation.create_on(orch, 4, 64, 64)
    assert [region.freed for region in orch.regions] == [1]
    assert not orch.allocs


def test_region_with_bad_sizes() -> None:
    for generation, create in ((G1, "create_l3_l2_region"), (G2, "create_worker_chip_region")):
        orch = orchestrator(generation)
        for payload, counter in ((0, 64), (-1, 64), (64, 0), (64, 6), (64, -4)):
            with pytest.raises(ValueError):
                getattr(orch, create)(worker_id=0, payload_bytes=payload, counter_bytes=counter)
        assert not orch._instances
