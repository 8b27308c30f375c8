"""Long work in pieces, so that whoever shares a thread with it need not wait for all of it. Pure."""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that stops after each piece and returns its result at the end."""
METERS = 16  # of a piece: some 4 ms where an interval is closed


def pieces(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items, as many at a time as make a piece."""
    left = iter(items)
    while piece := list(islice(left, METERS)):
        yield piece


def through(steps: Steps[T]) -> T:
    """Return the result of work, done without a stop."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
