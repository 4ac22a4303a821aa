"""
Tests of L{diarkis_tw.core.admission}.
"""

from dataclasses import replace

from diarkis_tw.constants import CloseCode
from diarkis_tw.core.admission import Admission, Admitted, Agreement
from diarkis_tw.core.user import UserState
from diarkis_tw.units import Seconds
from diarkis_tw.wire.ephemeral import public_key, shared_secret
from diarkis_tw.wire.handshake import (
    ACCEPT_BODY_SIZE,
    HELLO_BODY_SIZE,
    Hello,
    Terms,
    decode_accept,
    encode_hello,
    open_accept_terms,
)
from diarkis_tw.wire.json_message import JsonAuth, json_proof
from diarkis_tw.wire.keys import (
    FLAG_ENCRYPTED,
    FLAG_EPHEMERAL,
    NO_EPHEMERAL,
    ConnectionKeys,
    HandshakeContext,
    SessionKeys,
    TransportId,
    accept_key,
    connection_keys,
    connection_secret,
)
from diarkis_tw.wire.record import RecordType, record_header
from tests.core.fakes import CoreNode, CoreTestCase

HELLO_HEADER = record_header(RecordType.HELLO, HELLO_BODY_SIZE)
ACCEPT_HEADER = record_header(RecordType.ACCEPT, ACCEPT_BODY_SIZE)
PRIVATE = bytes(range(32))
NONCE = b"c" * 16
LOW_ORDER = bytes(32)
"""A public key with which every X25519 result is zero (RFC 7748 6.1)."""


class AdmissionTestCase(CoreTestCase):
    """
    A node with one user, and the client's half of the handshake.
    """

    encryption = True

    def setUp(self) -> None:
        super().setUp()
        self.core.start()
        self.user = self.core.create()
        self.admission = self.admission_of(self.core)

    def admission_of(self, core: CoreNode) -> Admission:
        return Admission(core.node, core.users, self.encryption, core.random_bytes)

    def hello(self, flags: int = FLAG_ENCRYPTED, ephemeral: bytes = NO_EPHEMERAL) -> Hello:
        return Hello(1, flags, self.user.keys.sid, NONCE, ephemeral)

    def ask(
        self,
        hello: Hello,
        *,
        keys: SessionKeys | None = None,
        transport: TransportId = TransportId.TCP,
        ttl: Seconds = 10.0,
    ) -> Admitted | CloseCode:
        """
        Send a HELLO proven with C{keys}.
        """
        body = encode_hello(HELLO_HEADER, hello, (keys or self.user.keys).hello_key())
        return self.admission.admit(transport, hello, HELLO_HEADER, body, ACCEPT_HEADER, ttl)

    def admitted(self, answer: Admitted | CloseCode) -> Admitted:
        assert isinstance(answer, Admitted), answer
        return answer

    def derive(
        self, hello: Hello, body: bytes, transport: TransportId = TransportId.TCP
    ) -> tuple[ConnectionKeys, Terms]:
        """
        What the client makes of an ACCEPT.
        """
        server_nonce, server_ephemeral, _ = decode_accept(body)
        shared: bytes | None = b""
        if hello.flags & FLAG_EPHEMERAL:
            shared = shared_secret(PRIVATE, server_ephemeral)
        assert shared is not None
        context = HandshakeContext(
            1,
            hello.flags,
            transport,
            NONCE,
            server_nonce,
            hello.client_ephemeral,
            server_ephemeral,
        )
        secret = connection_secret(self.user.keys.master(), shared)
        terms = open_accept_terms(ACCEPT_HEADER, body, accept_key(secret, context))
        assert terms is not None, "the client cannot open ACCEPT"
        return connection_keys(secret, context), terms


class AdmittedTests(AdmissionTestCase):
    """
    Those who may come in.
    """

    def test_keys(self) -> None:
        """
        Server and client derive the same keys.
        """
        hello = self.hello()
        admitted = self.admitted(self.ask(hello))
        self.assertIs(admitted.user, self.user)
        keys, _ = self.derive(hello, admitted.accept)
        self.assertEqual(admitted.keys, keys)
        self.assertEqual(decode_accept(admitted.accept)[1], NO_EPHEMERAL)

    def test_keys_with_forward_secrecy(self) -> None:
        """
        So they do with ephemeral keys, and the offer is answered with one.
        """
        hello = self.hello(FLAG_ENCRYPTED | FLAG_EPHEMERAL, public_key(PRIVATE))
        admitted = self.admitted(self.ask(hello))
        self.assertNotEqual(decode_accept(admitted.accept)[1], NO_EPHEMERAL)
        keys, _ = self.derive(hello, admitted.accept)
        self.assertEqual(admitted.keys, keys)

    def test_transport_enters(self) -> None:
        """
        Keys of one transport are not those of another.
        """
        hello = self.hello()
        for transport in (TransportId.TCP, TransportId.WS):
            admitted = self.admitted(self.ask(hello, transport=transport))
            self.assertEqual(
                admitted.keys, self.derive(hello, admitted.accept, transport)[0], transport
            )

    def test_fresh(self) -> None:
        """
        The same HELLO twice makes other keys: nonce and ephemeral are new each time.
        """
        hello = self.hello(FLAG_ENCRYPTED | FLAG_EPHEMERAL, public_key(PRIVATE))
        one, two = self.admitted(self.ask(hello)), self.admitted(self.ask(hello))
        self.assertNotEqual(one.keys, two.keys)
        self.assertNotEqual(decode_accept(one.accept)[0], decode_accept(two.accept)[0])
        self.assertNotEqual(decode_accept(one.accept)[1], decode_accept(two.accept)[1])

    def test_terms(self) -> None:
        """
        The terms say connectionTTL and a keep-alive of a third of it, 5 s at most; what
        is for datagrams is zero.
        """
        for ttl, keep_alive in ((10.0, 3333), (15.0, 5000), (60.0, 5000)):
            hello = self.hello()
            _, terms = self.derive(hello, self.admitted(self.ask(hello, ttl=ttl)).accept)
            self.assertEqual(terms, Terms(bytes(8), bytes(16), 0, 0, 0, 0, int(ttl), keep_alive, 0))

    def test_unknown_flags(self) -> None:
        """
        Flag bits of later versions are ignored, but enter the keys as sent.
        """
        hello = self.hello(FLAG_ENCRYPTED | 0x80)
        admitted = self.admitted(self.ask(hello))
        self.assertEqual(admitted.keys, self.derive(hello, admitted.accept)[0])

    def test_nothing_changes_yet(self) -> None:
        """
        Being admitted does not make a pending user a connected one.
        """
        self.admitted(self.ask(self.hello()))
        self.assertIs(self.user.state, UserState.PENDING)


class RefusalTests(AdmissionTestCase):
    """
    Those who may not, and the order of the checks.
    """

    def test_version(self) -> None:
        """
        Another version is VERSION, before anything else is looked at.
        """
        self.assertIs(self.ask(replace(self.hello(), version=2)), CloseCode.VERSION)
        stranger = replace(self.hello(flags=0), version=0, sid=bytes(16))
        self.core.node.taken()
        self.assertIs(self.ask(stranger), CloseCode.VERSION)

    def test_unknown_sid(self) -> None:
        """
        A sid that nobody has is UNKNOWN.
        """
        self.assertIs(self.ask(replace(self.hello(), sid=bytes(16))), CloseCode.UNKNOWN)

    def test_wrong_hmac(self) -> None:
        """
        A wrong proof is UNKNOWN as well, so that nobody learns which sids there are.
        """
        other = self.core.create("bob").keys
        self.assertIs(self.ask(self.hello(), keys=other), CloseCode.UNKNOWN)

    def test_hmac_covers_all(self) -> None:
        """
        Each byte of header and body is proven.
        """
        hello = self.hello()
        body = encode_hello(HELLO_HEADER, hello, self.user.keys.hello_key())
        record = HELLO_HEADER + body
        for at in range(len(record)):
            changed = bytes(byte ^ (place == at) for place, byte in enumerate(record))
            self.assertIs(
                self.admission.admit(
                    TransportId.TCP, hello, changed[:4], changed[4:], ACCEPT_HEADER, 10.0
                ),
                CloseCode.UNKNOWN,
                at,
            )

    def test_dead_sid(self) -> None:
        """
        The sid of a user who is gone is UNKNOWN.
        """
        self.core.connection(self.user)
        self.user.disconnect()
        self.assertIs(self.ask(self.hello()), CloseCode.UNKNOWN)

    def test_encryption(self) -> None:
        """
        A client that believes otherwise about encryption is refused with ENCRYPTION.
        """
        self.assertIs(self.ask(self.hello(flags=0)), CloseCode.ENCRYPTION)

    def test_state(self) -> None:
        """
        New users are refused with the node's state.
        """
        self.core.node.taken()
        self.assertIs(self.ask(self.hello()), CloseCode.TAKEN)
        self.core.node.offline()
        self.assertIs(self.ask(self.hello()), CloseCode.SERVER_OFFLINE)
        self.core.node.online()
        self.admitted(self.ask(self.hello()))

    def test_zero_secret(self) -> None:
        """
        An ephemeral key that forces an all-zero secret is PROTOCOL.
        """
        hello = self.hello(FLAG_ENCRYPTED | FLAG_EPHEMERAL, LOW_ORDER)
        self.assertIs(self.ask(hello), CloseCode.PROTOCOL)

    def test_order(self) -> None:
        """
        With everything wrong the checks answer in their order.
        """
        hello = replace(self.hello(FLAG_EPHEMERAL, LOW_ORDER), version=2, sid=self.user.keys.sid)
        other = self.core.create("bob").keys
        self.core.node.taken()
        self.assertIs(self.ask(hello, keys=other), CloseCode.VERSION)
        hello = replace(hello, version=1)
        self.assertIs(self.ask(hello, keys=other), CloseCode.UNKNOWN)
        self.assertIs(self.ask(hello), CloseCode.ENCRYPTION)
        hello = replace(hello, flags=FLAG_ENCRYPTED | FLAG_EPHEMERAL)
        self.assertIs(self.ask(hello), CloseCode.TAKEN)
        self.core.node.online()
        self.assertIs(self.ask(hello), CloseCode.PROTOCOL)

    def test_forward_secrecy_required(self) -> None:
        """
        Where it is required, a client that offers none is FORWARD_SECRECY: known by
        then, and before the node's state is looked at.
        """

        def agree(hello: Hello, proven: bool = True) -> Agreement | CloseCode:
            return self.admission.agree(
                TransportId.UDP, hello, lambda key: proven, ephemeral_required=True
            )

        offer = self.hello(FLAG_ENCRYPTED | FLAG_EPHEMERAL, public_key(PRIVATE))
        self.assertIsInstance(agree(offer), Agreement)
        self.core.node.taken()
        self.assertIs(agree(self.hello()), CloseCode.FORWARD_SECRECY)
        self.assertIs(agree(self.hello(), proven=False), CloseCode.UNKNOWN)
        self.assertIs(agree(self.hello(flags=0)), CloseCode.ENCRYPTION)


class ResumedTests(AdmissionTestCase):
    """
    Users who were here before.
    """

    def test_never_new(self) -> None:
        """
        Who is away or connected is admitted while the node is TAKEN or OFFLINE.
        """
        client = self.core.connection(self.user)
        for refuse in (self.core.node.taken, self.core.node.offline, self.core.node.terminate):
            refuse()
            self.assertIs(self.user.state, UserState.CONNECTED)
            self.assertIs(self.admitted(self.ask(self.hello())).user, self.user)
            client.drop()
            self.assertIs(self.user.state, UserState.AWAY)
            self.assertIs(self.admitted(self.ask(self.hello())).user, self.user)
            client = self.core.connection(self.user)

    def test_after_the_grace(self) -> None:
        """
        Who comes back too late is UNKNOWN, not refused by state.
        """
        self.core.connection(self.user).drop()
        self.core.node.taken()
        self.core.pass_time(11)
        self.assertIs(self.ask(self.hello()), CloseCode.UNKNOWN)


class PlainTests(AdmissionTestCase):
    """
    C{enableEncryption: false}.
    """

    encryption = False

    def test_encryption(self) -> None:
        """
        Now the flag must be off.
        """
        self.assertIs(self.ask(self.hello()), CloseCode.ENCRYPTION)
        hello = self.hello(flags=0)
        admitted = self.admitted(self.ask(hello))
        self.assertEqual(admitted.keys, self.derive(hello, admitted.accept)[0])


class JsonTests(AdmissionTestCase):
    """
    auth of JSON WebSocket.
    """

    def admit(self, **changes: bytes) -> object:
        """
        What becomes of an auth that is right but for the changes.
        """
        nonce = b"s" * 16
        proof = json_proof(self.user.keys.hello_key(), nonce, NONCE)
        fields = {"sid": self.user.keys.sid, "nonce": NONCE, "proof": proof} | changes
        return self.admission.admit_json(JsonAuth(**fields), nonce)

    def test_admitted(self) -> None:
        """
        The right proof names the user, whatever the node says of encryption.
        """
        self.assertIs(self.admit(), self.user)

    def test_unknown(self) -> None:
        """
        A wrong sid, nonce or proof, and a user who is gone, are UNKNOWN.
        """
        for changes in ({"sid": bytes(16)}, {"nonce": bytes(16)}, {"proof": bytes(32)}):
            self.assertIs(self.admit(**changes), CloseCode.UNKNOWN)
        self.user.disconnect()
        self.assertIs(self.admit(), CloseCode.UNKNOWN)

    def test_taken(self) -> None:
        """
        A node that takes nobody refuses who is new, not who comes back.
        """
        self.core.node.taken()
        self.assertIs(self.admit(), CloseCode.TAKEN)
        self.core.node.offline()
        self.assertIs(self.admit(), CloseCode.SERVER_OFFLINE)
        self.assertIs(self.admit(proof=bytes(32)), CloseCode.UNKNOWN)
        self.core.connection(self.user)
        self.assertIs(self.admit(), self.user)
