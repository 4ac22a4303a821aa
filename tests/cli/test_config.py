"""
Tests of L{diarkis_tw.cli.config}.
"""

import argparse
import io
from contextlib import redirect_stderr, redirect_stdout

from diarkis_tw.cli import config
from tests.config.case import ConfigCase


class CheckTests(ConfigCase):
    """
    C{config check}.
    """

    def check(
        self, content: object, server_type: str | None = None, **environ: str
    ) -> tuple[int, str, str]:
        """
        @return: exit status, standard output, standard error.
        """
        path = str(self.write(content))
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            status = config.check(path, server_type, environ)
        return status, out.getvalue(), err.getvalue()

    def test_right(self) -> None:
        """
        A right file is OK, and what it would start is said.
        """
        status, out, err = self.check(
            {
                "TCP": {"port": 0},
                "HTTP": {"port": "7000", "useFixedPort": True},
                "app": {"module": "game.commands"},
            }
        )
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out.splitlines(),
            [
                "OK",
                "TCP: 127.0.0.1 any free port",
                "HTTP: 127.0.0.1 port 7000",
                "clients connect to: as bound",
                "application: game.commands",
            ],
        )

    def test_flat(self) -> None:
        """
        A flat file is checked with its type; the port search is said.
        """
        status, out, _ = self.check({"address": "0.0.0.0"}, "tcp", DIARKIS_CLOUD_ENV="game.example")
        self.assertEqual(status, 0)
        self.assertIn("TCP: 0.0.0.0 port 7200, or the next free one above\n", out)
        self.assertIn("HTTP: 127.0.0.1 port 7000", out)
        self.assertIn("clients connect to: game.example", out)

    def test_wrong(self) -> None:
        """
        A wrong file gives its error alone and status 1.
        """
        status, out, err = self.check({"TCP": {"port": -1}})
        self.assertEqual((status, out), (1, ""))
        self.assertIn("TCP.port must be", err)
        self.assertEqual(err.count("\n"), 1)

    def test_unknown_nic(self) -> None:
        """
        An interface that this machine lacks is found, too.
        """
        status, out, err = self.check({"TCP": {"nic": "no-such0"}})
        self.assertEqual((status, out), (1, ""))
        self.assertIn('TCP.nic "no-such0"', err)


class ParserTests(ConfigCase):
    """
    The command line.
    """

    def parse(self, *words: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        config.add_parser(parser.add_subparsers(dest="command"))
        return parser.parse_args(["config", *words])

    def test_check(self) -> None:
        """
        C{config check FILE --type TYPE} is understood and run.
        """
        path = self.write({"port": 0})
        args = self.parse("check", str(path), "--type", "http")
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(args.run(args), 0)
        self.assertIn("HTTP: ", out.getvalue())

    def test_incomplete(self) -> None:
        """
        C{config} alone, or without a file, is a usage error.
        """
        for words in ((), ("check",)):
            with redirect_stderr(io.StringIO()):
                self.assertRaises(SystemExit, self.parse, *words)
