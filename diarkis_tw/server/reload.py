"""
Taking over a changed configuration while the node serves, as SIGHUP asks for::

    log.level, node.maxCommandRate         at once
    TLS certificates and keys              read again, for new connections
    everything else                        named in the log: needs a restart

A configuration that is wrong changes nothing, a wrong certificate only itself
not; both are logged with the reason.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from twisted.logger import Logger

from diarkis_tw.config.section import Section
from diarkis_tw.config.settings import SECTIONS, HttpSettings, Settings, TcpSettings, WsSettings
from diarkis_tw.errors import ConfigError
from diarkis_tw.net.tls import ServerTls

LOG_LEVEL: Final = "log.level"
COMMAND_RATE: Final = "node.maxCommandRate"


class Reload:
    """
    What the node runs with, and what of it can be exchanged.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        tls: Mapping[str, ServerTls],
        limit_rate: Callable[[int], None],
    ) -> None:
        """
        @param settings: what the node was started with.
        @param tls: certificates in use, by section.
        @param limit_rate: sets the command rate.
        """
        self._started = settings
        self._tls = tls
        self._limit_rate = limit_rate
        self._level = settings.log.level
        self._rate = settings.node.max_command_rate

    def run(
        self, load: Callable[[], Settings], set_level: Callable[[str], None] | None = None
    ) -> None:
        """
        Take over what can be taken over.

        @param load: reads the configuration again.
        @param set_level: sets the level of the log; L{None} = that is not ours.
        """
        try:
            new = load()
        except ConfigError as error:
            self.log.error("reload: nothing was changed: {reason}", reason=str(error))
            return
        except Exception:
            self.log.failure("reload: nothing was changed")
            return
        done = [*self._take_level(new, set_level), *self._take_rate(new), *self._take_tls(new)]
        self.log.info("reload: {done}", done="; ".join(done) or "nothing to change")
        changed = changed_keys(self._started, new)
        later = [key for key in changed if not self._taken(key, new, set_level)]
        if later:
            self.log.warn("reload: changed, but needs a restart: {keys}", keys=", ".join(later))

    def _take_level(self, new: Settings, set_level: Callable[[str], None] | None) -> list[str]:
        level = new.log.level
        if set_level is None or level == self._level:
            return []
        set_level(level)
        self._level = level
        return [f"{LOG_LEVEL} is {level} now"]

    def _take_rate(self, new: Settings) -> list[str]:
        rate = new.node.max_command_rate
        if rate == self._rate:
            return []
        self._limit_rate(rate)
        self._rate = rate
        return [f"{COMMAND_RATE} is {rate} now"]

    def _take_tls(self, new: Settings) -> list[str]:
        done = []
        for name, tls in self._tls.items():
            before = tls.pair.certificate
            section = _with_tls(new, name)
            try:
                if section is None:  # set up by the application, or needs a restart
                    tls.load(tls.certificate_file, tls.key_file)
                else:
                    tls.load(section.tls_certificate, section.tls_private_key)
            except ConfigError as error:
                self.log.error(
                    "reload: {name} goes on with its old certificate: {reason}",
                    name=name,
                    reason=str(error),
                )
                continue
            if tls.pair.certificate != before:
                until = tls.pair.certificate.not_valid_after_utc
                done.append(f"{name} has a new certificate, valid until {until:%Y-%m-%d}")
        return done

    def _taken(self, key: str, new: Settings, set_level: Callable[[str], None] | None) -> bool:
        name, _, rest = key.partition(".")
        if rest in ("tlsCertificate", "tlsPrivateKey"):
            return name in self._tls and _with_tls(new, name) is not None
        return key == COMMAND_RATE or (key == LOG_LEVEL and set_level is not None)


def _with_tls(settings: Settings, name: str) -> TcpSettings | WsSettings | HttpSettings | None:
    section = _section(settings, name)
    if isinstance(section, TcpSettings | WsSettings | HttpSettings) and section.tls_certificate:
        return section
    return None


def _section(settings: Settings, name: str) -> Section | None:
    found = getattr(settings, name.lower())
    assert found is None or isinstance(found, Section)
    return found


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """
    Where two configurations differ.

    @return: keys such as C{TCP.port}; just C{TCP} if only one of them has that
        section.
    """
    changed = []
    for name, section in SECTIONS.items():
        before, after = _section(old, name), _section(new, name)
        if before is None or after is None:
            if before is not after:
                changed.append(name)
            continue
        changed += [
            f"{name}.{field.encode_name}"
            for field in msgspec.structs.fields(section)
            if getattr(before, field.name) != getattr(after, field.name)
        ]
    return changed
