"""
Tests of L{diarkis_tw.cli.config}.
"""

import argparse
import io
import json
from contextlib import redirect_stderr, redirect_stdout

from diarkis_tw.cli import config
from diarkis_tw.config.document import document
from diarkis_tw.config.environment import VARIABLES
from diarkis_tw.config.load import default_settings, load_settings
from diarkis_tw.config.schema import flat_schema
from diarkis_tw.config.section import keys
from diarkis_tw.config.settings import SECTIONS
from diarkis_tw.testing.certificates import Authority
from tests.config.case import ConfigCase
from tests.config.test_shipped import CONFIGS


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
                "app": {"module": "diarkis_tw.demo"},
            }
        )
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(
            out.splitlines(),
            [
                f"OK: {self.folder / 'node.json'}",
                "TCP: 127.0.0.1 any free port",
                "HTTP: 127.0.0.1 port 7000",
                "clients connect to: as bound",
                "the endpoint API asks for: nothing",
                "application: diarkis_tw.demo",
            ],
        )

    def test_mesh(self) -> None:
        """
        Of a node of many it is said which ones it looks for, where, and with which files.
        """
        mesh = {"engine": "nats", "servers": ["nats://u:hunter2@127.0.0.1:4222"], "app": "a"}
        status, out, _ = self.check({"TCP": {}, "mesh": mesh})
        self.assertEqual(status, 0)
        self.assertIn('\nother nodes: those of "a" without a key, over NATS at 127.0.0.1\n', out)
        servers = ["tls://n1.example", "tls://n2.example"]
        mesh |= {"servers": servers, "key": "hunter2" * 3}
        _, out, _ = self.check({"TCP": {}, "mesh": mesh})
        self.assertIn('those of "a" with this key, over NATS at n1.example, n2.example\n', out)
        self.assertNotIn("hunter2", out)
        status, out, error = self.check({"TCP": {}, "mesh": mesh | {"credentials": "no.creds"}})
        self.assertEqual((status, out), (1, ""))
        self.assertIn(f"node.json: mesh.credentials {self.folder / 'no.creds'}: cannot be", error)

    def test_tls(self) -> None:
        """
        The files of TLS are looked at, as at start.
        """
        issued = Authority().issue("a.example")
        issued.write(self.folder)
        http = {"tlsCertificate": "server.pem", "tlsPrivateKey": "server-key.pem"}
        status, out, _ = self.check({"TCP": {}, "HTTP": http})
        self.assertEqual(status, 0)
        self.assertIn("\nTCP: 127", out)
        self.assertIn("\nHTTP with TLS: 127.0.0.1 port 7000", out)
        (self.folder / "server-key.pem").write_bytes(issued.chain)
        status, out, error = self.check({"TCP": {}, "HTTP": http})
        self.assertEqual((status, out), (1, ""))
        self.assertIn("node.json: HTTP.tlsPrivateKey ", error)
        self.assertIn("holds a certificate and no private key", error)

    def test_flat(self) -> None:
        """
        A flat file is checked with its type; the port search is said.
        """
        status, out, _ = self.check({"address": "0.0.0.0"}, "tcp", DIARKIS_CLOUD_ENV="game.example")
        self.assertEqual(status, 0)
        self.assertIn("TCP: 0.0.0.0 port 7200, or the next free one above\n", out)
        self.assertIn("HTTP: 127.0.0.1 port 7000", out)
        self.assertIn("clients connect to: game.example", out)
        _, out, _ = self.check({"TCP": {}, "node": {"publicAddressUrl": "https://a.example/ip"}})
        self.assertIn("clients connect to: https://a.example/ip", out)

    def test_default(self) -> None:
        """
        Without a file the embedded default is checked; a type needs a file.
        """
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(config.check(None, None, {}), 0)
        self.assertTrue(out.getvalue().startswith("OK: the embedded default\nUDP: 127.0.0.1 port"))
        with redirect_stderr(io.StringIO()) as err:
            self.assertEqual(config.check(None, "tcp", {}), 1)
        self.assertIn("give the file", err.getvalue())

    def test_environment(self) -> None:
        """
        Variables count, and those that did are named, secrets without value.
        """
        _, out, _ = self.check(
            {"TCP": {}},
            DIARKIS_SET_HTTP__port="0",
            DIARKIS_CLIENT_KEY="hunter2",
            DIARKIS_UDP_PORT="tcp://10.0.0.1:7000",
        )
        self.assertIn("\nHTTP: 127.0.0.1 any free port\n", out)
        self.assertIn("\nthe endpoint API asks for: the client key\n", out)
        self.assertIn("\nfrom the environment: DIARKIS_CLIENT_KEY, DIARKIS_SET_HTTP__port\n", out)
        self.assertNotIn("hunter2", out)

    def test_application(self) -> None:
        """
        An application that cannot be imported is an error, as at start.
        """
        status, out, err = self.check({"HTTP": {}, "app": {"module": "no_such.game"}})
        self.assertEqual((status, out), (1, ""))
        self.assertIn("node.json: app no_such.game: there is no module", err)

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
        self.assertIn('node.json: TCP.nic "no-such0"', err)


class EnvironmentTests(ConfigCase):
    """
    C{config env}.
    """

    def show(self, **environ: str) -> tuple[int, dict[str, str], str, str]:
        """
        @return: exit status, what stands after each variable, all of standard
            output, standard error.
        """
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            status = config.show_environment(environ)
        rows = (line.strip().partition(" ") for line in out.getvalue().splitlines())
        shown = {name: value.strip() for name, _, value in rows if name.startswith("DIARKIS_")}
        return status, shown, out.getvalue(), err.getvalue()

    def test_none_set(self) -> None:
        """
        Every variable there is is listed.
        """
        status, shown, _, err = self.show()
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(set(shown.values()), {"-"})
        count = sum(len(keys(section)) for section in SECTIONS.values())
        self.assertEqual(len(shown), len(VARIABLES) + count)
        self.assertIn("DIARKIS_SET_UDP__sendUDPInterval", shown)

    def test_set(self) -> None:
        """
        What is set is shown, so that nothing in it harms a terminal.
        """
        _, shown, _, _ = self.show(DIARKIS_SET_app__module="\x1b[31m", DIARKIS_CLOUD_ENV="a.b")
        self.assertEqual(shown["DIARKIS_SET_app__module"], '"\\u001b[31m"')
        self.assertEqual(shown["DIARKIS_CLOUD_ENV"], '"a.b"')

    def test_secrets(self) -> None:
        """
        A secret is said to be set, and not shown.
        """
        _, shown, out, _ = self.show(
            DIARKIS_CLIENT_KEY="hunter2",
            DIARKIS_SET_mesh__key="hunter2",
            DIARKIS_SET_CONNECTOR__token="hunter2",
        )
        self.assertEqual(shown["DIARKIS_CLIENT_KEY"], "set (a secret)")
        self.assertEqual(shown["DIARKIS_SET_CONNECTOR__token"], "set (a secret)")
        self.assertNotIn("hunter2", out)

    def test_wrong(self) -> None:
        """
        A variable that the server would refuse is an error.
        """
        status, _, _, err = self.show(DIARKIS_SET_TCP__prot="1")
        self.assertEqual(status, 1)
        self.assertIn('DIARKIS_SET_TCP__prot: TCP has no key "prot"', err)

    def test_ignored(self) -> None:
        """
        Variables that look like one of ours are named as having no effect.
        """
        status, _, out, _ = self.show(DIARKIS_TCP_PORT="1", PATH="/bin")
        self.assertEqual(status, 0)
        self.assertIn("\nWithout a meaning here: DIARKIS_TCP_PORT\n", out)


class CommandTests(ConfigCase):
    """
    The command line.
    """

    def run_config(self, *words: str) -> str:
        """
        Run C{config} with these words, which must succeed.

        @return: standard output.
        """
        parser = argparse.ArgumentParser()
        config.add_parser(parser.add_subparsers(dest="subcommand"))
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(config.run(parser.parse_args(["config", *words])), 0)
        return out.getvalue()

    def test_check(self) -> None:
        """
        C{config check FILE --type TYPE} is understood and run.
        """
        path = self.write({"port": 0})
        self.assertIn("HTTP: ", self.run_config("check", str(path), "--type", "HTTP"))

    def test_default(self) -> None:
        """
        C{config default} prints what is a file of the same settings.
        """
        path = self.write(self.run_config("default").encode())
        self.assertEqual(load_settings(path, environ={}), default_settings({}))

    def test_schema(self) -> None:
        """
        C{config schema} prints the shipped schema, with a type that of flat
        files.
        """
        self.assertTrue(
            self.run_config("schema") == (CONFIGS / "schema.json").read_text(),
            "Run: .venv/bin/diarkis-tw config schema > configs/schema.json",
        )
        flat = json.loads(self.run_config("schema", "--type", "tcp"))
        self.assertEqual(flat, flat_schema("TCP"))

    def test_doc(self) -> None:
        """
        C{config doc} prints the page.
        """
        self.assertEqual(self.run_config("doc"), document())

    def test_env(self) -> None:
        """
        C{config env} lists the variables of this process.
        """
        self.assertIn("DIARKIS_CLOUD_ENV ", self.run_config("env"))

    def test_wrong_words(self) -> None:
        """
        C{config} alone, or with an unknown type, is a usage error.
        """
        for words in ((), ("check", "f.json", "--type", "tpc"), ("schema", "--type", "node")):
            with redirect_stderr(io.StringIO()):
                self.assertRaises(SystemExit, self.run_config, *words)
