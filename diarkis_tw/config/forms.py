"""
Forms of text that a JSON type cannot express.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from diarkis_tw.config.hosts import is_bindable

_USER: Final = r"""[!"\x24-.0->@-~]+@"""
_HOST: Final = r"([A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])"
_PORT: Final = (
    ":([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
_ORIGIN: Final = r"https?://[A-Za-z0-9.\-\[\]:]+"


@dataclass(frozen=True, slots=True)
class Form:
    """
    A form of text that a JSON type cannot express.

    @ivar expected: how an error names it.
    @ivar pattern: what the whole text matches. The JSON Schema has it, too, so
        it means the same in Python and in ECMAScript.
    @ivar check: what the pattern leaves open.
    """

    expected: str
    pattern: str
    check: Callable[[str], bool] | None = None

    def accepts(self, text: str) -> bool:
        """
        Whether C{text} has this form.
        """
        if re.fullmatch(self.pattern, text) is None:
            return False
        return self.check is None or self.check(text)


FORMS: Final[Mapping[str, Form]] = {
    "address": Form(
        "an IP address of this machine, or localhost",
        r"localhost|([0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.]*(%[^%/]+)?",
        is_bindable,
    ),
    "path": Form("a path", r"[^\x00]+"),
    "server type": Form(
        "a word of at most 32 letters, digits, _ or -, a letter first",
        "[A-Za-z][A-Za-z0-9_-]{0,31}",
    ),
    "mesh name": Form("a word of at most 64 letters, digits, _ or -", "[A-Za-z0-9_-]{1,64}"),
    "nats": Form(
        "a URL such as nats://127.0.0.1:4222", f"(nats|tls)://({_USER})?{_HOST}({_PORT})?/?"
    ),
    "origin": Form("an origin such as https://game.example (no path)", _ORIGIN),
    "origin or *": Form("an origin such as https://game.example (no path), or *", _ORIGIN + r"|\*"),
    "token": Form("visible ASCII characters without spaces", "[!-~]+"),
    "url": Form("an http:// or https:// URL", "https?://[!-~]+"),
}
"""
The empty text stands for "not set" and is not held against the form, except as
an item of a list.
"""
