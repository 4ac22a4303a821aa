"""
An operator of NATS with one account, and users of it: what C{nsc} would make.
"""

import base64
import binascii
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
"""Kinds of keys, as NATS writes them before a key."""


class Identity:
    """
    A key of somebody.

    @ivar kind: whose.
    @ivar public: the name that others know.
    """

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self._raw = os.urandom(32)
        self._key = Ed25519PrivateKey.from_private_bytes(self._raw)
        self.public = _written(bytes((kind,)), self._key.public_key().public_bytes_raw())

    def seed(self) -> str:
        """
        The key itself.
        """
        return _written(bytes((SEED | self.kind >> 5, (self.kind & 31) << 3)), self._raw)

    def token(self, about: "Identity", word: str, **claims: object) -> str:
        """
        Say something about somebody, signed: a JWT.
        """
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {
            "jti": os.urandom(8).hex(),
            "iat": 1_700_000_000,
            "iss": self.public,
            "sub": about.public,
            "name": word,
            "nats": {"type": word, "version": 2} | claims,
        }
        text = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(body).encode())}"
        return f"{text}.{_encoded(self._key.sign(text.encode()))}"


class Account:
    """
    An operator and an account that the server is told of.
    """

    def __init__(self) -> None:
        self.operator, self.account = Identity(OPERATOR), Identity(ACCOUNT)

    def server_config(self, path: Path) -> Path:
        """
        Write the configuration of a server that lets users of the account in.
        """
        limits = {"subs": -1, "conn": -1, "leaf": -1, "data": -1, "payload": -1}
        limits |= {"imports": -1, "exports": -1, "wildcards": True}
        account = self.operator.token(self.account, "account", limits=limits)
        path.write_text(
            f'operator: "{self.operator.token(self.operator, "operator")}"\n'
            "resolver: MEMORY\n"
            f'resolver_preload: {{ {self.account.public}: "{account}" }}\n'
        )
        return path

    def credentials(self, path: Path) -> Path:
        """
        Write the file of a new user.
        """
        user = Identity(USER)
        token = self.account.token(user, "user", subs=-1, data=-1, payload=-1)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            "IMPORTANT: keep this file secret.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed()}\n------END USER NKEY SEED------\n"
        )
        return path


def _written(prefix: bytes, key: bytes) -> str:
    content = prefix + key
    checksum = binascii.crc_hqx(content, 0).to_bytes(2, "little")
    return base64.b32encode(content + checksum).decode().rstrip("=")


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
