"""
Tests of L{diarkis_tw.http.response}.
"""

from types import MappingProxyType

from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.http.response import Response, as_response

TEXT = b"text/plain; charset=utf-8"
BYTES = b"application/octet-stream"
JSON = b"application/json"


class ResponseTests(SynchronousTestCase):
    """
    What handlers return.
    """

    def test_bodies(self) -> None:
        """
        The type of the value decides how it travels.
        """
        for value, expected in (
            ({"a": [1, None, "ü"]}, (JSON, '{"a":[1,null,"ü"]}'.encode())),
            (MappingProxyType({"a": 1}), (JSON, b'{"a":1}')),
            ([], (JSON, b"[]")),
            ([201, 2], (JSON, b"[201,2]")),
            ("ü", (TEXT, "ü".encode())),
            (b"\x00", (BYTES, b"\x00")),
            (bytearray(b"a"), (BYTES, b"a")),
            (None, (None, b"")),
        ):
            self.assertEqual(as_response(value).encode(), expected)

    def test_status(self) -> None:
        """
        A pair is a status and a body; a Response is left alone.
        """
        self.assertEqual(as_response((201, {"a": 1})), Response({"a": 1}, 201))
        self.assertEqual(as_response((201, None)), Response(None, 201))
        response = Response("a", 202, {"X": "y"})
        self.assertIs(as_response(response), response)

    def test_wrong(self) -> None:
        """
        Other values are a mistake, a status alone and a pair the wrong way round included.
        """
        for value in (200, True, 1.5, object(), ("text", 200), (1, 2, 3), ({}, 200), {1, 2}):
            with self.assertRaisesRegex(TypeError, "answers with a mapping"):
                as_response(value).encode()
        with self.assertRaises(TypeError):
            as_response({"a": object()}).encode()

    def test_refused(self) -> None:
        """
        Statuses that are none, bodies where there can be none and headers that say where
        the answer ends are refused.
        """
        for status in (0, 100, 199, 600, "200"):
            with self.assertRaises(ValueError):
                Response("a", status)  # type: ignore[arg-type]
        for status in (204, 304):
            with self.assertRaises(ValueError):
                Response("", status)
        for name in ("Content-Length", "transfer-encoding", "CONNECTION"):
            with self.assertRaises(ValueError):
                Response("a", headers={name: "1"})
