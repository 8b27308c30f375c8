"""The layouts a journal knows, by id: registered once per meaning, written before the first group that uses them.

One that another of the same meter and period replaces, and any that is not used after a start, is marked in the file
with the group from which on it is not used. When the cap has dropped all groups before that one, it goes; the newest of
each (meter, period) stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.journal.store import Opened
    from gateway.layout import Layout


@dataclass(frozen=True, slots=True)
class Changes:
    """What a commit writes of layouts: new ones by id; ids that came into use or went out of it; ids that never go."""

    new: dict[int, Layout]
    uses: dict[int, bool]
    keep: frozenset[int]


class Layouts:
    """Layout <-> id. `id_of` may be asked from the writer thread while the loop registers more."""

    def __init__(self, found: Opened) -> None:
        """found: the layouts of the file; registering one that could not be read mends it."""
        self._known, self._digests = found.layouts, found.digests
        self._ids: dict[Layout, int] = {}
        self._newest = {_key(self._known[id_]): id_ for id_ in sorted(self._known)}
        self._idle = found.unused  # at the start
        self._next = max(self._digests.values(), default=0) + 1
        self._new: dict[int, Layout] = {}
        self._uses = dict.fromkeys(set(self._digests.values()) - found.unused, False)

    def __contains__(self, layout: Layout) -> bool:
        """Return whether this very object is registered."""
        return layout in self._ids

    def register(self, layout: Layout) -> None:
        """Give the layout an id, its old one if an equal layout is known."""
        id_ = self._digests.get(layout.digest)
        if id_ is None:
            id_ = self._digests[layout.digest] = self._next
            self._next += 1
        if id_ not in self._known:
            self._known[id_] = self._new[id_] = layout
        self._uses[id_] = True
        before = self._newest.get(_key(layout))
        self._newest[_key(layout)] = id_
        if before is not None and before != id_:
            self._uses[before] = False
            self._ids = {
                other: n for other, n in self._ids.items() if n != before
            }  # it registers again if it returns
        if len(self._ids) > 2 * len(self._known):  # equal layouts compiled anew at every reconnect
            self._ids.clear()
        self._ids[layout] = id_

    def id_of(self, layout: Layout) -> int:
        """Return the id of a registered layout."""
        id_ = self._ids.get(layout)
        return self._digests[layout.digest] if id_ is None else id_

    def take(self) -> Changes:
        """Return what is to be written; `written` or `failed` must follow."""
        uses, self._uses = self._uses, {}
        return Changes(dict(self._new), uses, frozenset(self._newest.values()))

    def failed(self, changes: Changes) -> None:
        """Take back what was not committed."""
        self._uses = {**changes.uses, **self._uses}

    def written(self, changes: Changes, gone: Iterable[int]) -> None:
        """Forget what is on disk, and the layouts that are gone from there."""
        for id_ in changes.new:
            del self._new[id_]
        for id_ in gone:
            layout = self._known.get(id_)
            if layout is not None and id_ in self._uses:  # it was used again during the commit
                self._new[id_] = layout
                continue
            self._known.pop(id_, None)
            self._digests = {digest: n for digest, n in self._digests.items() if n != id_}

    def all_new(self) -> None:
        """Write every layout again: the file is a new one."""
        self._new = dict(self._known)
        self._uses |= dict.fromkeys(self._known.keys() - self._newest.values(), False)

    def get(self, id_: int) -> Layout:
        """Return the layout of an id. Raises KeyError."""
        return self._known[id_]

    def all(self) -> list[Layout]:
        """Return every layout, oldest first, those in use when the journal was last closed after all others."""
        return [self._known[id_] for id_ in sorted(self._known, key=lambda id_: (id_ not in self._idle, id_))]


def _key(layout: Layout) -> tuple[str, float]:
    return layout.meter, layout.period_s
