"""
Inputs that several vector files share: recognisable, and of no use to anybody.
"""

from typing import TypeAlias

from diarkis_tw.wire.keys import SessionKeys

Json: TypeAlias = dict[str, object]


def repeated(byte: int, size: int = 16) -> bytes:
    """
    A recognisable input: one byte, again and again.
    """
    return bytes((byte,)) * size


SESSION = SessionKeys(repeated(0x5A), repeated(0x01), repeated(0x02), repeated(0x03))
CLIENT_NONCE = repeated(0x04)
SERVER_NONCE = repeated(0x05)
CLIENT_PRIVATE = repeated(0x06, 32)
SERVER_PRIVATE = repeated(0x07, 32)


def session_inputs() -> Json:
    """
    What an endpoint answer said.
    """
    return {
        "sid": SESSION.sid.hex(),
        "encryptionKey": SESSION.encryption_key.hex(),
        "encryptionIV": SESSION.encryption_iv.hex(),
        "encryptionMacKey": SESSION.encryption_mac_key.hex(),
    }
