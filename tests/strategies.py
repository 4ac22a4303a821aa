"""
Hypothesis strategies that several tests share.
"""

from itertools import pairwise

from hypothesis import strategies as st

from diarkis_tw.constants import CloseCode, Status

VALUE_LEAVES = 12
"""Leaves of a generated value at most; enough to nest a few levels."""

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u64 = st.integers(0, 2**64 - 1)
payloads = st.binary(max_size=300)
statuses = st.sampled_from(Status)
close_codes = st.sampled_from(CloseCode)


def sized(size: int) -> st.SearchStrategy[bytes]:
    """
    Byte strings of one size.
    """
    return st.binary(min_size=size, max_size=size)


nonces = sized(16)
ephemerals = sized(32)
cids = sized(8)
cookies = sized(20)

_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)

values = st.dictionaries(
    st.text(max_size=10),
    st.recursive(
        _leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
        ),
        max_leaves=VALUE_LEAVES,
    ),
    max_size=6,
)
"""Maps that a payload can carry."""


@st.composite
def chunked(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """
    One byte string cut at any places; empty chunks occur.
    """
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    edges = [0, *cuts, len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


_json_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)

json_values = st.dictionaries(
    st.text(max_size=10),
    st.recursive(
        _json_leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
        ),
        max_leaves=VALUE_LEAVES,
    ),
    max_size=6,
).filter(lambda value: value.keys() != {"base64"})
"""Maps that a JSON message can carry as they are."""

json_bodies = payloads | json_values
