"""`metergate verify` and `metergate feed` as people and scripts call them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.control.server import ControlServer
from gateway.feed.keys import KeyRing, load_public
from tests.fakes.signed_feed import ENTERPRISE, REGION, key_of, recording, stream, write
from tests.unit.verifying import altered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
[site]
timezone = "Asia/Shanghai"
"""
FEED_SITE = """
[gateway]
id = "plant-1"
state_dir = "state"
socket = "state/control.sock"
[site]
timezone = "Asia/Shanghai"
region = "350100"
enterprise = "91350100M000100Y43"
[[sinks]]
id = "city"
kind = "feed"
host = "localhost"
"""


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(name="key")
def _key(tmp_path: Path) -> Path:
    (tmp_path / "key.pem").write_text(key_of().known.pem)
    return tmp_path / "key.pem"


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "state").mkdir()
    return tmp_path / "site.toml"


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.jsonl.gz"])
def test_a_good_recording(tmp_path: Path, key: Path, name: str) -> None:
    recording(tmp_path / name, 200)
    result = call("verify", tmp_path / name)
    assert result.exit_code == 0
    assert "200 here, 200 proved" in result.stdout
    assert "8c31 dc5d 886e 28ff" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "VERIFIED 验证通过, if the fingerprint is the one on paper 须核对纸质指纹"
    )
    result = call("verify", tmp_path / name, "--key", key)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "VERIFIED 验证通过")
    for option in ("--every-signature", "--schema"):
        assert call("verify", tmp_path / name, "--key", key, option).exit_code == 0


def test_a_bad_recording(tmp_path: Path) -> None:
    messages = list(stream(60))
    messages[30] = altered(messages[30], config="another")
    del messages[40]
    write(tmp_path / "bad.jsonl", messages)
    result = call("verify", tmp_path / "bad.jsonl")
    assert result.exit_code == 1
    assert "! bad signature 签名错误  line 31, seq 30" in result.stdout
    assert "! gap 缺失  line 41, seq 40: message 40 is missing" in result.stdout
    assert result.stdout.splitlines()[-1] == "NOT VERIFIED 验证不通过: 2 findings; 1 message missing 缺失"
    result = call("verify", tmp_path / "bad.jsonl", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["count"], report["verified"]) == (1, 2, False)
    assert [(one["kind"], one["seq"], one["line"]) for one in report["findings"]] == [
        ("bad_signature", "30", 31),
        ("gap", "40", 41),
    ]


def test_the_wrong_key_on_paper(tmp_path: Path) -> None:
    recording(tmp_path / "feed.jsonl", 60)
    (tmp_path / "wrong.json").write_text(json.dumps(key_of("wrong").known.jwk))
    result = call("verify", tmp_path / "feed.jsonl", "--key", tmp_path / "wrong.json")
    assert result.exit_code == 1
    assert "messages 1–60: signed with key plant-1-" in result.stdout


def test_a_key_for_one_site(tmp_path: Path, key: Path) -> None:
    """Its enterprise's gateway of the same name is not spoken for."""
    recording(tmp_path / "feed.jsonl", 60)
    own, other = f"{REGION}/{ENTERPRISE}/plant-1={key}", f"{REGION}/ANOTHER/plant-1={key}"
    assert call("verify", tmp_path / "feed.jsonl", "--key", own).exit_code == 0
    result = call("verify", tmp_path / "feed.jsonl", "--key", other)
    assert result.exit_code == 1
    assert "given, but nothing here is signed with it" in result.stdout
    assert call("verify", tmp_path / "feed.jsonl", "--key", own, "--key", key).exit_code == 2


def test_the_verdict_is_about_what_it_says(tmp_path: Path, key: Path) -> None:
    """A recording that ends early, begins late or lacks what may be from before is VERIFIED, and says of what."""
    messages = list(stream(100))
    backlog = [one._replace(topic=one.topic.rpartition("/")[0] + "/backfill") for one in messages[20:50]]
    write(tmp_path / "part.jsonl", [messages[0], messages[60], *backlog, *messages[61:90]])
    result = call("verify", tmp_path / "part.jsonl", "--key", key)
    assert result.exit_code == 0
    assert "speaks for 所证范围 seq 20–89, issued 2026-08-01T" in result.stdout
    assert result.stdout.splitlines()[-1] == "VERIFIED 验证通过; 10 messages missing 缺失, 1 notice 提示"
    report = json.loads(call("verify", tmp_path / "part.jsonl", "--key", key, "--json").stdout)
    assert (report["verified"], report["missing"]) == (True, 10)
    span = report["chains"][0]["speaks_for"]
    assert (span["first"], span["last"], span["issued_first"][:10]) == ("20", "89", "2026-08-01")


def test_a_cut_recording(tmp_path: Path) -> None:
    recording(tmp_path / "feed.jsonl", 60)
    (tmp_path / "cut.jsonl").write_bytes((tmp_path / "feed.jsonl").read_bytes()[:-300])
    result = call("verify", tmp_path / "cut.jsonl")
    assert result.exit_code == 1
    assert "truncated 截断  line 61" in result.stdout


def test_many_findings_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "bad.jsonl", [one._replace(payload=b"x") for one in stream(300)][1:])
    result = call("verify", tmp_path / "bad.jsonl")
    assert "… and 260 more" in result.stdout
    assert "300 findings" in result.stdout


@pytest.mark.parametrize(
    "words",
    [["nowhere.jsonl"], ["FILE", "--key", "nowhere.pem"], ["FILE", "--key", "FILE"], ["mqtt://"], []],
)
def test_wrong_usage(tmp_path: Path, words: list[str]) -> None:
    recording(tmp_path / "feed.jsonl", 2)
    result = call("verify", *(tmp_path / "feed.jsonl" if word == "FILE" else word for word in words))
    assert result.exit_code == 2


def test_nothing_to_verify_is_not_good(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    result = call("verify", tmp_path / "empty.jsonl")
    assert result.exit_code == 1
    assert "NOTHING TO VERIFY" in result.stdout


def test_the_key_for_paper(tmp_path: Path, site: Path) -> None:
    known = KeyRing(tmp_path / "state", "plant-1").current.known
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "state").iterdir()}
    result = call("feed", "key", "-c", site, "--pem", tmp_path / "out.pem")
    assert result.exit_code == 0
    assert known.kid in result.stdout
    groups = " ".join(line.split("  ")[-1].strip() for line in result.stdout.splitlines()[2:4])
    assert groups.replace(" ", "").removeprefix("指纹") == known.fingerprint
    assert load_public((tmp_path / "out.pem").read_bytes())[0].fingerprint == known.fingerprint
    result = call("feed", "key", "-c", site, "--json")
    assert load_public(result.stdout.encode())[0].kid == known.kid
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "state").iterdir()} == before


def test_no_key_yet(site: Path) -> None:
    result = call("feed", "key", "-c", site)
    assert result.exit_code == 1
    assert "there is no key" in str(result.exception)


@pytest.fixture(name="asked")
def _asked(site: Path) -> Iterator[list[dict[str, Any]]]:
    """Serve the control socket and yield what it was asked."""
    asked: list[dict[str, Any]] = []
    ready, stop = threading.Event(), threading.Event()

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return key_of("new").known.body | {"messages": {"city": 5}, "oldest": 1, "following": 100}

    async def serve() -> None:
        verbs = {"feed_rotate": answer, "feed_resend": answer}
        path = site.parent / "state" / "control.sock"
        server = asyncio.create_task(ControlServer(path, verbs).run())
        while not path.exists():  # noqa: ASYNC110 - a file; it is there after a few rounds of the loop
            await asyncio.sleep(0)
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield asked
    stop.set()
    thread.join()


def test_rotate_and_resend_ask_the_gateway(site: Path, asked: list[dict[str, Any]]) -> None:
    site.write_text(FEED_SITE)
    result = call("feed", "rotate", "-c", site, "--why", "yearly", "--by", "li")
    assert (result.exit_code, result.exception) == (0, None)
    assert asked.pop() == {"do": "feed_rotate", "why": "yearly", "by": "li"}
    assert key_of("new").fingerprint[:4] in result.stdout
    assert call("feed", "resend", 5, 9, "--sink", "city", "-c", site).exit_code == 0
    assert asked.pop() == {"do": "feed_resend", "first": 5, "until": 10, "sink": "city"}
    assert call("feed", "resend", 9, 5, "--sink", "city", "-c", site).exit_code == 2
    assert call("feed", "resend", 5, 9, "--sink", "town", "-c", site).exit_code == 1
    assert call("feed", "rotate", "-c", site, "--why", " ").exit_code == 2
    assert asked == []
