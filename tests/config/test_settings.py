"""
Tests of L{diarkis_tw.config.settings} and of decoding: every key, its default
and its bad values.
"""

import typing

import msgspec

from diarkis_tw.config.checks import BUILT
from diarkis_tw.config.decode import Given, decode_section, expected, nearest
from diarkis_tw.config.forms import FORMS
from diarkis_tw.config.section import Section, extra, is_reloadable, keys, meta
from diarkis_tw.config.settings import (
    SECTIONS,
    ConnectorSettings,
    MeshSettings,
    Settings,
    TcpSettings,
    UdpSettings,
    WsSettings,
)
from tests.config.case import ConfigCase

DEFAULTS: dict[str, dict[str, object]] = {
    "UDP": {
        "enableP2P": True,
        "address": "",
        "nic": "",
        "port": 7000,
        "connectionTTL": 10,
        "sendUDPInterval": 0,
        "handleRUDPInterval": 100,
        "rcvWorkers": 1,
        "retryInterval": 1000,
        "maxRetry": 10,
        "enableEncryption": True,
        "redundancy": True,
        "forwardSecrecy": "offered",
        "maxMessageSize": 65_536,
    },
    "TCP": {
        "connectionTTL": 10,
        "address": "",
        "nic": "",
        "port": 7200,
        "maxRcvSize": 8000,
        "noDelay": False,
        "enableEncryption": True,
        "tlsCertificate": "",
        "tlsPrivateKey": "",
    },
    "WS": {
        "connectionTTL": 10,
        "address": "",
        "nic": "",
        "port": 7300,
        "maxRcvSize": 8000,
        "noDelay": False,
        "enableEncryption": True,
        "allowedOrigins": (),
        "tlsCertificate": "",
        "tlsPrivateKey": "",
    },
    "HTTP": {
        "address": "",
        "nic": "",
        "port": 7000,
        "useFixedPort": False,
        "timeout": 5,
        "enableEncryption": True,
        "allowOrigin": "",
        "allowAnonymous": False,
        "tlsCertificate": "",
        "tlsPrivateKey": "",
    },
    "CONNECTOR": {"connectionTTL": 10, "port": 9000, "token": ""},
    "node": {
        "type": "",
        "shutdownTimeout": 10,
        "reconnectGrace": 10,
        "maxCommandRate": 1000,
        "allowDebugCommands": False,
        "publicAddressUrl": "",
        "endpointRefresh": 0,
    },
    "mesh": {
        "engine": "local",
        "servers": (),
        "app": "diarkis",
        "key": "",
        "otherKey": "",
        "credentials": "",
        "tlsCa": "",
    },
    "log": {"level": "info", "format": "text"},
    "app": {"module": "", "dir": "."},
}

NO_BOOL: tuple[object, ...] = (1, 0, "true", None, [])
NO_TEXT: tuple[object, ...] = (1, None, True, [], "\ud800")
NO_ADDRESS = (*NO_TEXT, "game.example", "1.2.3", "1.2.3.4:5", "0", " ::1")
NO_PATH = (*NO_TEXT, "a\0b")
NO_ORIGIN = ("game.example", "https://a.example/path", "https://a\r\nX: y")


def no_number(low: int, high: int | None) -> tuple[object, ...]:
    """
    Values that are no whole number within bounds.
    """
    past = () if high is None else (high + 1, 2**80)
    return (low - 1, *past, True, 10.5, 20.0, "x", "-1", "1" * 5000, None, [], {})


BAD: dict[str, dict[str, tuple[object, ...]]] = {
    "UDP": {
        "enableP2P": NO_BOOL,
        "address": NO_ADDRESS,
        "nic": NO_TEXT,
        "port": no_number(0, 65_535),
        "connectionTTL": (*no_number(10, 65_535), "20"),
        "sendUDPInterval": no_number(0, 1000),
        "handleRUDPInterval": no_number(0, 1000),
        "rcvWorkers": no_number(1, None),
        "retryInterval": no_number(10, 60_000),
        "maxRetry": no_number(1, 1000),
        "enableEncryption": NO_BOOL,
        "redundancy": NO_BOOL,
        "forwardSecrecy": ("", "Required", True, None),
        "maxMessageSize": no_number(8000, 524_288),
    },
    "TCP": {
        "connectionTTL": no_number(10, 65_535),
        "address": NO_ADDRESS,
        "nic": NO_TEXT,
        "port": no_number(0, 65_535),
        "maxRcvSize": no_number(256, 1_048_576),
        "noDelay": NO_BOOL,
        "enableEncryption": NO_BOOL,
        "tlsCertificate": NO_PATH,
        "tlsPrivateKey": NO_PATH,
    },
    "WS": {
        "connectionTTL": no_number(10, 65_535),
        "address": NO_ADDRESS,
        "nic": NO_TEXT,
        "port": no_number(0, 65_535),
        "maxRcvSize": no_number(256, 1_048_576),
        "noDelay": NO_BOOL,
        "enableEncryption": NO_BOOL,
        "allowedOrigins": ("https://a.example", [1], [""], *([text] for text in NO_ORIGIN), ["*"]),
        "tlsCertificate": NO_PATH,
        "tlsPrivateKey": NO_PATH,
    },
    "HTTP": {
        "address": NO_ADDRESS,
        "nic": NO_TEXT,
        "port": no_number(0, 65_535),
        "useFixedPort": NO_BOOL,
        "timeout": no_number(1, 3600),
        "enableEncryption": NO_BOOL,
        "allowOrigin": (*NO_TEXT, *NO_ORIGIN, "**"),
        "allowAnonymous": NO_BOOL,
        "tlsCertificate": NO_PATH,
        "tlsPrivateKey": NO_PATH,
    },
    "CONNECTOR": {
        "connectionTTL": no_number(10, 65_535),
        "port": no_number(0, 65_535),
        "token": (*NO_TEXT, "a b", "a\n", "Ä"),
    },
    "node": {
        "type": (*NO_TEXT, "1A", "a b", "A" * 33, "A\n", "Ä"),
        "shutdownTimeout": no_number(0, 86_400),
        "reconnectGrace": no_number(0, 3600),
        "maxCommandRate": no_number(0, 1_000_000),
        "allowDebugCommands": NO_BOOL,
        "publicAddressUrl": (*NO_TEXT, "game.example", "ftp://a", "http://", "http://a b"),
        "endpointRefresh": no_number(0, 86_400),
    },
    "mesh": {
        "engine": ("", "NATS", "redis", 1, None),
        "servers": (
            "nats://a:1",
            [1],
            [""],
            ["a:4222"],
            ["http://a"],
            ["nats://"],
            ["nats://:4222"],
            ["nats://a:0"],
            ["nats://a:99999"],
            ["nats://a:42x2"],
            ["nats://[::1:4222"],
            ["nats://a:1,nats://b:1"],
            ["nats://a:1/path"],
            ["nats://user:pass/word@a:1"],
        ),
        "app": (*NO_TEXT, "", "a.b", "a" * 65, "a\n"),
        "key": NO_TEXT,
        "otherKey": NO_TEXT,
        "credentials": NO_PATH,
        "tlsCa": NO_PATH,
    },
    "log": {"level": ("", "INFO", "trace", 1, None), "format": ("", "xml", None)},
    "app": {"module": NO_TEXT, "dir": NO_PATH},
}

GOOD: dict[str, dict[str, tuple[object, ...]]] = {
    "UDP": {
        "enableP2P": (False,),
        "address": ("0.0.0.0", "::", "::1", "10.0.0.1", "localhost"),
        "nic": ("eth0",),
        "port": (0, 65_535),
        "connectionTTL": (10, 65_535),
        "sendUDPInterval": (0, 1000),
        "handleRUDPInterval": (0, 1000),
        "rcvWorkers": (1, 64),
        "retryInterval": (10, 60_000),
        "maxRetry": (1, 1000),
        "enableEncryption": (False,),
        "redundancy": (False,),
        "forwardSecrecy": ("required",),
        "maxMessageSize": (8000, 524_288),
    },
    "TCP": {"maxRcvSize": (256, 1_048_576), "noDelay": (True,), "tlsCertificate": ("a.pem",)},
    "HTTP": {
        "useFixedPort": (True,),
        "timeout": (1, 3600),
        "allowOrigin": ("*", "https://a.example", "http://[::1]:8080"),
        "allowAnonymous": (True,),
    },
    "CONNECTOR": {"token": ("t", "a:b/c=")},
    "node": {
        "type": ("DGS", "a_b-9", "A" * 32),
        "shutdownTimeout": (0, 86_400),
        "reconnectGrace": (0, 3600),
        "maxCommandRate": (0, 1_000_000),
        "allowDebugCommands": (True,),
        "publicAddressUrl": ("https://ip.example/me?x=1",),
        "endpointRefresh": (0, 86_400),
    },
    "mesh": {
        "engine": ("nats",),
        "app": ("a", "A-b_9"),
        "key": ("k",),
        "otherKey": ("k",),
        "credentials": ("node.creds",),
        "tlsCa": ("ca.pem",),
    },
    "log": {"level": ("debug", "warn", "error", "critical"), "format": ("json",)},
    "app": {"module": ("game.commands",), "dir": ("src",)},
}


def decode(name: str, /, **values: object) -> Section:
    """
    Decode values as a file called C{f.json} would give them.
    """
    given = {key: Given(value, "f.json") for key, value in values.items()}
    return decode_section(SECTIONS[name], name, given)


def value_of(section: Section, key: str) -> object:
    """
    The value of a key.
    """
    (found,) = (field for field in msgspec.structs.fields(section) if field.encode_name == key)
    value: object = getattr(section, found.name)
    return value


class EveryKeyTests(ConfigCase):
    """
    What holds for every key of every section.
    """

    def test_defaults(self) -> None:
        """
        An empty section has exactly the documented keys and defaults.
        """
        self.assertEqual(list(SECTIONS), list(DEFAULTS))
        for name, defaults in DEFAULTS.items():
            section = decode(name)
            found = {key: value_of(section, key) for key in keys(SECTIONS[name])}
            self.assertEqual(found, defaults, name)
            for key, default in defaults.items():
                self.assertIs(type(found[key]), type(default), f"{name}.{key}")

    def test_bad_values(self) -> None:
        """
        A bad value is refused with file, key, what was expected and found.
        """
        for name, bad in BAD.items():
            self.assertEqual(set(bad), set(DEFAULTS[name]), name)
            for key, values in bad.items():
                for value in values:
                    with self.subTest(f"{name}.{key} = {value!r:.60}"):
                        text = self.refused(
                            lambda name=name, key=key, value=value: decode(name, **{key: value}),
                            f"f.json: {name}.{key} must be ",
                            "default ",
                        )
                        self.assertLess(len(text), 300)

    def test_good_values(self) -> None:
        """
        Values at the bounds are taken as they are.
        """
        for name, good in GOOD.items():
            for key, values in good.items():
                for value in values:
                    with self.subTest(f"{name}.{key} = {value!r}"):
                        self.assertEqual(value_of(decode(name, **{key: value}), key), value)

    def test_lists(self) -> None:
        """
        Lists become tuples, so that settings stay constant.
        """
        origins = decode("WS", allowedOrigins=["https://a.example", "http://b:8080"])
        self.assertEqual(
            value_of(origins, "allowedOrigins"), ("https://a.example", "http://b:8080")
        )
        servers = decode("mesh", servers=["nats://a:4222", "tls://b"])
        self.assertEqual(value_of(servers, "servers"), ("nats://a:4222", "tls://b"))

    def test_nats_servers(self) -> None:
        """
        A NATS server may have a user or a token, a name or an address, a port or none.
        """
        for server in (
            "tls://b:4222/",
            "nats://[::1]:65535",
            "nats://user:pass@word@10.0.0.1:4222",
            "tls://token@nats.example",
        ):
            self.assertEqual(value_of(decode("mesh", servers=[server]), "servers"), (server,))

    def test_descriptions(self) -> None:
        """
        Every key is described in a sentence or two, for the documentation.
        """
        for name, section in SECTIONS.items():
            for field in msgspec.structs.fields(section):
                label = f"{name}.{field.encode_name}"
                self.assertIs(typing.get_origin(field.type), typing.Annotated, label)
                texts = [meta(field.type).description or ""]
                texts += [str(extra(field.type, name) or "None.") for name in ("change", "go")]
                for text in texts:
                    self.assertRegex(text, r"^\S(.{3,188})\.$", label)
                    self.assertEqual(text.count("`") % 2, 0, label)

    def test_extra(self) -> None:
        """
        What is said besides about a key has a name that somebody reads, and
        names things that exist.
        """
        read = {"form", "quoted", "secret", "unit", "change", "go", "reload", "needs"}
        for name, section in SECTIONS.items():
            for field in msgspec.structs.fields(section):
                said = meta(field.type).extra or {}
                self.assertLessEqual(set(said), read, f"{name}.{field.encode_name}")
                self.assertIn(said.get("form", "path"), FORMS)
                self.assertIn(said.get("needs", "TLS"), BUILT)

    def test_reloadable(self) -> None:
        """
        SIGHUP applies log level, command rate and TLS files.
        """
        found = {
            f"{name}.{field.encode_name}"
            for name, section in SECTIONS.items()
            for field in msgspec.structs.fields(section)
            if is_reloadable(field.type)
        }
        tls = {
            f"{name}.{key}"
            for name in ("TCP", "WS", "HTTP")
            for key in ("tlsCertificate", "tlsPrivateKey")
        }
        self.assertEqual(found, {"log.level", "node.maxCommandRate"} | tls)

    def test_expected_is_said_for_every_key(self) -> None:
        """
        What a key takes can be said in words for every key.
        """
        words = {
            f"{name}.{field.encode_name}": expected(field)
            for name, section in SECTIONS.items()
            for field in msgspec.structs.fields(section)
        }
        self.assertEqual(words["TCP.port"], "a whole number from 0 to 65535")
        self.assertEqual(words["UDP.rcvWorkers"], "a whole number from 1 upward")
        self.assertEqual(
            words["UDP.retryInterval"], "a whole number of milliseconds from 10 to 60000"
        )
        self.assertEqual(words["HTTP.allowAnonymous"], "true or false")
        self.assertEqual(words["log.format"], 'one of "text", "json"')
        self.assertEqual(words["app.module"], "a string")
        self.assertIn("a string, an IP address", words["TCP.address"])
        self.assertIn("a list of strings, each a URL", words["mesh.servers"])

    def test_attributes_have_the_section_names(self) -> None:
        """
        The settings have each section as an attribute, in lower case.
        """
        for name in SECTIONS:
            self.assertTrue(hasattr(Settings(), name.lower()), name)


class DecodeTests(ConfigCase):
    """
    Rules of single values.
    """

    def test_port_in_quotes(self) -> None:
        """
        A port may be a number or its digits as a string, as in the Go doc.
        """
        for value in ("7000", 7000, "07000"):
            self.assertEqual(value_of(decode("TCP", port=value), "port"), 7000)

    def test_nearly_an_address(self) -> None:
        """
        What looks like an IP address and is none is refused.
        """
        for value in ("1.2.3.256", "01.2.3.4", ":::", "1::2::3", "::1%"):
            self.refused(lambda value=value: decode("TCP", address=value), "TCP.address must be")

    def test_port_in_odd_quotes(self) -> None:
        """
        Only plain digits are a port.
        """
        for value in ("", " 7000", "7000 ", "+7", "7_000", "७", "70000", "000001"):
            self.refused(lambda value=value: decode("TCP", port=value), "TCP.port must be")

    def test_error_says_everything(self) -> None:
        """
        An error names file and key, what was expected, what was found and what
        to do.
        """
        text = self.refused(lambda: decode("TCP", port="abc"))
        self.assertEqual(
            text,
            'f.json: TCP.port must be a whole number from 0 to 65535, not "abc". '
            "Correct it, or leave it out for the default 7200.",
        )

    def test_unknown_key(self) -> None:
        """
        An unknown key is refused with the nearest known one, whatever its case.
        """
        for typed, meant in (
            ("prot", "port"),
            ("CONNECTIONTTL", "connectionTTL"),
            ("nodelay", "noDelay"),
        ):
            self.refused(
                lambda typed=typed: decode("TCP", **{typed: 1}),
                f'f.json: TCP has no key "{typed}"',
                f'nearest one is "{meant}"',
            )

    def test_key_of_another_section(self) -> None:
        """
        A key that other sections have is refused with their names.
        """
        self.refused(lambda: decode("TCP", redundancy=True), "TCP has no key", "is a key of UDP;")
        self.refused(lambda: decode("UDP", noDelay=True), "is a key of TCP and WS;")

    def test_key_like_no_other(self) -> None:
        """
        If no key is near, all are named.
        """
        self.refused(lambda: decode("log", xyz=1), 'log has no key "xyz". There are level, format;')

    def test_needless_quotes(self) -> None:
        """
        A value that is right but for its quotes is told so.
        """
        for key, value in (("connectionTTL", "20"), ("noDelay", "true")):
            self.refused(lambda key=key, value=value: decode("TCP", **{key: value}), "Take the quo")
        for key, value in (("connectionTTL", "1"), ("noDelay", "yes"), ("port", "70000")):
            self.refused(lambda key=key, value=value: decode("TCP", **{key: value}), "Correct it, ")

    def test_very_long_unknown_key(self) -> None:
        """
        An absurd key costs little and is cut in the error.
        """
        text = self.refused(lambda: decode("TCP", **{"port" * 100_000: 1}), "TCP has no key")
        self.assertLess(len(text), 300)

    def test_secret_is_not_shown(self) -> None:
        """
        The bad value of a secret key is not in the error.
        """
        for name, key in (("mesh", "key"), ("mesh", "servers"), ("CONNECTOR", "token")):
            text = self.refused(
                lambda name=name, key=key: decode(name, **{key: ["x://a:hunter2@b"]}), "not shown"
            )
            self.assertNotIn("hunter2", text)

    def test_path_is_relative_to_the_file(self) -> None:
        """
        A path is taken from the folder of the file that has it; an absolute
        one, or one without a file, stays.
        """
        folder = self.folder
        for value, origin, result in (
            ("a.pem", folder, str(folder / "a.pem")),
            ("/etc/a.pem", folder, "/etc/a.pem"),
            ("a.pem", None, "a.pem"),
            ("", folder, ""),
        ):
            section = decode_section(
                TcpSettings, "TCP", {"tlsCertificate": Given(value, "f.json", origin)}
            )
            self.assertEqual(section.tls_certificate, result)

    def test_nearest(self) -> None:
        """
        There is always a nearest word, even for nonsense.
        """
        self.assertEqual(nearest("tpc", ["UDP", "TCP"]), "TCP")
        self.assertIn(nearest("%%%", ["UDP", "TCP"]), ["UDP", "TCP"])


class SettingsTests(ConfigCase):
    """
    The settings as values.
    """

    def test_secrets_are_not_in_the_repr(self) -> None:
        """
        No repr shows a secret.
        """
        settings = Settings(
            client_key="hunter1",
            mesh=MeshSettings(key="hunter2", other_key="hunter4"),
            connector=ConnectorSettings(token="hunter3"),
        )
        self.assertNotIn("hunter", repr(settings))
        self.assertIn("app='diarkis'", repr(settings))

    def test_sections_are_constant(self) -> None:
        """
        Settings cannot be changed.
        """
        with self.assertRaises(AttributeError):
            TcpSettings().port = 1  # type: ignore[misc]

    def test_sweep_interval(self) -> None:
        """
        A handleRUDPInterval below 10 counts as 10.
        """
        for given, counts in ((0, 0.01), (9, 0.01), (10, 0.01), (11, 0.011), (100, 0.1)):
            self.assertEqual(UdpSettings(handle_rudp_interval=given).sweep_interval, counts)

    def test_flush_interval(self) -> None:
        """
        A sendUDPInterval below 10 means no buffering.
        """
        for given, counts in ((0, 0), (9, 0), (10, 0.01), (50, 0.05)):
            self.assertEqual(UdpSettings(send_udp_interval=given).flush_interval, counts)

    def test_transports(self) -> None:
        """
        Transports are the sections that clients connect to.
        """
        tcp, ws = TcpSettings(), WsSettings()
        settings = Settings(tcp=tcp, ws=ws, connector=ConnectorSettings())
        self.assertEqual(settings.transports(), {"TCP": tcp, "WS": ws})
