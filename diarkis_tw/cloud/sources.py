"""
Who can be asked for the public address of this machine.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from diarkis_tw.cloud import alibaba, aws, azure, gcp, linode, tencent
from diarkis_tw.cloud.metadata import Found, Lookup

WHAT_IS_MY_IP: Final = "https://api.ipify.org/"
"""Asked where the application wants a service of that kind and names none; it
knows IPv4 only, which is what servers bind by default."""


@dataclass(frozen=True, slots=True)
class Source:
    """
    Somebody to ask.

    @ivar name: as in errors and C{DIARKIS_CLOUD_ENV}.
    @ivar find: asks.
    @ivar advice: what to do if nobody answers.
    """

    name: str
    find: Callable[[Lookup], Awaitable[Found]]
    advice: str


def _cloud(name: str, find: Callable[[Lookup], Awaitable[Found]]) -> Source:
    return Source(
        name,
        find,
        f"If this is no machine of {name}, correct DIARKIS_CLOUD_ENV; if it is, let this process "
        "reach the metadata service, with the host's network if it is in a container. "
        "DIARKIS_CLOUD_ENV=<host> names the address without asking.",
    )


CLOUDS: Final[Mapping[str, Source]] = {
    "AWS": _cloud("AWS", aws.find),
    "GCP": _cloud("GCP", gcp.find),
    "AZURE": _cloud("AZURE", azure.find),
    "ALIBABA": _cloud("ALIBABA", alibaba.find),
    "TENCENT": _cloud("TENCENT", tencent.find),
    "LINODE": _cloud("LINODE", linode.find),
}
"""By the values of C{DIARKIS_CLOUD_ENV}."""


def what_is_my_ip(url: str) -> Source:
    """
    A service that answers with the address that a request came from, as text.

    @param url: empty = L{WHAT_IS_MY_IP}.
    """
    url = url or WHAT_IS_MY_IP
    advice = (
        "Correct node.publicAddressUrl, or set DIARKIS_CLOUD_ENV=<host> to what clients connect to."
    )

    async def find(lookup: Lookup) -> Found:
        step = "asking for the address of outgoing connections"
        host = await lookup.public_host(step, url, remedy=advice)
        if host is None:
            raise lookup.error(step, "the answer is empty or 404", advice)
        return Found(host, url)

    return Source("public address look-up", find, advice)
