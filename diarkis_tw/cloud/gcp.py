"""
Google Compute Engine and GKE: the metadata server::

    GET /computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip

with C{Metadata-Flavor: Google}, in the request and in the answer; who answers
without it is not Google's. A node without an external address has 404 or an empty
body. From Compute Engine's "View and query VM metadata".
"""

from typing import Final

from diarkis_tw.cloud.metadata import Found, Lookup

SERVICE: Final = "http://metadata.google.internal"
SERVICE_BY_ADDRESS: Final = "http://169.254.169.254"
"""For machines whose resolver does not know the name."""

FLAVOR: Final = "Metadata-Flavor"
PATH: Final = (
    "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip"  # not a URL
)


async def find(lookup: Lookup) -> Found:
    """
    Find the external address of the first interface.

    @raise CloudError: there is none, or it cannot be known.
    """
    step = "asking for the external address"
    answer = await lookup.get(
        step, SERVICE + PATH, {FLAVOR: "Google"}, or_url=SERVICE_BY_ADDRESS + PATH
    )
    if answer.headers.getRawHeaders(FLAVOR) != ["Google"]:
        raise lookup.error(
            step,
            f"the answer lacks the header {FLAVOR}: Google, so it is not from Google's metadata "
            "server",
            "Correct DIARKIS_CLOUD_ENV, or find out who answers in that server's place.",
        )
    host = lookup.host_in(
        step,
        answer,
        "Allow this endpoint of the metadata server in the settings of the project and the "
        "instance.",
    )
    if host is None:
        raise lookup.error(
            step,
            "this machine has none",
            "Give it an external IP address (nodes of a private cluster have none), or set "
            "DIARKIS_CLOUD_ENV=<host> to what clients connect to.",
        )
    return Found(host, "external-ip")
