"""
What the members of a room share: named values, bounded in number and size.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from diarkis_tw.constants import ErrorCode
from diarkis_tw.errors import CommandError, LocalProtocolError
from diarkis_tw.schema.command import encoded_size
from diarkis_tw.schema.room import KEY_MAX
from diarkis_tw.wire.json_text import encode_json

PROPERTIES_MAX: Final = 128
"""Properties of one room."""

VALUE_MAX_BYTES: Final = 4096
"""Size of one value as MessagePack."""

TOTAL_MAX_BYTES: Final = 32 * 1024
"""Size of all names and values: the answer to a join carries them."""

INTEGER_MAX: Final = 2**63 - 1

_SIMPLE: Final = (int, str, bytes, type(None))
"""What MessagePack and JSON can say both."""


class RoomProperties:
    """
    The properties of one room.
    """

    __slots__ = ("_sizes", "_total", "_values")

    def __init__(self) -> None:
        self._values: dict[str, object] = {}
        self._sizes: dict[str, int] = {}
        self._total = 0

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, default: object = None) -> object:
        """
        One value; C{default} if there is none.
        """
        return self._values.get(key, default)

    def select(self, keys: Iterable[str] = ()) -> dict[str, object]:
        """
        Those of C{keys} that exist; all of them if no key is named.
        """
        values = self._values
        wanted = list(keys)
        return {key: values[key] for key in wanted if key in values} if wanted else dict(values)

    def update(self, changes: Mapping[str, object]) -> None:
        """
        Set several at once, or none of them; None removes one.

        @raise CommandError: too many, too large, or a value that cannot be sent.
        """
        sizes = self._sizes
        new: dict[str, int] = {}
        total = self._total
        count = len(sizes)
        for key, value in changes.items():
            _check_key(key)
            before = sizes.get(key, 0)
            size = 0 if value is None else len(key.encode()) + _size(key, value)
            new[key] = size
            total += size - before
            count += bool(size) - bool(before)
        if count > PROPERTIES_MAX:
            raise _refused(f"a room has at most {PROPERTIES_MAX} properties")
        if total > TOTAL_MAX_BYTES:
            raise _refused(
                f"all properties of a room together may take {TOTAL_MAX_BYTES} bytes, not {total}"
            )
        self._total = total
        for key, size in new.items():
            if size:
                sizes[key] = size
                self._values[key] = changes[key]
            else:
                sizes.pop(key, None)
                self._values.pop(key, None)

    def increment(self, key: str, by: int) -> int:
        """
        Add to a whole number; a missing one counts as 0.

        @return: the sum.
        @raise CommandError: it is no whole number, or the sum has over 64 bits.
        """
        value = self._values.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _refused(f"property {key!r} is no whole number and cannot be incremented")
        total = value + by
        if not -INTEGER_MAX - 1 <= total <= INTEGER_MAX:
            raise _refused(f"property {key!r} would leave the range of 64-bit integers")
        self.update({key: total})
        return total


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_MAX:
        raise _refused(f"the name of a property is a text of 1 to {KEY_MAX} characters")


def _size(key: str, value: object) -> int:
    try:
        size = encoded_size(value)
        if not isinstance(value, _SIMPLE):
            # As it travels: one that JSON cannot say would keep members on JSON out.
            encode_json({"payload": {"properties": {key: value}}})
    except LocalProtocolError as error:
        raise _refused(f"property {key!r}: {error}") from None
    if size > VALUE_MAX_BYTES:
        raise _refused(f"property {key!r} takes {size} bytes; {VALUE_MAX_BYTES} is the most")
    return size


def _refused(message: str) -> CommandError:
    return CommandError(ErrorCode.ROOM_PROPERTY, message)
