"""
Installs Chromium for the tests of web pages, where that is possible without asking:
on Debian and its kin, as root, with a mirror within reach. Anywhere else, and if
it takes too long, nothing happens, and those tests are skipped with a reason.

It is tried once; C{make clean} lets it be tried again.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TRIED = Path(__file__).resolve().parent.parent / "build" / "browser-tried"

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

APT = ("apt-get", "-q", "-y", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")
INSTALL = (*APT, "install", "--no-install-recommends", "chromium")

STEPS = (
    ((*APT, "update"), 60),
    ((*INSTALL, "--download-only"), 240),
    # Nothing comes from the network any more, and a package manager is not to be interrupted.
    ((*INSTALL, "--no-download"), 600),
)
"""Commands, and the seconds that each may take."""


def main() -> None:
    """
    Try, if there is none.
    """
    if any(map(shutil.which, BROWSERS)) or TRIED.exists():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    TRIED.parent.mkdir(exist_ok=True)
    TRIED.touch()
    print("Installing Chromium for the tests of web pages, once", file=sys.stderr, flush=True)
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command, seconds in STEPS:
        try:
            subprocess.run(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            print("It cannot be had here: those tests are skipped", file=sys.stderr, flush=True)
            return


if __name__ == "__main__":
    main()
