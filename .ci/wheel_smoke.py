"""
Builds sdist and wheel, installs the wheel into an empty environment outside the
checkout and serves one echo from it.

What a checkout hides is found here: a module or data file that is not packed, a
plugin that is not found, a dependency that is not declared.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 30.0
"""Seconds from the start of the server to its ready file."""
STEP_TIMEOUT = 300.0
"""Seconds for any one command: building and installing use the network."""

CONFIG = {
    "TCP": {"port": 0, "noDelay": True},
    "HTTP": {"port": 0},
    "app": {"module": "diarkis_tw.demo"},
}
IN_WHEEL = {
    "twisted/plugins/diarkis_plugin.py",
    "diarkis_tw/py.typed",
    "diarkis_tw/tap.py",
    "diarkis_tw/testing/__init__.py",
}
NOT_IN_WHEEL = re.compile(
    r"^(?!diarkis_tw/|diarkis_tw-|twisted/plugins/diarkis_plugin\.py$)|dropin\.cache|\.pyc$"
)
"""Also an C{__init__.py} in C{twisted/}: the plugin is all that may be there."""
IN_SDIST = ("Makefile", "ruff.toml", "tests/__init__.py", "tests/test_packaging.py")
DIRECTORIES_IN_SDIST = ("bench", "configs", "docs", "examples", "tac")


def run(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    """
    Run to the end and return the standard output.

    @raise SystemExit: if it fails; what it said has been shown.
    """
    finished = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT,
        check=False,
    )
    if finished.returncode != 0:
        print(finished.stdout, finished.stderr)
        sys.exit(f"Failed with status {finished.returncode}: {' '.join(map(str, command))}")
    return finished.stdout


def build(directory: Path, env: dict[str, str]) -> Path:
    """
    Build the sdist and, from it, the wheel; look into both.

    @return: the wheel.
    """
    run(sys.executable, "-m", "build", "--outdir", directory, ROOT, cwd=directory, env=env)
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    if missing := IN_WHEEL - names:
        sys.exit(f"Not in the wheel: {sorted(missing)}")
    if extra := [name for name in names if NOT_IN_WHEEL.search(name)]:
        sys.exit(f"Does not belong in the wheel: {sorted(extra)}")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    wanted = [*IN_SDIST, *(name for name in DIRECTORIES_IN_SDIST if any((ROOT / name).rglob("*")))]
    if missing := set(wanted) - packed:
        sys.exit(f"Not in the sdist: {sorted(missing)}")
    return wheel


def wait_for_ready(process: "subprocess.Popen[bytes]", ready_file: Path) -> str:
    """
    Wait until the server has written what it bound.

    @return: the URL of the endpoint API.
    @raise SystemExit: if the server ends or takes too long.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not ready_file.exists():
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                sys.exit(f"No ready file after {START_TIMEOUT:.0f} s")
        else:
            sys.exit(f"The server ended with status {process.returncode} before it was ready")
    bound = json.loads(ready_file.read_text())["HTTP"]
    return f"http://{bound['host']}:{bound['port']}"


def serve(scripts: Path, directory: Path, env: dict[str, str]) -> None:
    """
    Start the server, send one command through it, stop it.

    @raise SystemExit: if any of this fails; the server's log has been shown.
    """
    config, ready_file, log = (directory / name for name in ("all.json", "ready", "log"))
    config.write_text(json.dumps(CONFIG))
    command: list[str | Path] = [scripts / "twistd", "-n", "--pidfile=", "diarkis"]
    command += ["--ready-file", ready_file, "--config", config]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = wait_for_ready(server, ready_file)
        client: list[str | Path] = [scripts / "diarkis-tw", "client"]
        client += ["--type", "tcp", "--uid", "alice"]
        client += ["--url", url, "--send", "2", "10", "hello", "--expect", "1"]
        print(run(*client, cwd=directory, env=env).rstrip())
        server.send_signal(signal.SIGTERM)
        status = server.wait(timeout=START_TIMEOUT)
        if status != 0:
            sys.exit(f"The server ended with status {status} on SIGTERM, not 0")
    except BaseException:
        print(log.read_text(errors="replace"))
        raise
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def main() -> None:
    """
    Do all of it in one temporary directory.
    """
    # The checkout must not come in by the environment; pip's settings may.
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "DIARKIS_")) and key not in ("VIRTUAL_ENV", "MAKEFLAGS")
    }
    with tempfile.TemporaryDirectory(prefix="diarkis-wheel-") as name:
        directory = Path(name)
        dist, elsewhere = directory / "dist", directory / "elsewhere"
        dist.mkdir()
        elsewhere.mkdir()
        wheel = build(dist, env)
        print(f"built {wheel.name} and its sdist")
        venv.create(directory / "venv", with_pip=True)
        scripts = directory / "venv" / "bin"
        pip: list[str | Path] = [
            scripts / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
        ]
        run(*pip, "install", "--quiet", wheel, cwd=elsewhere, env=env)
        run(*pip, "check", cwd=elsewhere, env=env)
        if "diarkis" not in run(scripts / "twistd", "--help", cwd=elsewhere, env=env):
            sys.exit("twistd --help does not list diarkis")
        print("installed; twistd lists diarkis")
        serve(scripts, elsewhere, env)
        print("served one echo and stopped with status 0")


if __name__ == "__main__":
    main()
