"""
Linode, Akamai's cloud: the metadata service::

    PUT /v1/token
    GET /v1/network     {"ipv4": {"public": ["198.51.100.7/32", ...], ...}, ...}

From "Use the Metadata service API".
"""

from typing import Final

import msgspec

from diarkis_tw.cloud.metadata import Found, Lookup

SERVICE: Final = "http://169.254.169.254"
LIFETIME: Final = "60"
"""Seconds of a token: the look-up is over in ten."""

_REFUSED: Final = (
    "Not every region and image has the metadata service: choose one that has, or set "
    "DIARKIS_CLOUD_ENV=<host> to what clients connect to."
)


class _Ipv4(msgspec.Struct):
    public: list[str] = []


class _Network(msgspec.Struct):
    ipv4: _Ipv4


async def find(lookup: Lookup) -> Found:
    """
    Find the first public IPv4 address.

    @raise CloudError: there is none, or it cannot be known.
    """
    step = "asking for a session token"
    token, answer = await lookup.token(
        step, f"{SERVICE}/v1/token", {"Metadata-Token-Expiry-Seconds": LIFETIME}
    )
    if token is None:
        raise lookup.refused(step, answer, _REFUSED)
    step = "asking for the network"
    answer = await lookup.get(
        step, f"{SERVICE}/v1/network", {"Metadata-Token": token, "Accept": "application/json"}
    )
    if not answer.is_found:
        raise lookup.refused(step, answer, _REFUSED)
    try:
        network = msgspec.json.decode(answer.text, type=_Network)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise lookup.error(
            step, f"the answer is not the document it should be: {error}", _REFUSED
        ) from None
    if not network.ipv4.public:
        raise lookup.error(
            step,
            "this machine has no public IPv4 address",
            "Give it one, or set DIARKIS_CLOUD_ENV=<host> to what clients connect to.",
        )
    host, _, _ = network.ipv4.public[0].partition("/")
    return Found(lookup.checked(step, host), "ipv4.public")
