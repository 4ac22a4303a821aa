"""
Tests of L{diarkis_tw.config.load}.
"""

import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from diarkis_tw.config.load import (
    FLAT_TYPES,
    default_settings,
    load_settings,
    parse_flat_section,
)
from diarkis_tw.config.section import keys
from diarkis_tw.config.settings import (
    SECTIONS,
    AppSettings,
    ConnectorSettings,
    HttpSettings,
    LogSettings,
    NodeSettings,
    Settings,
    TcpSettings,
    UdpSettings,
    WsSettings,
)
from diarkis_tw.errors import ConfigError
from tests.config.case import ConfigCase

GO_DOC_TCP = {
    "connectionTTL": 10,
    "address": "127.0.0.1",
    "nic": "eth0",
    "port": "7200",
    "maxRcvSize": 8000,
    "noDelay": False,
    "enableEncryption": True,
}

GO_DOC_UDP = {
    "enableP2P": True,
    "address": "127.0.0.1",
    "nic": "eth0",
    "port": "7000",
    "connectionTTL": 10,
    "sendUDPInterval": 0,
    "handleRUDPInterval": 100,
    "rcvWorkers": 1,
    "retryInterval": 1000,
    "maxRetry": 10,
    "enableEncryption": True,
}


def load(path: Path, server_type: str | None = None, **environ: str) -> Settings:
    """
    Load a file in an environment of these variables alone.
    """
    return load_settings(path, server_type=server_type, environ=environ)


class SectionedTests(ConfigCase):
    """
    A file of sections.
    """

    def test_sections(self) -> None:
        """
        Each section of the file is in the settings; the others are absent or
        at their defaults.
        """
        path = self.write({"TCP": {"port": "7300"}, "HTTP": {}, "node": {"reconnectGrace": 0}})
        self.assertEqual(
            load(path),
            Settings(
                tcp=TcpSettings(port=7300),
                http=HttpSettings(),
                node=NodeSettings(reconnect_grace=0),
            ),
        )

    def test_path_as_str(self) -> None:
        """
        The path may be a string.
        """
        path = self.write({"HTTP": {}})
        self.assertEqual(load_settings(str(path), environ={}), Settings(http=HttpSettings()))

    def test_section_in_another_file(self) -> None:
        """
        A section that is a string is the path of a flat file beside this one.
        """
        self.write(GO_DOC_TCP, "tcp/main.json")
        path = self.write({"TCP": "tcp/main.json", "HTTP": {}})
        tcp = load(path).tcp
        assert tcp is not None
        self.assertEqual((tcp.nic, tcp.port), ("eth0", 7200))

    def test_paths_in_another_file(self) -> None:
        """
        Paths in a flat file are relative to that file, not to the one that
        names it.
        """
        self.write({"dir": "src"}, "app/main.json")
        path = self.write({"app": "app/main.json", "HTTP": {}})
        self.assertEqual(load(path).app.dir, str(self.folder / "app" / "src"))

    def test_app_dir(self) -> None:
        """
        The application's folder is relative to the file; absent, it is the
        working directory.
        """
        path = self.write({"HTTP": {}, "app": {"module": "game", "dir": "src"}})
        self.assertEqual(load(path).app, AppSettings(module="game", dir=str(self.folder / "src")))
        self.assertEqual(load(self.write({"HTTP": {}})).app.dir, ".")

    def test_error_in_another_file(self) -> None:
        """
        An error in the flat file of a section names that file.
        """
        flat = self.write({"port": "x"}, "tcp.json")
        path = self.write({"TCP": "tcp.json"})
        self.refused(lambda: load(path), f"{flat}: TCP.port must be")

    def test_missing_other_file(self) -> None:
        """
        A section's file that does not exist is named, together with the file
        and the section that ask for it.
        """
        for name in ("absent.json", "x" * 1000):
            path = self.write({"TCP": name})
            self.refused(
                lambda path=path: load(path), f"{path}: TCP", self.folder / name, "no such file"
            )

    def test_sections_in_another_file(self) -> None:
        """
        A section's file has the keys themselves, not sections again.
        """
        path = self.write({"TCP": "node.json"})
        self.refused(lambda: load(path), path, 'has a section "TCP"')

    def test_unusable_path(self) -> None:
        """
        A section's path may be neither empty nor impossible.
        """
        for value in ("", "a\0b", "a\nb", "\ud800", "x" * 1001):
            path = self.write({"TCP": value})
            self.refused(lambda path=path: load(path), path, "TCP", "Give a path")

    def test_section_of_wrong_type(self) -> None:
        """
        A section that is neither object nor string is refused and shown.
        """
        for value in (1, None, True, []):
            path = self.write({"TCP": value})
            self.refused(
                lambda path=path: load(path), f"{path}: TCP must be an object", json.dumps(value)
            )

    def test_unknown_section(self) -> None:
        """
        An unknown section is refused with the nearest one.
        """
        for typed, hint in (
            ("tcp", 'nearest one is "TCP"'),
            ("Node", 'nearest one is "node"'),
            ("HTPP", 'nearest one is "HTTP"'),
            ("x", "There are UDP, TCP, "),
        ):
            path = self.write({typed: {}})
            self.refused(
                lambda path=path: load(path), f'{path}: there is no section "{typed}"', hint
            )

    def test_unknown_key(self) -> None:
        """
        An unknown key is refused with file, section and the nearest key.
        """
        path = self.write({"HTTP": {"prot": 1}})
        self.refused(lambda: load(path), f'{path}: HTTP has no key "prot"', '"port"')

    def test_schema_key(self) -> None:
        """
        C{"$schema"} at the top of either kind of file is for editors alone.
        """
        self.write({"$schema": "tcp.schema.json", "port": 1}, "tcp.json")
        path = self.write({"$schema": "schema.json", "TCP": "tcp.json"})
        self.assertEqual(load(path), Settings(tcp=TcpSettings(port=1)))

    def test_schema_key_of_wrong_type(self) -> None:
        """
        C{"$schema"} must be a string.
        """
        for value in (1, None, {}, ["schema.json"]):
            path = self.write({"$schema": value, "HTTP": {}})
            self.refused(lambda path=path: load(path), f'{path}: "$schema" must be a string')
            path = self.write({"$schema": value})
            self.refused(lambda path=path: load(path, "http"), f'{path}: "$schema" must be a')

    def test_schema_key_inside(self) -> None:
        """
        C{"$schema"} below the top is an unknown key.
        """
        path = self.write({"TCP": {"$schema": "schema.json"}})
        self.refused(lambda: load(path), 'TCP has no key "$schema"')

    def test_no_section(self) -> None:
        """
        A file that starts nothing is refused.
        """
        for content in ({}, {"node": {}, "log": {}}):
            path = self.write(content)
            self.refused(lambda path=path: load(path), path, "no section starts a server")

    def test_rules_are_applied(self) -> None:
        """
        The rules between keys hold for what is loaded, and name the file.
        """
        path = self.write({"TCP": {"address": "0.0.0.0"}})
        self.refused(lambda: load(path), path, "DIARKIS_CLOUD_ENV=<host>")
        path = self.write({"UDP": {"rcvWorkers": 2}})
        self.refused(lambda: load(path), f"{path}: UDP.rcvWorkers is not built yet")

    def test_a_bad_value_comes_before_not_built(self) -> None:
        """
        Also a section that is not built yet is checked key by key.
        """
        path = self.write({"UDP": {"rcvWorkers": 2, "port": True}})
        self.refused(lambda: load(path), "UDP.port must be")


class FlatTests(ConfigCase):
    """
    A flat file with a type.
    """

    def test_tcp_of_the_go_doc(self) -> None:
        """
        The Go doc's TCP file is taken as it is, and an endpoint API with
        default settings comes with it.
        """
        settings = load(self.write(GO_DOC_TCP), "tcp")
        self.assertEqual(
            settings,
            Settings(tcp=TcpSettings(address="127.0.0.1", nic="eth0"), http=HttpSettings()),
        )

    def test_encryption_goes_along(self) -> None:
        """
        The endpoint API that comes along encrypts as the flat file says.
        """
        settings = load(self.write({"enableEncryption": False}), "tcp")
        assert settings.http is not None
        self.assertFalse(settings.http.enable_encryption)

    def test_empty_object(self) -> None:
        """
        An empty flat file is all defaults.
        """
        self.assertEqual(load(self.write({}), "tcp").tcp, TcpSettings())

    def test_http(self) -> None:
        """
        A flat HTTP file is that alone.
        """
        self.assertEqual(
            load(self.write({"port": "0"}), "http"), Settings(http=HttpSettings(port=0))
        )

    def test_type_in_capitals(self) -> None:
        """
        The type may be written in capitals, as the section is.
        """
        self.assertEqual(load(self.write({}), "HTTP"), Settings(http=HttpSettings()))

    def test_unknown_type(self) -> None:
        """
        An unknown type is refused with the nearest one.
        """
        path = self.write({})
        for word, hint in (
            ("tpc", 'nearest one is "tcp"'),
            ("node", "There are udp, tcp, ws, "),
            ("", "There are udp, tcp, ws, "),
        ):
            self.refused(lambda word=word: load(path, word), f'not "{word}"', hint)

    def test_flat_without_type(self) -> None:
        """
        A flat file without a type is recognised, and the option named.
        """
        for content in (GO_DOC_TCP, GO_DOC_UDP, {"token": "x"}):
            path = self.write(content)
            self.refused(lambda path=path: load(path), path, "flat file", "--type udp|tcp|ws|http")

    def test_sectioned_with_type(self) -> None:
        """
        A file of sections with a type is recognised as one.
        """
        for content in ({"TCP": {}}, {"port": 1, "node": {}}, {"HTTP": "x.json"}):
            path = self.write(content)
            self.refused(lambda path=path: load(path, "tcp"), path, "Leave out --type")

    def test_unknown_key(self) -> None:
        """
        Errors in a flat file name the section it stands for.
        """
        path = self.write({"maxRcvSiz": 1})
        self.refused(lambda: load(path, "tcp"), f'{path}: TCP has no key "maxRcvSiz"', "maxRcvSize")


class EnvironmentTests(ConfigCase):
    """
    The environment on top of a file.
    """

    def test_set(self) -> None:
        """
        An override wins over the file and starts from the defaults where the
        file has no such section.
        """
        path = self.write({"TCP": {"port": 1, "noDelay": True}})
        settings = load(path, DIARKIS_SET_TCP__port="0", DIARKIS_SET_HTTP__port="5")
        self.assertEqual(
            settings, Settings(tcp=TcpSettings(port=0, no_delay=True), http=HttpSettings(port=5))
        )

    def test_set_on_a_flat_file(self) -> None:
        """
        Overrides concern the endpoint API of a flat file, too.
        """
        settings = load(self.write({}), "tcp", DIARKIS_SET_HTTP__port="5")
        self.assertEqual(settings.http, HttpSettings(port=5))

    def test_bad_value(self) -> None:
        """
        A bad override is refused with the variable's name, not the file's.
        """
        path = self.write({"TCP": {}})
        text = self.refused(
            lambda: load(path, DIARKIS_SET_TCP__port="x"),
            "environment variable DIARKIS_SET_TCP__port: TCP.port must be",
        )
        self.assertNotIn(str(path), text)

    def test_shutdown_timeout(self) -> None:
        """
        DIARKIS_SHUTDOWN_TIMEOUT wins over the file.
        """
        path = self.write({"HTTP": {}, "node": {"shutdownTimeout": 5}})
        self.assertEqual(load(path).node.shutdown_timeout, 5)
        settings = load(path, DIARKIS_SHUTDOWN_TIMEOUT="600")
        self.assertEqual(settings.node.shutdown_timeout, 600)

    def test_bad_shutdown_timeout(self) -> None:
        """
        It must be a whole number of seconds, and the error names it.
        """
        path = self.write({"HTTP": {}})
        for text in ("", "ten", "-1", "1.5", "86401"):
            self.refused(
                lambda text=text: load(path, DIARKIS_SHUTDOWN_TIMEOUT=text),
                "environment variable DIARKIS_SHUTDOWN_TIMEOUT",
                "from 0 to 86400",
            )

    def test_public_host_and_client_key(self) -> None:
        """
        Public host and client key come from the environment and lift the rules
        that ask for them.
        """
        path = self.write({"TCP": {"address": "0.0.0.0"}, "HTTP": {"address": "0.0.0.0"}})
        settings = load(path, DIARKIS_CLOUD_ENV="game.example", DIARKIS_CLIENT_KEY="k")
        self.assertEqual((settings.public_host, settings.client_key), ("game.example", "k"))

    def test_cloud(self) -> None:
        """
        A cloud is recognised, and where to ask in its place.
        """
        path = self.write({"HTTP": {}})
        settings = load(path, DIARKIS_CLOUD_ENV="aws", DIARKIS_METADATA_BASE="http://127.0.0.1:8")
        self.assertEqual(settings.cloud, "AWS")
        self.assertEqual(settings.metadata_base, "http://127.0.0.1:8")

    def test_public_address_url(self) -> None:
        """
        The keys of the look-up are taken, and wrong ones refused.
        """
        path = self.write(
            {"TCP": {"address": "0.0.0.0"}, "node": {"publicAddressUrl": "https://a.example/ip"}}
        )
        node = load(path, DIARKIS_SET_node__endpointRefresh="60").node
        self.assertEqual(node.public_address_url, "https://a.example/ip")
        self.assertEqual(node.endpoint_refresh, 60)
        for key, value in (("publicAddressUrl", "a.example"), ("endpointRefresh", -1)):
            path = self.write({"TCP": {}, "node": {key: value}})
            self.refused(lambda path=path: load(path), f"node.{key}")


class DefaultTests(ConfigCase):
    """
    The embedded default.
    """

    def test_default(self) -> None:
        """
        Without a file everything runs on loopback with the demo.
        """
        self.assertEqual(
            default_settings({}),
            Settings(
                udp=UdpSettings(),
                tcp=TcpSettings(no_delay=True),
                ws=WsSettings(no_delay=True),
                http=HttpSettings(),
                app=AppSettings(module="diarkis_tw.demo"),
            ),
        )

    def test_environment(self) -> None:
        """
        The environment concerns the embedded default, too.
        """
        settings = default_settings({"DIARKIS_SET_TCP__port": "0", "DIARKIS_SHUTDOWN_TIMEOUT": "1"})
        self.assertEqual(settings.tcp, TcpSettings(no_delay=True, port=0))
        self.assertEqual(settings.node.shutdown_timeout, 1)

    def test_rules(self) -> None:
        """
        An override cannot break a rule.
        """
        self.refused(
            lambda: default_settings({"DIARKIS_SET_TCP__address": "0.0.0.0"}),
            "the embedded default",
            "DIARKIS_CLOUD_ENV=<host>",
        )


class ParseFlatSectionTests(ConfigCase):
    """
    One section by itself.
    """

    def test_file(self) -> None:
        """
        A section is read from a flat file.
        """
        self.assertEqual(
            parse_flat_section("udp", self.write(GO_DOC_UDP)),
            UdpSettings(address="127.0.0.1", nic="eth0"),
        )

    def test_mapping(self) -> None:
        """
        A section is made from keys and values.
        """
        self.assertEqual(
            parse_flat_section("ws", {"port": "1", "allowedOrigins": []}), WsSettings(port=1)
        )

    def test_empty_path(self) -> None:
        """
        An empty path takes all defaults, as in the Go doc.
        """
        self.assertEqual(parse_flat_section("tcp", ""), TcpSettings())
        self.assertEqual(parse_flat_section("http", ""), HttpSettings())
        self.assertEqual(parse_flat_section("connector", ""), ConnectorSettings())

    def test_error(self) -> None:
        """
        An error says where the value came from, also for what is no JSON.
        """
        self.refused(
            lambda: parse_flat_section("tcp", {"port": object()}),
            "the TCP settings: TCP.port must be",
            "a Python object",
        )
        path = self.write({"TCP": {}})
        self.refused(lambda: parse_flat_section("tcp", path), path, "section")


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
values = json_values | st.sampled_from(
    ["", "127.0.0.1", "0.0.0.0", 0, 10, 7000, "7000", True, "info", "https://a.example"]
)
all_keys = sorted({key for section in SECTIONS.values() for key in keys(section)})
flat_files = st.dictionaries(st.sampled_from(all_keys), values, max_size=4)
files = st.dictionaries(st.sampled_from(list(SECTIONS)), flat_files | values, max_size=4)


class AnyFileTests(ConfigCase):
    """
    Whatever a file holds.
    """

    def holds(self, path: Path, server_type: str | None) -> None:
        """
        Assert that a file gives L{Settings} or one line of error.
        """
        try:
            settings = load(path, server_type)
        except ConfigError as error:
            self.assertNotIn("\n", str(error))
            str(error).encode()
        else:
            self.assertIsInstance(settings, Settings)
            self.assertIsInstance(settings.log, LogSettings)

    @given(files | flat_files | json_values, st.none() | st.sampled_from(FLAT_TYPES))
    @example({"TCP": "\ud800"}, None)
    @example({"TCP": {"nic": "\ud800"}}, None)
    @example({"TCP": "x" * 100_000}, None)
    @example({"\ud800": {}}, None)
    def test_any_json(self, content: object, server_type: str | None) -> None:
        """
        Any JSON at all gives settings or a ConfigError.
        """
        self.holds(self.write(content), server_type)

    @given(st.binary(max_size=60))
    @example(b'{"TCP": {"port": 1e400}}')
    def test_any_bytes(self, content: bytes) -> None:
        """
        Any bytes at all give settings or a ConfigError.
        """
        self.holds(self.write(content), None)
