"""
One check that several codecs of this package share.
"""

from diarkis_tw.errors import LocalProtocolError


def require_size(name: str, value: bytes, size: int) -> None:
    """
    Refuse a caller's field of the wrong size, because C{struct} would pad or cut
    it silently and a derivation would become ambiguous.

    @param name: the field, for the error's text.
    @param value: its bytes.
    @param size: the only legal size, in bytes.

    @raise LocalProtocolError: the size differs.
    """
    if len(value) != size:
        raise LocalProtocolError(f"{name} must be {size} bytes, not {len(value)}")
