"""
Tests of L{diarkis_tw.config.schema}: an editor that follows the schema says
what the server would say.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from twisted.trial.unittest import SkipTest

from diarkis_tw.config.decode import Given, decode_section
from diarkis_tw.config.json_file import JsonObject
from diarkis_tw.config.load import EMBEDDED, FLAT_TYPES, load_settings
from diarkis_tw.config.schema import flat_schema, schema
from diarkis_tw.config.section import keys
from diarkis_tw.config.settings import SECTIONS
from diarkis_tw.errors import ConfigError
from tests.config.case import ConfigCase
from tests.config.test_load import GO_DOC_TCP, GO_DOC_UDP, files, flat_files
from tests.config.test_settings import BAD, DEFAULTS, GOOD
from tests.config.test_shipped import FILES

try:
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend
except ImportError:
    Draft202012Validator = None

NOT_SEEN = ("\ud800", 20.0)
"""
Wrong values that no schema can tell from right ones: half a character, and a
whole number that is written with a point.
"""


def _pattern(_: object, pattern: str, value: object, __: object) -> Iterator[Any]:
    """
    The keyword C{pattern} as an editor takes it: the C{$} of ECMAScript is the
    end, the one of Python may have a line break after it.
    """
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError(f"{value!r} does not match {pattern}")


class SchemaCase(ConfigCase):
    """
    A test with a validator.
    """

    def setUp(self) -> None:
        super().setUp()
        if Draft202012Validator is None:
            raise SkipTest("jsonschema is not installed; it comes with the extra 'test'")
        self.validator = extend(Draft202012Validator, {"pattern": _pattern})
        self.sections = self.validator(schema())
        self.flat = {kind: self.validator(flat_schema(kind.upper())) for kind in FLAT_TYPES}


class ValidatorTests(SchemaCase):
    """
    The schema as a validator takes it.
    """

    def test_is_a_schema(self) -> None:
        """
        Each of them is a JSON Schema.
        """
        for made in (self.sections, *self.flat.values()):
            self.validator.check_schema(made.schema)

    def test_shipped(self) -> None:
        """
        The shipped files and the embedded default are right.
        """
        for path in FILES:
            self.sections.validate(json.loads(path.read_text()))
        self.sections.validate(EMBEDDED)

    def test_flat(self) -> None:
        """
        The Go doc's files are right as flat ones, also with C{"$schema"}.
        """
        self.flat["tcp"].validate(GO_DOC_TCP)
        self.flat["udp"].validate({"$schema": "udp.schema.json", **GO_DOC_UDP})
        self.assertFalse(self.flat["udp"].is_valid(GO_DOC_TCP))
        self.assertFalse(self.flat["udp"].is_valid({"$schema": 1}))
        self.assertFalse(self.sections.is_valid(GO_DOC_TCP))

    def test_good_values(self) -> None:
        """
        What is right in the tests of the settings is right here, defaults and
        all.
        """
        for name, defaults in DEFAULTS.items():
            self.sections.validate({"HTTP": {}, name: json.loads(json.dumps(defaults))})
            for key, values in GOOD.get(name, {}).items():
                for value in values:
                    self.sections.validate({"HTTP": {}, name: {key: value}})
        for port in ("0", "07000", "65535"):
            self.sections.validate({"TCP": {"port": port}})
        for origins in ([], ["https://a.example", "http://b:8080"]):
            self.sections.validate({"WS": {"allowedOrigins": origins}})

    def test_bad_values(self) -> None:
        """
        What is wrong in the tests of the settings is wrong here, but for what
        no schema can see.
        """
        for name, bad in BAD.items():
            for key, values in bad.items():
                for value in values:
                    if value in NOT_SEEN:
                        continue
                    with self.subTest(f"{name}.{key} = {value!r:.60}"):
                        self.assertFalse(self.sections.is_valid({"HTTP": {}, name: {key: value}}))
        for port in ("", " 7000", "7000 ", "+7", "7_000", "७", "70000", "65536", "000001"):
            self.assertFalse(self.sections.is_valid({"TCP": {"port": port}}))

    def test_bad_files(self) -> None:
        """
        What is wrong with sections is wrong here.
        """
        for content in (
            {},
            [],
            {"node": {}, "log": {}},
            {"tcp": {}},
            {"HTTP": {}, "foo": {}},
            {"HTTP": {"prot": 1}},
            {"HTTP": {"noDelay": True}},
            {"HTTP": {"$schema": "schema.json"}},
            {"HTTP": {}, "$schema": 1},
            *({"TCP": section} for section in (1, None, True, [], "", "a\0b", "a\nb", "x" * 1001)),
        ):
            with self.subTest(str(content)[:60]):
                self.assertFalse(self.sections.is_valid(content))
                path = self.write(content)
                self.refused(lambda path=path: load_settings(path, environ={}))

    @given(files)
    def test_never_stricter_than_the_server(self, content: JsonObject) -> None:
        """
        What the server takes, the schema takes.
        """
        try:
            load_settings(self.write(content), environ={})
        except ConfigError:
            return
        self.sections.validate(content)

    @given(flat_files)
    def test_never_stricter_key_by_key(self, content: JsonObject) -> None:
        """
        What any one section takes, the schema takes.
        """
        for name, section in SECTIONS.items():
            for key in content.keys() & set(keys(section)):
                try:
                    decode_section(section, name, {key: Given(content[key], "f.json")})
                except ConfigError:
                    continue
                self.sections.validate({"HTTP": {}, name: {key: content[key]}})


class ContentTests(ConfigCase):
    """
    What is in the schema, without a validator.
    """

    def test_every_key(self) -> None:
        """
        Every key has its description and its default.
        """
        for name, defaults in DEFAULTS.items():
            for made in (schema()["$defs"][name], flat_schema(name)):
                self.assertFalse(made["additionalProperties"])
                found = {
                    key: value["default"]
                    for key, value in made["properties"].items()
                    if key != "$schema"
                }
                self.assertEqual(found, json.loads(json.dumps(defaults)))
                for key, value in made["properties"].items():
                    self.assertRegex(value["description"], r"^[^`]+\.$", f"{name}.{key}")

    def test_unit(self) -> None:
        """
        The unit of a number is said.
        """
        made = schema()["$defs"]["UDP"]["properties"]
        self.assertIn(" Unit: milliseconds. ", made["retryInterval"]["description"])
        self.assertEqual(made["retryInterval"]["minimum"], 10)
