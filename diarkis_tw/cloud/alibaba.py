"""
Alibaba Cloud ECS: the metadata server::

    PUT /latest/api/token               security hardening mode; refused elsewhere
    GET /latest/meta-data/eipv4         the elastic IP address, 404 without one
    GET /latest/meta-data/public-ipv4   the address assigned with the instance

From the ECS user guide, "Instance metadata".
"""

from typing import Final

from diarkis_tw.cloud.metadata import Found, Lookup

SERVICE: Final = "http://100.100.100.200"
LIFETIME: Final = "60"
"""Seconds of a token: the look-up is over in ten."""

_REFUSED: Final = (
    "The instance demands the security hardening mode (HttpTokens) but gave no valid token, or its "
    "metadata are off: see ModifyInstanceMetadataOptions."
)


async def find(lookup: Lookup) -> Found:
    """
    Find the elastic IP address, else the public one.

    @raise CloudError: there is neither, or it cannot be known.
    """
    token, _ = await lookup.token(
        "asking for a session token",
        f"{SERVICE}/latest/api/token",
        {"X-aliyun-ecs-metadata-token-ttl-seconds": LIFETIME},
    )
    # Where there are no tokens the normal mode does without.
    headers = {} if token is None else {"X-aliyun-ecs-metadata-token": token}
    for item, step in (
        ("eipv4", "asking for the elastic IP address"),
        ("public-ipv4", "asking for the public address"),
    ):
        host = await lookup.public_host(
            step, f"{SERVICE}/latest/meta-data/{item}", headers, remedy=_REFUSED
        )
        if host is not None:
            return Found(host, item)
    raise lookup.error(
        "asking for the public address",
        "this instance has none",
        "Associate an elastic IP address (behind SLB or NAT alone there is none), or set "
        "DIARKIS_CLOUD_ENV=<host> to what clients connect to.",
    )
