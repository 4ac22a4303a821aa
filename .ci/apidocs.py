"""
Runs pydoctor on the package; what it complains of is an error.

Two complaints are looked into. A link to somewhere outside the package holds if
that name can be imported: C{L{twisted.internet.task.Clock}} may be written
without fetching anybody's inventory from the network, and a misspelt one is
still found. And annotations are mypy's business: pydoctor 25.10 takes the texts
within C{Annotated[...]} for types.
"""

import re
import subprocess
import sys
from pathlib import Path

from twisted.python.reflect import namedAny
from zope.interface.interface import InterfaceClass

ROOT = Path(__file__).resolve().parent.parent
COMPLAINT = re.compile(r"^\S+:(\d+|\?\?\?): ")
LINK = re.compile(r'Cannot find link target for "([\w.]+)"')


def is_outside(name: str) -> bool:
    """
    Whether C{name} is a real name of another package, or a built-in one.
    """
    if name.startswith("diarkis_tw."):
        return False
    for candidate in (name, f"builtins.{name}"):
        try:
            namedAny(candidate)
        except Exception:  # noqa: S112 - importing may fail in any way
            continue
        return True
    return is_of_interface(name)


def is_of_interface(name: str) -> bool:
    """
    Whether C{name} is a method of a zope interface, which are no attributes.
    """
    interface, _, method = name.rpartition(".")
    try:
        found = namedAny(interface)
    except Exception:
        return False
    return isinstance(found, InterfaceClass) and method in found


def is_error(complaint: str) -> bool:
    """
    Whether there is something to mend, see above.
    """
    if "syntax error in annotation" in complaint:
        return False
    link = LINK.search(complaint)
    return not (link and is_outside(link[1]))


def main() -> int:
    """
    @return: the exit status: 1 if there is something to mend.
    """
    finished = subprocess.run(
        [Path(sys.executable).with_name("pydoctor"), "--quiet"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = finished.stdout.splitlines()
    errors = [line for line in lines if COMPLAINT.match(line) and is_error(line)]
    # 2: unparsable docstrings, 3: warnings; both have their lines.
    if finished.returncode not in (0, 2, 3):
        errors = lines or [f"pydoctor ended with status {finished.returncode}"]
    print("\n".join(errors) or "build/apidocs/index.html")
    if any("Improper paragraph indentation" in error for error in errors):
        print('Indented lines, a table for example, follow a paragraph that ends with "::".')
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
