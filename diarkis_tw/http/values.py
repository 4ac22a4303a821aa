"""
Parameters of a request, in its path or its query: text from the client, and
read as what they are meant to be.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from diarkis_tw.errors import HttpError

INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
"""Fits 64 bits. Python's own C{int} also takes blanks, underscores and other digits."""

DECIMAL: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?", re.ASCII)

BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


class MissingValue(HttpError, KeyError):
    """
    The client left out a parameter: status 400. A C{KeyError}, too, so that
    C{in} and C{get} work as with any mapping.
    """

    __str__ = Exception.__str__  # a KeyError puts its text in quotes


class Values(Mapping[str, str]):
    """
    Names and texts. Whatever is missing or of another form is an
    L{HttpError} with status 400 that names it; a handler need not check.
    """

    __slots__ = ("_kind", "_values")

    def __init__(self, kind: Literal["path", "query"], pairs: Iterable[tuple[str, str]]) -> None:
        """
        @param kind: where they are from, for errors.
        """
        self._kind = kind
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        """
        The value, the first one if there are several.

        @raise MissingValue: there is none.
        """
        try:
            return self._values[name][0]
        except KeyError:
            message = f"The {self._kind} parameter {name} is missing."
            raise MissingValue(400, message, "bad_parameter") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_all(self, name: str) -> list[str]:
        """
        All values of a name, as in C{?tag=a&tag=b}.
        """
        return list(self._values.get(name, ()))

    def get_int(self, name: str, default: int | None = None) -> int:
        """
        An integer of at most 18 digits.

        @param default: if it is missing; without one it must be there.
        @raise HttpError: status 400.
        """
        if default is not None and name not in self:
            return default
        text = self[name]
        if INTEGER.fullmatch(text) is None:
            raise self._wrong(name, "an integer")
        return int(text)

    def get_float(self, name: str, default: float | None = None) -> float:
        """
        A finite number.

        @param default: if it is missing; without one it must be there.
        @raise HttpError: status 400.
        """
        if default is not None and name not in self:
            return default
        text = self[name]
        if DECIMAL.fullmatch(text) is None or not math.isfinite(number := float(text)):
            raise self._wrong(name, "a number")
        return number

    def get_bool(self, name: str, default: bool | None = None) -> bool:
        """
        C{true} or C{1}, C{false} or C{0}.

        @param default: if it is missing; without one it must be there.
        @raise HttpError: status 400.
        """
        if default is not None and name not in self:
            return default
        found = BOOLEANS.get(self[name].lower())
        if found is None:
            raise self._wrong(name, "true or false")
        return found

    def _wrong(self, name: str, expected: str) -> HttpError:
        message = f"The {self._kind} parameter {name} must be {expected}."
        return HttpError(400, message, "bad_parameter")
