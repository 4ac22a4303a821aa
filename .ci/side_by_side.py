"""
Runs two commands side by side, so that each has a core: what the first one says is
seen as it comes, what the second one says goes to a file and is shown, from its
beginning, once the first has ended. So its closing line is the last.

Usage: C{python .ci/side_by_side.py FILE COMMAND ... -- COMMAND ...}

Both always run to their end. The exit status is 0 if both have 0.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

LOOK_EVERY = 0.2
"""Seconds between two looks at what the second command has said."""


def name(command: list[str]) -> str:
    """
    What a person calls a command.
    """
    return Path(command[0]).name


def show(said: BinaryIO) -> None:
    """
    Pass on what there is.
    """
    sys.stdout.buffer.write(said.read())
    sys.stdout.flush()


def run(file: Path, first: list[str], second: list[str]) -> int:
    """
    Run both.

    @param file: for the output of C{second}.
    @return: the exit status.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as output:
        later = subprocess.Popen(
            second, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        print(f"{name(second)} runs beside {name(first)}: {file}", flush=True)
        status = subprocess.run(first, check=False).returncode
        if status:
            print(f"{name(first)} FAILED", flush=True)
        with file.open("rb") as said:
            while later.poll() is None:
                show(said)
                time.sleep(LOOK_EVERY)
            show(said)
    finally:
        if later.poll() is None:
            later.terminate()
            later.wait()
    return 1 if status or later.returncode else 0


def main() -> int:
    """
    @return: the exit status.
    """
    file, *commands = sys.argv[1:]
    between = commands.index("--")
    try:
        return run(Path(file), commands[:between], commands[between + 1 :])
    except KeyboardInterrupt:  # both commands got it too
        return 128 + signal.SIGINT


if __name__ == "__main__":
    # So that neither command is left behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    sys.exit(main())
