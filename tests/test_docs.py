"""
What the documents show works as they show it.
"""

import re
import shutil
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.browser.case import WEB
from tests.browser.test_node import node
from tests.markdown import ROOT, Block, DocumentRun, blocks, matches


class DocumentTests(SynchronousTestCase):
    """
    Every block of the documents for users runs.
    """

    def run_document(self, name: str) -> None:
        run = DocumentRun(Path(self.mktemp()))
        run.run(ROOT / name)
        meant = [b for b in blocks(ROOT / name) if b.file or b.info.startswith("console")]
        self.assertEqual(run.ran, len(meant))
        self.assertGreater(run.ran, 4)

    def test_readme(self) -> None:
        """
        The README's blocks do what it says.
        """
        self.run_document("README.md")

    def test_tutorial(self) -> None:
        """
        The tutorial's blocks do what it says.
        """
        self.run_document("docs/tutorial.md")

    def test_api(self) -> None:
        """
        The examples of the API's names do what they say.
        """
        self.run_document("docs/api.md")

    def test_configuration(self) -> None:
        """
        The blocks of the configuration page do what it says.
        """
        self.run_document("docs/configuration.md")

    def test_operations(self) -> None:
        """
        So do those of the operations document.
        """
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl command")
        self.run_document("docs/operations.md")

    def test_http(self) -> None:
        """
        The blocks on HTTP routes do what it says.
        """
        self.run_document("docs/http.md")

    def test_connector(self) -> None:
        """
        The blocks on the connector do what it says.
        """
        self.run_document("docs/connector.md")

    def test_browser(self) -> None:
        """
        The blocks on browsers work in Node beside the client that they name.
        """
        node()
        folder = Path(self.mktemp())
        run = DocumentRun(folder)
        shutil.copy(WEB / "diarkis.mjs", folder)
        run.run(ROOT / "docs/browser.md")
        self.assertEqual(run.ran, 7)

    def test_links(self) -> None:
        """
        Links between the documents lead to files that exist.
        """
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
                self.assertTrue((document.parent / target).exists(), f"{document.name}: {target}")


class RunnerTests(SynchronousTestCase):
    """
    The runner notices when a document is wrong.
    """

    def document(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_wrong_output(self) -> None:
        """
        A command that prints something else fails the document.
        """
        document = self.document("```console\n$ echo one\ntwo\n```\n")
        with self.assertRaises(AssertionError):
            DocumentRun(Path(self.mktemp())).run(document)

    def test_failing_command(self) -> None:
        """
        A command that exits with an error fails the document.
        """
        document = self.document("```console\n$ false\n```\n")
        with self.assertRaises(AssertionError):
            DocumentRun(Path(self.mktemp())).run(document)

    def test_wildcard(self) -> None:
        """
        Three dots stand for anything, and nothing else does.
        """
        self.assertTrue(matches('{"a":"...","b":1}', '{"a":"xyz","b":1}\n'))
        self.assertFalse(matches('{"a":"...","b":1}', '{"a":"xyz","b":2}\n'))

    def test_several_commands(self) -> None:
        """
        A block's commands each have the output below them.
        """
        block = Block("console", "$ a\n1\n2\n$ b\n")
        self.assertEqual(list(block.commands()), [("a", "1\n2\n"), ("b", "")])
