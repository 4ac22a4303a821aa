"""
Forms of text that a JSON type cannot express.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from diarkis_tw.config.hosts import is_bindable

_ORIGIN: Final = r"https?://[A-Za-z0-9.\-\[\]:]+"


@dataclass(frozen=True, slots=True)
class Form:
    """
    A form of text that a JSON type cannot express.

    @ivar expected: how an error names it.
    @ivar accepts: whether a text has it.
    """

    expected: str
    accepts: Callable[[str], bool]


FORMS: Final[Mapping[str, Form]] = {
    "address": Form("an IP address of this machine, or localhost", is_bindable),
    "path": Form("a path", lambda text: "\0" not in text),
    "server type": Form(
        "a word of at most 32 letters, digits, _ or -, a letter first",
        lambda text: re.fullmatch("[A-Za-z][A-Za-z0-9_-]{0,31}", text) is not None,
    ),
    "mesh name": Form(
        "a word of at most 64 letters, digits, _ or -",
        lambda text: re.fullmatch("[A-Za-z0-9_-]{1,64}", text) is not None,
    ),
    "nats": Form(
        "a URL such as nats://127.0.0.1:4222",
        lambda text: re.fullmatch("(nats|tls)://[!-~]+", text) is not None,
    ),
    "origin": Form(
        "an origin such as https://game.example (no path)",
        lambda text: re.fullmatch(_ORIGIN, text) is not None,
    ),
    "origin or *": Form(
        "an origin such as https://game.example (no path), or *",
        lambda text: re.fullmatch(_ORIGIN + r"|\*", text) is not None,
    ),
    "url": Form(
        "an http:// or https:// URL",
        lambda text: re.fullmatch("https?://[!-~]+", text) is not None,
    ),
}
"""
The empty text stands for "not set" and is not held against the form, except as
an item of a list.
"""
