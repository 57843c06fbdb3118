# SPDX-License-Identifier: GPL-2.0-only
"""l3l2q-simpler(7) says what is there, and its example runs."""

from __future__ import annotations

import importlib
import pathlib
import re
import subprocess
import sys

import pytest

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
