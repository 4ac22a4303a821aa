"""
What nodes say to each other on behalf of the mesh itself.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from diarkis_tw.mesh.envelope import CALLS_MAX
from diarkis_tw.mesh.interface import NodeInfo


class Beat(msgspec.Struct, frozen=True):
    """
    To all: this node lives, and is this.

    @ivar said: messages to all of the layers above, so far; see
        L{diarkis_tw.mesh.missed}.
    """

    info: NodeInfo
    said: Annotated[int, Meta(ge=0, le=CALLS_MAX)] = 0


class Hello(msgspec.Struct, frozen=True):
    """
    To one: the same, and proof that the sender knows it.

    @ivar answer: whether the other one shall prove the same.
    """

    info: NodeInfo
    answer: bool


class Leave(msgspec.Struct, frozen=True):
    """
    To all: this node is going.
    """


class GivenUp(msgspec.Struct, frozen=True):
    """
    To one: it was silent for too long, and its incarnation is over.
    """


SYSTEM: Final = {f"mesh.{kind.__name__}": kind for kind in (Beat, Hello, Leave, GivenUp)}
"""Topics of the mesh itself; no class of a handler can have such a name."""

GIVEN_UP: Final = f"mesh.{GivenUp.__name__}"


def described(info: NodeInfo) -> str:
    """
    What a node is, for the log.
    """
    what = " ".join(info.roles) or "no servers"
    places = ", ".join(f"{each.host}:{each.port}" for each in info.endpoints.values())
    return f"{what}{' at ' if places else ''}{places}, version {info.version or 'unknown'}"
