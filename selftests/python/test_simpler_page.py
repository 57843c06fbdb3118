# SPDX-License-Identifier: GPL-2.0-only
"""l3l2q-simpler(7) says what is there, and its example runs."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
import sys
import threading
from typing import Any, Dict, List

import pytest

import l3l2q
from l3l2q.simpler import memory
from l3l2q.simpler.g2 import Orchestrator

PAGE = pathlib.Path(__file__).parents[2] / "libuser" / "man" / "l3l2q-simpler.7"

if not PAGE.exists():
    pytest.skip("the pages are not here", allow_module_level=True)

TEXT = PAGE.read_text(encoding="utf-8")


def test_modules_of_the_table_exist() -> None:
    names = re.findall(r"\bl3l2q\.simpler\.[\w.]*\w", TEXT)
    assert len(names) > 12
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute)


def test_imports_of_the_synopsis() -> None:
    synopsis = re.findall(r"^from (\S+) import (\w+)$", TEXT, re.MULTILINE)
    assert len(synopsis) == 3
    for module, name in synopsis:
        assert callable(getattr(importlib.import_module(module), name))


def test_example_runs() -> None:
    found = re.search(r"^\.EX\n(.*?)^\.EE$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    code = found.group(1).replace("\\-", "-").replace("\\e", "\\")
    result = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60, check=True
    )
    assert result.stdout == b"HELLO\n"


def test_readme_shows_old_and_new_side_by_side(capsys: "pytest.CaptureFixture[str]") -> None:
    readme = PAGE.parents[2].joinpath("README.md").read_text(encoding="utf-8")
    section = readme.split("### Coming from simpler\n")[1].split("\n## ")[0]
    old, new = (part.split("```")[0] for part in section.split("```python\n")[1:])
    lines = list(zip(old.splitlines(), new.splitlines()))
    assert len(lines) == 10
    changed = [b.strip() for a, b in lines if a != b]
    assert [words.split()[0] for words in changed] == ["from", "queue", "orch,"]

    ends: List[l3l2q.Endpoint] = []

    def serve() -> None:
        with ends[0] as l2:
            received = l2.consumer.dequeue(10)
            l2.producer.enqueue(bytes(byte + 1 for byte in received.data), 10)
            assert l2.consumer.dequeue(10).opcode == l3l2q.Opcode.STOP

    worker = threading.Thread(target=serve)

    def source(request: memory.Request) -> memory.Memory:
        made = memory.native("memfd")(request)
        ends.append(l3l2q.attach(made.open_peer()))
        worker.start()
        return made

    names: Dict[str, Any] = {}
    exec(new, names)
    with Orchestrator(source) as orch:
        names["orchestrate"](orch)
        worker.join()
    assert capsys.readouterr().out == "IBM\n"
