"""Who answers on a link, and the tables proposed for the site file."""

from __future__ import annotations

import asyncio
import tomllib
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.commissioning.scan import Scan, proposal, remarks, scan_dlt645, scan_units, units
from gateway.config.links import SerialConfig
from gateway.errors import LinkDown
from tests.unit.fake_bus import FakeBus, garbage, held, lost, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.errands import Answer, Question

REGISTER = held(3, 0, b"\x00\x2a")


def after(count: int) -> Callable[[], bool]:
    """Return a function that is true from its `count`-th call on."""
    calls = iter(range(count))
    return lambda: next(calls, None) is None


def uncommented(text: str) -> str:
    """Return a proposal as it is after its reader removed the # of the tables."""
    return "\n".join(line.removeprefix("# ") for line in text.split("\n") if " = " in line or "[[" in line)


async def scanned(bus: FakeBus, first: int = 1, last: int = 20, stop_after: int = 99) -> Scan:
    scan = Scan()
    await scan_units(
        bus, units(first, last), SystemClock(), timeout_s=0.1, scan=scan, stopped=after(stop_after)
    )
    return scan


async def test_any_answer_proves_a_meter_and_exceptions_of_the_server_before_it_prove_none() -> None:
    bus = FakeBus(
        {3: REGISTER},
        {4: lambda: refusal(2), 5: lambda: refusal(10), 6: lambda: refusal(11), 7: lambda: refusal(1)},
    )
    scan = await scanned(bus)
    assert [(one.address, one.how) for one in scan.meters()] == [
        (3, "values"), (4, "exception"), (7, "exception"),
    ]  # fmt: skip
    assert scan.asked == 20
    assert scan.is_whole
    assert not scan.noise, "a server's exception is no noise"


async def test_a_garbled_answer_is_told_and_is_no_meter() -> None:
    scan = await scanned(FakeBus({}, {9: garbage}))
    assert scan.meters() == []
    assert [one.address for one in scan.found] == [9]
    assert "same unit id" in remarks(scan, "serial")[0]


async def test_a_stop_keeps_what_was_found() -> None:
    scan = await scanned(FakeBus({2: REGISTER, 15: REGISTER}), stop_after=5)
    assert [one.address for one in scan.found] == [2]
    assert not scan.is_whole
    assert scan.asked == 5


async def test_a_stop_gives_up_the_request_that_waits() -> None:
    begun, given_up = asyncio.Event(), asyncio.Event()

    class Waiting(FakeBus):
        async def ask(self, question: Question) -> Answer:
            if question.address != 4:
                return await super().ask(question)
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.set()
            raise AssertionError

    scan = Scan()
    async with asyncio.timeout(1):
        await scan_units(
            Waiting({2: REGISTER}), units(1, 9), SystemClock(), timeout_s=0.1, scan=scan, stopped=begun.is_set
        )
    assert given_up.is_set()
    assert [one.address for one in scan.found] == [2]
    assert (scan.asked, scan.is_whole) == (3, False)


async def test_a_connection_that_breaks_is_tried_again_and_then_ends_the_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.commissioning.reads.REOPEN_PAUSES_S", (0.0, 0.0))
    breaks = iter((True, False))

    def once() -> Exception:
        return lost() if next(breaks, False) else refusal(2)

    scan = await scanned(FakeBus({}, {3: once}))
    assert [one.address for one in scan.found] == [3]
    with pytest.raises(LinkDown):
        await scanned(FakeBus({}, {3: lost}))


async def test_one_device_that_answers_at_every_unit_id_is_called_one() -> None:
    scan = await scanned(FakeBus(dict.fromkeys(range(1, 21), REGISTER)))
    assert "every unit id answers" in remarks(scan, "modbus-tcp")[0]
    assert remarks(scan, "serial") == []


async def test_a_lone_dlt645_meter_tells_its_address() -> None:
    scan = Scan()
    await scan_dlt645(
        FakeBus(address="000012345678"), SystemClock(), timeout_s=0.6, scan=scan, told=lambda _: None
    )
    assert [(one.protocol, one.address) for one in scan.found] == [("dlt645", "000012345678")]


def test_what_ended_a_scan_early_is_said() -> None:
    assert "connection reset" in remarks(Scan(ended="connection reset", is_whole=False), "serial")[0]


async def test_nobody_is_said_with_what_to_try() -> None:
    scan = await scanned(FakeBus())
    assert "--bauds" in remarks(scan, "serial")[0]


async def test_the_proposal_has_the_new_meters_and_only_those() -> None:
    bus = FakeBus({3: REGISTER, 4: REGISTER, 5: REGISTER}, {6: garbage}, address="000012345678")
    scan = await scanned(bus)
    await scan_dlt645(bus, SystemClock(), timeout_s=0.6, scan=scan, told=lambda _: None)
    link = SerialConfig.model_validate(
        {"id": "line-1", "kind": "serial", "port": "/dev/ttyUSB0", "baud": 9600, "parity": "N", "stop": 2}
    )
    text = proposal(
        scan,
        "line-1",
        known={4: "feeder-4"},
        profiles={3: ("eastron-sdm630",), 5: ("a-b", "c-d")},
        kinds={"eastron-sdm630": "electricity", "a-b": "water"},
        ratios={"dlt645-2007": ("ct", "pt")},
        link=link,
    )
    body = tomllib.loads(text)
    (found,) = body["links"]
    assert (found["port"], found["baud"], found["parity"], found["stop"]) == ("/dev/ttyUSB0", 9600, "N", 2)
    assert [(m.get("unit"), m.get("address"), m["profile"], m["energy_kind"]) for m in body["meters"]] == [
        (3, None, "eastron-sdm630", "electricity"),
        (5, None, "a-b", "water"),
    ]
    assert "c-d" in text, "what it may be beside is said"
    assert "# ratios = { ct = ?, pt = ? }" in text, "a person reads them off the plates: no number stands in"
    whole = tomllib.loads(uncommented(text).replace("?", "40"))["meters"][-1]
    assert (whole["address"], whole["profile"]) == ("000012345678", "dlt645-2007")
    assert whole["ratios"] == {"ct": 40, "pt": 40}


async def test_a_meter_of_unknown_type_is_proposed_as_a_comment_that_says_what_to_do() -> None:
    scan = await scanned(FakeBus({3: REGISTER}))
    text = proposal(scan, "line-1", known={}, profiles={}, kinds={}, ratios={})
    assert tomllib.loads(text) == {}, "pasted as it is, the site file stays lawful"
    assert "metergate probe line-1 3" in text
    assert tomllib.loads(uncommented(text))["meters"][0]["unit"] == 3


@pytest.mark.parametrize(("kind", "other"), [("modbus-tcp", "tcp-serial"), ("tcp-serial", "modbus-tcp")])
async def test_where_nobody_answers_the_other_kind_of_device_server_is_named(kind: str, other: str) -> None:
    assert f'kind = "{other}"' in remarks(await scanned(FakeBus()), kind)[-1]
