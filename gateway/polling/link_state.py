"""How one link is, told to the log, the journal and the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.log import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.health import LinkHealth
    from gateway.interfaces import Clock
    from gateway.journal.event_log import EventLog

CUTS_TOLD_S = 60.0  # connections that broke and were opened anew at once are one event in this time

log = structlog.get_logger("poll")


class LinkState:
    """Up, down, or cut for a moment.

    Every turn is journaled, since gaps are explained by them; the log has those of a flapping link seldom.
    is_up: it can be used, as far as anybody knows. down_ns: when it went down last. is_mute: it is down though it could be opened, for nobody answers on it; it is up as soon as somebody does.
    """

    def __init__(
        self, id_: str, own: LinkHealth, events: EventLog, clock: Clock, warn: Callable[..., None]
    ) -> None:
        """own: the figures it keeps. warn: logs a warning, unless maintenance keeps it quiet."""
        self._id, self._own, self._events, self._clock, self._warn = id_, own, events, clock, warn
        self.is_up = self.is_mute = False
        self.down_ns = clock.wall_ns()  # since when it is down, if it is
        self._told = ""  # "up", or the reason of the `link_down` in force
        self._turns = Turns(clock.monotonic(), "")
        self._broken = ""  # why the connection broke that is being opened anew
        self._cuts, self._cut_by, self._cuts_told_s = 0, "", -CUTS_TOLD_S  # not told yet

    def up(self) -> None:
        """Say that the link can be used."""
        self.is_mute = False
        if not self.is_up:
            self.is_up = True
            self._told = self._own.state = "up"
            self._own.error, self._own.retry_ns = "", 0
            self._events.note("link_up", self._id)
        self._log()

    def down(self, reason: str, error: str, *, is_mute: bool = False) -> None:
        """Say that the link was lost. is_mute: it could be opened."""
        self._own.downs += 1
        self.is_mute = is_mute
        self._broken = ""
        if self.is_up:
            self.is_up, self.down_ns = False, self._clock.wall_ns()
        self._own.state, self._own.error = "down", error
        if reason != self._told:
            self._told = reason
            self._events.note("link_down", self._id, reason=reason, error=error)
        self._log()

    def _log(self) -> None:
        unsaid = self._turns.turn(self._told, self._clock.monotonic())
        if unsaid is None:
            return
        if self.is_up:
            log.info("link up", link=self._id, unsaid=unsaid or None)
        else:
            self._warn("link down", self._id, reason=self._told, error=self._own.error, unsaid=unsaid or None)

    def cut(self, error: str) -> None:
        """Note that the connection broke and is opened anew at once. error: "" where the meter that broke it is told."""
        self._own.downs += 1
        self._broken = error

    def opened(self) -> None:
        """Count a connection; one that broke a moment ago is open again."""
        self._own.ups += 1
        if self._broken:
            self._cuts, self._cut_by, self._broken = self._cuts + 1, self._broken, ""
        self.look()

    def look(self) -> None:
        """Tell what waits to be told, if it is time."""
        if self._turns.is_untold:
            self._log()
        if self._cuts and self._clock.monotonic() >= self._cuts_told_s + CUTS_TOLD_S:
            self.tell_cuts()

    def tell_cuts(self) -> None:
        """Journal and log the cuts that were not told yet."""
        if self._cuts:
            self._warn("connection broke, open again", self._id, count=self._cuts, error=self._cut_by)
            self._events.note("link_cut", self._id, count=self._cuts, error=self._cut_by)
            self._cuts, self._cuts_told_s = 0, self._clock.monotonic()
