"""The verb `events`: what the journal's events tell, in pages of bounded size, while readings go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gateway.control.requests import BadRequest, number, only
from gateway.journal.events import Found, Scan, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.interfaces import Clock


class Groups(Protocol):
    """A journal whose groups can be looked at: `oldest` to below `following`."""

    @property
    def oldest(self) -> int:
        """Return the id of the oldest group."""

    @property
    def following(self) -> int:
        """Return the id after the newest group."""

    async def look(self, work: Callable[[Any], list[Found]]) -> list[Found]:
        """Return what `work` reads of the file, which it is given."""


EVENTS_MAX = 500  # in a page, but for those of its last group
PAGE_BYTES = 256 * 1024  # and about so many, which is well below what a line of the socket takes
PAGE_S = 0.5  # a page ends after this long, also an empty one: the next goes on
NAMES_MAX = 1_000


class History:
    """Reads events back, between two commits of the journal."""

    def __init__(self, journal: Groups, clock: Clock) -> None:
        """journal: the running gateway's, or one that rests."""
        self._journal, self._clock = journal, clock

    async def answer(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Return a page: {"events" (oldest first), "at", "is_end", "damaged", "following"}.

        `at` is where the next page goes on, `following` where newer groups will be.

        {"subjects", "kinds", "without", "from_ns", "to_ns", "back", "at", "most"}; null: all, or from the beginning (back: from
        the end). Raises BadRequest, StorageError.
        """
        only(request, "subjects", "kinds", "without", "from_ns", "to_ns", "back", "at", "most")
        wanted = Wanted(
            _names(request, "subjects"),
            _names(request, "kinds"),
            _names(request, "without") or frozenset(),
            _whole(request, "from_ns", 0),
            _whole(request, "to_ns", 1 << 63),
        )
        most = EVENTS_MAX if request.get("most") is None else round(number(request, "most", 1, EVENTS_MAX))
        back = request.get("back") is True
        first, until = self._journal.oldest, self._journal.following
        at = _whole(request, "at", until if back else first)
        scan = Scan(wanted, first if back else max(at, first), min(at, until) if back else until, back=back)
        return await self._page(scan, most, back=back) | {"following": until}

    async def _page(self, scan: Scan, most: int, *, back: bool) -> dict[str, Any]:
        end_s = self._clock.monotonic() + PAGE_S
        events: list[dict[str, Any]] = []
        size = 0
        while not scan.is_over and self._clock.monotonic() < end_s:
            for found in await self._journal.look(scan.slice):
                events = found.rows + events if back else events + found.rows
                size += found.size
                if len(events) >= most or size >= PAGE_BYTES:
                    at = found.group if back else found.group + 1
                    return {"events": events, "at": at, "is_end": False, "damaged": scan.damaged}
        at = scan.until if back else scan.first
        return {"events": events, "at": at, "is_end": scan.is_over, "damaged": scan.damaged}


def _names(request: Mapping[str, object], key: str) -> frozenset[str] | None:
    found = request.get(key)
    if found is None:
        return None
    if (
        not isinstance(found, list)
        or len(found) > NAMES_MAX
        or not all(isinstance(name, str) for name in found)
    ):
        raise BadRequest(f"{key}: expected at most {NAMES_MAX} names or null, found {found!r:.80}")
    return frozenset(found)


def _whole(request: Mapping[str, object], key: str, default: int) -> int:
    found = request.get(key)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise BadRequest(f"{key}: expected a whole number, found {found!r:.80}")
    return found
