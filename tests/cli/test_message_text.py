"""
Tests of how messages are typed and shown.
"""

import json

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.cli.message_text import (
    parse_command,
    parse_payload,
    show_payload,
    show_push,
    show_response,
)
from diarkis_tw.client import LocalProtocolError, Push, Response, Status
from diarkis_tw.wire.value import encode_error, encode_value


class ParseTests(SynchronousTestCase):
    def test_payloads(self):
        """Text is UTF-8, hex: gives bytes, json: a value."""
        for text, payload in {
            "": b"",
            "hello world": b"hello world",
            "é": b"\xc3\xa9",
            "text: with a colon": b"text: with a colon",
            "hex:00fF": b"\x00\xff",
            "hex:": b"",
            "\udcff": b"\xff",
        }.items():
            self.assertEqual(parse_payload(text), payload)
        self.assertEqual(parse_payload('json:{"a": [1]}'), {"a": [1]})

    def test_over_json(self):
        """Where the transport speaks JSON, an object is a value without a prefix, too."""
        for text, payload in {
            '{"a": 1}': {"a": 1},
            'json:{"a": 1}': {"a": 1},
            "{": b"{",
            "{a}": b"{a}",
            "[1]": b"[1]",
            "hello": b"hello",
            "hex:00": b"\x00",
        }.items():
            self.assertEqual(parse_payload(text, speaks_json=True), payload)
        self.assertEqual(parse_payload('{"a": 1}'), b'{"a": 1}')

    def test_bad_payloads(self):
        """What does not fit its prefix is refused with a sentence."""
        for text in ("hex:0", "hex:xx", "json:", "json:{", "json:[1]", "json:" + "[" * 100_000):
            self.assertRaises(LocalProtocolError, parse_payload, text)

    def test_commands(self):
        """Numbers are decimal and in range."""
        self.assertEqual(parse_command("2", "10", "x"), (2, 10, b"x"))
        self.assertEqual(parse_command("255", "65535", ""), (255, 65535, b""))
        for ver, cmd in (("256", "1"), ("1", "65536"), ("-1", "1"), ("x", "1"), ("", "1")):
            self.assertRaises(LocalProtocolError, parse_command, ver, cmd, "")
        for number in ("1.0", "²", "9" * 5000, "1_0"):
            self.assertRaises(LocalProtocolError, parse_command, "2", number, "")


class ShowTests(SynchronousTestCase):
    def test_payloads(self):
        """Text is quoted, a map is JSON, anything else hexadecimal."""
        for payload, text in (
            (b"", '""'),
            (b"hello", '"hello"'),
            (b'say "x"\n', '"say \\"x\\"\\n"'),
            ("漢字".encode(), '"漢字"'),
            (b"\x00\xff", "hex:00ff"),
            (b"\x1b[2J", "hex:1b5b324a"),
            (encode_value({"a": 1, "b": [None, "é"]}), '{"a":1,"b":[null,"é"]}'),
            (encode_value({"raw": b"\xff"}), '{"raw":"hex:ff"}'),
            ({"a": 1, "b": [None, "é\x1b"]}, '{"a":1,"b":[null,"é\\u001b"]}'),
            ({}, "{}"),
        ):
            self.assertEqual(show_payload(payload), text)

    def test_controls_in_maps(self):
        """Control characters in a map are escaped, and it stays JSON."""
        shown = show_payload(encode_value({"a": "\x1b\x7f\x9b\u2028\u202e\U000e0001"}))
        self.assertTrue(shown.isprintable())
        self.assertEqual(json.loads(shown), {"a": "\x1b\x7f\x9b\u2028\u202e\U000e0001"})

    @given(st.binary() | st.dictionaries(st.text(), st.text() | st.binary()).map(encode_value))
    @example(b"\xd6\xff\x00\x00\x00\x00")
    @example(b"\x81\xa1a\x81\xc4\x01x\x01")
    @example(b"\x81\xa1a\xd6\xff\x00\x00\x00\x00")
    def test_any_payload(self, payload):
        """Any payload is one line that a terminal only prints."""
        self.assertTrue(show_payload(payload).isprintable())

    def test_messages(self):
        """Responses and pushes have stable lines."""
        for message, line in (
            (Response(2, 10, Status.OK, 7, b"x"), 'response ver=2 cmd=10 status=OK payload="x"'),
            (
                Response(2, 10, Status.BAD, 7, encode_error(5, "no\x1b")),
                'response ver=2 cmd=10 status=BAD code=5 message="no\\u001b"',
            ),
            (
                Response(2, 10, Status.ERR, 7, b"own words"),
                'response ver=2 cmd=10 status=ERR payload="own words"',
            ),
        ):
            self.assertEqual(show_response(message), line)
        self.assertEqual(show_push(Push(2, 11, b"\xff")), "push ver=2 cmd=11 payload=hex:ff")
        self.assertEqual(show_push(Push(0, 400, b"at noon")), 'notification payload="at noon"')
        self.assertEqual(show_push(Push(2, 400, b"")), 'push ver=2 cmd=400 payload=""')
