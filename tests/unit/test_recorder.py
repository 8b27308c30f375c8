"""Recordings: on disk before they are acknowledged; one goes on behind whatever end a kill left."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.errors import MetergateError
from gateway.feed.recording import Message as Recorded
from gateway.feed.recording import Reader, Writer, line
from gateway.regulator.recorder import mend, store
from gateway.regulator.subscriber import Delivery, Message, Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MESSAGES = [Recorded("a/x", b"%d" % n * 50, False, n) for n in range(200)]
NAMES = ["feed.jsonl", "feed.jsonl.gz"]


class Acknowledging:
    """Remembers what was in the file, as another process would read it, when each message was acknowledged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[int] = []

    def acknowledge(self, deliveries: Iterable[Delivery]) -> None:
        assert list(deliveries)
        self.seen.append(len(read(self.path)))


def read(path: Path) -> list[Recorded]:
    with Reader(path) as reader:
        return [message for _, message in reader if isinstance(message, Recorded)]


def deliveries(messages: Iterable[Recorded]) -> list[Delivery]:
    return [Delivery(Message(*message), cast("Any", None), 1) for message in messages]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_acknowledged_is_in_the_file_and_on_disk(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    subscriber = Acknowledging(tmp_path / name)
    with Writer(tmp_path / name) as writer:
        for n in range(0, 200, 50):
            store(deliveries(MESSAGES[n : n + 50]), writer, cast("Subscriber", subscriber))
            assert len(synced) == n // 50 + 1
    assert subscriber.seen == [50, 100, 150, 200]
    assert read(tmp_path / name) == MESSAGES


def test_a_full_disk_is_told_and_nothing_is_acknowledged() -> None:
    class Full:
        def write(self, _message: object) -> None:
            raise OSError(28, "No space left on device")

    subscriber = Acknowledging(cast("Any", None))
    with pytest.raises(MetergateError, match="No space left"):
        store(deliveries(MESSAGES[:1]), cast("Writer", Full()), cast("Subscriber", subscriber))
    assert not subscriber.seen


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [1, 5, 9, 150])
def test_one_goes_on_behind_what_a_kill_left(tmp_path: Path, name: str, cut: int) -> None:
    path = tmp_path / name
    with Writer(path) as writer:
        for message in MESSAGES[:100]:
            writer.write(message)
    with Writer(path) as writer:
        for message in MESSAGES[100:]:
            writer.write(message)
        writer.sync()
    os.truncate(path, path.stat().st_size - cut)
    before = read(path)
    assert mend(path)
    assert mend(path) == ""
    with Writer(path) as writer:
        writer.write(MESSAGES[0])
    after = read(path)
    assert after == [*before, MESSAGES[0]]
    assert len(before) > 150
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_one_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert mend(path) == ""
    path.touch()
    assert mend(path) == ""
    with Writer(path) as writer:
        for message in MESSAGES:
            writer.write(message)
    content = path.read_bytes()
    assert mend(path) == ""
    assert path.read_bytes() == content


def test_half_of_the_first_line_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_bytes(line(MESSAGES[0])[:-5])
    assert "middle of a line" in mend(path)
    assert path.read_bytes() == b""
    packed = tmp_path / "feed.jsonl.gz"
    packed.write_bytes(gzip.compress(line(MESSAGES[0]))[:20])
    assert mend(packed)
    assert read(packed) == []
