"""
Sets up C{.venv} with this checkout installed into it, once.

Usage: C{python3 .ci/setup_venv.py [EXTRA ...]}, with Python 3.11 or newer and nothing
else installed. What was done is written down in C{.venv/.installed}; it is done
again only when it no longer holds: other dependencies, an extra more, another
Python, another place. A lock makes two callers go one after the other.

What stands here must be understood by Python 3.6 too, to be able to refuse it.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a newer Python is what this asks for
    sys.exit(
        f"diarkis_tw needs Python 3.11 or newer; this is {sys.version.split()[0]}, "
        f"{sys.executable}.\nName another one: make PYTHON=python3.12 ..."
    )

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
PYTHON = VENV / "bin" / "python"


def say(text: str) -> None:
    """
    Tell the person at the terminal how far it is; standard output stays clean.
    """
    print(text, file=sys.stderr, flush=True)


def wanted() -> dict[str, str]:
    """
    What an installation depends on, besides the extras.
    """
    digest = hashlib.sha256()
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return {
        "dependencies": digest.hexdigest(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "root": str(ROOT),
    }


def installed() -> dict[str, str]:
    """
    What the stamp says, or nothing if there is none that can be read.
    """
    try:
        stamp = json.loads(STAMP.read_text())
        return {str(key): str(value) for key, value in stamp.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def create(want: dict[str, str], have: dict[str, str]) -> None:
    """
    Make the environment, anew if the old one is unfinished (pip comes last), of
    another Python or was moved: its scripts name their interpreter by path.
    """
    moved = bool(have) and any(have.get(key) != want[key] for key in ("python", "root"))
    if PYTHON.exists() and (VENV / "bin" / "pip").exists() and not moved:
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} cannot make virtual environments: its venv module is missing.\n"
            f"On Debian and Ubuntu: apt install python{want['python']}-venv"
        )
    say(f"Creating .venv (Python {sys.version.split()[0]})")
    if VENV.exists():
        shutil.rmtree(VENV)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)


def install(extras: set[str]) -> None:
    """
    Install this checkout, editable, with C{extras}.

    @raise SystemExit: if pip fails; its whole output has been shown.
    """
    target = f".[{','.join(sorted(extras))}]" if extras else "."
    say(f"Installing {target} with its dependencies into .venv, once: about a minute")
    # The compat mode puts the checkout itself on the path. The default one hides
    # twisted/plugins, and with it `twistd diarkis` (setuptools 82).
    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", "--config-settings=editable_mode=compat", "-e", target]
    started = time.monotonic()
    output: list[str] = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            output.append(line)
            if line.startswith(("Collecting", "Installing")):
                say("  " + " ".join(line.split()[:2]).removesuffix(" collected"))
    if pip.returncode != 0:
        say("".join(output))
        sys.exit("Setting up .venv failed; pip's words are above.")
    say(f"Installed in {time.monotonic() - started:.0f} s")


def main(extras: set[str]) -> None:
    """
    Bring C{.venv} to where it holds this checkout with at least C{extras}.
    """
    with open(__file__, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another set-up of .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        want, have = wanted(), installed()
        had = set(have.pop("extras", "").split(",")) - {""}
        if have == want and extras <= had and PYTHON.exists():
            return
        create(want, have)
        STAMP.unlink(missing_ok=True)
        install(extras | had)
        stamp = {**want, "extras": ",".join(sorted(extras | had))}
        unfinished = STAMP.with_suffix(".new")
        unfinished.write_text(json.dumps(stamp, indent=1) + "\n")
        os.replace(unfinished, STAMP)


if __name__ == "__main__":
    main(set(sys.argv[1:]))
