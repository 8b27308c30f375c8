"""The layouts a journal knows, by id: registered once per meaning, written before the first group that uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.layout import Layout


class Layouts:
    """Layout <-> id. `id_of` may be asked from the writer thread while the loop registers more."""

    def __init__(self, known: dict[int, Layout], digests: dict[str, int]) -> None:
        """digests: of every journaled layout, also of those that could not be read; registering one mends it."""
        self._known, self._digests = known, digests
        self._ids: dict[Layout, int] = {}
        self.new: dict[int, Layout] = {}

    def __contains__(self, layout: Layout) -> bool:
        """Return whether this very object is registered."""
        return layout in self._ids

    def register(self, layout: Layout) -> None:
        """Give the layout an id, its old one if an equal layout is known."""
        id_ = self._digests.get(layout.digest)
        if id_ is None:
            id_ = self._digests[layout.digest] = max(self._digests.values(), default=0) + 1
        if id_ not in self._known:
            self._known[id_] = self.new[id_] = layout
        if len(self._ids) > 2 * len(self._known):  # equal layouts compiled anew at every reconnect
            self._ids.clear()
        self._ids[layout] = id_

    def id_of(self, layout: Layout) -> int:
        """Return the id of a registered layout."""
        id_ = self._ids.get(layout)
        return self._digests[layout.digest] if id_ is None else id_

    def written(self, layouts: dict[int, Layout]) -> None:
        """Forget that these are new: they are on disk."""
        for id_ in layouts:
            del self.new[id_]

    def all_new(self) -> None:
        """Write every layout again: the file is a new one."""
        self.new = dict(self._known)

    def get(self, id_: int) -> Layout:
        """Return the layout of an id. Raises KeyError."""
        return self._known[id_]

    def all(self) -> list[Layout]:
        """Return every layout, oldest first."""
        return [self._known[id_] for id_ in sorted(self._known)]
