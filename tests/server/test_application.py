"""
Tests of L{diarkis_tw.server.application}.
"""

import itertools
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import ConfigError
from diarkis_tw.server.application import find_application

_names = (f"diarkis_tw_test_app_{n}" for n in itertools.count())


class FindApplicationTests(SynchronousTestCase):
    """
    From a name to C{setup}.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.patch(sys, "path", sys.path[:])
        self.name = next(_names)
        self.addCleanup(self.forget)

    def forget(self) -> None:
        """
        Unload what was imported.
        """
        for name in list(sys.modules):
            if name == self.name or name.startswith(f"{self.name}."):
                del sys.modules[name]

    def write(self, text: str, path: str = "{name}.py") -> Path:
        """
        Write a module.
        """
        file = self.folder / path.format(name=self.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def find(self, name: str = "{name}") -> object:
        """
        Find the application and call it.
        """
        setup = find_application(name.format(name=self.name), str(self.folder))
        return setup("the server")  # type: ignore[arg-type]

    def refused(self, *parts: object, name: str = "{name}") -> str:
        """
        Assert that there is one line with these parts and the name.
        """
        text = str(self.assertRaises(ConfigError, self.find, name))
        for part in (name.format(name=self.name), *parts):
            self.assertIn(str(part), text)
        self.assertNotIn("\n", text)
        return text

    def test_module(self) -> None:
        """
        A module's C{setup} is the application.
        """
        self.write("def setup(server): return server")
        self.assertEqual(self.find(), "the server")

    def test_moduleInAPackage(self) -> None:
        """
        The module may be in a package.
        """
        self.write("def setup(server): return server", "{name}/commands.py")
        self.assertEqual(self.find("{name}.commands"), "the server")

    def test_ends(self) -> None:
        """
        A module that ends the process when it is imported is an error that says where.
        """
        for code, shown in (("2", "2"), ("", "None"), ("'no', 1", "('no', 1)")):
            file = self.write(f"import sys\n\nraise SystemExit({code})\n")
            self.refused(f"{file}:3: importing", f"ends the process, with {shown}", "__main__")
        self.write("import sys\nsys.exit(0)\n", "{name}_other.py")
        self.write(f"import {self.name}_other")
        self.refused(f"{self.name}_other.py:2: importing {self.name} ends")

    def test_callable(self) -> None:
        """
        A dotted name may name a callable of a module, by any name.
        """
        self.write("def wire_up(server): return [server]")
        self.assertEqual(self.find("{name}.wire_up"), ["the server"])

    def test_appended(self) -> None:
        """
        The folder comes last on the path, so that it hides nothing, and once.
        """
        before = sys.path[:]
        self.write("def setup(server): return server")
        self.find()
        self.find()
        self.assertEqual(sys.path, [*before, str(self.folder)])

    def test_relativeFolder(self) -> None:
        """
        A relative folder is made absolute: a daemon changes its directory.
        """
        self.write("def setup(server): return server")
        find_application(self.name, str(self.folder.relative_to(Path.cwd())))
        self.assertEqual(sys.path[-1], str(self.folder))

    def test_missing(self) -> None:
        """
        For a module that is nowhere the text says where it was looked for and what to do.
        """
        self.refused("no module of that name", self.folder, "--app-dir")
        self.refused("no module of that name", name="{name}.commands.more")

    def test_oddNames(self) -> None:
        """
        What is no module name at all is refused in one sentence.
        """
        for name in ("a b", ".x", "x..y", "x.", "/x.py", "x.py", "é", "\n"):
            text = str(self.assertRaises(ConfigError, find_application, name, str(self.folder)))
            self.assertTrue(text.startswith(f"app {name}"), text)

    def test_noSetup(self) -> None:
        """
        A module without C{setup} is refused.
        """
        self.write("def set_up(server): pass")
        self.refused("no callable 'setup'", "setup(server)")

    def test_setupIsNoFunction(self) -> None:
        """
        What cannot be called is no application.
        """
        self.write("setup = 7")
        self.refused("no callable 'setup'")

    def test_noSuchCallable(self) -> None:
        """
        A dotted name whose last part is nothing in the module is refused by that part.
        """
        self.write("def setup(server): pass")
        self.refused("no callable 'begin'", name="{name}.begin")

    def test_syntaxError(self) -> None:
        """
        A syntax error is told with file and line.
        """
        file = self.write("def setup(server):\n    return (\n")
        self.refused("SyntaxError", file.name, "line 2")

    def test_exceptionInside(self) -> None:
        """
        An exception while importing is told with its type, text, file and line.
        """
        file = self.write("x = 1\ny = 2\nraise ZeroDivisionError('oh no')\n")
        self.refused(f"{file}:3", "ZeroDivisionError", "oh no")

    def test_exceptionBelow(self) -> None:
        """
        The place is the innermost one of the application's own code.
        """
        self.write("from NAME import inner\n".replace("NAME", self.name), "{name}/__init__.py")
        inner = self.write("\n\nint('seven')\n", "{name}/inner.py")
        self.refused(f"{inner}:3", "ValueError", "seven")

    def test_missingImportInside(self) -> None:
        """
        A module that the application itself misses is not mistaken for the application.
        """
        file = self.write("import diarkis_tw_test_nowhere\ndef setup(server): pass\n")
        text = self.refused(f"{file}:1", "ModuleNotFoundError", "diarkis_tw_test_nowhere")
        self.assertNotIn("--app-dir", text)

    def test_missingImportInsideAPackage(self) -> None:
        """
        The same holds for a missing module of the application's own package.
        """
        self.write("", "{name}/__init__.py")
        file = self.write(f"from {self.name} import nowhere\n", "{name}/commands.py")
        self.refused(f"{file}:1", "nowhere", name="{name}.commands")
