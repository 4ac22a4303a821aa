"""
Reset tokens: what proves a RESET (L{diarkis_tw.wire.reset})::

    token = HMAC-SHA256(reset key, cid)[:16]

So a server needs no memory of a connection to reset it. The reset key is random
for each process; no cid is used twice under one key, because the first RESET
sent for a cid shows its token to everybody on the path.
"""

import hmac
from typing import Final

from diarkis_tw.wire.handshake import CID_SIZE, RESET_TOKEN_SIZE
from diarkis_tw.wire.sizes import require_size

RESET_KEY_SIZE: Final = 32

RESETS_PER_SOURCE: Final = 10
"""
A second and source address. A client whose connection is gone needs one, and a
house of players behind one address a few.
"""
RESETS_PER_NODE: Final = 1000
"""
A second. All clients of a restarted server are told within seconds, and an
attacker with many addresses costs little.
"""


def reset_token(key: bytes, cid: bytes) -> bytes:
    """
    Compute the token of one connection.

    @param key: 32 secret bytes.
    @param cid: 8 bytes.
    @return: 16 bytes.

    @raise LocalProtocolError: an argument has another size.
    """
    require_size("reset key", key, RESET_KEY_SIZE)
    require_size("cid", cid, CID_SIZE)
    return hmac.digest(key, cid, "sha256")[:RESET_TOKEN_SIZE]
