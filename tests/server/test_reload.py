"""
Tests of L{diarkis_tw.server.reload}.
"""

from dataclasses import replace
from pathlib import Path
from typing import cast

import msgspec
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.config.section import is_reloadable
from diarkis_tw.config.settings import (
    SECTIONS,
    HttpSettings,
    LogSettings,
    NodeSettings,
    Settings,
    TcpSettings,
    UdpSettings,
)
from diarkis_tw.errors import ConfigError
from diarkis_tw.net.certificate import names_of
from diarkis_tw.server.reload import changed_keys
from diarkis_tw.server.server import Server
from diarkis_tw.testing.certificates import DAY, Authority


class ReloadCase(SynchronousTestCase):
    """
    A server with TLS, and its certificates.

    @ivar levels: what the log's level was set to.
    @ivar logged: level and text of everything logged.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = Authority()
        self.levels: list[str] = []
        self.logged: list[tuple[LogLevel, str]] = []
        certificate, key = self.issue("one.example")
        self.settings = Settings(
            tcp=TcpSettings(tls_certificate=certificate, tls_private_key=key),
            http=HttpSettings(),
        )
        self.start()

    def issue(self, name: str, file: str = "server") -> tuple[str, str]:
        """
        Put a certificate into the folder.
        """
        return self.authority.issue(name).write(self.folder, file)

    def start(self) -> None:
        """
        Start a server with the settings.
        """
        self.server = Server(MemoryReactorClock(), self.settings)
        self.server.service().startService()

    def observe(self, event: object) -> None:
        """
        Remember what is logged.
        """
        found = cast("dict[str, str]", event)
        level = cast(LogLevel, found["log_level"])
        self.logged.append((level, found["log_format"].format_map(found)))

    def reload(self, settings: Settings | Exception, *, ours: bool = True) -> list[str]:
        """
        Have the server read its settings again.

        @param ours: whether the log's level can be set.
        @return: what was logged.
        """

        def load() -> Settings:
            if isinstance(settings, Exception):
                raise settings
            return settings

        self.logged.clear()
        globalLogPublisher.addObserver(self.observe)
        try:
            self.server.reload(load, self.levels.append if ours else None)
        finally:
            globalLogPublisher.removeObserver(self.observe)
        return [text for _, text in self.logged]

    def served(self, section: str = "TCP") -> list[str]:
        """
        The names of the certificate in use.
        """
        return names_of(self.server.tls()[section].pair.certificate)

    def node(self, **changes: int) -> Settings:
        """
        The settings with another section C{node}.
        """
        return replace(self.settings, node=NodeSettings(**changes))  # type: ignore[arg-type]


class ReloadTests(ReloadCase):
    """
    What a new configuration changes at once, and what it does not.
    """

    def test_same(self) -> None:
        """
        The same configuration changes nothing, and says so.
        """
        before = self.server.tls()["TCP"].pair.certificate
        self.assertEqual(self.reload(self.settings), ["reload: nothing to change"])
        self.assertEqual(self.server.tls()["TCP"].pair.certificate, before)
        self.assertEqual(self.levels, [])

    def test_level(self) -> None:
        """
        The log's level, back and forth.
        """
        debug = replace(self.settings, log=LogSettings(level="debug"))
        self.assertEqual(self.reload(debug), ["reload: log.level is debug now"])
        self.assertEqual(self.reload(debug), ["reload: nothing to change"])
        self.reload(self.settings)
        self.assertEqual(self.levels, ["debug", "info"])

    def test_levelOfOthers(self) -> None:
        """
        A level that somebody else set up needs a restart, like the format.
        """
        other = replace(self.settings, log=LogSettings(level="debug", format="json"))
        self.assertIn(
            "reload: changed, but needs a restart: log.level, log.format",
            self.reload(other, ours=False),
        )
        self.assertIn("reload: changed, but needs a restart: log.format", self.reload(other))

    def test_rate(self) -> None:
        """
        The command rate, for users who are there and those who come.
        """
        old = self.server.users.create("old", "TCP", {}).inbox
        self.assertEqual(old.tokens, 256)
        texts = self.reload(self.node(max_command_rate=0))
        self.assertEqual(texts, ["reload: node.maxCommandRate is 0 now"])
        new = self.server.users.create("new", "TCP", {}).inbox
        self.assertEqual(new.tokens, float("inf"))
        for inbox in (old, new):
            for _ in range(1000):
                self.assertTrue(inbox.receive(2, 10, 0, b"", True))
        self.reload(self.node(max_command_rate=7))
        for inbox in (old, new):
            taken = [inbox.receive(2, 10, 0, b"", True) for _ in range(257)]
            self.assertEqual(taken.count(False), 1)

    def test_certificate(self) -> None:
        """
        A file with another certificate.
        """
        self.issue("two.example")
        (text,) = self.reload(self.settings)
        self.assertRegex(text, r"^reload: TCP has a new certificate, valid until \d{4}-\d\d-\d\d$")
        self.assertEqual(self.served(), ["two.example"])

    def test_otherFiles(self) -> None:
        """
        Other files.
        """
        certificate, key = self.issue("two.example", "other")
        tcp = TcpSettings(tls_certificate=certificate, tls_private_key=key)
        texts = self.reload(replace(self.settings, tcp=tcp))
        self.assertEqual(len(texts), 1)
        self.assertEqual(self.served(), ["two.example"])

    def test_wrongCertificate(self) -> None:
        """
        A wrong one is named in the log, and the old one stays, until it is right.
        """
        expired = self.authority.issue("two.example", since=-2 * DAY, until=-DAY)
        expired.write(self.folder)
        texts = self.reload(replace(self.settings, log=LogSettings(level="warn")))
        self.assertIn("TCP goes on with its old certificate: TCP.tlsCertificate", texts[0])
        self.assertIn("expired", texts[0])
        self.assertEqual(self.logged[0][0], LogLevel.error)
        self.assertEqual((self.served(), self.levels), (["one.example"], ["warn"]))
        self.issue("three.example")
        self.reload(self.settings)
        self.assertEqual(self.served(), ["three.example"])

    def test_severalCertificates(self) -> None:
        """
        A wrong one in one section is no hindrance to another.
        """
        tcp = self.settings.tcp
        assert tcp is not None
        web = self.issue("web.example", "web")
        self.settings = replace(
            self.settings, http=HttpSettings(tls_certificate=web[0], tls_private_key=web[1])
        )
        self.start()
        Path(tcp.tls_private_key).write_text("")
        self.issue("new.example", "web")
        self.reload(self.settings)
        self.assertEqual(
            (self.served("TCP"), self.served("HTTP")), (["one.example"], ["new.example"])
        )

    def test_tlsAppears(self) -> None:
        """
        TLS cannot be switched on or off while the port is bound.
        """
        certificate, key = self.issue("web.example", "web")
        http = HttpSettings(tls_certificate=certificate, tls_private_key=key)
        (_, later) = self.reload(replace(self.settings, tcp=TcpSettings(), http=http))
        self.assertEqual(
            later,
            "reload: changed, but needs a restart: TCP.tlsCertificate, TCP.tlsPrivateKey, "
            "HTTP.tlsCertificate, HTTP.tlsPrivateKey",
        )
        self.assertEqual(list(self.server.tls()), ["TCP"])

    def test_tlsVanishes(self) -> None:
        """
        A section whose TLS is taken out of the file keeps it, and the log says so.
        """
        (_, later) = self.reload(replace(self.settings, tcp=TcpSettings()))
        self.assertEqual(
            later,
            "reload: changed, but needs a restart: TCP.tlsCertificate, TCP.tlsPrivateKey",
        )
        self.assertEqual(list(self.server.tls()), ["TCP"])

    def test_restart(self) -> None:
        """
        Everything else is listed, each time until it is undone.
        """
        tcp = self.settings.tcp
        assert tcp is not None
        new = replace(
            self.node(reconnect_grace=1, max_command_rate=5),
            tcp=type(tcp)(
                port=7201, tls_certificate=tcp.tls_certificate, tls_private_key=tcp.tls_private_key
            ),
            udp=UdpSettings(),
            http=None,
        )
        line = "reload: changed, but needs a restart: UDP, TCP.port, HTTP, node.reconnectGrace"
        self.assertIn(line, self.reload(new))
        self.assertIn((LogLevel.warn, line), self.logged)
        self.assertIn(line, self.reload(new))
        self.assertNotIn(line, self.reload(self.settings))

    def test_setUpByApplication(self) -> None:
        """
        Certificates of a server that the application set up are read again as well.
        """
        certificate, key = self.issue("web.example", "web")
        server = self.server = Server(MemoryReactorClock())
        server.setup_as_http_server(
            {"address": "127.0.0.1", "tlsCertificate": certificate, "tlsPrivateKey": key}
        )
        server.service().startService()
        self.issue("new.example", "web")
        self.reload(Settings())
        self.assertEqual(self.served("HTTP"), ["new.example"])

    def test_wrongConfiguration(self) -> None:
        """
        A wrong configuration is logged with its error, and everything stays.
        """
        self.issue("two.example")
        self.assertEqual(
            self.reload(ConfigError("a.json: TCP has no key x.")),
            ["reload: nothing was changed: a.json: TCP has no key x."],
        )
        self.assertEqual(self.served(), ["one.example"])

    def test_failure(self) -> None:
        """
        So is whatever else goes wrong with it.
        """
        self.reload(RuntimeError("odd"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.served(), ["one.example"])

    def test_marked(self) -> None:
        """
        What is taken over is exactly what the documentation of the keys says.
        """
        taken = {"node.maxCommandRate", "log.level"}
        for name in ("TCP", "WS", "HTTP"):
            taken |= {f"{name}.tlsCertificate", f"{name}.tlsPrivateKey"}
        marked = {
            f"{name}.{field.encode_name}"
            for name, section in SECTIONS.items()
            for field in msgspec.structs.fields(section)
            if is_reloadable(field.type)
        }
        self.assertEqual(taken, marked)


class ChangedKeysTests(SynchronousTestCase):
    """
    The comparison.
    """

    def test_none(self) -> None:
        """
        A configuration does not differ from itself.
        """
        settings = Settings(tcp=TcpSettings())
        self.assertEqual(changed_keys(settings, settings), [])

    def test_names(self) -> None:
        """
        Keys are named as the file names them.
        """
        old = Settings(tcp=TcpSettings())
        new = Settings(tcp=TcpSettings(connection_ttl=20, max_rcv_size=9000))
        self.assertEqual(changed_keys(old, new), ["TCP.connectionTTL", "TCP.maxRcvSize"])
