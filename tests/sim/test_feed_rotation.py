"""The key changes while the disk refuses, or the gateway is killed, at every step: the chain holds, and each rotation is told once."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import MetergateError, StorageError
from gateway.feed import keys
from gateway.history.read import ReadOnlyHistory
from gateway.history.store import Store
from tests.sim import feed_oracles
from tests.sim.lives import Lives, play, told, verified
from tests.sim.plant import Act, feed_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def full(*_: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def rotations(folder: Path) -> list[dict[str, Any]]:
    with ReadOnlyHistory(folder / "history.db") as history:
        return told(list(history.events()), "key_rotated")


class Asked:
    """Asks for a rotation; answers: what came."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    async def __call__(self, lives: Lives) -> None:
        async def one(why: str) -> str:
            try:
                return str((await lives.gateway.answers["feed_rotate"]({"why": why}))["kid"])
            except MetergateError as error:
                return str(error)

        self.answers.append(await one("yearly"))


def refuse_renames(patch: pytest.MonkeyPatch, folder: Path) -> None:
    replace = type(folder).replace

    def some(self: Path, target: Path) -> Path:
        return full() if target.name == keys.KEY_FILE else replace(self, target)

    patch.setattr(type(folder), "replace", some)


def refuse_retired(patch: pytest.MonkeyPatch, folder: Path) -> None:
    del patch
    (folder / keys.RETIRED_FILE).mkdir()


@pytest.mark.parametrize("refuse", [refuse_renames, refuse_retired])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_disk_that_refuses_a_step_costs_no_chain(
    end: str,
    refuse: Callable[[pytest.MonkeyPatch, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It refuses from 200 s on, the rotation comes at 201 s; at 400 s it takes everything again; another life from 600 s on."""
    asked = Asked()

    def restore(_: Lives) -> None:
        monkeypatch.undo()
        if (tmp_path / keys.RETIRED_FILE).is_dir():
            (tmp_path / keys.RETIRED_FILE).rmdir()

    script: dict[float, Any] = {200.0: lambda _: refuse(monkeypatch, tmp_path), 201.0: asked, 400.0: restore}
    result = play(feed_alone(900, Act(600.5, end, away_s=5), meters=1), tmp_path, script=script)
    report = verified(result.destinations["feed"])
    assert (report["verified"], report["findings"]) == (True, [])
    assert len(rotations(tmp_path)) == (0 if "feed.retired" in asked.answers[0] else 1)


def test_a_kill_while_the_disk_still_refuses_keeps_the_announced_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked()
    ends: dict[float, Any] = {200.0: lambda _: refuse_renames(monkeypatch, tmp_path), 201.0: asked}
    result = play(
        feed_alone(900, Act(400.5, "kill", away_s=5), meters=1),
        tmp_path,
        script=ends | {402.0: lambda _: monkeypatch.undo()},
    )
    report = verified(result.destinations["feed"])
    assert (report["verified"], report["findings"]) == (True, [])
    assert keys.load_key(tmp_path / keys.KEY_FILE, "plant-1").kid == asked.answers[0]


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_kill_on_either_side_of_the_commit(
    is_committed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing happens after that moment: the file work neither."""
    commit = Store.commit
    gone: list[int] = []

    def dying(self: Store, work: Any, **more: Any) -> Any:
        if gone or any(event.kind == "key_rotated" for event in work.events):
            if not gone and is_committed:
                commit(self, work, **more)
            gone.append(1)
            raise StorageError("the power is gone")
        return commit(self, work, **more)

    monkeypatch.setattr(Store, "commit", dying)
    script: dict[float, Any] = {
        200.0: lambda lives: lives.later(Asked()),
        210.0: lambda _: monkeypatch.undo(),
    }
    result = play(feed_alone(900, Act(205.5, "kill", away_s=10), meters=1), tmp_path, script=script)
    assert gone
    report = verified(result.destinations["feed"])
    assert (report["verified"], report["findings"]) == (True, [])
    assert len(rotations(tmp_path)) == is_committed


def test_one_rotation_at_a_time_and_one_event_each(tmp_path: Path) -> None:
    """Four at once: one is done, the others are told to ask again."""
    asked = Asked()

    async def four(lives: Lives) -> None:
        await asyncio.gather(*(asked(lives) for _ in range(4)))

    result = play(feed_alone(900, meters=1), tmp_path, script={200.0: four, 300.0: asked})
    kids = [answer for answer in asked.answers if answer.startswith("plant-1-")]
    assert len(kids) == 2
    assert sum("being changed already" in answer for answer in asked.answers) == 3
    assert [one["key"]["kid"] for one in rotations(tmp_path)] == kids
    assert len(feed_oracles.events(result.destinations["feed"], "key_rotated")) == 2
    assert verified(result.destinations["feed"])["findings"] == []
