"""
Tests of how a client over WebSocket connects, with both subprotocols.
"""

from diarkis_tw.client import (
    Disconnected,
)
from diarkis_tw.client.ws import UPGRADE_MAX_BYTES
from diarkis_tw.constants import CloseCode
from tests.client.scripted import silent
from tests.client.scripted_ws import Fixed, Silent, WsCase


class BothKinds:
    """
    What does not depend on the subprotocol.
    """

    def test_refused(self):
        """Nobody listening fails with a sentence, at once."""
        self.port.stopListening()
        connecting = self.begin()
        self.reactor.pump()
        self.assertIn("refused", str(self.refused(connecting, Disconnected)))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_terminated(self):
        """A refusal in the handshake is the error's code."""
        for code in CloseCode:
            self.server.greet = lambda end, code=code: end.terminate(code)
            connecting = self.begin()
            self.reactor.pump()
            self.assertEqual(self.refused(connecting, Disconnected).code, code)
            self.reactor.advance(3)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_silent(self):
        """A server that does not answer is given up after 5 seconds."""
        self.server.greet = silent
        connecting = self.begin()
        self.reactor.advance(4.9)
        self.assertNoResult(connecting)
        self.reactor.advance(0.2)
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.TIMEOUT)
        self.reactor.advance(2)
        self.assertTrue(self.server.end.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_no_upgrade(self):
        """A server that takes the connection and says nothing at all is given up, too."""
        self.server.buildProtocol = lambda addr: Silent()
        connecting = self.begin()
        self.reactor.advance(5.1)
        self.assertIn("no connection within 5 s", str(self.refused(connecting, Disconnected)))
        self.reactor.advance(2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cancelled(self):
        """An attempt cancelled at any stage leaves nothing behind."""
        for greet, build in ((silent, None), (silent, lambda addr: Silent())):
            self.server.greet = greet
            if build is not None:
                self.server.buildProtocol = build
            connecting = self.begin()
            self.reactor.pump()
            connecting.addErrback(lambda failure: None)
            connecting.cancel()
            self.reactor.advance(3)
            self.assertEqual(self.reactor.getDelayedCalls(), [])
            self.assertFalse(self.link.client.connected)

    def test_another_subprotocol(self):
        """A server that does not take up the subprotocol is refused."""
        self.server.choose = lambda offered: None
        connecting = self.begin()
        self.reactor.pump()
        error = self.refused(connecting, Disconnected)
        self.assertEqual(error.code, CloseCode.PROTOCOL)
        self.assertIn(self.subprotocol, str(error))

    def test_http_answers(self):
        """What is no answer to an upgrade fails with a sentence, without a traceback."""
        for answer, text in (
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
            (b"HTTP/1.1 101 \xff\xfe\r\n\r\n", "HTTP"),
            (b"\xff\r\n\r\n", "HTTP"),
            (b"\r\n\r\n", ""),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "Upgrade"),
            (b"SSH-2.0-OpenSSH_9.2\r\n" + b"x" * UPGRADE_MAX_BYTES, "does not end"),
        ):
            self.server.buildProtocol = lambda addr, answer=answer: Fixed(answer)
            connecting = self.begin()
            self.reactor.pump()
            error = self.refused(connecting, Disconnected)
            self.assertEqual(error.code, CloseCode.TIMEOUT)
            self.assertIn(text, str(error))
            self.assertEqual(self.reactor.getDelayedCalls(), [])


class JsonTests(BothKinds, WsCase):
    """
    JSON texts.
    """

    subprotocol = "diarkis.v1.json"

    def test_auth(self):
        """The client proves that it has the keys, with a nonce of its own each time."""
        self.connect()
        self.connect()
        first, second = (end.auth for end in self.server.ends)
        self.assertTrue(all(end.auth_is_good for end in self.server.ends))
        self.assertEqual(first.sid, b"s" * 16)
        self.assertNotEqual(first.nonce, second.nonce)

    def test_out_of_order(self):
        """A server that skips or repeats a step of the handshake is refused."""
        for texts in (
            ['{"ready": {"connectionTTL": 10, "keepAlive": 3000}}'],
            [HELLO, HELLO],
            ['{"ver": 2, "cmd": 11, "push": true}'],
            [HELLO, '{"ver": 2, "cmd": 11, "push": true}'],
            ["{}"],
            ['{"hello": {"nonce": "00", "protocol": 1}}'],
        ):
            self.server.hello = lambda end, texts=texts: [end.put(text) for text in texts]
            self.server.greet = silent
            connecting = self.begin()
            self.reactor.pump()
            self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)

    def test_version(self):
        """A server of another version of the protocol is refused with VERSION."""
        self.server.hello = lambda end: end.put(HELLO.replace("1}", "2}"))
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.VERSION)


HELLO = '{"hello": {"nonce": "' + "0" * 32 + '", "protocol": 1}}'


class BinaryTests(BothKinds, WsCase):
    """
    Sealed records.
    """

    is_binary = True
    subprotocol = "diarkis.v1.bin"

    def test_hello(self):
        """HELLO proves the keys."""
        self.connect()
        self.assertTrue(self.server.end.hello_is_good)

    def test_wrong_keys(self):
        """A server that does not have the session's keys is refused."""
        self.server.greet = lambda end: end.put(b"\x03" + b"g" * 104)
        connecting = self.begin()
        self.reactor.pump()
        self.assertEqual(self.refused(connecting, Disconnected).code, CloseCode.PROTOCOL)
