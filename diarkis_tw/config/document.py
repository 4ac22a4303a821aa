"""
The documentation of every key and variable, in Markdown, made from the structs:
docs/configuration.md.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import FieldInfo

from diarkis_tw.config.checks import BUILT
from diarkis_tw.config.decode import expected
from diarkis_tw.config.environment import VARIABLES
from diarkis_tw.config.json_file import shown
from diarkis_tw.config.section import extra, is_reloadable, meta
from diarkis_tw.config.settings import SECTIONS

_HEAD: Final = """\
# Configuration

<!-- Generated: diarkis-tw config doc > docs/configuration.md -->

A server needs no configuration to be tried: without one it serves its demo on 127.0.0.1. To run a
game, write one JSON file with a section for each server that shall be started:

```json file=node.json
{
  "$schema": "schema.json",
  "TCP": {"port": 7200, "noDelay": true},
  "HTTP": {},
  "node": {"reconnectGrace": 20}
}
```

```console
$ .venv/bin/diarkis-tw config schema > schema.json
$ .venv/bin/diarkis-tw config check node.json
OK...
```

A section that is there starts its server, with all defaults if it is `{}`; what is left out does
not exist. Players get in through the endpoint API, so nearly every file has the section HTTP. A
server is started with the file by `diarkis-tw run --config node.json`, or in the background by
`twistd diarkis --config node.json`.

A mistake is an error before anything starts, and nothing is passed over in silence: an unknown key,
a value of the wrong type or out of range, a combination that cannot work. The error names the file,
the key and what was expected.

| command | what it does |
|---|---|
| `diarkis-tw config check [FILE]` | says what a file would start, or what is wrong with it |
| `diarkis-tw config default` | prints the configuration that holds without a file |
| `diarkis-tw config schema` | prints the JSON Schema |
| `diarkis-tw config env` | lists all environment variables with their present values |
| `diarkis-tw config doc` | prints this page |

**Editors.** `"$schema"` at the top names the JSON Schema. An editor that knows such schemas, as VS
Code does, then completes keys, explains them and marks mistakes. The server does not read it. The
shipped files in `configs/` have theirs beside them.

**Flat files.** A section may also be a string: the path of a *flat* file, which has the keys of
this one section at its top, as the files of the Go doc do. Such a file is a configuration by
itself, too, if it is said what for. An endpoint API with default settings then comes with `udp`,
`tcp` and `ws`:

```json file=tcp.json
{"address": "127.0.0.1", "port": "7200", "connectionTTL": 10}
```

```console
$ .venv/bin/diarkis-tw config check tcp.json --type tcp
OK...
```

`diarkis-tw config schema --type tcp` prints the JSON Schema of such a file.

**Paths** in a file are relative to the folder of that file.

**Numbers** are written without quotes. Only `port` may have them, because it has in the Go doc.
"""

_RULES: Final = """\
## Rules between keys

- At least one of UDP, TCP, WS, HTTP and CONNECTOR is there.
- `enableEncryption` is the same in all sections: the endpoint API tells clients about it.
- `tlsCertificate` and `tlsPrivateKey` come together or not at all.
- UDP, TCP or WS on all interfaces (`0.0.0.0` or `::`) needs `DIARKIS_CLOUD_ENV` or
  `node.publicAddressUrl`, because clients must be told an address that they can connect to.
- HTTP on anything but loopback needs `DIARKIS_CLIENT_KEY` or `allowAnonymous`.
- `node.type` needs exactly one of UDP, TCP, WS and CONNECTOR, and is not the name of a transport.
- `UDP.rcvWorkers` is at most the number of CPU cores.
"""

_SET: Final = """\
Any key can be set by a variable `DIARKIS_SET_<SECTION>__<key>`, with the section and the key as
they are written in a file. It wins over the file, and brings a section into being that the file
does not have. The value is JSON, or else taken as the text that it is:

```console
$ env DIARKIS_SET_log__level=debug .venv/bin/diarkis-tw config check node.json
OK...
from the environment: ...DIARKIS_SET_log__level
```

An unknown section or key in such a name is an error. Other variables that begin with `DIARKIS_` are
left alone, because Kubernetes makes up some, such as `DIARKIS_UDP_PORT` for a Service of that name.
"""

_GO_BESIDES: Final = (
    ("`DIARKIS_CLOUD_ENV`", 'The word "Lionde" of the Go doc is `LINODE`. Case does not matter.'),
    (
        "all interfaces",
        "A server that binds them without being told a public host refuses to start.",
    ),
    (
        "default ports",
        "UDP 7000 and TCP 7200 as in the Go doc. HTTP has TCP port 7000, which UDP does not "
        "collide with.",
    ),
)
"""Differences from the Go doc that belong to no single key."""


def document() -> str:
    """
    The whole page.
    """
    sections = [_section(name) for name in SECTIONS]
    return "\n".join([_HEAD, *sections, _RULES, _environment(), _reload(), _differences()])


def _section(name: str) -> str:
    section = SECTIONS[name]
    lines = [f"## {name}", "", section.about]
    if not BUILT.get(name, True):
        lines += ["", "**Not built yet**: a file that asks for it is refused."]
    fields = msgspec.structs.fields(section)
    rows = [(f"`{f.encode_name}`", _default(f), _takes(f), _meaning(f)) for f in fields]
    return _lines(*lines, "", *_table(("key", "default", "takes", "meaning"), rows))


def _default(field: FieldInfo) -> str:
    return f"`{shown(field.default)}`"


def _takes(field: FieldInfo) -> str:
    return expected(field) + (", which may stand in quotes" if extra(field.type, "quoted") else "")


def _meaning(field: FieldInfo) -> str:
    needs = extra(field.type, "needs")
    parts = [
        meta(field.type).description,
        extra(field.type, "change"),
        "SIGHUP applies it." if is_reloadable(field.type) else None,
        "**Not built yet.**" if needs is not None and not BUILT[str(needs)] else None,
    ]
    return " ".join(str(part) for part in parts if part)


def _environment() -> str:
    rows = [(f"`{name}`", variable.about) for name, variable in VARIABLES.items()]
    return _lines(
        "## Environment variables", "", *_table(("variable", "meaning"), rows), "", _SET.rstrip()
    )


def _reload() -> str:
    names = [
        f"`{name}.{field.encode_name}`"
        for name, section in SECTIONS.items()
        for field in msgspec.structs.fields(section)
        if is_reloadable(field.type)
    ]
    return _lines(
        "## Changes without a restart",
        "",
        "On SIGHUP the file is read again. If it is right, new values of these keys are applied, "
        "and no connection ends:",
        "",
        *(f"- {name}" for name in names),
        "",
        "Everything else that has changed is named in the log and waits for a restart. A file with "
        "a mistake changes nothing.",
    )


def _differences() -> str:
    rows: dict[tuple[str, str], None] = {}  # the same key of several sections once
    for section in SECTIONS.values():
        for field in msgspec.structs.fields(section):
            if text := extra(field.type, "go"):
                rows[f"`{field.encode_name}`", str(text)] = None
    return _lines(
        "## Where this differs from the Go doc",
        "",
        "The keys of the Go doc have their names and meanings, with these exceptions.",
        "",
        *_table(("what", "here"), [*rows, *_GO_BESIDES]),
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"
