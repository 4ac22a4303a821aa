"""
Where users of other nodes are, as far as this node has heard.

What it says may be out of date and is a first guess: nobody tells that a user has
left. Who asks and is wrong says so with L{Directory.forget}.
"""

from typing import Final

DIRECTORY_MAX: Final = 100_000
"""Users remembered, those that came last: 24 MB (measured)."""


class Directory:
    """
    Node addresses by uid.
    """

    def __init__(self, limit: int = DIRECTORY_MAX) -> None:
        """
        @param limit: how many are remembered.
        """
        self._limit = limit
        self._nodes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def find(self, uid: str) -> str | None:
        """
        The node that a user has come to last.
        """
        return self._nodes.get(uid)

    def put(self, uid: str, node_address: str) -> None:
        """
        A user is there.
        """
        nodes = self._nodes
        nodes.pop(uid, None)  # to the end
        nodes[uid] = node_address
        if len(nodes) > self._limit:
            del nodes[next(iter(nodes))]

    def forget(self, uid: str) -> None:
        """
        A user is not where it was thought to be.
        """
        self._nodes.pop(uid, None)
