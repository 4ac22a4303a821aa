"""
Tests of L{diarkis_tw.config.json_file}.
"""

import os
from pathlib import Path

from diarkis_tw.config.json_file import FILE_SIZE_MAX, read_object, shown
from tests.config.case import ConfigCase


class ReadObjectTests(ConfigCase):
    """
    Reading the JSON object in a file.
    """

    def bad(self, content: bytes, *parts: object) -> None:
        path = self.write(content)
        self.refused(lambda: read_object(path), path, *parts)

    def test_object(self) -> None:
        """
        An object is read as it is.
        """
        path = self.write(b'{"a": [1, 2.5, null, "\xc3\xa4"], "b": {}}')
        self.assertEqual(read_object(path), {"a": [1, 2.5, None, "ä"], "b": {}})

    def test_byte_order_mark(self) -> None:
        """
        A byte order mark at the start does no harm.
        """
        self.assertEqual(read_object(self.write(b"\xef\xbb\xbf{}")), {})

    def test_invalid_json_says_line_and_column(self) -> None:
        """
        Invalid JSON is refused with the place of the mistake.
        """
        self.bad(b'{\n  "a": 1,\n  "b" 2\n}', "line 3, column 7", "a colon is missing")

    def test_what_is_wrong_there(self) -> None:
        """
        The usual mistakes are said in words that need no knowledge of JSON.
        """
        for content, words in (
            (b"", "the file is empty"),
            (b" \n", "the file is empty"),
            (b'{"a": 1', "ends too early"),
            (b'{"a": ', "ends too early"),
            (b'{"a": 1,}', "remove the last comma"),
            (b'{"a": [1, 2,\n]}', "remove the last comma"),
            (b'{"a": 1 // one\n}', "no comments"),
            (b'{# one\n"a": 1}', "no comments"),
            (b"{'a': 1}", "double quotes"),
            (b"{a: 1}", "a key in double quotes"),
            (b'{"a": eth0}', "strings stand in double quotes"),
            (b'{"a": True}', "lower case"),
            (b'{"a": 1 "b": 2}', "a comma is missing"),
            (b'{"a": 1}}', "nothing may follow"),
            (b'{"a": "b}', 'no closing "'),
            (b'{"a": "b\n}', 'look for a missing "'),
            (b'{"a": "C:\\game"}', "backslash in a string is written twice"),
        ):
            with self.subTest(content):
                self.bad(content, "not valid JSON at line ", words)

    def test_duplicate_key(self) -> None:
        """
        A key that occurs twice is refused, at any depth.
        """
        self.bad(b'{"TCP": {"port": 1, "port": 2}}', '"port" occurs twice')

    def test_same_key_in_two_objects(self) -> None:
        """
        The same key in two objects is no duplicate.
        """
        self.assertEqual(len(read_object(self.write(b'{"a": {"k": 1}, "b": {"k": 1}}'))), 2)

    def test_not_a_number(self) -> None:
        """
        NaN and the infinities, which Python's parser would take, are refused.
        """
        for word in (b"NaN", b"Infinity", b"-Infinity"):
            self.bad(b'{"a": ' + word + b"}", word.decode(), "no JSON number")

    def test_too_large_numbers(self) -> None:
        """
        A number that overflows is refused, however it is written.
        """
        self.bad(b'{"a": 1e999}', "too large")
        self.bad(b'{"a": ' + b"9" * 5000 + b"}", "too large")

    def test_nested_too_deeply(self) -> None:
        """
        Nesting that exhausts the parser is refused.
        """
        self.bad(b"[" * 200_000, "nested too deeply")

    def test_top_level_is_no_object(self) -> None:
        """
        Any other value at the top is refused and shown.
        """
        for content in (b"[]", b"1", b'"x"', b"null", b"true"):
            self.bad(content, "one JSON object", content.decode())

    def test_not_utf8(self) -> None:
        """
        Bytes that are no UTF-8 are refused with their place.
        """
        self.bad(b'{"a": "\xff"}', "not UTF-8 at byte 7")

    def test_largest_file(self) -> None:
        """
        A file of the greatest size is read, one byte more is refused.
        """
        self.assertEqual(read_object(self.write(b"{}".ljust(FILE_SIZE_MAX))), {})
        self.bad(b"{}".ljust(FILE_SIZE_MAX + 1), f"at most {FILE_SIZE_MAX} bytes")

    def test_no_such_file(self) -> None:
        """
        A missing file is named.
        """
        path = self.folder / "absent.json"
        self.refused(lambda: read_object(path), path, "no such file")

    def test_folder(self) -> None:
        """
        A folder is refused as one.
        """
        self.refused(lambda: read_object(self.folder), self.folder, "a folder")

    def test_unreadable(self) -> None:
        """
        A file that the system refuses to open is an error with its reason.
        """
        path = self.write(b"{}")
        self.refused(lambda: read_object(path / "below"), path / "below", "cannot be read: Not a")

    def test_device(self) -> None:
        """
        What is no regular file is refused, since reading it may never end.
        """
        self.refused(lambda: read_object(os.devnull), os.devnull, "no regular file")

    def test_nul_in_path(self) -> None:
        """
        A path that no system call takes is an error like any other.
        """
        self.refused(lambda: read_object(Path("a\0b")), "cannot be read")


class ShownTests(ConfigCase):
    """
    Values in error texts.
    """

    def test_short(self) -> None:
        """
        A short value is shown as JSON in ASCII.
        """
        self.assertEqual(shown({"ä": True}), '{"\\u00e4": true}')

    def test_long(self) -> None:
        """
        A long value is cut to the limit.
        """
        text = shown("x" * 1000)
        self.assertEqual(len(text), 40)
        self.assertTrue(text.endswith("..."))

    def test_no_json(self) -> None:
        """
        A Python object that is no JSON is shown by its type.
        """
        self.assertEqual(shown(object()), "a Python object")
