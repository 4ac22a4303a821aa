"""
Routes of an application over real sockets.
"""

import socket
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from ssl import create_default_context
from urllib.parse import urlsplit

from diarkis_tw.http.channel import REQUESTS_A_READ
from diarkis_tw.testing.certificates import Authority
from tests.integration.process import PATIENCE, ProcessCase

APPLICATION = """
from pathlib import Path
from twisted.internet.defer import Deferred

def setup(server):
    server.http.get("/hello/:name", lambda request: {"hello": request.params["name"]})
    server.http.post("/sum", lambda request: {"sum": sum(request.json()["numbers"])})
    server.http.get("/large", lambda request: b"x" * 3_000_000)
    server.http.get("/never", lambda request: Deferred(note("cancelled")))

def note(word):
    Path("begun").touch()
    return lambda deferred: Path(word).touch()
"""


class RouteTests(ProcessCase):
    """
    A server process with routes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.write("routes.py", APPLICATION)
        self.environ["DIARKIS_SET_HTTP__timeout"] = "60"
        self.process = self.foreground("--app", "routes", *self.options())
        url = urlsplit(self.serving(self.process))
        self.address = (str(url.hostname), int(str(url.port)))

    def options(self) -> list[str]:
        """
        More options of the process.
        """
        return []

    def client(self) -> HTTPConnection:
        """
        Make an HTTP client.
        """
        return HTTPConnection(*self.address, timeout=PATIENCE)

    def connect(self) -> socket.socket:
        """
        Open a connection.
        """
        client = self.client()
        client.connect()
        connection: socket.socket = client.sock
        self.addCleanup(connection.close)
        return connection

    def test_kept(self) -> None:
        """
        Many requests go through one connection, large answers included.
        """
        client = self.client()
        self.addCleanup(client.close)
        client.connect()
        port = client.sock.getsockname()
        for number in range(3 * REQUESTS_A_READ):
            client.request("GET", f"/hello/{number}")
            self.assertEqual(client.getresponse().read(), b'{"hello":"%d"}' % number)
        client.request("POST", "/sum", b'{"numbers":[1,2]}', {"Content-Type": "application/json"})
        self.assertEqual(client.getresponse().read(), b'{"sum":3}')
        client.request("GET", "/large")
        self.assertEqual(len(client.getresponse().read()), 3_000_000)
        client.request("HEAD", "/large")
        head = client.getresponse()
        self.assertEqual((head.headers["Content-Length"], head.read()), ("3000000", b""))
        self.assertEqual(client.sock.getsockname(), port)
        self.assertStops(self.process)

    def test_pipelined(self) -> None:
        """
        Requests sent at once, in pieces cut anywhere, are answered in order.
        """
        requests = b"".join(
            b"GET /hello/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(10)
        )
        for size in (len(requests), 17):
            connection = self.connect()
            for begin in range(0, len(requests), size):
                connection.sendall(requests[begin : begin + size])
            stream = connection.makefile("rb")
            self.addCleanup(stream.close)
            for number in range(10):
                self.assertEqual(stream.readline(), b"HTTP/1.1 200 OK\r\n")
                while stream.readline() != b"\r\n":
                    pass
                expected = b'{"hello":"%d"}' % number
                self.assertEqual(stream.read(len(expected)), expected)

    def test_flood(self) -> None:
        """
        Requests by the thousand end the connection and nothing else.
        """
        connection = self.connect()
        answered = 0
        try:
            connection.sendall(b"GET /hello/a HTTP/1.1\r\n\r\n" * 20_000)
            while data := connection.recv(65536):
                answered += data.count(b"200 OK")
        except OSError:  # reset, or TLS cut short
            pass
        self.assertLessEqual(answered, REQUESTS_A_READ)
        self.assertEqual(self.hello(), b'{"hello":"a"}')

    def hello(self) -> bytes:
        """
        Ask on a new connection.
        """
        connection = self.connect()
        connection.sendall(b"GET /hello/a HTTP/1.1\r\nConnection: close\r\n\r\n")
        response = HTTPResponse(connection)
        self.addCleanup(response.close)
        response.begin()
        return response.read()

    def test_hangs_up(self) -> None:
        """
        A client that hangs up cancels its handler.
        """
        connection = self.connect()
        connection.sendall(b"GET /never HTTP/1.1\r\n\r\n")
        self.process.until((self.folder / "begun").exists)
        connection.close()
        self.process.until((self.folder / "cancelled").exists)
        self.assertStops(self.process)

    def test_stops(self) -> None:
        """
        A handler that never ends does not keep the process.
        """
        connection = self.connect()
        connection.sendall(b"GET /never HTTP/1.1\r\n\r\n")
        self.process.until((self.folder / "begun").exists)
        self.assertStops(self.process)
        self.assertTrue((self.folder / "cancelled").exists())


class TlsRouteTests(RouteTests):
    """
    The same over TLS.
    """

    def options(self) -> list[str]:
        authority = Authority()
        self.ca = authority.write(self.folder)
        authority.issue("127.0.0.1").write(self.folder)
        tls = {"tlsCertificate": "server.pem", "tlsPrivateKey": "server-key.pem"}
        self.write("server.json", {"TCP": {}, "HTTP": tls})
        return ["--config", "server.json"]

    def client(self) -> HTTPConnection:
        context = create_default_context(cafile=str(self.ca))
        return HTTPSConnection(*self.address, timeout=PATIENCE, context=context)
