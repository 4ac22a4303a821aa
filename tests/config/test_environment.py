"""
Tests of L{diarkis_tw.config.environment}.
"""

from diarkis_tw.config.environment import CLOUDS, Environment, read_environment
from tests.config.case import ConfigCase


def read(**environ: str) -> Environment:
    """
    Read an environment of these variables alone.
    """
    return read_environment(environ)


class CloudEnvTests(ConfigCase):
    """
    C{DIARKIS_CLOUD_ENV}.
    """

    def test_absent(self) -> None:
        """
        Without the variable there is neither a public host nor a cloud.
        """
        environment = read()
        self.assertIsNone(environment.public_host)
        self.assertIsNone(environment.cloud)

    def test_clouds(self) -> None:
        """
        The six clouds are recognised in any case of letters.
        """
        self.assertEqual(set(CLOUDS), {"AWS", "GCP", "AZURE", "ALIBABA", "TENCENT", "LINODE"})
        for cloud in CLOUDS:
            for word in (cloud, cloud.lower(), cloud.title()):
                environment = read(DIARKIS_CLOUD_ENV=word)
                self.assertEqual((environment.cloud, environment.public_host), (cloud, None))

    def test_hosts(self) -> None:
        """
        A host name, an IP address or localhost is the public host.
        """
        for text, host in (
            ("game.example", "game.example"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("localhost", "localhost"),
            ("aws.example", "aws.example"),
        ):
            environment = read(DIARKIS_CLOUD_ENV=text)
            self.assertEqual((environment.public_host, environment.cloud), (host, None))

    def test_unknown_word(self) -> None:
        """
        One unknown word is a mistake and refused with the nearest cloud.
        """
        for word, cloud in (("Lionde", "LINODE"), ("gcpp", "GCP"), ("azur", "AZURE")):
            self.refused(
                lambda word=word: read(DIARKIS_CLOUD_ENV=word),
                "DIARKIS_CLOUD_ENV",
                word,
                f'nearest one is "{cloud}"',
            )

    def test_no_host(self) -> None:
        """
        What no client could connect to is refused.
        """
        for text in ("", "0.0.0.0", "::", "game.example:7200", "1.2.3.256", "a b.c", "a_b.c", "."):
            self.refused(lambda text=text: read(DIARKIS_CLOUD_ENV=text), "DIARKIS_CLOUD_ENV")


class MetadataBaseTests(ConfigCase):
    """
    C{DIARKIS_METADATA_BASE}.
    """

    def test_base(self) -> None:
        """
        Scheme, host and port, with or without a slash behind them.
        """
        for text, base in (
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://lab.example", "https://lab.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ):
            self.assertEqual(read(DIARKIS_METADATA_BASE=text).metadata_base, base)
        self.assertIsNone(read().metadata_base)

    def test_wrong(self) -> None:
        """
        Anything else is refused.
        """
        for text in (
            "",
            "127.0.0.1:8080",
            "ftp://127.0.0.1",
            "http://",
            "http://:80",
            "http://[::1",
            "http://127.0.0.1:port",
            "http://127.0.0.1:65536",
            "http://127.0.0.1/latest",
            "http://user@127.0.0.1",
        ):
            self.refused(
                lambda text=text: read(DIARKIS_METADATA_BASE=text), "DIARKIS_METADATA_BASE"
            )


class NodeTypeTests(ConfigCase):
    """
    C{DIARKIS_NODE_TYPE}.
    """

    def test_overrides_the_key(self) -> None:
        """
        It stands for node.type, as the text that it is, and wins over that key's own variable.
        """
        environment = read(DIARKIS_NODE_TYPE="true", DIARKIS_SET_node__type="Lobby")
        given = environment.overrides["node"]["type"]
        self.assertEqual(given.value, "true")
        self.assertEqual(given.origin, "environment variable DIARKIS_NODE_TYPE")

    def test_absent(self) -> None:
        """
        Without it nothing is overridden.
        """
        self.assertEqual(read().overrides, {})


class ShutdownTimeoutTests(ConfigCase):
    """
    C{DIARKIS_SHUTDOWN_TIMEOUT}.
    """

    def test_overrides_the_key(self) -> None:
        """
        It stands for node.shutdownTimeout and wins over another override.
        """
        environment = read(DIARKIS_SHUTDOWN_TIMEOUT="600", DIARKIS_SET_node__shutdownTimeout="5")
        given = environment.overrides["node"]["shutdownTimeout"]
        self.assertEqual(given.value, 600)
        self.assertEqual(given.origin, "environment variable DIARKIS_SHUTDOWN_TIMEOUT")


class ClientKeyTests(ConfigCase):
    """
    C{DIARKIS_CLIENT_KEY}.
    """

    def test_key(self) -> None:
        """
        The key is taken as it is and never shown.
        """
        environment = read(DIARKIS_CLIENT_KEY="hunter2~!")
        self.assertEqual(environment.client_key, "hunter2~!")
        self.assertNotIn("hunter2", repr(environment))

    def test_absent(self) -> None:
        """
        Without the variable there is no key.
        """
        self.assertIsNone(read().client_key)

    def test_unusable(self) -> None:
        """
        A key that is empty or no header value is refused without showing it.
        """
        for key in ("", " ", "hunter 2", "hunter2\n", "hunterä", "\x7fhunter"):
            text = self.refused(lambda key=key: read(DIARKIS_CLIENT_KEY=key), "DIARKIS_CLIENT_KEY")
            self.assertNotIn("hunter", text)


class SetTests(ConfigCase):
    """
    C{DIARKIS_SET_<SECTION>__<key>}.
    """

    def value(self, text: str) -> object:
        return read(DIARKIS_SET_app__module=text).overrides["app"]["module"].value

    def test_value(self) -> None:
        """
        A value is JSON if it is valid JSON, else the text itself.
        """
        for text, value in (
            ("7000", 7000),
            ("true", True),
            ('["a"]', ["a"]),
            ('"7000"', "7000"),
            ("game.commands", "game.commands"),
            ("", ""),
            ("NaN", "NaN"),
            ("True", "True"),
            ("{", "{"),
        ):
            found = self.value(text)
            self.assertEqual(found, value)
            self.assertIs(type(found), type(value))

    def test_origin(self) -> None:
        """
        The value's origin is the variable.
        """
        given = read(DIARKIS_SET_TCP__port="1").overrides["TCP"]["port"]
        self.assertEqual(given.origin, "environment variable DIARKIS_SET_TCP__port")

    def test_unknown_section(self) -> None:
        """
        An unknown section is refused with the nearest one.
        """
        for name, hint in (
            ("tcp", 'nearest one is "TCP"'),
            ("NODE", 'nearest one is "node"'),
            ("HTP", 'nearest one is "HTTP"'),
            ("", "There are UDP, TCP, "),
        ):
            variable = f"DIARKIS_SET_{name}__port"
            self.refused(lambda variable=variable: read(**{variable: "1"}), variable, hint)

    def test_unknown_key(self) -> None:
        """
        An unknown key is refused with the nearest one.
        """
        self.refused(
            lambda: read(DIARKIS_SET_TCP__PORT="1"),
            "DIARKIS_SET_TCP__PORT",
            'TCP has no key "PORT"',
            'nearest one is "port"',
        )

    def test_no_separator(self) -> None:
        """
        A name without two underscores is refused with the right form.
        """
        self.refused(lambda: read(DIARKIS_SET_TCP_port="1"), "DIARKIS_SET_<SECTION>__<key>")

    def test_others_are_left_alone(self) -> None:
        """
        Variables that Kubernetes makes up for a Service do not matter.
        """
        environment = read(
            DIARKIS_UDP_PORT="tcp://10.0.0.1:7000", DIARKIS_TCP_SERVICE_HOST="x", PATH="/bin"
        )
        self.assertEqual(environment, read())
