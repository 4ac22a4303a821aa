"""
What makes the checkout an installable package with a C{twistd} subcommand.
"""

import ast
import configparser
import importlib.metadata
import io
import os
from contextlib import redirect_stdout
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import diarkis_tw
from diarkis_tw.cli import main, run
from diarkis_tw.tap import Options

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "diarkis_tw"
PLUGIN = ROOT / "twisted" / "plugins" / "diarkis_plugin.py"


def ini(name: str) -> configparser.ConfigParser:
    """
    Read a configuration file at the root of the checkout.
    """
    parser = configparser.ConfigParser(interpolation=None)
    with (ROOT / name).open() as file:
        parser.read_file(file)
    return parser


def package_folders() -> list[Path]:
    """
    The package and each folder in it that holds Python files.
    """
    found = {path.parent for path in PACKAGE.rglob("*.py")}
    return sorted(found)


class PluginTests(SynchronousTestCase):
    """
    C{twistd diarkis} is found, and Twisted is left alone.
    """

    def test_noInitUnderTwisted(self) -> None:
        """
        No C{__init__.py} under twisted/ hides the real Twisted.
        """
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py*")), [])

    def test_stringsOnly(self) -> None:
        """
        The plugin file imports the service maker and passes it strings, no more.
        """
        docstring, imported, made = ast.parse(PLUGIN.read_text()).body
        self.assertIsInstance(docstring, ast.Expr)
        self.assertIsInstance(imported, ast.ImportFrom)
        self.assertEqual(
            ast.unparse(imported), "from twisted.application.service import ServiceMaker"
        )
        assert isinstance(made, ast.Assign)
        assert isinstance(made.value, ast.Call)
        self.assertEqual(made.value.keywords, [])
        self.assertEqual(
            [type(ast.literal_eval(argument)) for argument in made.value.args], [str] * 4
        )

    def test_found(self) -> None:
        """
        Twisted's plugin search finds the subcommand exactly once.
        """
        found = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "diarkis"]
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0].module, "diarkis_tw.tap")

    def test_optionsLoad(self) -> None:
        """
        The module that the plugin names by a string has the options.
        """
        (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "diarkis"]
        self.assertIs(maker.options, Options)


class MetadataTests(SynchronousTestCase):
    """
    What is installed is what setup.cfg says.
    """

    def test_version(self) -> None:
        """
        The installed version and the one C{diarkis-tw --version} prints are setup.cfg's.
        """
        version = ini("setup.cfg")["metadata"]["version"]
        self.assertEqual(importlib.metadata.version("diarkis_tw"), version)
        output = io.StringIO()
        with redirect_stdout(output), self.assertRaises(SystemExit) as stopped:
            main.main(["--version"])
        self.assertEqual(stopped.exception.code, 0)
        self.assertEqual(output.getvalue(), f"diarkis-tw {version}\n")

    def test_consoleScript(self) -> None:
        """
        The installed C{diarkis-tw} resolves to the command line's main function.
        """
        scripts = importlib.metadata.entry_points(group="console_scripts", name="diarkis-tw")
        self.assertEqual([script.load() for script in scripts], [main.main])

    def test_extras(self) -> None:
        """
        The extras that make and CI install exist.
        """
        extras = importlib.metadata.metadata("diarkis_tw").get_all("Provides-Extra") or []
        self.assertLessEqual({"test", "dev"}, set(extras))

    def test_typed(self) -> None:
        """
        Type checkers of a game find the package's annotations.
        """
        self.assertTrue((Path(diarkis_tw.__file__).parent / "py.typed").exists())


class CommandLineTests(SynchronousTestCase):
    """
    C{diarkis-tw} knows its subcommands and C{run} is C{twistd diarkis}.
    """

    def test_subcommandsHaveParsers(self) -> None:
        """
        Each subcommand of the table adds a parser of that very name.
        """
        output = io.StringIO()
        for name in main.SUBCOMMANDS:
            with redirect_stdout(output), self.assertRaises(SystemExit) as stopped:
                main.main([name, "--help"])
            self.assertEqual(stopped.exception.code, 0)
            self.assertIn(f"usage: diarkis-tw {name}", output.getvalue())

    def test_runHasTheOptionsOfTwistd(self) -> None:
        """
        C{diarkis-tw run} takes each option of C{twistd diarkis} that has a value.
        """
        self.assertEqual(set(run.OPTIONS), set(Options().defaults) - {"banner"})

    def test_runPassesOptionsOn(self) -> None:
        """
        What is given to C{run} reaches C{twistd}, a leading dash included; the rest is not named.
        """
        given = ["--config=-x.json", "--app-dir=games"]
        args = main.build_parser().parse_args(["run", *given])
        self.assertEqual(
            run.twistd_arguments(args, "bin/diarkis-tw"),
            ["twistd", "-n", "--pidfile=", "diarkis", "--banner=bin/diarkis-tw", *given],
        )

    def test_bannerNamesWhatToType(self) -> None:
        """
        A script that the shell finds by its name is called by that, another one by its path.
        """
        directory = Path(self.mktemp()).absolute()
        directory.mkdir(parents=True)
        script = directory / "diarkis-tw"
        script.touch(mode=0o755)
        self.assertEqual(run.name_to_type(str(script)), str(script))
        self.patch(os, "environ", {**os.environ, "PATH": str(directory)})
        self.assertEqual(run.name_to_type(str(script)), "diarkis-tw")


class LayoutTests(SynchronousTestCase):
    """
    Every folder is a package that says what it is, and stands in a layer.
    """

    def test_docstrings(self) -> None:
        """
        Every folder of the package has an C{__init__.py} with a docstring.
        """
        for folder in package_folders():
            tree = ast.parse((folder / "__init__.py").read_text())
            self.assertTrue(ast.get_docstring(tree), folder)

    def test_layers(self) -> None:
        """
        Every folder and module stands in exactly one layer.
        """
        layers = ini(".importlinter")["importlinter:contract:layers"]["layers"].split()
        named = [name.strip("()") for name in layers if name not in "|:"]
        present = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
        present |= {path.parent.name for path in PACKAGE.glob("*/*.py")}
        self.assertLessEqual(present, set(named))
        self.assertEqual(len(named), len(set(named)))

    def test_sansIo(self) -> None:
        """
        The folders without I/O are held to it by a contract.
        """
        contract = ini(".importlinter")["importlinter:contract:sans-io"]
        self.assertEqual(
            {name.removesuffix(".**") for name in contract["source_modules"].split()},
            {"diarkis_tw.wire", "diarkis_tw.rudp"},
        )
        self.assertLessEqual(
            {"twisted", "socket", "time", "random", "secrets", "os"},
            set(contract["forbidden_modules"].split()),
        )
