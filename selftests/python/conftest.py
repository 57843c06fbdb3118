# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of all tests, and their results as TAP if L3L2Q_TAP is set."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Iterator, List

import native_util
import pytest


@pytest.fixture
def make() -> Iterator[Callable[..., native_util.Pair]]:
    """Make pairs of endpoints, which are closed at the end of the test."""
    pairs: List[native_util.Pair] = []

    def make_pair(**options: Any) -> native_util.Pair:
        pairs.append(native_util.Pair(**options))
        return pairs[-1]

    yield make_pair
    for pair in pairs:
        pair.close()


@pytest.fixture
def pair(make: Callable[..., native_util.Pair]) -> native_util.Pair:
    """L3 and L2 with a window of 4."""
    return make(window=4)


class Tap:
    """What selftests/checks/tapsum.pl reads."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        print(f"TAP version 13\n1..{len(session.items)}", flush=True)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            print(f"Bail out! {report.nodeid}\n{report.longreprtext}", flush=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test has one result: its call's, or that of what failed around it.
        if report.when != "call" and report.passed:
            return
        if report.when == "teardown" and report.failed:
            print(f"Bail out! after {report.nodeid}\n{report.longreprtext}", flush=True)
            return
        self.count += 1
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            print(f"ok {self.count} {report.nodeid} # SKIP {reason}", flush=True)
        elif report.passed:
            print(f"ok {self.count} {report.nodeid}", flush=True)
        else:
            for line in report.longreprtext.splitlines():
                print(f"# {line}")
            print(f"not ok {self.count} {report.nodeid}", flush=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("L3L2Q_TAP"):
        terminal = config.pluginmanager.getplugin("terminalreporter")
        if terminal:
            config.pluginmanager.unregister(terminal)
        # What a crash leaves has to say where.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        config.pluginmanager.register(Tap(), "tap")
