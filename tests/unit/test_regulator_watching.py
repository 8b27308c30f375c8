"""What `metergate watch` makes of sites that share things, and of messages nobody trusts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from rich.console import Console

from gateway.commands.watch_table import meters_view, view
from gateway.feed import jws
from gateway.feed.findings import KEPT_MAX
from gateway.regulator import watching as module
from gateway.regulator.subscriber import Message
from gateway.regulator.watching import Watcher
from tests.fakes.feed import fitting_body
from tests.fakes.signed_feed import BEGIN, ENTERPRISE, GATEWAY, PREFIX, REGION, Feed, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.feed.keys import Key

A, B = key_of("a", "plant-1"), key_of("b", "plant-2")
KEYS = {"plant-1": [A.known], "plant-2": [B.known]}
BASE = f"{PREFIX}/{REGION}/{ENTERPRISE}/{GATEWAY}"


def watched(messages: Iterable[Any], keys: Any = KEYS) -> Watcher:
    watcher = Watcher(PREFIX, keys)
    for message in messages:
        watcher.take(Message(*message))
    return watcher


def rows(watcher: Watcher, *, meters: bool = False) -> dict[str, dict[str, Any]]:
    """Return gateway -> its row."""
    told = watcher.report(0, meters=meters)
    orjson.dumps(told)
    return {row["site"].rpartition("/")[2]: row for row in told["sites"]}


def chain_of(watcher: Watcher) -> dict[str, tuple[int, int]]:
    """Return gateway -> (findings, missing)."""
    found = rows(watcher)
    return {name: (row["chain"]["findings"], row["chain"]["missing"]) for name, row in found.items()}


def test_two_sites_with_one_chain_id_have_findings_of_their_own() -> None:
    one, two = Feed(A, gateway="plant-1"), Feed(B, gateway="plant-2")
    messages = [one.birth(), *(one.intervals() for _ in range(5))]
    one.intervals()  # left out
    messages += [one.intervals(), two.birth(), *(two.intervals() for _ in range(5))]
    watcher = watched(messages)
    assert chain_of(watcher) == {"plant-1": (1, 1), "plant-2": (0, 0)}
    assert watcher.found == 1


def test_findings_of_one_site_hide_none_of_another() -> None:
    one, two = Feed(A, gateway="plant-1", chain="a" * 8), Feed(B, gateway="plant-2", chain="b" * 8)
    messages = [one.birth(), one.intervals()]
    for _ in range(KEPT_MAX + 5):
        one.intervals()
        messages.append(one.intervals())
    messages += [two.birth(), two.intervals()]
    two.intervals()
    messages.append(two.intervals())
    watcher = watched(messages)
    assert chain_of(watcher) == {"plant-1": (KEPT_MAX + 5, KEPT_MAX + 5), "plant-2": (1, 1)}
    assert watcher.report(0)["findings"] == KEPT_MAX + 6


def forged(feed: Feed, key: Key, rev: int) -> Message:
    body = feed.interval("m-1", BEGIN, rev=rev)
    payload = orjson.loads(jws.parse(feed.values([body]).payload).payload)
    return Message(
        f"{BASE}/data",
        jws.sign(key.private, key.kid, orjson.dumps(payload | {"chain": "another"})),
        False,
        0,
    )


@pytest.mark.parametrize("keys", [KEYS, None])
def test_what_no_trusted_key_signed_counts_nowhere(keys: Any) -> None:
    good = Feed(A)
    messages = [good.birth(), good.intervals(), forged(Feed(A), key_of("evil"), 1000)]
    watcher = watched(messages, keys)
    row = rows(watcher)["plant-1"]
    assert (row["day"]["revised"], row["superseded"], row["messages"]) == (0, 0, 2)
    assert row["chain"]["kinds"]["unknown_key"] == 1


def test_what_came_before_its_key_counts_once_the_key_is_there() -> None:
    feed = Feed(A)
    birth, later = feed.birth(), feed.intervals()
    watcher = watched([later], None)
    assert rows(watcher)["plant-1"]["day"]["intervals"] == 0
    watcher.take(Message(*birth))
    assert rows(watcher)["plant-1"]["day"]["intervals"] == 3
    assert watcher._waiting_bytes == 0


def test_a_key_of_another_enterprise_speaks_for_none_of_the_same_name() -> None:
    feed = Feed(A)
    messages = [feed.birth(), feed.intervals()]
    own = f"{REGION}/{ENTERPRISE}/{GATEWAY}"
    assert rows(watched(messages, {own: [A.known]}))["plant-1"]["messages"] == 2
    other = {f"{REGION}/another/{GATEWAY}": [A.known]}
    assert rows(watched(messages, other))["plant-1"]["messages"] == 0


def test_nothing_foreign_steers_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\u202e\x9b2J"
    feed = Feed(A, meters=("m-1", f"m-{hostile}"))
    fitting = fitting_body() | {"ruleset": hostile}
    fitting["result"] |= {"superseded_by": hostile, "doubts": [hostile]}
    watcher = watched([feed.birth(), feed.intervals(), feed.seal("fitting", fitting)])
    watcher.take(Message(f"{PREFIX}/r{hostile}/e/g/data", b"x", False, 0))
    watcher.take(Message(f"{BASE}/data{hostile}", crafted(b"", kind="birth", meters=hostile), False, 0))
    told = watcher.report(0, meters=True)
    for shown in (view(told), meters_view(told)):
        console = Console(file=io.StringIO(), width=400)
        console.print(shown)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "owned" in text
        assert all(char.isprintable() or char == "\n" for char in text)


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def crafted(extra: bytes, **more: Any) -> bytes:
    """Return a message that its gateway's key signed, with members that no gateway sends."""
    head = orjson.loads(jws.parse(Feed(A).intervals().payload).payload) | more
    payload = orjson.dumps(head)[:-1] + extra + b"}"
    return jws.sign(A.private, A.kid, payload)


@pytest.mark.parametrize(
    ("rest", "payload"),
    [
        ("data", jws.encode(b'{"alg":' + deep(1000) + b"}") + b".e30.e30"),
        ("state", b'{"online":true,"seq":' + deep(1000) + b"}"),
        ("data", crafted(b',"region":' + deep(1000))),
        ("data", crafted(b',"v":' + deep(1000))),
        ("data", crafted(b',"intervals":[{"meter":"m","epoch":0,"t0":"t","rev":0,"z":' + deep(300) + b"}]")),
        ("data", crafted(b"", seq="99999999999999999999", prev="sha256:" + 64 * "1")),
        ("data", crafted(b',"seq":1e400')),
        ("data", b"\xff" * 100),
        ("\ud800", b"x"),
    ],
)
def test_no_message_ends_it(rest: str, payload: bytes) -> None:
    feed = Feed(A)
    hostile = Message(f"{BASE}/{rest}", payload, False, 0)
    watcher = watched([hostile, feed.birth(), hostile, feed.intervals(), hostile])
    told = watcher.report(0, meters=True)
    orjson.dumps(told["counts"])
    assert rows(watcher)["plant-1"]["day"]["intervals"] == 3
    view(told)
    meters_view(told)


def test_sites_are_capped_and_a_signed_one_takes_the_place_of_a_stranger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SITES_MAX", 3)
    state = b'{"v":1,"gateway":"x","online":true}'
    strangers = [Message(f"{PREFIX}/{REGION}/{ENTERPRISE}/s-{n}/state", state, True, 0) for n in range(10)]
    one, two = Feed(A, gateway="plant-1"), Feed(B, gateway="plant-2")
    watcher = watched([*strangers, one.birth(), *strangers, two.birth()])
    assert {"plant-1", "plant-2"} <= rows(watcher).keys()
    assert len(watcher.sites) == 3
    assert watcher.report(0)["left_out"] > 0
    watcher = watched(
        [one.birth(), two.birth(), Feed(key_of("c", "p-3"), gateway="p-3").birth(), *strangers], None
    )
    assert rows(watcher).keys() == {"plant-1", "plant-2", "p-3"}
    assert watcher.report(0)["left_out"] == 10


def test_long_topics_make_no_sites() -> None:
    watcher = watched(
        [Message(f"{PREFIX}/{n}{'x' * 60_000}/e/g/state", b'{"online":true}', True, 0) for n in range(50)]
    )
    assert not watcher.sites
    assert len(orjson.dumps(watcher.report(0))) < 100_000


def test_what_waits_for_a_key_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 20_000)
    feed = Feed(key_of("evil"))
    watcher = watched([feed.intervals() for _ in range(50)])
    assert sum(len(one.waiting) for one in watcher.sites.values()) < 10
    assert watcher.left_out > 40
