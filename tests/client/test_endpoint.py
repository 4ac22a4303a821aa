"""
Tests of asking the endpoint API, against a scripted one.
"""

import json

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from diarkis_tw.client import (
    Disconnected,
    EndpointError,
    ExternalEndpoint,
    LocalProtocolError,
    ServerType,
    ask_endpoint,
    connect,
    connect_to,
    http_client,
    parse_endpoint,
)
from diarkis_tw.client.endpoint import ANSWER_MAX_BYTES
from diarkis_tw.constants import CloseCode
from diarkis_tw.wire.keys import SessionKeys
from tests.client.scripted import KEYS, ClientCase

ANSWER = {
    "serverType": "TCP",
    "serverHost": "127.0.0.1",
    "serverPort": 7200,
    "sid": KEYS.sid.hex(),
    "encryptionKey": KEYS.encryption_key.hex(),
    "encryptionIV": KEYS.encryption_iv.hex(),
    "encryptionMacKey": KEYS.encryption_mac_key.hex(),
    "protocol": 1,
    "encryption": True,
    "tls": False,
    "expiresIn": 30,
}


EXTERNAL = {
    "serverType": "CONNECTOR",
    "serverHost": "game.example",
    "serverPort": 7777,
    "transport": "UDP",
    "protocol": 0,
}


class ParseTests(SynchronousTestCase):
    def parse(self, **changes):
        return parse_endpoint(json.dumps({**ANSWER, **changes}).encode())

    def assertOdd(self, words, **changes):
        with self.assertRaises(EndpointError) as caught:
            self.parse(**changes)
        self.assertIn(words, str(caught.exception))
        for name in ("encryptionKey", "encryptionIV", "encryptionMacKey"):
            self.assertNotIn(ANSWER[name], str(caught.exception))

    def test_answer(self):
        """Every field of the answer arrives, also with upper-case digits and unknown keys."""
        endpoint = self.parse(sid="AB" * 16, later="unknown", encryption=False)
        self.assertEqual(endpoint.server_type, ServerType.TCP)
        self.assertEqual((endpoint.host, endpoint.port), ("127.0.0.1", 7200))
        self.assertEqual(endpoint.keys, SessionKeys(b"\xab" * 16, b"k" * 16, b"i" * 16, b"m" * 16))
        self.assertEqual((endpoint.encryption, endpoint.tls), (False, False))
        self.assertEqual((endpoint.protocol, endpoint.expires_in), (1, 30))

    def test_missing(self):
        """A missing field is named."""
        for name in ANSWER:
            answer = {key: value for key, value in ANSWER.items() if key != name}
            with self.assertRaises(EndpointError) as caught:
                parse_endpoint(json.dumps(answer).encode())
            self.assertIn(name, str(caught.exception))

    def test_wrong_values(self):
        """A field of wrong type or range is named, and no secret is shown."""
        self.assertOdd("sid", sid="xyz")
        self.assertOdd("encryptionKey", encryptionKey="k" * 32)
        self.assertOdd("serverPort", serverPort="7200")
        self.assertOdd("serverPort", serverPort=0)
        self.assertOdd("serverPort", serverPort=65536)
        self.assertOdd("serverHost", serverHost="")
        self.assertOdd("serverType", serverType="FAX")
        self.assertOdd("expiresIn", expiresIn=-1)

    def test_protocol(self):
        """Another version of the protocol is refused by its number."""
        self.assertOdd("version 2", protocol=2)

    def test_external(self):
        """A server with a protocol of its own is where it is, without keys."""
        found = ExternalEndpoint("CONNECTOR", "game.example", 7777, "UDP")
        self.assertEqual(parse_endpoint(json.dumps(EXTERNAL).encode()), found)
        self.assertEqual(str(found), "CONNECTOR game.example:7777")

    def test_external_wrong(self):
        """What is missing or wrong in its answer is named."""
        for name, value in (("serverHost", ""), ("serverPort", 0), ("serverType", None)):
            with self.assertRaises(EndpointError) as caught:
                parse_endpoint(json.dumps({**EXTERNAL, name: value}).encode())
            self.assertIn(name, str(caught.exception))

    def test_tls(self):
        """Whether the transport lies in TLS is taken as it is said."""
        self.assertTrue(self.parse(tls=True).tls)

    def test_no_json(self):
        """Anything but a JSON object is refused."""
        for answer in (b"", b"<html>", b"[]", b"\xff", b"[" * 100_000, b'{"serverType": "TCP"'):
            self.assertRaises(EndpointError, parse_endpoint, answer)


class Api(Resource):
    """
    Records each request, and answers what it was told to.
    """

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []
        self.status = 200
        self.answers = [ANSWER]

    def render(self, request):
        self.requests.append(
            (
                request.method.decode(),
                request.uri.decode(),
                request.getHeader("ClientKey"),
                request.content.read(),
            )
        )
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if answer is NOT_DONE_YET:
            return answer
        request.setResponseCode(self.status)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


class ApiCase(ClientCase):
    def setUp(self):
        super().setUp()
        self.api = Api()
        site = Site(self.api, reactor=self.reactor)
        self.http_port = self.reactor.listenTCP(0, site)
        self.url = f"http://127.0.0.1:{self.http_port.getHost().port}"
        self.api.answers = [{**ANSWER, "serverPort": self.port.getHost().port}]

    def ask(self, uid="alice", url=None, **options):
        asking = Deferred.fromCoroutine(
            ask_endpoint(
                http_client(self.reactor),
                IReactorTime(self.reactor),
                self.url if url is None else url,
                uid,
                ServerType.TCP,
                **options,
            )
        )
        self.reactor.pump()
        return asking


class AskTests(ApiCase):
    def test_get(self):
        """Without data the API is asked with GET, for type and uid."""
        endpoint = self.successResultOf(self.ask())
        self.assertEqual(endpoint.port, self.port.getHost().port)
        self.assertEqual(self.api.requests, [("GET", "/endpoint/type/TCP/user/alice", None, b"")])

    def test_base_url_with_slash(self):
        """A slash at the end of the address does no harm, and a path is kept."""
        self.successResultOf(self.ask(url=self.url + "/game/"))
        self.assertEqual(self.api.requests[0][1], "/game/endpoint/type/TCP/user/alice")

    def test_post(self):
        """Data goes as the JSON body of a POST, an empty map too."""
        for data in ({"level": 3}, {}):
            self.successResultOf(self.ask(data=data))
            method, _, _, body = self.api.requests[-1]
            self.assertEqual((method, json.loads(body)), ("POST", data))

    def test_client_key(self):
        """The client key goes in its header."""
        self.successResultOf(self.ask(client_key="s3cret"))
        self.assertEqual(self.api.requests[0][2], "s3cret")

    def test_uids(self):
        """Any uid arrives as one path segment, percent-encoded."""
        for uid, encoded in {
            "a/b": "a%2Fb",
            "50%": "50%25",
            "?x#y": "%3Fx%23y",
            "é漢": "%C3%A9%E6%BC%A2",
            "a b+c": "a%20b%2Bc",
            "..": "..",
        }.items():
            self.successResultOf(self.ask(uid))
            self.assertEqual(self.api.requests[-1][1], f"/endpoint/type/TCP/user/{encoded}")

    def test_uid_length(self):
        """A uid of no or of more than 128 bytes is refused here already."""
        for uid in ("", "x" * 129, "é" * 65):
            self.refused(self.ask(uid), LocalProtocolError)
        self.successResultOf(self.ask("x" * 128))
        self.assertEqual(len(self.api.requests), 1)

    def test_refusal(self):
        """A refusal carries status, word and sentence of the API."""
        self.api.status = 503
        self.api.answers = [{"code": 503, "error": "no_node", "message": "No server is free."}]
        error = self.refused(self.ask(), EndpointError)
        self.assertEqual((error.status, error.reason), (503, "no_node"))
        self.assertIn("No server is free.", str(error))

    def test_refusal_without_words(self):
        """A refusal that is no JSON still gives its status and a hint."""
        self.api.status = 404
        for answer in (b"<html>", b"[]", b"\xff", b'{"error": 5}'):
            self.api.answers = [answer]
            error = self.refused(self.ask(), EndpointError)
            self.assertEqual((error.status, error.reason), (404, ""))
            self.assertIn("endpoint API?", str(error))

    def test_redirect(self):
        """A redirect is not followed, because it would get the client key."""
        self.api.status = 302
        error = self.refused(self.ask(client_key="s3cret"), EndpointError)
        self.assertEqual(error.status, 302)

    def test_nobody_there(self):
        """Nobody listening is said with the address and what to do."""
        self.http_port.stopListening()
        asking = self.ask()
        # Twisted looks for further addresses of the host for a moment.
        self.reactor.advance(1)
        error = self.refused(asking, EndpointError)
        self.assertEqual(error.status, 0)
        self.assertIn(self.url, str(error))
        self.assertIn("diarkis-tw run", str(error))

    def test_no_answer(self):
        """A silent API is given up after 5 seconds, and nothing is left."""
        self.api.answers = [NOT_DONE_YET]
        asking = self.ask()
        self.reactor.advance(4.9)
        self.assertNoResult(asking)
        self.reactor.advance(0.2)
        self.assertIn("within 5 s", str(self.refused(asking, EndpointError)))
        self.assertFalse(self.link.client.connected)

    def test_lost(self):
        """A connection lost before the answer is an error with a sentence."""
        self.api.answers = [NOT_DONE_YET]
        asking = self.ask()
        self.link.cut()
        self.reactor.pump()
        self.assertIn("lost", str(self.refused(asking, EndpointError)))

    def test_too_long(self):
        """An endless answer is not read to its end."""
        self.api.answers = [b" " * (ANSWER_MAX_BYTES + 1)]
        self.assertIn("more than", str(self.refused(self.ask(), EndpointError)))

    def test_bad_address(self):
        """What is no address of an API is refused with a sentence."""
        for url in ("127.0.0.1:7000", "ftp://x", "", "http://", "http://[", "http://x:port"):
            error = self.refused(self.ask(url=url), EndpointError)
            self.assertEqual(error.status, 0)


class ConnectTests(ApiCase):
    def connecting(self, **options):
        connecting = connect(self.url, "alice", reactor=self.reactor, **options)
        self.reactor.advance(1)
        return connecting

    def test_connect(self):
        """connect asks the API, connects, and gives a client that works."""
        client = self.successResultOf(self.connecting(data={"a": 1}, client_key="key"))
        answer = client.request(2, 10, b"x")
        self.reactor.pump()
        self.assertEqual(self.successResultOf(answer), b"x")
        self.assertEqual(self.api.requests[0][2], "key")
        self.assertEqual(client.uid, "alice")

    def test_external(self):
        """There is no client of ours for a server with a protocol of its own, and it says so."""
        self.api.answers = [EXTERNAL]
        endpoint = self.successResultOf(self.ask())
        for connecting in (
            self.connecting(type="CONNECTOR"),
            connect_to(endpoint, reactor=self.reactor),
        ):
            message = str(self.refused(connecting, LocalProtocolError))
            self.assertIn("CONNECTOR game.example:7777", message)
            self.assertIn("protocol of its own", message)

    def test_api_refuses(self):
        """A refusal of the API is the error of connect."""
        self.api.status = 401
        self.assertEqual(self.refused(self.connecting(), EndpointError).status, 401)

    def test_asks_again(self):
        """Refused with TAKEN or SERVER_OFFLINE, it asks for another server."""
        for code in (CloseCode.TAKEN, CloseCode.SERVER_OFFLINE):
            self.setUp()
            refusals = [code, code]
            self.server.greet = lambda end, refusals=refusals: (
                end.terminate(refusals.pop()) if refusals else end.accept()
            )
            self.successResultOf(self.connecting())
            self.assertEqual(len(self.api.requests), 3)

    def test_asks_three_times_again(self):
        """It asks again 3 times at most."""
        self.server.greet = lambda end: end.terminate(CloseCode.TAKEN)
        connecting = self.connecting()
        self.reactor.advance(10)
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.TAKEN)
        self.assertEqual(len(self.api.requests), 4)

    def test_does_not_ask_again(self):
        """After any other refusal it does not ask again."""
        self.server.greet = lambda end: end.terminate(CloseCode.UNKNOWN)
        self.assertEqual(self.refused(self.connecting(), Disconnected).code, CloseCode.UNKNOWN)
        self.assertEqual(len(self.api.requests), 1)

    def test_timeout(self):
        """The time-out covers everything, and leaves nothing behind."""
        self.api.answers = [NOT_DONE_YET]
        connecting = self.connecting(timeout=0.5)
        self.assertIn("within 0.5 s", str(self.refused(connecting, Disconnected)))
        self.assertFalse(self.link.client.connected)
