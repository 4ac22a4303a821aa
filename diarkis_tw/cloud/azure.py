"""
Microsoft Azure: the instance metadata service::

    GET /metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress
    GET .../privateIpAddress                   which entry of the next one is this machine's
    GET /metadata/loadbalancer                 {"loadbalancer": {"publicIpAddresses": [
                                               {"frontendIpAddress", "privateIpAddress"}]}}

A public address of the Standard SKU is empty or missing in the first, and stands in
the document of the load balancer, also where there is no load balancer. From
"Azure Instance Metadata Service" and "Retrieve load balancer metadata".
"""

from typing import Final

import msgspec

from diarkis_tw.cloud.exchange import Answer
from diarkis_tw.cloud.metadata import Found, Lookup

SERVICE: Final = "http://169.254.169.254"
ADDRESS: Final = f"{SERVICE}/metadata/instance/network/interface/0/ipv4/ipAddress/0"
FORM: Final = "api-version=2021-02-01&format=text"
LOAD_BALANCER: Final = f"{SERVICE}/metadata/loadbalancer?api-version=2020-10-01"
HEADERS: Final = {"Metadata": "true"}

_REFUSED: Final = (
    "The request must come from the machine itself, by its primary interface and without a proxy."
)
_NOT_PUBLIC: Final = (
    "Give the machine a public IP address of its own, or set DIARKIS_CLOUD_ENV=<host> to what "
    "clients connect to."
)


class _Address(msgspec.Struct, rename="camel"):
    frontend_ip_address: str = ""
    private_ip_address: str = ""


class _LoadBalancer(msgspec.Struct, rename="camel"):
    public_ip_addresses: list[_Address] = []


class _Document(msgspec.Struct):
    loadbalancer: _LoadBalancer


async def find(lookup: Lookup) -> Found:
    """
    Find the public address of the instance, wherever it stands.

    @raise CloudError: there is none, or it cannot be known.
    """
    host = await lookup.public_host(
        "asking for the public address",
        f"{ADDRESS}/publicIpAddress?{FORM}",
        HEADERS,
        remedy=_REFUSED,
    )
    if host is not None:
        return Found(host, "publicIpAddress")
    step = "asking for the private address"
    private = await lookup.get(step, f"{ADDRESS}/privateIpAddress?{FORM}", HEADERS)
    if not private.is_found:
        raise lookup.refused(step, private, _REFUSED)
    step = "asking for the addresses of the load balancer"
    answer = await lookup.get(step, LOAD_BALANCER, HEADERS)
    for address in _addresses(lookup, step, answer):
        if address.private_ip_address == private.text:
            return Found(
                lookup.checked(step, address.frontend_ip_address), "loadbalancer publicIpAddresses"
            )
    raise lookup.error(
        "asking for the public address",
        "this machine has none, neither of itself nor as a Standard SKU address",
        _NOT_PUBLIC,
    )


def _addresses(lookup: Lookup, step: str, answer: Answer) -> list[_Address]:
    if answer.is_missing:
        return []
    if not answer.is_found:
        raise lookup.refused(step, answer, _REFUSED)
    try:
        document = msgspec.json.decode(answer.text, type=_Document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise lookup.error(
            step, f"the answer is not the document it should be: {error}", _NOT_PUBLIC
        ) from None
    return document.loadbalancer.public_ip_addresses
