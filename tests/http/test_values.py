"""
Tests of L{diarkis_tw.http.values}.
"""

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.errors import HttpError
from diarkis_tw.http.values import MissingValue, Values


class ValuesTests(SynchronousTestCase):
    """
    Parameters as what they are meant to be.
    """

    def values(self, **values: str) -> Values:
        return Values("query", values.items())

    def refused(self, text: str, kind: str) -> None:
        with self.assertRaises(HttpError) as caught:
            getattr(self.values(x=text), f"get_{kind}")("x")
        self.assertEqual((caught.exception.status, caught.exception.word), (400, "bad_parameter"))
        self.assertIn("query parameter x must be", caught.exception.message)

    def test_mapping(self) -> None:
        """
        They are a mapping of texts, in order.
        """
        values = self.values(b="1", a="")
        self.assertEqual(dict(values), {"b": "1", "a": ""})
        self.assertEqual((values.get("c"), values.get("c", "d"), "c" in values), (None, "d", False))

    def test_several(self) -> None:
        """
        Of several values of a name the first counts, and all can be had.
        """
        values = Values("query", [("a", "1"), ("b", "2"), ("a", "3")])
        self.assertEqual((values["a"], values.get_all("a")), ("1", ["1", "3"]))
        self.assertEqual((len(values), values.get_all("c")), (2, []))

    def test_missing(self) -> None:
        """
        A missing one is the client's fault, and named, unless there is a default.
        """
        values = self.values()
        for get in (values.__getitem__, values.get_int, values.get_float, values.get_bool):
            with self.assertRaises(MissingValue) as caught:
                get("count")
            self.assertEqual(caught.exception.status, 400)
            self.assertEqual(str(caught.exception), "The query parameter count is missing.")
        self.assertEqual(values.get_int("count", 0), 0)
        self.assertEqual(values.get_float("count", 0.0), 0.0)
        self.assertIs(values.get_bool("count", False), False)

    def test_integers(self) -> None:
        """
        An integer is plain digits, at most 18 of them.
        """
        for text, number in (("0", 0), ("-7", -7), ("007", 7), ("9" * 18, 10**18 - 1)):
            self.assertEqual(self.values(x=text).get_int("x", 5), number)
        for text in (
            "",
            "x",
            "1.0",
            "1_000",
            " 1",
            "1\n",
            "+1",
            "--1",
            "\u0661",
            "9" * 19,
            "1" * 9999,
        ):
            self.refused(text, "int")

    def test_numbers(self) -> None:
        """
        A number is finite and written in digits.
        """
        for text, number in (("1", 1.0), ("-0.5", -0.5), ("1e3", 1000.0), ("2.5E-1", 0.25)):
            self.assertEqual(self.values(x=text).get_float("x"), number)
        for text in (
            "",
            "x",
            "nan",
            "inf",
            "-Infinity",
            "1e999",
            "1_0",
            ".5",
            "5.",
            "0x1",
            "1" * 99,
        ):
            self.refused(text, "float")

    def test_booleans(self) -> None:
        """
        A truth value is one of four words.
        """
        found = [self.values(x=text).get_bool("x") for text in ("true", "1", "True", "false", "0")]
        self.assertEqual(found, [True, True, True, False, False])
        for text in ("", "yes", "2", "none"):
            self.refused(text, "bool")
