"""
Reading one JSON object from a file, more strictly than JSON asks for: what is
ambiguous (a key that occurs twice) or no JSON (NaN) is an error.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from diarkis_tw.errors import ConfigError

FILE_SIZE_MAX: Final = 1024 * 1024
"""Bytes; a larger file is no configuration but a mistake."""

JsonObject = dict[str, object]


def read_object(path: str | Path) -> JsonObject:
    """
    Read the JSON object in a file of UTF-8.

    @raise ConfigError: it cannot be read, or is no such file.
    """
    text = _text(Path(path))
    try:
        value = parse(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: "
            f"{_explanation(error)}."
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}. Correct it.") from None
    if not isinstance(value, dict):
        raise ConfigError(
            f"{path}: must hold one JSON object, {{ ... }}, not {shown(value)}. "
            "Put its keys into braces."
        )
    return value


def parse(text: str) -> object:
    """
    Parse JSON.

    @raise ValueError: it is none, or a key occurs twice in one object, or a
        number cannot be represented.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def shown(value: object, limit: int = 40) -> str:
    """
    A JSON value as an error shows it: ASCII, cut to C{limit} characters.
    """
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"a Python {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: this is a folder. Give the path of a JSON file in it.")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: this is no regular file. Give the path of a JSON file.")
        with path.open("rb") as file:
            content = file.read(FILE_SIZE_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file. Check the path.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"{path}: cannot be read: {reason}. Check the path and its permissions."
        ) from None
    if len(content) > FILE_SIZE_MAX:
        raise ConfigError(
            f"{path}: must be at most {FILE_SIZE_MAX} bytes. Is it a configuration at all?"
        )
    try:
        # "-sig": some editors put a byte order mark first.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 at byte {error.start}. Save it with the encoding UTF-8."
        ) from None


def _explanation(error: json.JSONDecodeError) -> str:
    """
    What a person did wrong where the parser gave up.
    """
    if error.msg.startswith("Unterminated string"):
        return 'the string that begins here has no closing "'
    if error.msg.startswith("Invalid control character"):
        return 'a line break or tab in a string; look for a missing "'
    if error.msg.startswith("Invalid \\"):
        return "a backslash in a string is written twice"
    before, after = error.doc[: error.pos].rstrip(), error.doc[error.pos :].lstrip()
    if not error.doc.strip():
        return "the file is empty; write at least {}"
    if not after:
        return "the file ends too early; look for a missing } or ]"
    if (before.endswith(",") and after.startswith(("}", "]"))) or "trailing comma" in error.msg:
        return "remove the last comma, after which nothing comes"
    if after.startswith(("//", "/*", "#")):
        return "JSON has no comments; remove it"
    if after.startswith("'"):
        return 'keys and strings stand in double quotes, "'
    if after.startswith(("True", "False", "None")):
        return "true, false and null are written in lower case"
    return _EXPLANATIONS.get(error.msg, error.msg)


_EXPLANATIONS: Final[Mapping[str, str]] = {
    "Expecting property name enclosed in double quotes": "a key in double quotes was expected",
    "Expecting value": "a value was expected; strings stand in double quotes",
    "Expecting ',' delimiter": "a comma is missing before this",
    "Expecting ':' delimiter": "a colon is missing before this",
    "Extra data": "nothing may follow the } of the first {",
}
"""Words of Python's parser that somebody new to JSON would not understand."""


def _object(pairs: list[tuple[str, object]]) -> JsonObject:
    result: JsonObject = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {shown(key)} occurs twice in one object")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {shown(text)[1:-1]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 100:  # Python refuses to convert very long ones, with a text of its own.
        raise ValueError(f"the number {shown(text)[1:-1]} is too large")
    return int(text)
