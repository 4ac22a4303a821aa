"""
Tests of L{diarkis_tw.wire.json_message} and L{diarkis_tw.wire.json_text}.
"""

import json
from collections import OrderedDict
from types import MappingProxyType

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from diarkis_tw.constants import CloseCode, Status
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError
from diarkis_tw.wire.json_message import (
    JsonAuth,
    JsonHello,
    JsonReady,
    JsonTerminate,
    decode_json_auth,
    decode_json_handshake,
    decode_json_request,
    decode_json_server_message,
    encode_json_auth,
    encode_json_hello,
    encode_json_push,
    encode_json_ready,
    encode_json_request,
    encode_json_response,
    encode_json_terminate,
    json_proof,
    verify_auth,
)
from diarkis_tw.wire.message import Push, Response
from tests.strategies import (
    close_codes,
    json_bodies,
    json_values,
    nonces,
    payloads,
    sized,
    statuses,
    u8,
    u16,
)

DECODERS = (
    decode_json_auth,
    decode_json_handshake,
    decode_json_request,
    decode_json_server_message,
)

AUTH = '{"auth": {"sid": "%s", "nonce": "%s", "proof": "%s"}}'
REQUEST = '{"ver": 2, "cmd": 10, "payload": %s, "id": 7}'
OBJECT = '{"a": %s}'
STRING = '{"a": "%s"}'
KEY = '{"%s": 1}'
BASE64 = '{"base64": %s}'
RESPONSE = '{"ver": 2, "cmd": 10, "status": 1, "payload": %s, "id": 7}'

json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["ver", "cmd", "payload", "id", "status", "push", "auth", "hello", "base64", "x"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
).map(json.dumps)
"""Well-formed, mostly, and made of the words that messages are made of."""


class RoundTripTests(SynchronousTestCase):
    """
    What one end writes the other one reads.
    """

    @given(u8, u16, u16, json_bodies)
    def test_request(
        self, ver: int, cmd: int, request_id: int, body: bytes | dict[str, object]
    ) -> None:
        """
        A request with any body.
        """
        text = encode_json_request(ver, cmd, request_id, body)
        self.assertEqual(decode_json_request(text), (ver, cmd, request_id, body))

    @given(u8, u16, statuses, u16, json_bodies)
    def test_response(
        self, ver: int, cmd: int, status: Status, request_id: int, body: bytes | dict[str, object]
    ) -> None:
        """
        A response with any body.
        """
        text = encode_json_response(ver, cmd, status, request_id, body)
        self.assertEqual(
            decode_json_server_message(text), Response(ver, cmd, status, request_id, body)
        )

    @given(u8, u16, json_bodies)
    def test_push(self, ver: int, cmd: int, body: bytes | dict[str, object]) -> None:
        """
        A push with any body.
        """
        text = encode_json_push(ver, cmd, body)
        self.assertEqual(decode_json_server_message(text), Push(ver, cmd, body))

    @given(nonces, nonces, sized(32))
    def test_auth(self, sid: bytes, nonce: bytes, proof: bytes) -> None:
        """
        An auth, and a hello.
        """
        auth = JsonAuth(sid, nonce, proof)
        self.assertEqual(decode_json_auth(encode_json_auth(auth)), auth)
        self.assertEqual(decode_json_handshake(encode_json_hello(nonce)), JsonHello(nonce, 1))

    @given(st.integers(1, 0xFFFF), st.integers(1, 0xFFFF))
    def test_ready(self, ttl: int, keep_alive: int) -> None:
        """
        A ready.
        """
        ready = JsonReady(ttl, keep_alive)
        self.assertEqual(decode_json_handshake(encode_json_ready(ready)), ready)

    @given(close_codes, st.text())
    def test_terminate(self, code: CloseCode, reason: str) -> None:
        """
        A terminate, its reason cut to 200 bytes.
        """
        found = decode_json_handshake(encode_json_terminate(code, reason))
        assert isinstance(found, JsonTerminate)
        self.assertIs(found.code, code)
        self.assertLessEqual(len(found.reason.encode()), 200)
        self.assertTrue(reason.startswith(found.reason))


class HostileTests(SynchronousTestCase):
    """
    What nobody should send.
    """

    @given(payloads | st.text().map(str.encode) | json_texts.map(str.encode))
    @example(b'{"auth":{"sid":"\xff","nonce":"","proof":""}}')
    @example(b'{"ver":1e999,"cmd":1}')
    def test_anyBytesRaise(self, text: bytes) -> None:
        """
        Any bytes are read or refused with L{RemoteProtocolError}.
        """
        for decode in DECODERS:
            try:
                decode(text)
            except RemoteProtocolError as error:
                self.assertIs(error.code, CloseCode.PROTOCOL)

    @given(json_values, st.booleans())
    def test_duplicatesPass(self, value: dict[str, object], ascii_only: bool) -> None:
        """
        A value in a payload passes; one that has a key twice is refused, whatever
        else is there.
        """
        text = json.dumps(value, ensure_ascii=ascii_only)
        good = REQUEST % ('{"a": [' + text + '], "k": {"x": 1}}')
        self.assertEqual(
            decode_json_request(good.encode()), (2, 10, 7, {"a": [value], "k": {"x": 1}})
        )
        for twice in ('"k": 1, "k": 2', '"k": 1, "\\u006b": ":"', '"k": {"k": 1}, "k": 0'):
            bad = REQUEST % ('{"a": [' + text + '], "b": {' + twice + "}}")
            self.assertRaises(RemoteProtocolError, decode_json_request, bad.encode())

    def assertRefused(self, *texts: str) -> None:
        """
        Each of the texts is refused by all decoders.
        """
        for text in texts:
            for decode in DECODERS:
                error = self.assertRaises(RemoteProtocolError, decode, text.encode())
                self.assertIs(error.code, CloseCode.PROTOCOL)

    def test_notJson(self) -> None:
        """
        NaN, Infinity, a byte order mark, comments, something behind the message and
        numbers out of range are no JSON.
        """
        self.assertRefused("", " ", "1", "[]", "null", '"x"', "{", "{}")
        for bad in ("NaN", "Infinity", "-Infinity", "1e400", "01", "+1", ".5", "'a'", "// x\n1"):
            self.assertRefused(REQUEST % OBJECT % bad, RESPONSE % OBJECT % bad)
        good = REQUEST % "{}"
        self.assertRefused("\ufeff" + good, good + "x", good + good, good[:-1], good + "\0")

    def test_duplicateKeys(self) -> None:
        """
        A key twice is refused on every level, written differently too, and when a
        colon elsewhere makes up for the one that is lost.
        """
        self.assertRefused(
            '{"ver": 2, "ver": 2, "cmd": 10}',
            '{"ver": 2, "cmd": 10, "payload": {}, "payload": {}}',
            REQUEST % '{"a": 1, "a": 1}',
            REQUEST % '{"a": 1, "\\u0061": 1}',
            REQUEST % '{"b": [{"a": 1, "a": 1}]}',
            REQUEST % '{"a": {"b": 1}, "a": {"b": 1, "c": 1}}',
            REQUEST % '{"x": "\\u003a", "a": 1, "a": 2}',
            REQUEST % '{"base64": "", "base64": ""}',
            RESPONSE % '{"a": 1, "a": 1}',
            '{"ver": 2, "cmd": 10, "push": true, "push": true}',
            AUTH % ("00" * 16, "00" * 16, "00" * 32 + '", "proof": "' + "00" * 32),
            '{"hello": {"nonce": "%s", "protocol": 1, "protocol": 1}}' % ("00" * 16),
        )

    def test_colonsInStrings(self) -> None:
        """
        Colons in keys and values do no harm.
        """
        body = {"a:b": "http://x:80", ":": {"::": [":"]}}
        text = (REQUEST % json.dumps(body)).encode()
        self.assertEqual(decode_json_request(text), (2, 10, 7, body))

    def test_depthBomb(self) -> None:
        """
        Sixteen levels pass, the message included; seventeen are refused, as is
        everything beyond, behind a key that is there twice too.
        """

        def nested(levels: int, opens: str, shuts: str) -> str:
            return OBJECT % (opens * levels + "1" + shuts * levels)

        for opens, shuts in (("[", "]"), ('{"a": ', "}")):
            decode_json_request((REQUEST % nested(14, opens, shuts)).encode())
            decode_json_server_message((RESPONSE % nested(14, opens, shuts)).encode())
            for levels in (15, 100, 900, 2000, 100_000):
                bomb = nested(levels, opens, shuts)
                self.assertRefused(REQUEST % bomb, RESPONSE % bomb)
                self.assertRefused(REQUEST % (bomb[:-1] + ', "a": 1}'))
            self.assertRefused(opens * 100_000)

    def test_surrogates(self) -> None:
        """
        Lone surrogates are refused, pairs of them are a character.
        """
        for bad in ("\\ud800", "\\udc00", "\\ud800x", "\\ud800\\ud800", "\\udc00\\ud800"):
            self.assertRefused(REQUEST % STRING % bad, REQUEST % KEY % bad)
        text = (REQUEST % '{"a": "\\ud83d\\ude00"}').encode()
        self.assertEqual(decode_json_request(text)[3], {"a": "\U0001f600"})

    def test_notUtf8(self) -> None:
        """
        Bytes that are no UTF-8 are refused in keys and strings.
        """
        for bad in (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe2\x82"):
            for body in (b'{"a": "' + bad + b'"}', b'{"' + bad + b'": 1}'):
                text = b'{"ver": 2, "cmd": 10, "payload": ' + body + b"}"
                self.assertRaises(RemoteProtocolError, decode_json_request, text)
        self.assertRaises(
            RemoteProtocolError, decode_json_request, (REQUEST % "{}").encode("utf-16")
        )

    def test_requestShapes(self) -> None:
        """
        Members that are missing, unknown, of another type or out of range are refused.
        """
        self.assertRefused(
            '{"ver": 2}',
            '{"cmd": 10}',
            '{"ver": 2, "cmd": 10, "x": 1}',
            '{"ver": 2, "cmd": 10, "status": 9}',
            '{"ver": 256, "cmd": 10}',
            '{"ver": -1, "cmd": 10}',
            '{"ver": 2, "cmd": 65536}',
            '{"ver": 2.5, "cmd": 10}',
            '{"ver": 2, "cmd": 1e300}',
            '{"ver": "2", "cmd": 10}',
            '{"ver": true, "cmd": 10}',
            '{"ver": null, "cmd": 10}',
            '{"ver": 2, "cmd": 10, "id": 0}',
            '{"ver": 2, "cmd": 10, "id": 65536}',
            '{"ver": 2, "cmd": 10, "id": null}',
            '{"ver": 2, "cmd": 10, "payload": null}',
            '{"ver": 2, "cmd": 10, "payload": []}',
            '{"ver": 2, "cmd": 10, "payload": "x"}',
            "[2, 10]",
        )

    def test_serverShapes(self) -> None:
        """
        A message that is neither a response nor a push, or both, is refused.
        """
        self.assertRefused(
            '{"ver": 2, "cmd": 10, "status": 2}',
            '{"ver": 2, "cmd": 10, "status": 255}',
            '{"ver": 2, "cmd": 10, "status": 1.5}',
            '{"ver": 2, "cmd": 10, "status": 1, "push": true}',
            '{"ver": 2, "cmd": 10, "status": 1, "push": false}',
            '{"ver": 2, "cmd": 10, "push": false}',
            '{"ver": 2, "cmd": 10, "push": 1}',
            '{"ver": 2, "cmd": 10, "push": true, "id": 1}',
            '{"ver": 2, "cmd": 10, "status": 1, "id": 0}',
        )
        self.assertRaises(RemoteProtocolError, decode_json_server_message, b'{"ver": 2, "cmd": 3}')

    def test_handshakeShapes(self) -> None:
        """
        Handshake messages are refused with digits missing or too many, with periods
        of 0, with more or less than one of them, and with anything else.
        """
        nonce, proof = "0a" * 16, "0b" * 32
        decode_json_auth((AUTH % (nonce, nonce.upper(), proof)).encode())
        self.assertRefused(
            AUTH % (nonce[:-2], nonce, proof),
            AUTH % (nonce, nonce + "00", proof),
            AUTH % (nonce, nonce, proof[:-1]),
            AUTH % (nonce, nonce, "zz" * 32),
            AUTH % (nonce[:-2] + "  ", nonce, proof),
            AUTH % (nonce[:-1] + " ", nonce, proof),
            AUTH % (nonce[:-1] + "\u0663", nonce, proof),
            '{"auth": null}',
            '{"auth": {"sid": "' + nonce + '"}}',
            (AUTH % (nonce, nonce, proof))[:-1] + ', "x": 1}',
            '{"hello": {"nonce": "00", "protocol": 1}}',
            '{"hello": {"nonce": "' + nonce + '"}}',
            '{"ready": {"connectionTTL": 0, "keepAlive": 1}}',
            '{"ready": {"connectionTTL": 1, "keepAlive": 0}}',
            '{"ready": {"connectionTTL": 1.5, "keepAlive": 1}}',
            '{"ready": {"connectionTTL": 65536, "keepAlive": 1}}',
            '{"terminate": {"code": -1, "reason": ""}}',
            '{"terminate": {"code": 1, "reason": 1}}',
            '{"terminate": {"code": 1, "reason": ""}, '
            '"ready": {"connectionTTL": 1, "keepAlive": 1}}',
        )

    def test_base64(self) -> None:
        """
        An object whose only key is base64 is bytes or refused.
        """
        for bad in (
            '"a"',
            '"YQ"',
            '"YQ=== "',
            '"Y Q=="',
            '"YQ==\\n"',
            '"_-8="',
            '"\xe4"',
            "1",
            "null",
            "{}",
        ):
            self.assertRefused(REQUEST % BASE64 % bad)
        for good, body in (("", b""), ("YQ==", b"a"), ("\\u0059Q==", b"a"), ("+/8=", b"\xfb\xff")):
            text = (REQUEST % BASE64 % ('"' + good + '"')).encode()
            self.assertEqual(decode_json_request(text)[3], body)
        text = (REQUEST % '{"base64": 1, "x": 1}').encode()
        self.assertEqual(decode_json_request(text)[3], {"base64": 1, "x": 1})


class FormTests(SynchronousTestCase):
    """
    What messages look like.
    """

    def test_integralFloats(self) -> None:
        """
        Numbers may be written as floats without a fraction and come out as ints.
        """
        found = decode_json_request(b'{"ver": 2.0, "cmd": 1e1, "id": 7.0}')
        self.assertEqual(repr(found), "(2, 10, 7, b'')")
        message = decode_json_server_message(b'{"ver": 2.0, "cmd": 1.0, "status": 1.0, "id": 7.0}')
        self.assertEqual(message, Response(2, 1, Status.OK, 7, b""))
        ready = decode_json_handshake(b'{"ready": {"connectionTTL": 10.0, "keepAlive": 3333.0}}')
        self.assertEqual(repr(ready), "JsonReady(connection_ttl=10, keep_alive=3333)")

    def test_forms(self) -> None:
        """
        The server's messages are those of the protocol document; no id and no bytes
        are left out.
        """
        for text, wanted in (
            (encode_json_hello(bytes(16)), {"hello": {"nonce": "00" * 16, "protocol": 1}}),
            (
                encode_json_ready(JsonReady(10, 3333)),
                {"ready": {"connectionTTL": 10, "keepAlive": 3333}},
            ),
            (
                encode_json_terminate(CloseCode.TAKEN, "full"),
                {"terminate": {"code": 15, "reason": "full"}},
            ),
            (
                encode_json_response(2, 10, Status.OK, 7, b"hello"),
                {"ver": 2, "cmd": 10, "status": 1, "payload": {"base64": "aGVsbG8="}, "id": 7},
            ),
            (encode_json_response(2, 10, Status.OK, 0, b""), {"ver": 2, "cmd": 10, "status": 1}),
            (
                encode_json_push(2, 11, {"a": [1, None]}),
                {"ver": 2, "cmd": 11, "push": True, "payload": {"a": [1, None]}},
            ),
            (encode_json_push(2, 11, {}), {"ver": 2, "cmd": 11, "push": True, "payload": {}}),
        ):
            self.assertEqual(json.loads(text), wanted)

    def test_otherMappingsRefused(self) -> None:
        """
        Every kind of mapping and of bytes is written as the usual one would be;
        bytes inside a value become a base64 string.
        """
        plain = encode_json_push(2, 11, {"a": {"b": 1}})
        for inner in (OrderedDict(b=1), MappingProxyType({"b": 1})):
            self.assertEqual(encode_json_push(2, 11, {"a": inner}), plain)
            self.assertEqual(encode_json_push(2, 11, MappingProxyType({"a": inner})), plain)
        for body in (bytearray(b"x"), memoryview(b"x")):
            self.assertEqual(encode_json_push(2, 11, body), encode_json_push(2, 11, b"x"))  # type: ignore[arg-type]
        text = encode_json_push(2, 11, {"a": b"hello"})
        self.assertEqual(json.loads(text)["payload"], {"a": "aGVsbG8="})

    def test_unsendable(self) -> None:
        """
        What JSON cannot say is the caller's fault, and the text names it.
        """
        deep: dict[str, object] = {}
        for _ in range(100_000):
            deep = {"a": deep}
        nan, infinity = float("nan"), float("inf")
        for body, text in (
            ({"a": object()}, "object"),
            ({"a": "\ud800"}, "surrogate"),
            ({None: 1}, "NoneType"),
            ({"a": nan}, "NaN"),
            ({"a": [{"b": (infinity,)}]}, "NaN"),
            ({"a": MappingProxyType({"b": -infinity})}, "NaN"),
            ({"base64": "a"}, "base64"),
            (deep, "nested"),
            ([1], "list"),
            ("text", "str"),
            (None, "NoneType"),
        ):
            error = self.assertRaises(LocalProtocolError, encode_json_push, 2, 11, body)
            self.assertIn(text, str(error))
        encode_json_push(2, 11, {"a": [None], "b": "null", "c": 1.5})

    def test_unreadable(self) -> None:
        """
        What our own reader would end the connection for is not written: a value of
        MessagePack can be deeper, and have 1 and "1" as keys.
        """
        deepest: dict[str, object] = {}
        for _ in range(14):
            deepest = {"a": deepest} if len(deepest) else {"a": 1}
        decode_json_server_message(encode_json_push(2, 11, deepest))
        for body, text in (
            ({"a": [deepest]}, "nested more than 16"),
            ({"a": MappingProxyType(deepest), "b": 1, "c": [({},)], "d": [deepest]}, "nested more"),
            ({"a": {1: 1, "1": 2}}, "twice"),
            ({"a": [{"b": {2.5: 1, "2.5": 2}}]}, "twice"),
        ):
            error = self.assertRaises(LocalProtocolError, encode_json_push, 2, 11, body)
            self.assertIn(text, str(error))
        for harmless in ({"a": {1: 1, 2: ":"}, "b": {"1": 1}}, {"a": [[[{"b": "{[{["}]]]}):
            decode_json_server_message(encode_json_push(2, 11, harmless))

    def test_rangeUnchecked(self) -> None:
        """
        Numbers out of range and fields of another size are the caller's fault.
        """
        for ver, cmd, request_id in (
            (256, 0, 0),
            (-1, 0, 0),
            (0, 65536, 0),
            (0, 0, 65536),
            (0, 0, -1),
            (2.0, 0, 0),
        ):
            self.assertRaises(LocalProtocolError, encode_json_request, ver, cmd, request_id, b"")
        self.assertRaises(LocalProtocolError, encode_json_response, 2, 10, 2, 0, b"")
        self.assertRaises(LocalProtocolError, encode_json_hello, bytes(15))
        self.assertRaises(LocalProtocolError, encode_json_ready, JsonReady(0, 1))
        for auth in (
            JsonAuth(bytes(15), bytes(16), bytes(32)),
            JsonAuth(bytes(16), bytes(17), bytes(32)),
            JsonAuth(bytes(16), bytes(16), bytes(31)),
        ):
            self.assertRaises(LocalProtocolError, encode_json_auth, auth)

    def test_unknownCloseCode(self) -> None:
        """
        A terminate with a code of a later version counts as INTERNAL, and its reason
        is cut.
        """
        found = decode_json_handshake(
            b'{"terminate": {"code": 200, "reason": "' + b"x" * 300 + b'"}}'
        )
        self.assertEqual(found, JsonTerminate(CloseCode.INTERNAL, "x" * 200))


class ProofTests(SynchronousTestCase):
    """
    The client's proof.
    """

    def test_verify(self) -> None:
        """
        The proof holds for the key and both nonces it was made with, and for no others.
        """
        key, server, client, sid = bytes(32), b"s" * 16, b"c" * 16, b"i" * 16
        auth = JsonAuth(sid, client, json_proof(key, server, client))
        self.assertTrue(verify_auth(auth, server, key))
        self.assertFalse(verify_auth(auth, client, key))
        self.assertFalse(verify_auth(auth, server, b"x" + key[1:]))
        self.assertFalse(verify_auth(JsonAuth(sid, server, auth.proof), server, key))
        self.assertFalse(verify_auth(JsonAuth(sid, client, bytes(32)), server, key))
        self.assertNotIn(sid.decode(), repr(auth))
