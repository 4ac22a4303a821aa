"""
What nodes say to each other, as bytes: who says it, to whom, and proof of both.

A frame is::

    version   1    MESH_VERSION
    mac       32   HMAC-SHA256 of everything else
    envelope       MessagePack: L{Envelope} as an array

Keys are derived from the secret that the nodes share, by HKDF with SHA-256 (RFC
5869), so that the same secret makes other keys in another application::

    prk   = Extract(salt = "diarkis_tw mesh 1", ikm = secret)
    mac   = Expand(prk, "authenticate " || app, 32)
    seal  = Expand(prk, "seal " || app, 32)

The body of a message whose class says C{sealed = True} is the nonce, 12 random
bytes, and AES-256-GCM under C{seal}.

Rules:

  - The mac is checked before anything is decoded; whoever has no key is a
    stranger. Two secrets are accepted, so that one can take the other's place
    without an outage; the first one is used.
  - Counters of one sender and incarnation rise; each is taken once
    (L{ReplayWindow}).
  - A frame for one node names that node's incarnation, so that it cannot be
    repeated to another node, or to the same one when it has started again.
  - Nothing is pickled: bodies are decoded into the class that is expected.
"""

import hmac
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta

from diarkis_tw.errors import MeshError
from diarkis_tw.mesh.time import TIME_MAX

MESH_VERSION: Final = 1
"""Nodes of another version do not hear each other: it is in the subjects, too."""

FRAME_MAX: Final = 512 * 1024
"""Largest frame: half of what a NATS server takes by default, and far above what
the built-in messages need."""

ADDRESS_MAX: Final = 64
"""Longest node address and longest topic, in characters."""

CALLS_MAX: Final = 2**63 - 1
"""Largest counter, incarnation and number of a request."""

SECRETS_MAX: Final = 2
"""Secrets accepted at a time."""

WINDOW: Final = 1024
"""How much older than the newest a frame may be. A NATS server keeps the order of
one sender's frames, so that this is far more than enough."""

_MAC_SIZE: Final = 32
_NONCE_SIZE: Final = 12
_VERSION: Final = bytes((MESH_VERSION,))
_BODY_AT: Final = 1 + _MAC_SIZE

Name = Annotated[str, Meta(max_length=ADDRESS_MAX)]
Number = Annotated[int, Meta(ge=0, le=CALLS_MAX)]


class Kind(IntEnum):
    """
    What a frame is.
    """

    MESSAGE = 0
    """No answer is wanted."""
    REQUEST = 1
    ANSWER = 2
    """The body is the answering message."""
    FAILURE = 3
    """The answer to a request that failed; the topic is empty, the body a sentence."""


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """
    One message with who sends it to whom.

    @ivar sender: address of the node that says it.
    @ivar incarnation: which life of that node; a later one has a larger number.
    @ivar counter: rises with each frame of one incarnation.
    @ivar to: address of the node it is for; empty = all.
    @ivar to_incarnation: the incarnation it is for; 0 = all.
    @ivar kind: what it is.
    @ivar call: number of a request, in the answer as well; else 0.
    @ivar topic: name of the message's class.
    @ivar sealed: whether the body is encrypted.
    @ivar body: the message, MessagePack.
    @ivar time: when it was sent; see L{diarkis_tw.mesh.time}.
    """

    sender: Annotated[str, Meta(min_length=1, max_length=ADDRESS_MAX)]
    incarnation: Number
    counter: Number
    to: Name
    to_incarnation: Number
    kind: Kind
    call: Number
    topic: Name
    sealed: bool
    body: bytes
    time: Annotated[int, Meta(ge=0, le=TIME_MAX)] = 0


class Sealing:
    """
    Makes frames of envelopes and the other way round.

    @ivar strangers: frames whose mac no secret explains, or that are no frames.
    """

    def __init__(
        self, app: str, secrets: Sequence[str], random_bytes: Callable[[int], bytes]
    ) -> None:
        """
        @param app: nodes of another application are strangers.
        @param secrets: what the nodes share; the first one is used, all are
            accepted. None at all is the empty one, which proves nothing.
        """
        if len(secrets) > SECRETS_MAX:
            raise MeshError(f"{SECRETS_MAX} mesh keys at most, not {len(secrets)}")
        self.strangers = 0
        self._random_bytes = random_bytes
        used = list(secrets) or [""]
        # Prepared, as setting up HMAC costs more than the rest of it.
        keys = [_derive(secret, "authenticate", app) for secret in used]
        self._macs = [hmac.new(key, _VERSION, "sha256") for key in keys]
        self._seals = [AESGCM(_derive(secret, "seal", app)) for secret in used]
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Envelope)

    def encode(self, message: msgspec.Struct) -> tuple[bytes, bool]:
        """
        The body of a message, and whether it is sealed.

        @raise MeshError: there is something in it that cannot be encoded.
        """
        try:
            body = self._encoder.encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MeshError(f"{type(message).__name__} cannot be encoded: {error}") from None
        if not getattr(type(message), "sealed", False):
            return body, False
        nonce = self._random_bytes(_NONCE_SIZE)
        return nonce + self._seals[0].encrypt(nonce, body, None), True

    def frame(self, envelope: Envelope) -> bytes:
        """
        The bytes to send.

        @raise MeshError: they are too many.
        """
        content = self._encoder.encode(envelope)
        size = _BODY_AT + len(content)
        if size > FRAME_MAX:
            raise MeshError(f"{envelope.topic} has {size} bytes; {FRAME_MAX} is the most")
        return b"".join((_VERSION, _mac(self._macs[0], content), content))

    def open(self, frame: bytes) -> Envelope | None:
        """
        The envelope in a frame; its sealed body is open.

        @return: L{None} for what a stranger sent, which is counted.
        """
        if _BODY_AT < len(frame) <= FRAME_MAX and frame[:1] == _VERSION:
            mac, content = frame[1:_BODY_AT], frame[_BODY_AT:]
            for prepared, seal in zip(self._macs, self._seals, strict=True):
                if hmac.compare_digest(mac, _mac(prepared, content)):
                    return self._decode(content, seal)
        self.strangers += 1
        return None

    def _decode(self, content: bytes, seal: AESGCM) -> Envelope | None:
        try:
            envelope = self._decoder.decode(content)
            if not envelope.sealed:
                return envelope
            nonce, sealed = envelope.body[:_NONCE_SIZE], envelope.body[_NONCE_SIZE:]
            return msgspec.structs.replace(
                envelope, body=seal.decrypt(nonce, sealed, None), sealed=False
            )
        except (msgspec.MsgspecError, ValueError, InvalidTag):
            self.strangers += 1
            return None


class ReplayWindow:
    """
    Which counters of one sender and incarnation were taken.
    """

    def __init__(self, first: int) -> None:
        """
        @param first: the counter of the frame that proved the sender to be alive;
            it and everything before it is taken.
        """
        self._first = first
        self._newest = first
        self._taken = 1

    def take(self, counter: int) -> bool:
        """
        @return: False if it was taken before, or is too old to know.
        """
        ahead = counter - self._newest
        if ahead > 0:
            self._taken = (self._taken << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._newest = counter
            return True
        bit = 1 << -ahead if -ahead < WINDOW else 0
        if counter <= self._first or not bit or self._taken & bit:
            return False
        self._taken |= bit
        return True


def _mac(prepared: hmac.HMAC, content: bytes) -> bytes:
    mac = prepared.copy()
    mac.update(content)
    return mac.digest()


def _derive(secret: str, purpose: str, app: str) -> bytes:
    return HKDF(
        algorithm=SHA256(),
        length=32,
        salt=b"diarkis_tw mesh %d" % MESH_VERSION,
        info=f"{purpose} {app}".encode(),
    ).derive(secret.encode())
