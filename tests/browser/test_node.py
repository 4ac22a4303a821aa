"""
The JavaScript client in Node.
"""

import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.browser.case import ALL_WELL, UID, WEB, WebCase
from tests.integration.process import PATIENCE


def node() -> list[str]:
    """
    How to run a script.

    @raise SkipTest: there is no Node, or none that has WebSocket.
    """
    program = shutil.which("node")
    if program is None:
        raise SkipTest("there is no node command")
    asked = subprocess.run([program, "--version"], capture_output=True, timeout=PATIENCE, text=True)
    version = re.match(r"v(\d+)\.(\d+)", asked.stdout)
    if version is None or (major := int(version[1]), int(version[2])) < (20, 10):
        raise SkipTest(f"Node {asked.stdout.strip()} has no WebSocket")
    return [program] if major >= 22 else [program, "--experimental-websocket"]


class NodeTests(WebCase):
    """
    C{examples/web} on the command line.
    """

    def run_script(
        self, url: str, script: Path = WEB / "echo.mjs", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """
        Run a script to its end.
        """
        return subprocess.run(
            [*node(), script, url, UID],
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            text=True,
            check=False,
        )

    def test_echo(self) -> None:
        """
        It logs in, proves to be the user, and talks in values and bytes.
        """
        node()
        done = self.run_script(self.serve())
        self.assertEqual((done.stdout, done.returncode), (ALL_WELL, 0), done.stderr)
        self.assertStops(self.server)

    def test_tls(self) -> None:
        """
        The same over https and wss, if the authority is trusted.
        """
        node()
        url = self.serve(tls=True)
        done = self.run_script(url, NODE_EXTRA_CA_CERTS=str(self.ca))
        self.assertEqual((done.stdout, done.returncode), (ALL_WELL, 0), done.stderr)
        self.assertNotEqual(self.run_script(url).returncode, 0)

    def test_comesBack(self) -> None:
        """
        The endpoint of a connection takes its user to a second one; bytes of any length arrive.
        """
        node()
        script = Path(__file__).with_name("comes_back.mjs")
        done = self.run_script(self.serve(), script)
        expected = (
            "{ code: 4006, reason: 'REPLACED' } { n: 1 }\nnot connected\n"
            "1 1 true\n2 2 true\n5000 5000 true\npush { n: 2 }\ntrue\n"
        )
        self.assertEqual((done.stdout, done.returncode), (expected, 0), done.stderr)

    def test_refused(self) -> None:
        """
        What the endpoint API and the server have to say against it arrives.
        """
        node()
        self.environ["DIARKIS_CLIENT_KEY"] = "swordfish"
        done = self.run_script(self.serve())
        self.assertEqual(done.returncode, 1)
        self.assertIn("ClientKey", done.stderr)
