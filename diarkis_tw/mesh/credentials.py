"""
The file of a NATS user, C{.creds}, as an account of NATS hands it out::

    -----BEGIN NATS USER JWT-----
    who the user is, signed by the account
    ------END NATS USER JWT------
    -----BEGIN USER NKEY SEED-----
    SU...    base32: 2 bytes of kind, 32 of an Ed25519 key, 2 of checksum
    ------END USER NKEY SEED------

The client proves that it has the key by signing what the server asks. nats-py wants
two more packages for that; it takes callbacks instead.
"""

import base64
import binascii
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from diarkis_tw.errors import ConfigError

_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(SU[A-Z2-7]{56})\s")


class Credentials:
    """
    A NATS user. The file is read again for each connection, so that it can be renewed.
    """

    def __init__(self, path: str) -> None:
        """
        @raise ConfigError: the file cannot be read, or is another one.
        """
        self._path = path
        self._read(_JWT, "user JWT")
        self._key()

    def jwt(self) -> bytes:
        """
        Who the user is.

        @raise ConfigError: see L{__init__}.
        """
        return self._read(_JWT, "user JWT").encode()

    def sign(self, nonce: str) -> bytes:
        """
        The server's challenge, signed and base64.

        @raise ConfigError: see L{__init__}.
        """
        return base64.b64encode(self._key().sign(nonce.encode()))

    def _key(self) -> Ed25519PrivateKey:
        seed = base64.b32decode(self._read(_SEED, "user seed (SU...)") + "======")
        content, checksum = seed[:-2], int.from_bytes(seed[-2:], "little")
        if binascii.crc_hqx(content, 0) != checksum:
            raise ConfigError(f"mesh.credentials {self._path}: the user seed has a typing error.")
        return Ed25519PrivateKey.from_private_bytes(content[2:])

    def _read(self, pattern: re.Pattern[str], what: str) -> str:
        try:
            found = pattern.search(Path(self._path).read_text("ascii", "replace") + "\n")
        except OSError as error:
            raise ConfigError(
                f"mesh.credentials {self._path}: cannot be read: {error.strerror}"
            ) from None
        if found is None:
            raise ConfigError(f"mesh.credentials {self._path}: there is no {what} in it.")
        return found.group(1)
