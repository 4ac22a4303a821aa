"""
From JSON values to the struct of a section, key by key, so that an error can
say where a value came from, what was expected and what was found.
"""

import difflib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec.structs import FieldInfo

from diarkis_tw.config.forms import FORMS
from diarkis_tw.config.json_file import shown
from diarkis_tw.config.section import Section, extra, is_secret, meta
from diarkis_tw.errors import ConfigError

_S = TypeVar("_S", bound=Section)

_COMPARED_LENGTH: Final = 64
"""Characters of an unknown key that count in the search for the nearest one."""


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
            raise ConfigError(
                f"{item.origin}: {name} has no key {shown(key)}. "
                f"The nearest one is {shown(nearest(key, fields))}; correct or remove it."
            )
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
        bounds = f"from {limits.ge} to {limits.le}" if limits.le else f"of at least {limits.ge}"
        return f"a whole number {bounds}"
    if typing.get_origin(base) is typing.Literal:
        return "one of " + ", ".join(shown(choice) for choice in typing.get_args(base))
    if typing.get_origin(base) is tuple:
        return "a list of strings" + (f", each {FORMS[str(form)].expected}" if form else "")
    return "a string" + (f", {FORMS[str(form)].expected}" if form else "")


def _decode(field: FieldInfo, label: str, given: Given) -> object:
    value = _unquoted(given.value) if extra(field.type, "quoted") else given.value
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
        raise ConfigError(
            f"{given.origin}: {label} must be {expected(field)}, not {found}. "
            f"Correct it, or leave it out for the default {shown(field.default)}."
        ) from None
    return result


def _unquoted(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        return int(value)
    return value
