"""
Whole benchmarks, as a person starts them.
"""

import os
import signal
import subprocess
import sys

from bench.process import CHECKOUT

PATIENCE = 240
"""Seconds for one that takes half a minute with a core to itself, on a busy machine."""


def run_bench(*arguments: str) -> str:
    """
    Run C{python -m bench} to its end.

    @return: what it printed.
    @raise AssertionError: it failed, or said something on standard error.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, wrong = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its servers
            raise
    assert (process.returncode, wrong) == (0, ""), f"{process.returncode}: {wrong}"
    return said
