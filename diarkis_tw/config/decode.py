"""
From JSON values to the struct of a section, key by key, so that an error can
say where a value came from, what was expected and what was found.
"""

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec.structs import FieldInfo

from diarkis_tw.config.forms import FORMS
from diarkis_tw.config.json_file import parse, shown
from diarkis_tw.config.section import Section, extra, is_secret, keys, meta
from diarkis_tw.config.settings import SECTIONS
from diarkis_tw.errors import ConfigError

_S = TypeVar("_S", bound=Section)

_COMPARED_LENGTH: Final = 64
"""Characters of an unknown key that count in the search for the nearest one."""

_NEAR: Final = 0.5
"""Likeness, of 1, from which on an unknown word is taken for a slip."""


@dataclass(frozen=True, slots=True)
class Given:
    """
    A value that somebody gave for a key.

    @ivar origin: who: a file or an environment variable, as errors name it.
    @ivar folder: what relative paths in it are relative to; None = the working
        directory.
    """

    value: object
    origin: str
    folder: Path | None = None


def decode_section(section: type[_S], name: str, given: Mapping[str, Given]) -> _S:
    """
    Make the struct of a section.

    @param name: the section as errors name it, such as C{TCP}.
    @raise ConfigError: a key is unknown or a value wrong.
    """
    fields = {field.encode_name: field for field in msgspec.structs.fields(section)}
    values = {}
    for key, item in given.items():
        field = fields.get(key)
        if field is None:
            raise ConfigError(f"{item.origin}: {unknown_key(name, key)}; correct or remove it.")
        values[field.name] = _decode(field, f"{name}.{key}", item)
    return section(**values)


def nearest(word: str, known: Iterable[str]) -> str:
    """
    The known word that C{word} was most likely meant to be; letters in the
    wrong case count as right.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    wanted = word[:_COMPARED_LENGTH].lower()
    return by_lower[difflib.get_close_matches(wanted, by_lower, n=1, cutoff=0.0)[0]]


def suggestion(word: str, known: Iterable[str]) -> str:
    """
    What an error says about an unknown word: the nearest known one, or all of
    them if none is near.
    """
    words = list(known)
    near = nearest(word, words)
    ratio = difflib.SequenceMatcher(None, word[:_COMPARED_LENGTH].lower(), near.lower()).ratio()
    if ratio >= _NEAR:
        return f"The nearest one is {shown(near)}"
    return f"There are {', '.join(words)}"


def unknown_key(section: str, key: str) -> str:
    """
    What an error says about a key that a section does not have.
    """
    owners = [name for name, other in SECTIONS.items() if key in keys(other)]
    if owners:
        hint = f"It is a key of {' and '.join(owners)}"
    else:
        hint = suggestion(key, keys(SECTIONS[section]))
    return f"{section} has no key {shown(key)}. {hint}"


def expected(field: FieldInfo) -> str:
    """
    What values a field takes, in words.
    """
    base = typing.get_args(field.type)[0]
    limits = meta(field.type)
    form = extra(field.type, "form")
    if base is bool:
        return "true or false"
    if base is int:
        unit = extra(field.type, "unit")
        kind = f"a whole number of {unit}" if unit else "a whole number"
        return f"{kind} from {limits.ge}" + (f" to {limits.le}" if limits.le else " upward")
    if typing.get_origin(base) is typing.Literal:
        return "one of " + ", ".join(shown(choice) for choice in typing.get_args(base))
    if typing.get_origin(base) is tuple:
        return "a list of strings" + (f", each {FORMS[str(form)].expected}" if form else "")
    return "a string" + (f", {FORMS[str(form)].expected}" if form else "")


def _decode(field: FieldInfo, label: str, given: Given) -> object:
    value = _unquoted(given.value, extra(field.type, "quoted"))
    form = extra(field.type, "form")
    try:
        result: object = msgspec.convert(value, field.type, strict=True)
        for text in result if isinstance(result, tuple) else (result or None,):
            if isinstance(text, str):
                text.encode()  # JSON can spell half a character.
                if form is not None and not FORMS[str(form)].accepts(text):
                    raise ValueError
        if form == "path" and result and given.folder is not None:
            result = str(given.folder / str(result))
    except (msgspec.ValidationError, ValueError):
        found = "the value found (a secret, not shown)" if is_secret(field.type) else shown(value)
        advice = "Take the quotes away" if _is_quoted(value, field) else "Correct it"
        raise ConfigError(
            f"{given.origin}: {label} must be {expected(field)}, not {found}. "
            f"{advice}, or leave it out for the default {shown(field.default)}."
        ) from None
    return result


def _unquoted(value: object, pattern: object) -> object:
    """
    @param pattern: of the digits that may stand in quotes; None = none may.
    """
    if isinstance(value, str) and pattern is not None and re.fullmatch(str(pattern), value):
        return int(value)
    return value


def _is_quoted(value: object, field: FieldInfo) -> bool:
    """
    Whether a value would be right without the quotes around it.
    """
    if not isinstance(value, str):
        return False
    try:
        msgspec.convert(parse(value), field.type, strict=True)
    except (msgspec.ValidationError, ValueError):
        return False
    return True
