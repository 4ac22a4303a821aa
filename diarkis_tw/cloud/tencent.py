"""
Tencent Cloud CVM: the metadata service::

    GET /latest/meta-data/public-ipv4

by its name, which only Tencent's own resolvers know, then by its address. From
"Querying Instance Metadata".
"""

from typing import Final

from diarkis_tw.cloud.metadata import Found, Lookup

SERVICE: Final = "http://metadata.tencentyun.com"
SERVICE_BY_ADDRESS: Final = "http://169.254.0.23"
PATH: Final = "/latest/meta-data/public-ipv4"


async def find(lookup: Lookup) -> Found:
    """
    Find the public address of the instance.

    @raise CloudError: there is none, or it cannot be known.
    """
    step = "asking for the public address"
    host = await lookup.public_host(
        step,
        SERVICE + PATH,
        or_url=SERVICE_BY_ADDRESS + PATH,
        remedy="Ask from the instance itself; in a container use the host's network.",
    )
    if host is None:
        raise lookup.error(
            step,
            "this instance has none",
            "Give it a public or elastic IP address, or set DIARKIS_CLOUD_ENV=<host> to what "
            "clients connect to.",
        )
    return Found(host, "public-ipv4")
