"""
AWS EC2: the instance metadata service, with a session token (IMDSv2)::

    PUT /latest/api/token                    404, 405, 501: only IMDSv1 here
    GET /latest/meta-data/public-hostname    404 or empty without DNS host names in the VPC
    GET /latest/meta-data/public-ipv4        404 without a public address

From the EC2 user guide, "Use the Instance Metadata Service".
"""

from typing import Final

from diarkis_tw.cloud.metadata import Found, Lookup, Unanswered

SERVICE: Final = "http://169.254.169.254"
LIFETIME: Final = "60"
"""Seconds of a token: the look-up is over in ten."""

_NO_IMDSV2: Final = frozenset((404, 405, 501))
_REFUSED: Final = (
    "Switch the metadata service of this instance on (`aws ec2 modify-instance-metadata-options "
    "--http-endpoint enabled`). Elsewhere than on EC2 correct DIARKIS_CLOUD_ENV."
)
_HOP_LIMIT: Final = (
    "If this process runs in a container with a network of its own, the answer does not get that "
    "far: raise the hop limit (`aws ec2 modify-instance-metadata-options "
    "--http-put-response-hop-limit 2`), or give the container the host's network. Elsewhere than "
    "on EC2 correct DIARKIS_CLOUD_ENV."
)
_NOT_PUBLIC: Final = (
    "Give the instance a public IPv4 address or an Elastic IP, or set DIARKIS_CLOUD_ENV=<host> to "
    "the host name or IP address that clients connect to."
)


async def find(lookup: Lookup) -> Found:
    """
    Find the public host name, else the public IPv4 address.

    @raise CloudError: there is neither, or it cannot be known.
    """
    headers = await _session(lookup)
    for item, step in (
        ("public-hostname", "asking for the public host name"),
        ("public-ipv4", "asking for the public address"),
    ):
        host = await lookup.public_host(
            step,
            f"{SERVICE}/latest/meta-data/{item}",
            headers,
            remedy=_REFUSED,
        )
        if host is not None:
            return Found(host, item)
    raise lookup.error("asking for the public address", "this instance has none", _NOT_PUBLIC)


async def _session(lookup: Lookup) -> dict[str, str]:
    """
    The headers of further requests.
    """
    step = "asking for a session token"
    try:
        token, answer = await lookup.token(
            step,
            f"{SERVICE}/latest/api/token",
            {"X-aws-ec2-metadata-token-ttl-seconds": LIFETIME},
        )
    except Unanswered as error:
        if not error.was_silent:
            raise
        raise lookup.error(error.step, error.problem, _HOP_LIMIT) from None
    if token is not None:
        return {"X-aws-ec2-metadata-token": token}
    if answer.status in _NO_IMDSV2:
        return {}
    raise lookup.refused(step, answer, _REFUSED)
