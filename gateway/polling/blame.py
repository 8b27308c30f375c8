"""Who broke the connection: one of the targets read on it, or the link itself.

That it broke while a target was asked proves nothing by itself: servers restart, drop the idle and count old sessions.
It proves something on a connection on which another target has just answered, and twice running. So the target at which
it broke is a suspect until it answers, and is asked again on a connection that another one has shown to be good.
The first break after the link had nothing to do is nobody's: what is asked then meets what was broken long ago.
Where connection after connection breaks and nobody has answered on any, the link is to blame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.polling.target import Target

PROOFS = 2  # good connections running that broke at a target: it is to blame
BARREN = 3  # connections running that broke before anybody answered: the link is to blame


class Blame:
    """What speaks against the targets of one link."""

    def __init__(self) -> None:
        """Nobody is suspected."""
        self.suspects: dict[Target, int] = {}  # target -> times running that a connection broke at it
        self._proofs: dict[Target, int] = {}  # target -> how many of them were good until then
        self._answered: set[Target] = set()  # since the link last had nothing to do
        self._is_barren = True  # nobody has answered on this connection
        self.is_stale = False  # it was idle for long, and nobody has answered since
        self._garbled: Target | None = None  # its answer made no sense, and nobody has answered since
        self._was_good = False  # the connection, when that came
        self._barren = 0

    @property
    def is_the_links(self) -> bool:
        """Return whether the link is to blame: one connection after the other brought nothing."""
        return self._barren >= BARREN

    @property
    def is_good(self) -> bool:
        """Return whether somebody has answered on this connection, as far back as that tells anything."""
        return bool(self._answered)

    def opened(self) -> None:
        """Begin with a new connection."""
        self._answered.clear()
        self._is_barren, self.is_stale = True, False
        self._garbled = None

    def idled(self, *, long: bool) -> None:
        """Note that the link had nothing to do: what was answered before shows nothing. long: it may be broken by now."""
        self._answered.clear()
        self.is_stale |= long

    def answered(self, target: Target) -> None:
        """Note that a target answered, so the connection is good and the target in order."""
        self._answered.add(target)
        self._is_barren = self.is_stale = False
        self._garbled = None
        self._barren = 0
        if self.suspects:
            self.suspects.pop(target, None)
            self._proofs.pop(target, None)

    def garbled(self, target: Target) -> None:
        """Note an answer that made no sense: somebody is there, but if the connection breaks at the next target, it was this one."""
        self._garbled, self._was_good = target, bool(self._answered - {target})
        self._is_barren = self.is_stale = False
        self._barren = 0

    def broke(self, target: Target | None, *, hung: bool = False) -> Target | None:
        """Note that the connection broke while a target (None: an errand) was asked; return which one is suspected.

        hung: it was given up because nothing happened any more, which is never the idle time's fault.
        """
        suspect = None if self.is_stale and not hung else self._garbled or target
        if suspect is not None:
            self._barren += self._is_barren
            self.suspects[suspect] = self.suspects.get(suspect, 0) + 1
            if self._was_good if suspect is self._garbled else self._answered - {suspect}:
                self._proofs[suspect] = self._proofs.get(suspect, 0) + 1
        self.opened()
        return suspect

    def is_proved(self, target: Target) -> bool:
        """Return whether a target is to blame: it has broken good connections."""
        return self._proofs.get(target, 0) >= PROOFS

    def waits(self, target: Target, others: Iterable[Target]) -> bool:
        """Return whether one of `others`, less suspected, should be asked first to show that the connection is good."""
        count = self.suspects.get(target, 0)
        return not self._answered and any(self.suspects.get(one, 0) < count for one in others)
