"""The log never ends the gateway: what cannot be written is counted."""

from __future__ import annotations

import io
import itertools
import os
import sys
from typing import TYPE_CHECKING

import pytest
import structlog

from gateway import log
from gateway.log import Seldom, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stream:
    """Takes `room` bytes, then raises or, as a full non-blocking pipe, takes nothing."""

    def __init__(self, room: int, error: Exception | None = None, *, at_once: int = 1 << 20) -> None:
        self.room, self.error, self.at_once = room, error, at_once
        self.taken = b""

    def write(self, line: bytes) -> int | None:
        count = min(self.room, len(line), self.at_once)
        if not count and self.error is not None:
            raise self.error
        self.taken += line[:count]
        self.room -= count
        return count or None

    def flush(self) -> None:
        pass


@pytest.fixture
def _restored() -> Iterator[None]:
    before, stream = structlog.get_config(), log._writer.stream
    yield
    log._writer.stream = stream
    structlog.configure(**before)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed file"), None]
)
def test_a_stream_that_fails_costs_the_line_and_is_tried_again(error: Exception | None) -> None:
    stream = Stream(6, error)
    writer = Writer(stream)
    for line in ("first", "second", "third"):
        writer.write(line)
    assert (stream.taken, writer.dropped) == (b"first\n", 2)
    stream.room = 100
    writer.write("fourth")
    assert (stream.taken, writer.dropped) == (b"first\nfourth\n", 2)


def test_short_writes_are_gone_on_with_and_odd_text_is_no_error() -> None:
    stream = Stream(100, at_once=3)
    writer = Writer(stream)
    writer.write("a line of some length \udcff")
    assert stream.taken == b"a line of some length \\udcff\n"
    assert writer.dropped == 0


def test_a_process_without_stderr_drops_its_lines() -> None:
    writer = Writer(None)
    writer.write("nobody reads this")
    assert writer.dropped == 1


@pytest.mark.usefixtures("_restored")
def test_a_full_device_is_counted_also_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    full = io.TextIOWrapper(io.BufferedWriter(io.FileIO(os.open("/dev/full", os.O_WRONLY), "wb")))
    monkeypatch.setattr(sys, "stderr", full)
    log.configure()
    before = log.dropped_lines()
    logger = structlog.get_logger("test")
    logger.warning("one")
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        logger.exception("two")
    assert log.dropped_lines() - before == 2
    full.close()  # nothing is left in its buffer, so this does not raise


def test_seldom_lets_a_burst_through_and_then_one_a_minute() -> None:
    seldom = Seldom(0.0)
    assert [seldom.may(0.1 * n) for n in range(6)] == [True] * 4 + [False] * 2
    told = [now_s for now_s in range(1, 601) if seldom.may(float(now_s))]
    assert len(told) == 10
    assert all(b - a == 60 for a, b in itertools.pairwise(told))
    assert [seldom.may(10_000.0) for _ in range(6)] == [True] * 4 + [False] * 2
