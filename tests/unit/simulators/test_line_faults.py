"""Every trouble of a line does what it says: raw bytes under virtual time, judged with pymodbus's framer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from simulators.faults import LINE_KINDS, Fault
from simulators.lines import line_of
from simulators.site import Site
from simulators.virtual import VirtualClock, run
from simulators.wire_ports import MemoryPort

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from simulators.line_faults import LineTroubles
    from simulators.plan import Plan
    from simulators.wire import Wire

START_NS = 1_790_000_000_000_000_000
FRAMER = FramerRTU(DecodePDU(False))
ASK = FRAMER.buildFrame(ReadInputRegistersRequest(address=0, count=2, dev_id=1))
ASK_OTHER = FRAMER.buildFrame(ReadHoldingRegistersRequest(address=801, count=4, dev_id=2))
SIZE, OTHER_SIZE = 9, 13


@dataclass
class Rig:
    """A line of two meters and its master. got: (when, what) the master received."""

    clock: VirtualClock
    wire: Wire
    troubles: LineTroubles
    port: MemoryPort
    got: list[tuple[float, bytes]]

    async def ask(self, request: bytes = ASK, wait_s: float = 1.0) -> bytes:
        """Return all that comes within a time."""
        self.got.clear()
        self.port.write(request)
        await asyncio.sleep(wait_s)
        return b"".join(raw for _, raw in self.got)


@pytest.fixture
def on_line(modbus_plan: Plan) -> Callable[[Callable[[Rig], Coroutine[None, None, None]]], None]:
    """Return a runner of a test on a line with the two meters of the toy plant."""
    link = replace(modbus_plan.links[0], kind="serial")
    plan = replace(modbus_plan, links=(link,), refresh_s=3600.0)

    def runner(work: Callable[[Rig], Coroutine[None, None, None]]) -> None:
        async def whole() -> None:
            clock = VirtualClock(START_NS)
            site = Site(plan, START_NS)
            wire, troubles = line_of(site, link, list(site.meters.values()), clock)
            port = MemoryPort(wire)
            got: list[tuple[float, bytes]] = []
            port.on_bytes(lambda raw: got.append((clock.monotonic(), raw)))
            await work(Rig(clock, wire, troubles, port, got))
            wire.close()

        run(whole())

    return runner


def sound(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))


def test_without_trouble_each_answers_for_itself(on_line: Callable[..., None]) -> None:
    async def work(rig: Rig) -> None:
        answer = await rig.ask()
        assert len(answer) == SIZE
        assert sound(answer)
        assert answer[:3] == b"\x01\x04\x04"
        other = await rig.ask(ASK_OTHER)
        assert len(other) == OTHER_SIZE
        assert sound(other)
        assert await rig.ask(ASK[:-1] + bytes((ASK[-1] ^ 1,))) == b"", "a broken request is nobody's"
        assert rig.wire.tally.gap_violations == 0

    on_line(work)


def test_the_delay_of_each_meter_is_its_own(modbus_plan: Plan) -> None:
    async def work() -> None:
        link = replace(modbus_plan.links[0], kind="serial")
        slow = replace(modbus_plan.meters[0], delay_s=0.1)
        site = Site(replace(modbus_plan, links=(link,), meters=(slow, modbus_plan.meters[1])), START_NS)
        clock = VirtualClock(START_NS)
        wire, _ = line_of(site, link, list(site.meters.values()), clock)
        firsts: list[float] = []
        wire.on_bytes(lambda _raw: firsts.append(clock.monotonic()))
        for request, delay_s in ((ASK, 0.1), (ASK_OTHER, 0.005)):
            firsts.clear()
            asked_s = clock.monotonic()
            wire.feed(request)
            await asyncio.sleep(1)
            assert firsts[0] - asked_s == pytest.approx(16 * wire.pace.char_s + delay_s, abs=1e-5)

    run(work())


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        (Fault("dead"), lambda right, got: got == b""),
        (Fault("late"), lambda right, got: got == b""),
        (Fault("exception", code=4), lambda right, got: got[:3] == b"\x01\x84\x04" and sound(got)),
        (Fault("exception", code=6), lambda right, got: got[:3] == b"\x01\x84\x06" and sound(got)),
        (Fault("exception", code=10), lambda right, got: got[:3] == b"\x01\x84\x0a" and sound(got)),
        (Fault("exception", code=11), lambda right, got: got[:3] == b"\x01\x84\x0b" and sound(got)),
        (Fault("crc"), lambda right, got: got[:-2] == right[:-2] and len(got) == SIZE and not sound(got)),
        (Fault("noise", size=2), lambda right, got: len(got) == SIZE + 6 and got[4:-2] == right),
        (Fault("truncated", size=5), lambda right, got: got == right[:5]),
        (Fault("truncated"), lambda right, got: got == right[: SIZE // 2]),
        (Fault("garbage", size=7), lambda right, got: len(got) == 7 and got != right[:7]),
        (Fault("foreign"), lambda right, got: got.endswith(right) and sound(got[:-SIZE]) and got[0] != 1),
        (Fault("slow", delay_s=0.2), lambda right, got: got == right),
    ],
    ids=lambda value: f"{value.kind}-{value.code}" if isinstance(value, Fault) else "",
)
def test_it_hits_one_meter_and_no_other(
    on_line: Callable[..., None], fault: Fault, holds: Callable[[bytes, bytes], bool]
) -> None:
    async def work(rig: Rig) -> None:
        right, right_other = await rig.ask(), await rig.ask(ASK_OTHER)
        added = rig.troubles.add(replace(fault, meters=frozenset({"feeder"})))
        assert holds(right, await rig.ask())
        if fault.kind != "late":  # whose answer would come into this
            assert await rig.ask(ASK_OTHER) == right_other
        assert rig.troubles.applied == {fault.kind: 1}
        rig.troubles.remove(added)
        rig.troubles.add(replace(fault, units=frozenset({2})))
        await asyncio.sleep(5)
        assert await rig.ask() == right
        assert await rig.ask(ASK_OTHER) != right_other or fault.kind == "slow"

    on_line(work)


def test_slow_and_late_answers_come_whole_and_when_they_say(on_line: Callable[..., None]) -> None:
    async def work(rig: Rig) -> None:
        right = await rig.ask()
        for fault, after_s in ((Fault("slow", delay_s=0.2), 0.2), (Fault("late"), 3.0)):
            rig.troubles.add(fault)
            asked_s = rig.clock.monotonic()
            assert await rig.ask(wait_s=5) == right
            usual_s = (len(ASK) + SIZE) * rig.wire.pace.char_s + 0.005
            assert rig.got[-1][0] - asked_s == pytest.approx(usual_s + after_s, abs=1e-4)
            rig.troubles.remove(fault)

    on_line(work)


def test_echo_is_of_the_whole_line(on_line: Callable[..., None]) -> None:
    async def work(rig: Rig) -> None:
        right = await rig.ask()
        rig.troubles.add(Fault("echo"))
        assert await rig.ask() == ASK + right

    on_line(work)


def test_noise_between_the_frames_stands_apart(on_line: Callable[..., None]) -> None:
    async def work(rig: Rig) -> None:
        rig.troubles.add(Fault("noise", size=4))
        await rig.ask()
        between_s = rig.got[1][0] - rig.got[0][0]
        assert len(rig.got[0][1]) == 4
        assert between_s > rig.wire.pace.gap_s

    on_line(work)


def test_foreign_frames_are_a_broadcast_or_look_like_the_answer(on_line: Callable[..., None]) -> None:
    async def work(rig: Rig) -> None:
        rig.troubles.add(Fault("foreign"))
        kinds = {(await rig.ask())[0] for _ in range(20)}
        assert kinds == {0, 2}, "broadcasts, and answers of unit 2"

    on_line(work)


def test_times_and_shares(on_line: Callable[..., None]) -> None:
    async def work(rig: Rig) -> None:
        rig.troubles.start()
        rig.troubles.add(Fault("dead", start_s=10, end_s=20))
        heard = [bool(await rig.ask()) for _ in range(30)]
        assert heard == [True] * 10 + [False] * 10 + [True] * 10
        rig.troubles.add(Fault("dead", share=0.5))
        heard = [bool(await rig.ask()) for _ in range(40)]
        assert 8 < sum(heard) < 32

    on_line(work)


def test_every_kind_is_tested_here() -> None:
    tested = {"dead", "late", "exception", "crc", "noise", "truncated", "garbage", "foreign", "slow", "echo"}
    assert set(LINE_KINDS) == tested
