"""What is to be said on the feed: bodies wait here until they are sealed, in order, into the commit that also keeps what they tell."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from gateway.derive import births
from gateway.feed import bodies
from gateway.feed.chain import Place, Sealer, TooLong
from gateway.feed.contract import RETAINED, topic
from gateway.feed.entries import Former
from gateway.model import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.derive.marks import Marks
    from gateway.feed.contract import Kind
    from gateway.feed.entries import Entry
    from gateway.feed.keys import KeyRing
    from gateway.history.history import History
    from gateway.interfaces import Clock
    from gateway.intervals.grid import Grid

CHAIN_BYTES = 16
FORMER_KEPT = 8

log = structlog.get_logger("feed")


class Said(NamedTuple):
    """A body that waits to be sealed."""

    kind: Kind
    subject: str
    body: Mapping[str, Any]


class Sealed(NamedTuple):
    """Messages of one commit. sealer: where the chain stands after them. topics_gone: retained topics that are announced no more."""

    entries: list[Entry]
    sealer: Sealer
    kid: str
    births: dict[str, str]
    topics_gone: list[str]
    checkpoint_ns: int


class Messenger:
    """The gateway's voice on the feed. Nothing is said before it is committed."""

    def __init__(
        self, site: Site, library: Library, clock: Clock, grid: Grid, keys: KeyRing, marks: Marks
    ) -> None:
        """keys: of the feed, settled. marks: how the verification of each meter's instrument stands."""
        self._site, self._library, self._clock, self._grid, self.keys = site, library, clock, grid, keys
        self._marks = marks
        self._waiting: list[Said] = []
        self._births: dict[str, str] = {}  # retained topic -> digest of what was announced there last
        self._checkpoint_ns = 0
        self._chain = ""
        self._rotation: Event | None = None
        self.adopted = asyncio.Event()
        self.place = "/".join((site.site.region, site.site.enterprise, site.gateway.id))
        self.former: list[Former] = []  # places before this one
        self._sealer: Sealer

    def begin(self, history: History, body: Mapping[str, Any] | None) -> Event | None:
        """Go on with the chain of the history, or begin a new one; return the event that says why. body: as `state` gave it."""
        is_back, known = self._moved(body or {})
        reason = ""
        if not history.chain or history.is_new:
            reason = "first_start" if self.keys.is_new and not history.damage else "history_lost"
        elif history.kid != self.keys.current.kid and (history.kid or self.keys.is_new):
            # else the key was lost, or the history is a copy from before another key
            reason = "gateway_renamed" if self.keys.current.known.is_named(history.kid) else "key_lost"
        elif is_back:  # the chain went on elsewhere: here it would have a hole
            reason = "place_again"
        place = Place(history.chain, history.seq, history.head)
        if reason:
            place = Place(secrets.token_hex(CHAIN_BYTES))
            known, self._waiting = {}, []
        before, self._chain = history.chain or self._chain, place.chain
        self._sealer = self._made(place)
        self._births = dict(known.get("births", {}))
        self._checkpoint_ns = int(known.get("checkpoint_ns", 0))
        self.announce()
        if not reason:
            return None
        log.warning("a new chain of the feed begins", chain=place.chain, reason=reason, before=before)
        detail = {"chain": place.chain, "reason": reason, "before": before}
        return Event(self._clock.wall_ns(), "chain_begins", self._site.gateway.id, detail)

    def _moved(self, body: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any]]:
        """Return whether the gateway is back at a former place, and the state.

        If that is of another place, it becomes a former one, and everything is announced anew.
        """
        self.former = [Former(*one) for one in body.get("former", ())]
        before, births_ = body.get("place", self.place), body.get("births", {})
        if before == self.place:
            return False, body
        is_back = any(one.place == self.place for one in self.former)
        number = max((one.number for one in self.former), default=0) + 1
        topics = [*births_, *(topic(kind) for kind in RETAINED if kind not in {"birth", "meter"})]
        others = [one for one in self.former if one.place not in {self.place, before}]
        self.former = [*others[1 - FORMER_KEPT :], Former(number, before, topics)]
        log.warning("the feed has another place", before=before, after=self.place)
        return is_back, {"births": dict.fromkeys(births_, "")}

    def _made(self, place: Place) -> Sealer:
        site = self._site
        return Sealer(
            self.keys.current,
            gateway=site.gateway.id,
            region=site.site.region,
            enterprise=site.site.enterprise,
            place=place,
        )

    def announce(self) -> None:
        """Say what is measured, where it is not what was announced last."""
        now_ns = self._clock.wall_ns()
        details = {
            meter.id: births.about(meter, self._library, self._marks, now_ns)
            for meter in self._site.meters
            if meter.enabled
        }
        said = [Said("birth", "", births.index(self._site, details, self.keys.current.body))]
        said += [Said("meter", meter, {"about": body}) for meter, body in details.items()]
        known = dict(self._births)  # what waits counts as announced
        known |= {
            _topic(one): births.digest(dict(one.body))
            for one in self._waiting
            if one.kind in {"birth", "meter"}
        }
        self._waiting += [one for one in said if known.get(_topic(one)) != births.digest(dict(one.body))]

    @property
    def has_words(self) -> bool:
        """Return whether anything waits to be said."""
        return bool(self._waiting) or self._rotation is not None

    def say(self, kind: Kind, body: Mapping[str, Any], subject: str = "") -> None:
        """Have a message of this kind in the next commit."""
        self._waiting.append(Said(kind, subject, body))

    def take(self) -> list[Said]:
        """Return what waits; `put_back` must follow if it was not committed."""
        taken, self._waiting = self._waiting, []
        return taken

    def put_back(self, taken: list[Said]) -> None:
        """Have it in the next commit, before what was said since."""
        self._waiting = taken + self._waiting

    def seal(self, taken: list[Said]) -> Sealed:
        """Return the messages, and a checkpoint once a day; they count once `committed` is called."""
        now_ns = self._clock.wall_ns()
        state = self._clock.state()
        sealer = self._sealer.fork()
        clock = {
            "synchronised": state.synchronised,
            "offset_ms": None if state.offset_s is None else state.offset_s * 1e3,
            "max_error_ms": None if state.max_error_s is None else state.max_error_s * 1e3,
        }
        entries: list[Entry] = []
        announced = dict(self._births)

        def seal(kind: Kind, subject: str, body: Mapping[str, Any]) -> None:
            issued = self._grid.iso(now_ns)
            config = self._site.digest
            entries.append(
                sealer.seal(kind, subject, body, time_ns=now_ns, issued=issued, clock=clock, config=config)
            )

        for one in taken:
            try:
                seal(*one)
            except TooLong as error:  # nothing else waits for it
                log.error("a message of the feed is too long", kind=one.kind, error=str(error))
                if one.kind == "birth":  # whoever listens needs the key; the meters tell of themselves
                    seal("birth", "", {**one.body, "meters": [], "aggregates": []})
                detail = {"message": one.kind, "about": one.subject, "error": str(error)}
                told = Event(now_ns, "message_left_out", self._site.gateway.id, detail)
                seal("event", "", {"events": [bodies.event(told, self._grid)]})
            if one.kind in {"birth", "meter"}:
                announced[_topic(one)] = births.digest(dict(one.body))
        checkpoint_ns = self._checkpoint_ns
        day_ns = self._grid.day(now_ns).start_ns
        if entries and day_ns != checkpoint_ns:
            seal("checkpoint", "", {"covers": str(sealer.seq), "head": sealer.head})
            checkpoint_ns = day_ns
        kid = self.keys.current.kid
        if self._rotation is not None and self.keys.next is not None:  # the last word of the old key
            seal("event", "", {"events": [bodies.event(self._rotation, self._grid)]})
            kid = self.keys.next.kid
        known = {topic("birth"), *(topic("meter", m.id) for m in self._site.meters if m.enabled)}
        gone = [name for name in announced if name not in known]
        for name in gone:
            del announced[name]
        return Sealed(entries, sealer, kid, announced, gone, checkpoint_ns)

    def committed(self, sealed: Sealed) -> None:
        """Take note that these messages are durable."""
        self._sealer, self._births = sealed.sealer, sealed.births
        self._checkpoint_ns = sealed.checkpoint_ns
        self.keys.began()
        if self.keys.next is not None and sealed.kid == self.keys.next.kid:
            self._rotation = None
            self._adopt()
        elif self.keys.error and self.keys.finish():
            log.info("the key of the feed is on disk")

    def state(self, sealed: Sealed) -> dict[str, Any]:
        """Return what goes on after a restart, as plain JSON values, once these messages are committed."""
        is_last = sealed.kid != self.keys.current.kid  # of this key: the next one announces everything
        return {
            "births": {} if is_last else sealed.births,
            "checkpoint_ns": sealed.checkpoint_ns,
            "place": self.place,
            "former": [list(one) for one in self.former],
        }

    @property
    def chain(self) -> str:
        """Return the id of the chain it speaks in."""
        return self._sealer.chain

    @property
    def is_rotating(self) -> bool:
        """Return whether a change of the key waits to be committed."""
        return self._rotation is not None

    def rotate(self, by: str, why: str) -> Event:
        """Make the next key; return the event that tells it. It is adopted once that is committed. Raises StorageError."""
        _, following = self.keys.rotate()
        detail = {"key": following.body, "by": by, "why": why}
        self._rotation = Event(self._clock.wall_ns(), "key_rotated", self._site.gateway.id, detail)
        self.adopted.clear()
        return self._rotation

    def _adopt(self) -> None:
        """Sign with the next key from the next message on, and announce it: the chain says so, whatever the disk does."""
        self.keys.adopt()
        self._births.clear()  # who knows only the new key needs every birth by it
        if self.keys.error:
            log.error("the key of the feed cannot be moved to its place; tried again", error=self.keys.error)
        self._sealer.key = self.keys.current
        self.announce()
        self.adopted.set()

    def figures(self) -> dict[str, Any]:
        """Return chain, newest seq and key for status."""
        return {
            "chain": self._sealer.chain,
            "seq": self._sealer.seq,
            "kid": self.keys.current.kid,
            "fingerprint": self.keys.current.fingerprint,
        }


def _topic(said: Said) -> str:
    return topic(said.kind, said.subject)
