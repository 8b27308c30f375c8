"""When the chain of the history goes on, and when a new one begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from gateway.clock import SystemClock
from gateway.config.site_file import from_toml
from gateway.derive.marks import Marks
from gateway.derive.messenger import Messenger
from gateway.derive.site_grid import grid_of
from gateway.feed import jws
from gateway.feed.keys import KeyRing

if TYPE_CHECKING:
    from pathlib import Path

SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
region = "350100"
enterprise = "91350100M000100Y43"
"""
CHAIN = {"chain": "c-1", "seq": 7, "head": "sha256:" + "1" * 64}
OWN = "own"


@pytest.mark.parametrize(
    ("kid", "damage", "is_new", "reason"),
    [
        (OWN, None, False, None),  # goes on
        (
            "plant-1-0123456789abcdef",
            None,
            False,
            "key_lost",
        ),  # a copy of the history from before another key
        ("old-name-" + OWN, None, False, "gateway_renamed"),
        (OWN, None, True, "history_lost"),
        ("", {"error": "torn"}, True, "history_lost"),
    ],
)
def test_begins_a_new_chain(
    kid: str, damage: object, is_new: bool, reason: str | None, tmp_path: Path
) -> None:
    KeyRing(tmp_path, "plant-1").began()
    keys = KeyRing(tmp_path, "plant-1")
    site = from_toml(SITE, tmp_path / "site.toml")
    messenger = Messenger(site, cast("Any", {}), SystemClock(), grid_of(site), keys, Marks("Asia/Shanghai"))
    own = keys.current.kid if kid == OWN else kid.replace(OWN, keys.current.fingerprint[:16])
    history = SimpleNamespace(is_new=is_new, damage=damage, kid=own, **CHAIN)
    event = messenger.begin(cast("Any", history), None)
    assert (event and event.detail["reason"]) == reason
    assert (messenger.figures()["chain"] == "c-1") == (reason is None)


def test_the_first_chain_is_the_first_one_after_a_kill_too(tmp_path: Path) -> None:
    """The key was made, nothing was ever committed; once a chain has begun an empty history is a lost one."""
    history = SimpleNamespace(is_new=True, damage=None, kid="", chain="", seq=0, head="")
    site = from_toml(SITE, tmp_path / "site.toml")
    reasons = []
    for begins in (False, True, True):
        keys = KeyRing(tmp_path, "plant-1")
        messenger = Messenger(
            site, cast("Any", {}), SystemClock(), grid_of(site), keys, Marks("Asia/Shanghai")
        )
        event = messenger.begin(cast("Any", history), None)
        assert event is not None
        reasons.append(event.detail["reason"])
        if begins:
            messenger.committed(messenger.seal(messenger.take()))
    assert reasons == ["first_start", "first_start", "history_lost"]


def began(tmp_path: Path) -> Messenger:
    """Return a messenger that has said nothing yet."""
    history = SimpleNamespace(is_new=True, damage=None, kid="", chain="", seq=0, head="")
    site = from_toml(SITE, tmp_path / "site.toml")
    keys = KeyRing(tmp_path, "plant-1")
    messenger = Messenger(site, cast("Any", {}), SystemClock(), grid_of(site), keys, Marks("Asia/Shanghai"))
    messenger.begin(cast("Any", history), None)
    return messenger


def test_a_message_that_is_too_long_holds_nothing_up_and_is_told(tmp_path: Path) -> None:
    messenger = began(tmp_path)
    birth = next(one for one in messenger.take() if one.kind == "birth")
    long = [{"id": f"m-{n}", "digest": "0" * 64} for n in range(4000)]
    said = [birth._replace(body={**birth.body, "meters": long})]
    said += [birth._replace(kind="data", body={"intervals": ["x" * 300_000]})]
    said += [birth._replace(kind="event", body={"events": []})]
    sealed = messenger.seal(said)
    payloads = [orjson.loads(jws.parse(entry.jws).payload) for entry in sealed.entries]
    assert [one["kind"] for one in payloads] == ["birth", "event", "event", "event", "checkpoint"]
    assert (payloads[0]["meters"], payloads[0]["key"]) == ([], birth.body["key"])
    told = [one["events"][0]["detail"]["message"] for one in payloads[1:3]]
    assert (told, payloads[3]["events"]) == (["birth", "data"], [])


def test_what_the_old_key_announced_last_is_not_kept_as_announced_by_the_new_one(tmp_path: Path) -> None:
    messenger = began(tmp_path)
    messenger.committed(messenger.seal(messenger.take()))
    assert messenger.state(messenger.seal([]))["births"]
    messenger.rotate("li", "yearly")
    sealed = messenger.seal(messenger.take())
    assert messenger.state(sealed)["births"] == {}
    messenger.committed(sealed)
    assert "birth" in {one.kind for one in messenger.take()}
