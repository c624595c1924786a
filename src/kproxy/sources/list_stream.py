"""A list's items as they arrive, without the list ever being in memory.

A server that answers from its watch cache sends all items in one body, however small a page was asked for:
250 MB for 100,000 EndpointSlices. So items are cut off the body while it comes in.
"""

import re
from typing import Final, Generic

import msgspec

from kproxy.sources.errors import MalformedResponseError
from kproxy.sources.wire import DECODE_ERRORS, BadObject, ListMeta, ObjectDecoder, RawList, T

# An item starts with its first key, and so do all its siblings; ListMeta holds no field named items.
_FIRST_ITEM: Final = re.compile(rb'"items":\[(?=(\{"[A-Za-z]+":))')
_HEAD_SIZE: Final = 65536

_lists = msgspec.json.Decoder(RawList)


class ListDecoder(Generic[T]):
    """Feed it the body in chunks of any size, then finish; it gives the items and at last the list's metadata.

    Where the text between two items occurs inside an item too, the cut gives no complete JSON value and is
    taken back. A body that nothing can be cut off (pretty-printed, say) is decoded whole at the end.
    """

    def __init__(self, decoder: ObjectDecoder[T]) -> None:
        self._decoder: ObjectDecoder[T] = decoder
        self._head = b""
        self._between = b""
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> list[T | BadObject]:
        """Take some bytes, and give the items that they complete."""
        self._buffer += chunk
        if not self._between and not self._find_first_item():
            return []
        items: list[T | BadObject] = []
        start = 0
        while (end := self._buffer.find(self._between, self._searched)) >= 0:
            self._searched = end + 2
            try:
                items.append(self._decoder.decode(self._buffer[start : end + 1]))
            except DECODE_ERRORS:
                continue
            start = end + 2
        self._searched = max(self._searched, len(self._buffer) - len(self._between) + 1) - start
        del self._buffer[:start]
        return items

    def finish(self) -> tuple[list[T | BadObject], ListMeta]:
        """Give the remaining items and the list's metadata; raises MalformedResponseError if the body was cut short."""
        try:
            rest = _lists.decode(self._head + self._buffer)
            return [self._decoder.decode(item) for item in rest.items or ()], rest.metadata
        except DECODE_ERRORS as error:
            raise MalformedResponseError(f"a list does not decode: {error}") from error

    def _find_first_item(self) -> bool:
        found = _FIRST_ITEM.search(self._buffer, 0, _HEAD_SIZE)
        if found is None:
            return False
        self._head = bytes(self._buffer[: found.end()])
        self._between = b"}," + found[1]
        del self._buffer[: found.end()]
        return True
