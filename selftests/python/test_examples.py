# SPDX-License-Identifier: GPL-2.0-only
"""The examples run, and say what they found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from native_util import LONG, TRANSPORT

EXAMPLES = Path(__file__).resolve().parents[2] / "libuser" / "examples"


def example(name: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, EXAMPLES / name, TRANSPORT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * LONG,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_hello_is_what_readme_shows() -> None:
    assert example("hello.py") == "IBM\n"
    readme = (EXAMPLES.parents[1] / "README.md").read_text()
    program = (EXAMPLES / "hello.py").read_text()
    assert any(block.split("```")[0] in program for block in readme.split("```python\n")[1:])


def test_echo(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(bytes(range(256)) * 10007)
    assert f"{256 * 10007} bytes to L2 and back" in example("echo.py", str(file))


def test_pipeline() -> None:
    pytest.importorskip("numpy")
    assert example("pipeline.py").startswith("tensors in the order in which they came back: 3 2 1 0")


def test_server() -> None:
    assert "1000 answers over 100 queues" in example("server.py")


BUILD = EXAMPLES.parents[1] / "build"


@pytest.fixture
def npu(tmp_path: Path) -> Iterator[str]:
    """The socket of an l3l2q-npusim."""
    program = BUILD / "bin" / "l3l2q-npusim"
    if not program.exists():
        pytest.skip("l3l2q-npusim is not built here")
    socket = str(tmp_path / "npu")
    with subprocess.Popen(
        [program, "--socket", socket, "--size", "1M", "--log", tmp_path / "log"],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        yield "npusim:" + socket
        process.terminate()


def dataflow(transport: str) -> None:
    program = BUILD / "bin-static" / "orchestration"
    if not program.exists():
        pytest.skip("examples/orchestration.cc is not built here")
    result = subprocess.run(
        [sys.executable, EXAMPLES / "dataflow.py", program, transport],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * LONG,
    )
    assert result.returncode == 0, result.stdout
    assert result.stdout.split("\n") == ["8 10 12", "2 4 6", "14", "16", "18", "46 50 54", ""]


def test_dataflow_says_what_it_needs() -> None:
    result = subprocess.run(
        [sys.executable, EXAMPLES / "dataflow.py"], stderr=subprocess.PIPE, text=True, timeout=LONG
    )
    assert result.returncode == 1 and result.stderr.startswith("usage: dataflow.py ORCHESTRATION")


def test_dataflow_with_l2_in_cxx() -> None:
    dataflow(TRANSPORT)


def test_dataflow_over_memory_of_the_runtime() -> None:
    dataflow("external")


def test_dataflow_over_memory_of_an_npu(npu: str) -> None:
    dataflow(npu)


def test_the_benchmark_works() -> None:
    bench = EXAMPLES.parent / "bench" / "bench.py"
    result = subprocess.run(
        [sys.executable, bench, "--rounds", "1", "--ms", "0.1", "--only", "64"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2 * LONG,
    )
    assert result.returncode == 0, result.stdout
    assert "multiprocessing.Pipe" in result.stdout
    assert result.stdout.count("there and back") == 5
    assert result.stdout.count("a message") == 2
