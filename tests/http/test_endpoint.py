"""
Tests of L{diarkis_tw.http.endpoint}: what is asked, and what is answered.
"""

import json
from urllib.parse import quote

from diarkis_tw.config.settings import HttpSettings, TcpSettings
from diarkis_tw.constants import UID_MAX_BYTES
from diarkis_tw.core.user import UserState
from diarkis_tw.core.users import PENDING_LIFE
from diarkis_tw.http.json_resource import BODY_LIMIT
from tests.http.case import Answer
from tests.http.endpoint_case import ALICE, JSON, EndpointCase


class AnswerTests(EndpointCase):
    """
    What a player gets.
    """

    def test_get(self) -> None:
        """
        The answer is a flat object with address, sid, keys, and what the protocol adds.
        """
        answer = self.ask(ALICE)
        user = self.made(answer)
        keys = user.keys
        self.assertEqual(
            answer.json(),
            {
                "serverType": "TCP",
                "serverHost": "127.0.0.1",
                "serverPort": 7200,
                "sid": keys.sid.hex(),
                "encryptionKey": keys.encryption_key.hex(),
                "encryptionIV": keys.encryption_iv.hex(),
                "encryptionMacKey": keys.encryption_mac_key.hex(),
                "protocol": 1,
                "encryption": True,
                "tls": False,
                "expiresIn": 30,
            },
        )
        self.assertIs(user.state, UserState.PENDING)
        self.assertEqual((user.uid, user.data), ("alice", {}))

    def test_everyAnswerIsNew(self) -> None:
        """
        No two answers share a sid or a key, not even for one uid.
        """
        names = ("sid", "encryptionKey", "encryptionIV", "encryptionMacKey")
        found = [self.ask(ALICE).json()[name] for _ in range(20) for name in names]
        self.assertEqual(len(set(found)), 80)
        for value in found:
            self.assertRegex(str(value), "^[0-9a-f]{32}$")

    def test_notCached(self) -> None:
        """
        Keys are for one reader: nothing between may keep them.
        """
        self.assertEqual(self.ask(ALICE).headers["Cache-Control"], "no-store")
        self.assertEqual(self.ask("/nothing").headers["Cache-Control"], "no-store")

    def test_lowerCaseType(self) -> None:
        """
        The type's case does not matter for transports.
        """
        self.assertEqual(self.ask("/endpoint/type/tcp/user/a").json()["serverType"], "TCP")

    def test_announcedHost(self) -> None:
        """
        Clients are told the announced host and the port that is bound.
        """
        self.serve(public_host="game.example.com", tcp=TcpSettings(port=7277))
        found = self.ask(ALICE).json()
        self.assertEqual((found["serverHost"], found["serverPort"]), ("game.example.com", 7277))

    def test_explicitEndpoint(self) -> None:
        """
        C{set_public_endpoint} changes what clients are told, at any time.
        """
        self.server.set_public_endpoint("198.51.100.7:17200")
        found = self.ask(ALICE).json()
        self.assertEqual((found["serverHost"], found["serverPort"]), ("198.51.100.7", 17200))

    def test_encryptionOff(self) -> None:
        """
        Clients are told that encryption is off.
        """
        self.serve(HttpSettings(enable_encryption=False), tcp=TcpSettings(enable_encryption=False))
        self.assertIs(self.ask(ALICE).json()["encryption"], False)

    def test_v1(self) -> None:
        """
        With ResponseVersion v1 one key named after the type holds host:port, the rest is the same.
        """
        new = self.ask(ALICE).json()
        old = self.ask(ALICE, headers={"ResponseVersion": "v1"}).json()
        self.assertEqual(old.pop("TCP"), "127.0.0.1:7200")
        for name in ("serverType", "serverHost", "serverPort"):
            del new[name]
        self.assertEqual(set(old), set(new))

    def test_v1IPv6(self) -> None:
        """
        In the older form an IPv6 address has brackets.
        """
        self.serve(public_host="2001:db8::1")
        old = self.ask(ALICE, headers={"ResponseVersion": "v1"}).json()
        self.assertEqual(old["TCP"], "[2001:db8::1]:7200")
        self.assertEqual(self.ask(ALICE).json()["serverHost"], "2001:db8::1")

    def test_otherResponseVersions(self) -> None:
        """
        Any other ResponseVersion gives the flat form.
        """
        for version in ("v2", "V1", ""):
            answer = self.ask(ALICE, headers={"ResponseVersion": version})
            self.assertIn("serverHost", answer.json())

    def test_head(self) -> None:
        """
        HEAD is refused: it must not make a user whose keys nobody gets.
        """
        answer = self.ask(ALICE, method="HEAD")
        self.assertEqual((answer.status, answer.body), (405, b""))
        self.assertEqual(self.sessions(), 0)

    def test_query(self) -> None:
        """
        A query string is ignored.
        """
        self.assertEqual(self.made(self.ask(ALICE + "?a=b")).uid, "alice")

    def test_keptConnection(self) -> None:
        """
        One connection serves several requests, pipelined or not.
        """
        connection = self.connect()
        request = b"GET /endpoint/type/TCP/user/%d HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.send(request % 1 + request % 2)
        connection.send(request % 3)
        self.assertEqual(connection.transport.value().count(b"HTTP/1.1 200 OK"), 3)


class UidTests(EndpointCase):
    """
    Names of players, percent-encoded.
    """

    def test_encoded(self) -> None:
        """
        A uid may hold anything UTF-8 can say, slashes included.
        """
        for uid in ("a/b", "日本", "a b", "a%2Fb", "..", ".", "a?b#c", "\0", "é" * 64, "x" * 128):
            answer = self.ask("/endpoint/type/TCP/user/" + quote(uid, safe=""))
            self.assertEqual(self.made(answer).uid, uid)

    def test_plus(self) -> None:
        """
        A plus is a plus, no space.
        """
        self.assertEqual(self.made(self.ask("/endpoint/type/TCP/user/a+b")).uid, "a+b")

    def test_length(self) -> None:
        """
        A uid has 1 to 128 bytes of UTF-8.
        """
        for uid in ("", "x" * (UID_MAX_BYTES + 1), "é" * 65):
            answer = self.ask("/endpoint/type/TCP/user/" + quote(uid))
            size = str(len(uid.encode()))
            self.assertRefused(answer, 400, "bad_uid", "1 to 128 bytes", size)
        self.assertEqual(self.sessions(), 0)

    def test_notUtf8(self) -> None:
        """
        A uid that is not UTF-8 is refused.
        """
        for raw in ("%FF", "a%C3", "%ED%A0%80"):
            answer = self.ask("/endpoint/type/TCP/user/" + raw)
            self.assertRefused(answer, 400, "bad_uid", "UTF-8")

    def test_newest(self) -> None:
        """
        Asking again for a uid makes the earlier unclaimed session void.
        """
        first = self.made(self.ask(ALICE))
        second = self.made(self.ask(ALICE))
        self.assertIs(first.state, UserState.GONE)
        self.assertIs(second.state, UserState.PENDING)
        self.assertEqual(self.sessions(), 1)

    def test_unclaimed(self) -> None:
        """
        A session that nobody claims is gone after expiresIn.
        """
        user = self.made(self.ask(ALICE))
        self.reactor.pump([1] * (int(PENDING_LIFE) - 1))
        self.assertEqual(self.sessions(), 1)
        self.reactor.pump([1] * 2)
        self.assertEqual(self.sessions(), 0)
        self.assertIs(user.state, UserState.GONE)


class BodyTests(EndpointCase):
    """
    POST: the user's data.
    """

    def post(self, body: bytes, **headers: str) -> Answer:
        """
        POST a body.
        """
        return self.ask(ALICE, method="POST", body=body, headers=headers or JSON)

    def test_data(self) -> None:
        """
        A JSON object becomes the user's data, with JSON's types.
        """
        data = {
            "name": "Alice",
            "rank": 7,
            "ratio": 1.5,
            "tags": ["a", None, True],
            "deep": {"é": 1},
        }
        user = self.made(self.post(json.dumps(data).encode()))
        self.assertEqual(user.data, data)
        self.assertEqual(
            self.made(self.post(json.dumps(data, ensure_ascii=False).encode())).data, data
        )

    def test_empty(self) -> None:
        """
        Without a body a POST is as a GET.
        """
        self.assertEqual(self.made(self.post(b"")).data, {})
        self.assertEqual(self.made(self.ask(ALICE, method="POST")).data, {})

    def test_getIgnoresABody(self) -> None:
        """
        The body of a GET is not looked at.
        """
        user = self.made(self.ask(ALICE, body=b"no JSON"))
        self.assertEqual(user.data, {})

    def test_bad(self) -> None:
        """
        What is not a JSON object is refused and makes no user.
        """
        deep = b'{"a":' + b"[" * 50_000 + b"]" * 5000
        for body in (
            b"{",
            b"[]",
            b"7",
            b"null",
            b'"x"',
            b"{} {}",
            b"\xff",
            b'{"a":\xff}',
            b"a=b",
            b'{"a": 1, "a": 2}',
            deep,
        ):
            self.assertRefused(self.post(body), 400, "bad_body", "JSON object")
        self.assertEqual(self.sessions(), 0)

    def test_contentTypeDoesNotMatter(self) -> None:
        """
        The body is JSON whatever it is called; form parsing does not get in the way.
        """
        kinds = (
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "text/plain",
            ";;;",
        )
        for kind in kinds:
            user = self.made(self.post(b'{"a": "=&"}', **{"Content-Type": kind}))
            self.assertEqual(user.data, {"a": "=&"})
            self.assertRefused(self.post(b"--x", **{"Content-Type": kind}), 400, "bad_body")

    def test_limit(self) -> None:
        """
        A body of the limit is taken, one byte more is 413.
        """
        frame = len(b'{"a":""}')
        for size, status in ((BODY_LIMIT - 1, 200), (BODY_LIMIT, 200), (BODY_LIMIT + 1, 413)):
            answer = self.post(b'{"a":"%s"}' % (b"x" * (size - frame)))
            self.assertEqual(answer.status, status, size)
        self.assertRefused(answer, 413, "too_large", str(BODY_LIMIT))

    def test_chunked(self) -> None:
        """
        A chunked body is taken, and its limit is the same.
        """
        for size, status in ((10, 200), (BODY_LIMIT, 200), (BODY_LIMIT + 1, 413)):
            body = b'{"a":"%s"}' % (b"x" * (size - len(b'{"a":""}')))
            connection = self.connect()
            connection.send(
                b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                % ALICE.encode()
            )
            for start in range(0, len(body), 1000):
                part = body[start : start + 1000]
                connection.send(b"%x\r\n%s\r\n" % (len(part), part))
            self.assertEqual(connection.transport.value(), b"")
            connection.send(b"0\r\n\r\n")
            self.assertEqual(connection.answer("POST").status, status, size)


class ClientKeyTests(EndpointCase):
    """
    C{DIARKIS_CLIENT_KEY}.
    """

    def setUp(self) -> None:
        self.serve(client_key="s3cret")

    def test_right(self) -> None:
        """
        With the key a player gets in.
        """
        self.made(self.ask(ALICE, headers={"ClientKey": "s3cret"}))
        self.made(self.ask(ALICE, headers={"clientkey": "s3cret"}))

    def test_wrong(self) -> None:
        """
        Without it, or with another one, nobody does, and nothing else is told.
        """
        for headers in ({}, {"ClientKey": ""}, {"ClientKey": "s3cres"}, {"ClientKey": "s3cret2"}):
            for path in (ALICE, "/endpoint/type/X/user/a", "/endpoint", "/endpoint/type/TCP/user/"):
                answer = self.ask(path, headers=headers)
                self.assertRefused(answer, 401, "client_key", "ClientKey")
                self.assertNotIn(b"s3cret", answer.body)
        self.assertEqual(self.sessions(), 0)

    def test_first(self) -> None:
        """
        Several ClientKey headers do not add up to guesses: the first counts.
        """
        connection = self.connect()
        connection.send(
            b"GET %s HTTP/1.1\r\nHost: x\r\nClientKey: a\r\nClientKey: s3cret\r\n\r\n"
            % ALICE.encode()
        )
        self.assertRefused(connection.answer(), 401, "client_key")

    def test_notNeeded(self) -> None:
        """
        Without a key configured the header is ignored.
        """
        self.serve()
        self.made(self.ask(ALICE, headers={"ClientKey": "anything"}))

    def test_healthNeedsNone(self) -> None:
        """
        The health check is for probes, which have no key.
        """
        self.assertEqual(self.ask("/healthcheck").status, 200)


class PathTests(EndpointCase):
    """
    Paths and methods.
    """

    def test_notFound(self) -> None:
        """
        A path of another form is 404 in JSON.
        """
        paths = (
            "/endpoint",
            "/endpoint/",
            "/endpoint/type/TCP",
            "/endpoint/type/TCP/user",
            "/endpoint/type/TCP/user/a/b",
            "/endpoint/type/TCP/User/a",
            "/endpoint//type/TCP/user/a",
        )
        for path in paths:
            self.assertRefused(self.ask(path), 404, "not_found", "/endpoint/type/")
        for path in ("/", "/endpoints", "/favicon.ico", "/a/b/c", "//endpoint/type/TCP/user/a"):
            self.assertRefused(self.ask(path), 404, "not_found")

    def test_unknownType(self) -> None:
        """
        A type that no node is configured with is 404, and the sentence lists those there are.
        """
        for word in ("QUIC", "", "%F0%28", "x" * 1000):
            answer = self.ask(f"/endpoint/type/{word}/user/a")
            self.assertRefused(answer, 404, "unknown_type", "TCP", "UDP", "WS")
            self.assertLess(len(answer.body), 300)

    def test_methods(self) -> None:
        """
        Other methods are 405 with Allow.
        """
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = self.ask(ALICE, method=method)
            self.assertRefused(answer, 405, "method", "GET or POST")
            self.assertEqual(answer.headers["Allow"], "GET, POST")
        self.assertEqual(self.sessions(), 0)

    def test_origin(self) -> None:
        """
        With allowOrigin a web page of that origin may ask, and may send the headers it needs.
        """
        self.serve(HttpSettings(allow_origin="https://game.example.com"))
        for answer in (self.ask(ALICE), self.ask("/nothing"), self.ask("/healthcheck")):
            origin = answer.headers["Access-Control-Allow-Origin"]
            self.assertEqual(origin, "https://game.example.com")
        answer = self.ask(ALICE, method="OPTIONS")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["Access-Control-Allow-Methods"], "GET, POST")
        allowed = {
            name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")
        }
        self.assertEqual(allowed, {"Content-Type", "ClientKey", "ResponseVersion"})
        self.assertEqual(self.sessions(), 1)

    def test_preflightNeedsNoKey(self) -> None:
        """
        A browser's preflight, which cannot have the client key, is answered.
        """
        self.serve(HttpSettings(allow_origin="*"), client_key="s3cret")
        self.assertEqual(self.ask(ALICE, method="OPTIONS").status, 200)
        self.assertEqual(self.ask(ALICE).status, 401)

    def test_noOrigin(self) -> None:
        """
        Without allowOrigin nothing of it is said.
        """
        self.assertNotIn("access-control", str(self.ask(ALICE).headers).lower())
