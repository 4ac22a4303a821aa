"""
The JSON Schema of configuration files, made from the structs, for editors: they
complete keys with it, show their descriptions and mark what is wrong.

It says what each key takes. The rules between keys, and what only the machine
knows, are left to L{diarkis_tw.config.checks}.
"""

from typing import Final

import msgspec
from msgspec.structs import FieldInfo

from diarkis_tw.config.fields import PATH_MAX_LENGTH
from diarkis_tw.config.forms import FORMS
from diarkis_tw.config.json_file import JsonObject
from diarkis_tw.config.section import Section, extra
from diarkis_tw.config.settings import SECTIONS, SERVERS

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_SCHEMA_KEY: Final[JsonObject] = {
    "description": "Path or URL of this JSON Schema, for editors.",
    "type": "string",
}

_PATH: Final[JsonObject] = {
    "description": "Path of a flat file with the keys of this section, relative to this file.",
    "type": "string",
    "minLength": 1,
    "maxLength": PATH_MAX_LENGTH,
    "pattern": r"^[^\x00-\x1f\x7f]*$",
}


def schema() -> JsonObject:
    """
    Describe a file of sections.
    """
    sections = {
        name: {
            "description": _plain(section.about),
            "anyOf": [
                {"$ref": f"#/$defs/{name}"},
                {"$ref": "#/$defs/path"},
            ],
        }
        for name, section in SECTIONS.items()
    }
    return {
        "$schema": _DIALECT,
        "title": "Configuration of diarkis_tw",
        "type": "object",
        "properties": {"$schema": _SCHEMA_KEY, **sections},
        "anyOf": [{"required": [name]} for name in SERVERS],
        "additionalProperties": False,
        "$defs": {
            **{name: _section(section) for name, section in SECTIONS.items()},
            "path": _PATH,
        },
    }


def flat_schema(name: str) -> JsonObject:
    """
    Describe a flat file.

    @param name: the section whose keys it has, such as C{TCP}.
    """
    section = SECTIONS[name]
    return {
        "$schema": _DIALECT,
        "title": f"{name} settings of diarkis_tw",
        **_section(section),
        "properties": {"$schema": _SCHEMA_KEY, **_properties(section)},
    }


def _section(section: type[Section]) -> JsonObject:
    return {
        "description": _plain(section.about),
        "type": "object",
        "properties": _properties(section),
        "additionalProperties": False,
    }


def _properties(section: type[Section]) -> JsonObject:
    return {field.encode_name: _property(field) for field in msgspec.structs.fields(section)}


def _property(field: FieldInfo) -> JsonObject:
    made = msgspec.json.schema(field.type)
    made["description"] = _description(field, made["description"])
    form = extra(field.type, "form")
    if form is not None:
        pattern = FORMS[str(form)].pattern
        if made["type"] == "array":
            made["items"]["pattern"] = f"^({pattern})$"
        else:
            made["pattern"] = f"^({pattern})?$"  # empty = not set
    quoted = extra(field.type, "quoted")
    if quoted is not None:
        number = {key: made.pop(key) for key in ("type", "minimum", "maximum")}
        made["anyOf"] = [number, {"type": "string", "pattern": f"^({quoted})$"}]
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return made | {"default": default}


def _description(field: FieldInfo, description: str) -> str:
    unit, change = extra(field.type, "unit"), extra(field.type, "change")
    parts = [description, f"Unit: {unit}." if unit else "", str(change or "")]
    return _plain(" ".join(part for part in parts if part))


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")
