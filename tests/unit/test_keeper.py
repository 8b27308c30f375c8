"""The keeper while what it waits for is not there: a journal not read yet, rates that cannot be worked out, an inventory that cannot be read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.config.site_file import from_toml
from gateway.derive.diary import Diary
from gateway.derive.following import Following
from gateway.derive.keeper import LOOK_S, RETRY_S, TOGETHER, Keeper
from gateway.derive.marks import Marks
from gateway.derive.site_grid import grid_of
from gateway.errors import StorageError
from gateway.inventory.revisions import Revisions
from gateway.model import NS
from simulators.virtual import VirtualClock, run
from tests.unit.history_site import SITE
from tests.unit.inventory_rig import VERIFIED, inventory
from tests.unit.sums_rig import at

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

START_NS = 1_700_000_000 * NS  # 2023-11-15 in Shanghai
ENDED = {"verifications": [VERIFIED | {"until": "2023-11-14"}]}


@dataclass
class FakeDeriver:
    """A deriver that has read the journal up to `position` and derives nothing of what is noted."""

    grid: Any
    position: int = 100
    closed_ns: int = START_NS
    diary: Diary = field(default_factory=Diary)
    published: Any = None
    announced: int = 0
    said: list[Any] = field(default_factory=list)

    def announce(self) -> None:
        self.announced += 1

    def publish(self, body: Any, of: Any) -> None:
        self.said.append(body)
        self.published = of


@dataclass
class FakeRating:
    failure: str = ""
    asked: int = 0
    asked_ns: int = 0

    def rate(self, revision: Any, as_of: Any, now_ns: int, published: Any) -> Any:
        self.asked += 1
        self.asked_ns = now_ns
        if self.failure:
            raise StorageError(self.failure)
        of = [revision.number, as_of.isoformat()]
        return None if published == of else ({"at": now_ns}, of)


class Rig:
    def __init__(self, folder: Path, text: str = SITE, start_ns: int = START_NS) -> None:
        self.clock = VirtualClock(start_ns)
        site = from_toml(text, folder / "site.toml")
        self.revisions = Revisions(folder / "inventory")
        self.noted: list[tuple[str, str, dict[str, Any]]] = []
        self.turns: list[int] = []  # events noted at each turn of others
        self.deriver, self.rating = FakeDeriver(grid_of(site)), FakeRating()
        self.following = Following(self.revisions, Marks(site.site.timezone))
        journal = cast("Any", type("FakeJournal", (), {"following": 100}))
        events = cast("Any", type("FakeEvents", (), {"note": staticmethod(self._note)}))
        self.keeper = Keeper(
            site,
            journal,
            cast("Any", self.deriver),
            events,
            self.clock,
            self.following,
            cast("Any", self.rating),
        )

    def _note(self, kind: str, subject: str, /, **detail: Any) -> None:
        if not self.noted or len(self.noted) in self.turns[-1:]:
            asyncio.get_running_loop().call_soon(lambda: self.turns.append(len(self.noted)))
        self.noted.append((kind, subject, detail))

    def apply(self, *instruments: dict[str, Any]) -> None:
        self.revisions.add(inventory(*instruments), "zhang", "test", self.clock.wall_ns())

    async def look(self, after_s: float = LOOK_S) -> bool:
        await self.clock.sleep_until(self.clock.monotonic() + after_s)
        return await self.keeper._look()

    def kinds(self) -> list[str]:
        noted, self.noted = self.noted, []
        return [kind for kind, _, _ in noted]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def play(work: Coroutine[Any, Any, None]) -> None:
    run(work)


def test_nothing_is_told_before_the_journal_is_read(rig: Rig) -> None:
    async def work() -> None:
        rig.apply(ENDED)
        rig.deriver.position = 99
        assert await rig.look() is False
        assert rig.kinds() == []
        assert rig.following.marks.of("m-001", START_NS) == "expired", "marks need no journal"
        rig.deriver.position = 100
        assert await rig.look() is True
        assert rig.kinds() == ["inventory_applied", "instrument_expired", "verification_due"]

    play(work())


def test_what_is_noted_and_not_derived_yet_is_not_told_again(rig: Rig) -> None:
    async def work() -> None:
        rig.apply(ENDED)
        await rig.look()
        rig.kinds()
        rig.apply(ENDED, {})
        await rig.look()
        assert rig.kinds() == ["inventory_applied"]
        assert await rig.look() is True
        assert rig.kinds() == []

    play(work())


def test_rates_wait_for_their_window_to_close_but_not_for_ever(rig: Rig) -> None:
    async def work() -> None:
        rig.apply({})
        rig.deriver.closed_ns = at("2023-10-31T23:45")
        assert await rig.look() is False
        assert rig.rating.asked == 0
        assert await rig.look(7300) is True
        assert len(rig.deriver.said) == 1

    play(work())


def test_a_window_of_months_ago_is_not_waited_for(rig: Rig) -> None:
    async def work() -> None:
        rig.apply({})
        rig.deriver.closed_ns = START_NS - 86_400 * NS
        assert await rig.look() is True
        assert rig.rating.asked == 1

    play(work())


@pytest.mark.parametrize("closes", [True, False])
def test_a_window_ends_where_days_end(tmp_path: Path, closes: bool) -> None:
    """Days begin at 08:00: October is over at 08:00 on 1 November."""
    text = SITE.replace("[[links]]", '[intervals]\nday_start = "08:00"\n[[links]]', 1)
    rig = Rig(tmp_path, text, at("2023-10-31T23:00"))
    rig.deriver.closed_ns = at("2023-10-31T23:00")

    async def work() -> None:
        rig.apply({})
        assert await rig.look() is True, "of September"
        rig.deriver.closed_ns = at("2023-11-01T07:45")
        assert await rig.look(8.9 * 3600) is False, "07:55, long after midnight"
        assert await rig.look(600) is False, "08:05"
        assert rig.rating.asked == 1
        if closes:
            rig.deriver.closed_ns = at("2023-11-01T08:00")
        assert await rig.look(60 if closes else 7200) is True
        assert rig.rating.asked == 2
        assert rig.rating.asked_ns == rig.clock.wall_ns()

    play(work())


def test_rates_that_fail_are_told_once_for_each_reason_and_tried_again(rig: Rig) -> None:
    async def work() -> None:
        rig.apply({})
        rig.rating.failure = "no such ruleset"
        for _ in range(3):
            await rig.look(RETRY_S + 1)
        assert rig.kinds() == ["inventory_applied", "fitting_failed"]
        asked = rig.rating.asked
        await rig.look(1)
        assert rig.rating.asked == asked, "not before a while"
        rig.rating.failure = "disk"
        await rig.look(RETRY_S)
        assert rig.kinds() == ["fitting_failed"]
        rig.rating.failure = ""
        await rig.look(RETRY_S)
        assert len(rig.deriver.said) == 1
        await rig.look(RETRY_S)
        assert len(rig.deriver.said) == 1, "published already"

    play(work())


def test_an_inventory_that_cannot_be_read_leaves_the_one_before_in_force(rig: Rig, tmp_path: Path) -> None:
    async def work() -> None:
        rig.apply({})
        await rig.look()
        broken = tmp_path / "inventory" / "000002.json"
        broken.write_text("{")
        await rig.look()
        assert rig.following.marks.of("m-001", START_NS) == "valid"
        assert "000002.json" in rig.following.figures()["error"]
        broken.unlink()
        rig.apply(ENDED)
        await rig.look()
        assert rig.following.marks.of("m-001", START_NS) == "expired"
        assert rig.following.figures() == {
            "revision": 2, "digest": inventory(ENDED).digest, "error": "",
        }  # fmt: skip

    play(work())


def test_meters_are_announced_anew_with_a_revision_and_a_day(rig: Rig) -> None:
    async def work() -> None:
        await rig.look()
        before = rig.deriver.announced
        await rig.look()
        assert rig.deriver.announced == before
        rig.apply({})
        await rig.look()
        assert rig.deriver.announced == before + 1
        rig.clock.step(86_400)
        await rig.look()
        assert rig.deriver.announced == before + 2

    play(work())


def test_a_clock_that_is_back_and_not_synchronised_tells_nothing_for_a_day(rig: Rig) -> None:
    async def work() -> None:
        rig.apply(ENDED, {"verifications": [VERIFIED | {"until": "2023-12-20"}]})
        await rig.look()
        assert len(rig.deriver.said) == 1
        rig.kinds()
        rig.clock.step(-86_400 * 30)
        rig.clock.synchronised = False
        assert await rig.look() is True
        rig.apply()
        await rig.look(3600)
        assert (rig.kinds(), len(rig.deriver.said)) == ([], 1)
        await rig.look(86_400)
        assert rig.kinds() == ["inventory_applied"], "somebody put a clock right that was ahead"

    play(work())


def test_a_synchronised_clock_is_believed_at_once(rig: Rig) -> None:
    async def work() -> None:
        rig.apply(ENDED)
        rig.clock.step(86_400 * 400)
        await rig.look()
        rig.kinds()
        rig.clock.step(-86_400 * 400)
        await rig.look()
        assert rig.kinds() == ["verification_due"], "told too early; the span is told"

    play(work())


def test_what_thousands_have_to_tell_leaves_everybody_else_their_turn(rig: Rig) -> None:
    async def work() -> None:
        rig.apply(*[ENDED] * 1000)
        await rig.look()
        assert len(rig.noted) == 2001
        assert max(after - before for before, after in pairwise([0, *rig.turns])) <= TOGETHER

    play(work())


def test_revisions_that_are_gone_are_told_once(rig: Rig, tmp_path: Path) -> None:
    async def work() -> None:
        rig.apply({})
        rig.apply({}, ENDED)
        await rig.look()
        rig.kinds()
        (tmp_path / "inventory" / "000002.json").unlink()
        await rig.look()
        assert rig.noted == [("inventory_missing", "plant-1", {"told": 2, "newest": 1})]
        rig.kinds()
        await rig.look()
        assert rig.kinds() == []
        (tmp_path / "inventory" / "000001.json").unlink()
        await rig.look()
        assert rig.kinds() == [], "told already"

    play(work())


def test_a_gateway_that_starts_without_what_it_told_of_tells(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.deriver.diary = Diary({"revision": 3})

    async def work() -> None:
        rig.deriver.position = 99
        await rig.look()
        assert rig.kinds() == [], "before the journal is read nobody knows"
        rig.deriver.position = 100
        await rig.look()
        assert rig.noted == [("inventory_missing", "plant-1", {"told": 3, "newest": 0})]

    play(work())
