"""
Payloads of the keep-alive command (ver 0 cmd 1)::

    ===========  =====  ================================================
    request      bytes
    ===========  =====  ================================================
    time         8      the client's clock, milliseconds
    round trip   2      the last one measured, milliseconds; 65535 none
    ===========  =====  ================================================

    ===========  =====  ================================================
    response     bytes
    ===========  =====  ================================================
    time         8      the request's, unchanged
    state        1      of the node: 1 online, 2 offline, 3 taken
    address      rest   C{ip:port} as the server sees the client, UTF-8;
                        empty unless P2P is enabled
    ===========  =====  ================================================

As JSON: C{{"time": ms, "rtt": ms}} and C{{"time": ms, "state": n, "address": text}},
where C{address} may be absent.
"""

from collections.abc import Mapping
from struct import Struct, error
from typing import Final

import msgspec

from diarkis_tw.constants import NODE_STATE_BYTE
from diarkis_tw.errors import LocalProtocolError, RemoteProtocolError

NO_ROUND_TRIP: Final = 0xFFFF
ROUND_TRIP_MAX: Final = 0xFFFE
"""A longer round trip is written as this one, in milliseconds."""

_REQUEST: Final = Struct(">QH")
_RESPONSE: Final = Struct(">QB")
_STATES: Final = frozenset(NODE_STATE_BYTE.values())


def encode_keep_alive_request(time_ms: int, rtt_ms: int | None) -> bytes:
    """
    Write what a client asks.

    @param time_ms: its clock in milliseconds, 64 bits; it comes back unchanged.
    @param rtt_ms: last round trip in milliseconds, L{None} = none yet.
    @return: 10 bytes.

    @raise LocalProtocolError: a number is out of range.
    """
    rtt = NO_ROUND_TRIP if rtt_ms is None else min(rtt_ms, ROUND_TRIP_MAX)
    try:
        return _REQUEST.pack(time_ms, rtt)
    except error:
        raise LocalProtocolError(f"keep-alive time {time_ms}, round trip {rtt_ms}") from None


def decode_keep_alive_request(payload: bytes) -> tuple[int, int | None]:
    """
    Read what a client asks.

    @param payload: as received.
    @return: its clock in milliseconds, and its last round trip in milliseconds,
        L{None} = none yet.

    @raise RemoteProtocolError: it is not 10 bytes.
    """
    try:
        time_ms, rtt_ms = _REQUEST.unpack(payload)
    except error:
        raise RemoteProtocolError(f"keep-alive request of {len(payload)} bytes") from None
    return time_ms, None if rtt_ms == NO_ROUND_TRIP else rtt_ms


def encode_keep_alive_response(time_ms: int, state_byte: int, address: str) -> bytes:
    """
    Write what the server answers.

    @param time_ms: the request's.
    @param state_byte: a value of L{NODE_STATE_BYTE}.
    @param address: C{ip:port} of the client, empty unless P2P is enabled.
    @return: 9 bytes and the address.

    @raise LocalProtocolError: time or state are out of range.
    """
    try:
        if state_byte in _STATES:
            return _RESPONSE.pack(time_ms, state_byte) + address.encode()
    except (error, UnicodeEncodeError):
        pass
    raise LocalProtocolError(f"keep-alive time {time_ms}, state {state_byte}, address {address!a}")


def decode_keep_alive_response(payload: bytes) -> tuple[int, int, str]:
    """
    Read what the server answers.

    @param payload: as received.
    @return: the client's own clock of the request in milliseconds, a value of
        L{NODE_STATE_BYTE}, and the client's address or an empty string.

    @raise RemoteProtocolError: it is shorter than 9 bytes, the state is none, or
        the address is not UTF-8.
    """
    try:
        time_ms, state_byte = _RESPONSE.unpack_from(payload)
        address = payload[_RESPONSE.size :].decode()
    except (error, UnicodeDecodeError):
        raise RemoteProtocolError(f"keep-alive response of {len(payload)} bytes") from None
    if state_byte not in _STATES:
        raise RemoteProtocolError(f"node state {state_byte}")
    return time_ms, state_byte, address


# Over a transport of texts


class _RequestValue(msgspec.Struct):
    time: int | float
    rtt: int | float = NO_ROUND_TRIP


class _ResponseValue(msgspec.Struct):
    time: int | float
    state: int | float
    address: str = ""


def keep_alive_request_value(time_ms: int, rtt_ms: int | None) -> dict[str, object]:
    """
    Give what a client asks the form that it has as JSON.

    @param time_ms: its clock in milliseconds; it comes back unchanged.
    @param rtt_ms: last round trip in milliseconds, L{None} = none yet.
    @return: the value.
    """
    rtt = NO_ROUND_TRIP if rtt_ms is None else min(rtt_ms, ROUND_TRIP_MAX)
    return {"time": time_ms, "rtt": rtt}


def read_keep_alive_request(value: Mapping[str, object]) -> tuple[int, int | None]:
    """
    Read what a client asks as JSON.

    @param value: as received; C{rtt} may be absent.
    @return: see L{decode_keep_alive_request}.

    @raise RemoteProtocolError: it is not what belongs there.
    """
    try:
        found = msgspec.convert(value, _RequestValue)
    except msgspec.ValidationError:
        raise RemoteProtocolError("keep-alive request without time, or no numbers") from None
    time_ms, rtt_ms = int(found.time), int(found.rtt)
    if (time_ms, rtt_ms) != (found.time, found.rtt):
        raise RemoteProtocolError("keep-alive request with fractions")
    if not (0 <= time_ms < 2**64 and 0 <= rtt_ms <= NO_ROUND_TRIP):
        raise RemoteProtocolError("keep-alive request with a number out of range")
    return time_ms, None if rtt_ms == NO_ROUND_TRIP else rtt_ms


def keep_alive_response_value(time_ms: int, state_byte: int, address: str) -> dict[str, object]:
    """
    Give what the server answers the form that it has as JSON.

    @param time_ms: the request's.
    @param state_byte: a value of L{NODE_STATE_BYTE}.
    @param address: C{ip:port} of the client, empty unless P2P is enabled.
    @return: the value.
    """
    value: dict[str, object] = {"time": time_ms, "state": state_byte}
    if address:
        value["address"] = address
    return value


def read_keep_alive_response(value: Mapping[str, object]) -> tuple[int, int, str]:
    """
    Read what the server answers as JSON.

    @param value: as received.
    @return: see L{decode_keep_alive_response}.

    @raise RemoteProtocolError: it is not what belongs there.
    """
    try:
        found = msgspec.convert(value, _ResponseValue)
    except msgspec.ValidationError as fault:
        raise RemoteProtocolError(f"keep-alive response: {fault}") from None
    if found.state not in _STATES or not 0 <= found.time < 2**64:
        raise RemoteProtocolError(f"keep-alive time {found.time}, state {found.state}")
    return int(found.time), int(found.state), found.address
