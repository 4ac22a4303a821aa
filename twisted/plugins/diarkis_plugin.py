"""
Makes C{twistd diarkis} and C{twist diarkis} known.

Strings only: an import error in this file would make the subcommand vanish
without a word. No folder above this file may have an C{__init__.py}, which would
hide Twisted itself.
"""

from twisted.application.service import ServiceMaker

serviceMaker = ServiceMaker(
    "diarkis",
    "diarkis_tw.tap",
    "A realtime game server: commands over TCP, UDP and WebSocket, endpoints over HTTP.",
    "diarkis",
)
