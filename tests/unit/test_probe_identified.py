"""Which type a DL/T 645 or CJ/T 188 meter is: identifiers asked once, types ranked by the channels that answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from drivers.identifiers import DltSettings
from drivers.profiles import Library, load, shipped_dir
from gateway.commissioning.identified_reads import IdentifiedReads
from gateway.commissioning.probe_identified import (
    coverage,
    identified_candidates,
    rank_identified,
    steps_of,
    trials_of,
    verdict_identified,
)
from gateway.commissioning.reads import SILENT_MAX, never
from gateway.errors import DeviceError
from tests.unit.station_bus import cjt188_bus, dlt645_bus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from drivers.profiles import Profile
    from gateway.commissioning.probe import Candidate, Verdict
    from tests.unit.station_bus import StationBus

DLT, CJT = "000012345678", "33780011223344"
LIBRARY = Library([shipped_dir()])
L2_L3 = {0x02010200, 0x02010300, 0x02020200, 0x02020300}


def reads_of(bus: StationBus, address: str, stopped: Callable[[], bool] = never) -> IdentifiedReads:
    protocol = "dlt645" if len(address) == 12 else "cjt188"
    return IdentifiedReads(bus, protocol, address, bus.clock, timeout_s=0.5, stopped=stopped)


async def probed(
    bus: StationBus, address: str, profiles: list[Profile] | None = None
) -> tuple[list[Candidate], Verdict, IdentifiedReads]:
    reads = reads_of(bus, address)
    types = profiles or identified_candidates(LIBRARY, reads.protocol)
    ranked, is_whole = await rank_identified(reads, trials_of(types))
    assert is_whole
    return ranked, verdict_identified(ranked, reads), reads


async def test_each_identifier_is_asked_once_and_what_does_not_answer_is_said() -> None:
    bus, station = dlt645_bus()
    station.absent = L2_L3
    ranked, said, reads = await probed(bus, DLT)
    assert (said.outcome, said.best) == ("one", ("dlt645-2007",))
    assert len(set(station.asked)) == len(station.asked) == reads.asked
    (best,) = ranked
    missing = {"voltage_ln_l2", "voltage_ln_l3", "current_l2", "current_l3"}
    assert set(best.missing) == missing
    assert best.good == len(LIBRARY.get("dlt645-2007").keys()) - len(missing)
    assert any("4 not answered (refused: no such value" in reason for reason in best.reasons)
    covered, lines = coverage(best, ["voltage_ln_l1", "current_l2"])
    assert not covered
    assert lines[0].endswith("1 of the 2 channels it is read for answer")
    assert "current_l2 (refused: no such value" in lines[1]


@pytest.mark.parametrize("low_first", [False, True])
@pytest.mark.parametrize(
    ("name", "model", "variant"),
    [
        ("cjt188-water", "water", ""),
        ("cjt188-water", "water", "reclaimed"),
        ("cjt188-heat", "heat", "cooling"),
        ("cjt188-gas", "gas", ""),
    ],
)
async def test_the_meter_type_tells_profile_and_variant(
    name: str, model: str, variant: str, low_first: bool
) -> None:
    bus, station = cjt188_bus(name, model, variant)
    station.low_first_di = low_first
    ranked, said, reads = await probed(bus, CJT)
    assert (said.outcome, said.best, ranked[0].variant) == ("one", (name,), variant)
    assert ranked[0].missing == {}
    assert all(c.reasons[0].endswith("no answer") for c in ranked[1:])
    assert reads.asked <= 2 * steps_of(trials_of(identified_candidates(LIBRARY, "cjt188")))


async def test_the_type_with_more_answering_channels_is_first(tmp_path: Path) -> None:
    """Of two profiles that share identifiers the one whose further identifiers the meter has wins."""
    text = (shipped_dir() / "dlt645-2007.toml").read_text().split("[[golden]]")[0]
    golden = '[[golden]]\nname = "n"\nconstructed = true\nratios = { ct = "1", pt = "1" }\n'
    golden += 'frames = ["6812907856341268910833333433ab896745cc16"]\nexpect = { energy_active_import_total = "123456.78" }\n'
    few = text[: text.index("[channels.voltage_ln_l2]")].split("default = [")
    file = tmp_path / "small-meter.toml"
    keys = few[1].split("]", 1)
    file.write_text(
        (few[0] + 'default = ["energy_active_import_total"]' + keys[1]).replace("dlt645-2007", "small-meter")
        + golden
    )
    bus, _ = dlt645_bus()
    ranked, said, _ = await probed(bus, DLT, [load(file), LIBRARY.get("dlt645-2007")])
    assert [c.profile for c in ranked] == ["dlt645-2007", "small-meter"]
    assert said.outcome == "one"
    _, said, _ = await probed(
        bus, DLT, [LIBRARY.get("dlt645-2007"), LIBRARY.get("dlt645-2007").model_copy(update={"id": "copy"})]
    )
    assert (said.outcome, set(said.best)) == ("several", {"copy", "dlt645-2007"})


async def test_silence_costs_few_requests_and_is_called_so() -> None:
    bus, _ = dlt645_bus("000000000001")
    _, said, reads = await probed(bus, DLT)
    assert (said.outcome, reads.asked) == ("silent", SILENT_MAX)
    assert "does not answer" in said.text
    water, _ = cjt188_bus(address="00000000000001")
    _, said, reads = await probed(water, CJT)
    assert said.outcome == "silent"
    assert reads.asked == 2 * steps_of(trials_of(identified_candidates(LIBRARY, "cjt188")))


async def test_what_is_not_asked_for_there_were_too_many_is_no_silence() -> None:
    bus, _ = dlt645_bus()
    reads = IdentifiedReads(bus, "dlt645", DLT, bus.clock, timeout_s=0.5, reads_max=2)
    for di in (0x00010000, 0x00010100):
        assert isinstance(await reads.value(di, 4, DltSettings()), bytes)
    found = await reads.value(0x00010200, 4, DltSettings())
    assert isinstance(found, DeviceError)
    assert (found.reason, reads.asked, len(bus.asked)) == ("refused", 2, 2)
    assert "2 requests were made already" in str(found)
    assert not reads.forget_silence(), "it would not be asked a second time either"


async def test_answers_that_are_none_are_no_plain_silence() -> None:
    bus, _ = dlt645_bus()
    reads = reads_of(bus, DLT)
    found = await reads.value(0x00010000, 3, DltSettings())
    assert isinstance(found, DeviceError)
    assert "a value of 4 bytes where the profile's format has 3" in verdict_identified([], reads).text


async def test_a_unit_nobody_knows_is_a_type_nobody_knows() -> None:
    bus, station = cjt188_bus()
    station.unit_bytes[7] = 0x99
    ranked, said, _ = await probed(bus, CJT)
    assert (said.outcome, said.best) == ("none", ())
    assert "none the profile knows" in said.text
    assert not any(c.speaks for c in ranked)


async def test_a_value_no_meter_shows_speaks_against_a_type(tmp_path: Path) -> None:
    file = tmp_path / "strict.toml"
    text = (shipped_dir() / "dlt645-2007.toml").read_text()
    file.write_text(
        text.replace('"dlt645-2007"', '"strict"').replace('unit = "V"\n', 'unit = "V"\nhigh = 1.0\n')
    )
    bus, _ = dlt645_bus()
    ranked, _, _ = await probed(bus, DLT, [load(file), LIBRARY.get("dlt645-2007")])
    assert [c.profile for c in ranked] == ["dlt645-2007", "strict"]
    assert ranked[1].bad == 3
    assert any("voltage_ln_l1 (raw " in reason for reason in ranked[1].reasons)


async def test_it_stops_when_told_to() -> None:
    bus, _ = dlt645_bus()
    reads = reads_of(bus, DLT, stopped=lambda: len(bus.asked) >= 5)
    _, is_whole = await rank_identified(reads, trials_of(identified_candidates(LIBRARY, "dlt645")))
    assert not is_whole
    assert reads.asked == 5
