"""A simulated line under virtual time: how long bytes take, when silence was broken, who garbled whom."""

from __future__ import annotations

import asyncio

import pytest

from simulators.station import Reply
from simulators.virtual import VirtualClock, run
from simulators.wire import FIFO, Pace, Wire
from simulators.wire_ports import MemoryPort

CHAR_S = 11 / 9600
GAP_S = 3.5 * CHAR_S
ANSWER = bytes(range(20))
START_NS = 1_790_000_000_000_000_000


class Parrot:
    """Answers requests that begin with its letter."""

    def __init__(self, letter: bytes, delay_s: float = 0.01, frame: bytes = ANSWER) -> None:
        self.letter, self.reply = letter, Reply(frame, delay_s)
        self.heard: list[bytes] = []

    def hear(self, request: bytes) -> Reply | None:
        self.heard.append(request)
        return self.reply if request[:1] == self.letter else None


class Rig:
    """A wire with its master. got: (when, what) the master received."""

    def __init__(self, *parrots: Parrot, echo: bool = False, keeps_gap: bool = False) -> None:
        self.clock = VirtualClock(START_NS)
        stations = {parrot.letter.decode(): parrot for parrot in parrots}
        self.wire = Wire(self.clock, Pace(), stations, echo=echo, keeps_gap=keeps_gap)
        self.port = MemoryPort(self.wire)
        self.got: list[tuple[float, bytes]] = []
        self.port.on_bytes(lambda raw: self.got.append((self.clock.monotonic(), raw)))

    @property
    def received(self) -> bytes:
        return b"".join(raw for _, raw in self.got)


@pytest.mark.parametrize(
    ("pace", "char_s", "gap_s"),
    [
        (Pace(9600, "E", 1), 11 / 9600, 3.5 * 11 / 9600),
        (Pace(9600, "N", 1), 10 / 9600, 3.5 * 10 / 9600),
        (Pace(19_200, "E", 1), 11 / 19_200, 3.5 * 11 / 19_200),
        (Pace(38_400, "N", 2), 11 / 38_400, 0.00175),
        (Pace(115_200, "E", 1), 11 / 115_200, 0.00175),
    ],
)
def test_characters_and_lawful_silence(pace: Pace, char_s: float, gap_s: float) -> None:
    assert (pace.char_s, pace.gap_s) == pytest.approx((char_s, gap_s))


def test_every_byte_takes_its_time_and_comes_in_the_chunks_of_a_fifo() -> None:
    async def work() -> None:
        rig = Rig(Parrot(b"A", delay_s=0.01))
        rig.port.write(b"A1234567")
        await asyncio.sleep(1)
        first_s = 8 * CHAR_S + 0.01
        assert [raw for _, raw in rig.got] == [ANSWER[:FIFO], ANSWER[FIFO : 2 * FIFO], ANSWER[2 * FIFO :]]
        ends = [first_s + n * CHAR_S for n in (8, 16, 20)]
        assert [at_s for at_s, _ in rig.got] == pytest.approx(ends, abs=5e-6)
        tally = rig.wire.tally
        assert (tally.requests, tally.replies, tally.bytes_sent, tally.bytes_replied) == (1, 1, 8, 20)
        assert tally.wire_s == pytest.approx(28 * CHAR_S)
        assert tally.lawful_s == pytest.approx(28 * CHAR_S + GAP_S + 0.01)
        assert 0 <= tally.late_s < 5e-6

    run(work())


def test_no_meter_answers_before_the_lawful_silence() -> None:
    async def work() -> None:
        rig = Rig(Parrot(b"A", delay_s=0.0, frame=b"x"))
        rig.port.write(b"A")
        await asyncio.sleep(1)
        assert rig.got[0][0] == pytest.approx(2 * CHAR_S + GAP_S, abs=5e-6)

    run(work())


def test_writes_without_a_pause_are_one_frame_and_a_silence_cuts() -> None:
    async def work() -> None:
        parrot = Parrot(b"Z")
        rig = Rig(parrot)
        rig.port.write(b"abc")
        await asyncio.sleep(2 * CHAR_S)  # the first bytes still go out
        rig.port.write(b"def")
        await asyncio.sleep(6 * CHAR_S + GAP_S)
        rig.port.write(b"ghi")
        await asyncio.sleep(1)
        assert parrot.heard == [b"abcdef", b"ghi"]
        assert (rig.wire.tally.requests, rig.wire.tally.gap_violations) == (2, 0)

    run(work())


@pytest.mark.parametrize(
    ("chars", "violations"), [(3.5, 0), (3.6, 0), (3.4, 1), (0.0, 1)], ids=["lawful", "more", "less", "none"]
)
def test_silence_after_a_reply_is_measured(chars: float, violations: int) -> None:
    async def work() -> None:
        rig = Rig(Parrot(b"A"))
        asked = 0

        def receive(_raw: bytes) -> None:
            nonlocal asked
            asked += len(_raw)
            if asked == len(ANSWER):
                asyncio.get_running_loop().call_later(chars * CHAR_S, rig.port.write, b"A again")

        rig.port.on_bytes(receive)
        rig.port.write(b"A")
        await asyncio.sleep(1)
        assert rig.wire.tally.requests == 2
        assert rig.wire.tally.gap_violations == violations
        assert rig.wire.tally.shortest_gap_s == pytest.approx(chars * CHAR_S, abs=5e-6)

    run(work())


def test_a_request_soon_after_ones_own_is_a_violation_and_both_become_one_frame() -> None:
    async def work() -> None:
        parrot = Parrot(b"A")
        rig = Rig(parrot)
        rig.port.write(b"A1")
        await asyncio.sleep(2 * CHAR_S + 2.5 * CHAR_S)
        rig.port.write(b"A2")
        await asyncio.sleep(1)
        assert parrot.heard == [b"A1A2"]
        assert (rig.wire.tally.requests, rig.wire.tally.gap_violations) == (2, 1)

    run(work())


@pytest.mark.parametrize(("late_s", "violations"), [(0.0, 1), (2 * CHAR_S, 0)], ids=["at once", "late"])
def test_a_request_that_was_seen_late_may_have_ended_earlier(late_s: float, violations: int) -> None:
    async def work() -> None:
        rig = Rig()
        rig.wire.feed(b"A1", late_s)
        await asyncio.sleep(2 * CHAR_S + 2 * CHAR_S)
        rig.wire.feed(b"A2")
        assert (rig.wire.tally.requests, rig.wire.tally.gap_violations) == (2, violations)

    run(work())


def test_what_was_written_before_a_chunk_was_handed_over_is_not_measured_from_that_chunk() -> None:
    """The wire is late, for want of CPU or because its loop was busy: the master could not know of the chunk."""

    async def work() -> None:
        rig = Rig(Parrot(b"A"))
        written: list[bytes] = []

        def look() -> None:
            while written:
                rig.wire.feed(written.pop())

        rig.wire.on_bytes(lambda raw: rig.got.append((rig.clock.monotonic(), raw)), look)
        rig.port.write(b"A")
        last_s = CHAR_S + 0.01 + len(ANSWER) * CHAR_S
        asyncio.get_running_loop().call_later(last_s - 1e-5, written.append, b"A again")
        await asyncio.sleep(1)
        assert (rig.wire.tally.requests, rig.wire.tally.gap_violations) == (2, 0)

    run(work())


def test_two_stations_at_once_garble_each_other() -> None:
    async def work() -> None:
        rig = Rig(Parrot(b"A", 0.01), Parrot(b"B", 0.01 + 5 * CHAR_S))
        rig.wire.stations["B"].letter = b"A"  # type: ignore[attr-defined]
        rig.port.write(b"A")
        await asyncio.sleep(1)
        assert rig.wire.tally.collisions == 1
        assert rig.received[:5] == ANSWER[:5]
        assert rig.received[5:20] != ANSWER[5:]
        assert all(a != b for a, b in zip(rig.received[6:20], ANSWER[6:20], strict=True))
        assert rig.received[20:] == ANSWER[-5:], "what the first did not cover comes through"

    run(work())


def test_a_request_into_a_late_answer_is_garbled_for_the_meters() -> None:
    async def work() -> None:
        late, other = Parrot(b"A", 0.1), Parrot(b"B")
        rig = Rig(late, other)
        rig.port.write(b"A")
        await asyncio.sleep(0.1 + 3 * CHAR_S)
        rig.port.write(b"B")
        await asyncio.sleep(1)
        assert rig.wire.tally.collisions == 1
        assert other.heard[0] == b"A"
        assert len(other.heard) == 1 or other.heard[1] != b"B"
        assert rig.received != ANSWER

    run(work())


def test_echo_comes_at_wire_speed_before_the_answer() -> None:
    async def work() -> None:
        rig = Rig(Parrot(b"A"), echo=True)
        rig.port.write(b"A234")
        await asyncio.sleep(1)
        assert rig.received == b"A234" + ANSWER
        assert rig.got[0][0] == pytest.approx(4 * CHAR_S, abs=5e-6)

    run(work())


def test_closed_it_is_silent() -> None:
    async def work() -> None:
        rig = Rig(Parrot(b"A"))
        rig.port.write(b"A")
        await asyncio.sleep(0.001)
        rig.wire.close()
        await asyncio.sleep(1)
        assert rig.got == []

    run(work())


def test_a_device_server_keeps_the_silence_for_its_clients() -> None:
    async def work() -> None:
        parrot = Parrot(b"A")
        rig = Rig(parrot, keeps_gap=True)

        def receive(raw: bytes) -> None:
            rig.got.append((rig.clock.monotonic(), raw))
            if len(rig.received) == len(ANSWER):
                rig.port.write(b"A again")

        rig.port.on_bytes(receive)
        rig.port.write(b"A")
        await asyncio.sleep(1)
        assert parrot.heard == [b"A", b"A again"]
        assert rig.wire.tally.gap_violations == 0
        assert rig.wire.tally.shortest_gap_s == pytest.approx(GAP_S, abs=5e-6)

    run(work())
