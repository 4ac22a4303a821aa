"""
The API has every name of the Go doc.
"""

import inspect
import re

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw import server
from tests.go_names import ALSO, CONSTANTS, FUNCTIONS, PENDING, TYPES
from tests.markdown import ROOT

ALL = CONSTANTS | FUNCTIONS | TYPES
MISSING = object()


def find(twin: str) -> object:
    """
    What C{diarkis_tw.server} has under a name such as C{Server.online}.
    """
    found: object = server
    for number, name in enumerate(twin.split(".")):
        if number == 0 and name not in server.__all__:
            return MISSING
        if (found, name) == (server.Server, "users"):  # an attribute of each instance
            return server.Server
        found = getattr(found, name, MISSING)
    return found


class GoNameTests(SynchronousTestCase):
    """
    The index of the Go doc.
    """

    def test_count(self) -> None:
        """
        The lists have as many names as the doc's index.
        """
        self.assertEqual((len(CONSTANTS), len(FUNCTIONS), len(TYPES)), (6, 37, 4))

    def test_all_there(self) -> None:
        """
        Every name has its twin, but those that are not built yet.
        """
        missing = {name for name, twin in (ALL | ALSO).items() if find(twin) is MISSING}
        self.assertEqual(missing, PENDING)

    def test_pending_only_shrinks(self) -> None:
        """
        Nothing is put off that was there, and the list names nothing that the doc does not.
        """
        self.assertEqual(len(PENDING), 0)
        self.assertLessEqual(PENDING, set(ALL))

    def test_docstrings(self) -> None:
        """
        Each twin's docstring names its Go original.
        """
        for name, twin in (FUNCTIONS | TYPES).items():
            found = find(twin)
            if inspect.isclass(found) or inspect.isfunction(found):  # no alias
                self.assertIn(f"C{{server.{name}}}", found.__doc__ or "", twin)
        for enum in (server.Status, server.ServerType):
            for name, twin in CONSTANTS.items():
                if twin.startswith(enum.__name__):
                    self.assertIn(f"C{{server.{name}}}", " ".join((enum.__doc__ or "").split()))

    def test_documented(self) -> None:
        """
        docs/api.md has a row for each, with its twin.
        """
        text = (ROOT / "docs" / "api.md").read_text()
        for name, twin in (ALL | ALSO).items():
            word = twin.rpartition(".")[2]
            row = rf"^\|[^|\n]*`{re.escape(name)}\b[^|\n]*\|[^|\n]*{word}"
            self.assertRegex(text, re.compile(row, re.MULTILINE), name)


class ConstantTests(SynchronousTestCase):
    """
    What the constants are.
    """

    def test_values(self) -> None:
        """
        The numbers of the statuses are those of the Go doc, and types are the words of the endpoint
        API.
        """
        status, kind = server.Status, server.ServerType
        self.assertEqual((status.OK, status.BAD, status.ERR), (1, 4, 5))
        self.assertEqual([str(one) for one in kind], ["UDP", "TCP", "WS"])
        self.assertEqual(f"{kind.TCP}", "TCP")
