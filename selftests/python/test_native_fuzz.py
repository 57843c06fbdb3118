# SPDX-License-Identifier: GPL-2.0-only
"""Random calls do not crash the interpreter. L3L2Q_SEED and L3L2Q_STEPS repeat or prolong it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from native_util import LONG

STEPS = int(os.environ.get("L3L2Q_STEPS", "250"))


def test_random_calls() -> None:
    here = Path(__file__).parent
    seed = os.environ.get("L3L2Q_SEED") or str(random.randrange(10**9))
    result = subprocess.run(
        [sys.executable, here / "fuzz_calls.py", seed, str(STEPS)],
        capture_output=True,
        text=True,
        timeout=LONG + STEPS,
    )
    assert result.returncode == 0, f"seed {seed}: {result.returncode}\n{result.stderr[-8000:]}"
