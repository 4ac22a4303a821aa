"""
A server with the demo for the clients of C{examples/web}.
"""

from diarkis_tw.testing.certificates import Authority
from tests.integration.process import ROOT, ProcessCase

WEB = ROOT / "examples" / "web"

ALL_WELL = """\
connected
value {"x":12.5,"name":"Zoë"}
bytes 0,127,255
push 2 11 {"score":7}
error 1004: unknown command ver 2 cmd 99
left, 1000
"""
"""What C{echo.mjs} prints."""

UID = "Zoë & co/1"
"""Nothing of it may stand in a path as it is."""


class WebCase(ProcessCase):
    """
    Starts a server for web clients.
    """

    def serve(
        self, allow_origin: str = "", allowed_origins: tuple[str, ...] = (), *, tls: bool = False
    ) -> str:
        """
        Start it.

        @param allow_origin: C{allowOrigin} of HTTP.
        @param allowed_origins: C{allowedOrigins} of WS.
        @return: URL of the endpoint API.
        """
        both: dict[str, object] = {}
        if tls:
            authority = Authority()
            self.ca = authority.write(self.folder)
            authority.issue("127.0.0.1").write(self.folder)
            both = {"tlsCertificate": "server.pem", "tlsPrivateKey": "server-key.pem"}
        config = {
            "HTTP": {"allowOrigin": allow_origin, **both},
            "WS": {"allowedOrigins": list(allowed_origins), "noDelay": True, **both},
            "app": {"module": "diarkis_tw.demo"},
        }
        self.server = self.foreground("--config", self.write("server.json", config))
        return self.serving(self.server)
