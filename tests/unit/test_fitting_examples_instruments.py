"""Worked examples, instruments: which count as fitted, are verified, deliver, are effective. Expected figures are computed by hand."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from tests.unit.fitting_rig import (
    counts,
    delivered,
    evidence,
    flow,
    instrument,
    instruments,
    judge,
    judged,
    machine,
    missing,
    needs,
    plant,
    row,
    unit,
)

FEEDER = [flow("f", "outside>organization", "electricity", "900 kW")]


def one(**more: Any) -> Any:
    """Return the inventory of one incoming feeder with one instrument."""
    return plant(flows=FEEDER, instruments=[instrument("m", "f", **more)])


@pytest.mark.parametrize(
    "never",
    [
        {"role": "check"},
        {"role": "portable"},
        {"role": "spare"},
        {"status": "stopped"},
        {"removed": "2026-11-15"},
        {"installed": "2026-11-16"},
        {"measurement": "derived"},
        {"measurement": "estimated"},
    ],
)
def test_what_never_counts_as_fitted(never: dict[str, str]) -> None:
    # On 2026-11-15: N_l = 1, N_s = 0.
    assert counts(judge(one(**never)), "electricity", 1) == (1, 0)


@pytest.mark.parametrize(
    "still",
    [
        {},
        {"running": "repair"},
        {"status": "limited"},
        {"installed": "2026-11-15"},
        {"removed": "2026-11-16"},
        {"verifications": [{"on": "2020-01-01", "period_months": 12}]},
        {"verifications": [{"on": "2026-03-01", "period_months": 12, "conforming": False}]},
        {"verifications": []},
    ],
)
def test_what_counts_as_fitted_in_whatever_state(still: dict[str, Any]) -> None:
    # Expired, failed and faulty instruments are fitted all the same: 1/1.
    assert counts(judge(one(**still)), "electricity", 1) == (1, 1)


def test_more_instruments_than_needed_count_once() -> None:
    # f carries two main instruments, g none: N_l = 2, N_s = 1, never 2.
    outcome = judge(
        plant(
            flows=[*FEEDER, flow("g", "outside>organization", "electricity", "900 kW")],
            instruments=[instrument("m-1", "f"), instrument("m-2", "f")],
        )
    )
    assert counts(outcome, "electricity", 1) == (2, 1)
    assert missing(outcome, "electricity", 1) == ["g"]


def test_one_instrument_on_one_flow_serves_two_levels() -> None:
    # The feeder goes from outside straight into shop (500 t of coal >= 100 t): needed at level 1 and at level 2.
    outcome = judge(
        plant(
            units=[unit("shop")],
            flows=[flow("c", "outside>shop", "coal", "500 t")],
            instruments=instruments("coal", "c"),
        )
    )
    assert counts(outcome, "coal", 1) == counts(outcome, "coal", 2) == (1, 1)


def test_an_instrument_shared_by_several_flows_fits_each_of_them() -> None:
    # m is declared for the supply and for the only branch behind it, and for the only machine of that shop: L1, L2 and L3 1/1 each.
    outcome = judge(
        plant(
            units=[unit("shop")],
            equipment=[machine("furnace", "shop", natural_gas="200 m3/h")],
            flows=[
                flow("in", "outside>organization", "natural_gas", "900000 m3"),
                flow("to-shop", "organization>shop", "natural_gas", "900000 m3"),
                flow("to-furnace", "shop>furnace", "natural_gas", "900000 m3"),
            ],
            instruments=[instrument("m", "in", "to-shop", "to-furnace", kind="natural_gas")],
        )
    )
    assert [counts(outcome, "natural_gas", level) for level in (1, 2, 3)] == [(1, 1)] * 3


def test_as_of_a_day_in_the_past_the_plant_stands_as_it_did() -> None:
    # old: until 2026-06-01 (removed that day); new: from 2026-06-10 on. Between the two nothing is fitted.
    inventory = plant(
        flows=FEEDER,
        instruments=[
            instrument("old", "f", removed="2026-06-01"),
            instrument("new", "f", installed="2026-06-10"),
        ],
    )
    for day, fitted in (
        (date(2026, 5, 31), 1),
        (date(2026, 6, 1), 0),
        (date(2026, 6, 9), 0),
        (date(2026, 6, 10), 1),
    ):
        outcome = judge(inventory, as_of=day)
        assert (counts(outcome, "electricity", 1), outcome.as_of) == ((1, fitted), day)
    # The window is the month before: of 2026-06-09, May.
    outcome = judge(inventory, as_of=date(2026, 6, 9))
    assert outcome.window.as_json() == {"from": "2026-05-01", "to": "2026-05-31"}


@pytest.mark.parametrize(
    ("on", "verified"),
    [
        (date(2026, 2, 28), False),  # not yet verified that day
        (date(2026, 3, 1), True),
        (date(2027, 2, 28), True),  # 12 months from 2026-03-01 end on 2027-02-28; the last day counts
        (date(2027, 3, 1), False),
    ],
)
def test_the_last_day_of_a_certificate_counts(on: date, verified: bool) -> None:
    standing = judge(one(), as_of=on).standings["m"]
    assert standing.is_verified is verified
    assert standing.is_fitted


@pytest.mark.parametrize(
    ("change", "verified"),
    [
        ({"verifications": [{"on": "2026-03-01", "until": "2026-11-15"}]}, True),
        ({"verifications": [{"on": "2026-03-01", "until": "2026-11-14"}]}, False),
        ({"verifications": [{"on": "2026-03-01"}]}, False),  # nothing says until when
        ({"verifications": []}, False),
        ({"verifications": [{"on": "2026-03-01", "period_months": 12, "conforming": False}]}, False),
        ({"nonconformities": [{"found": "2026-11-10", "why": "drift"}]}, False),
        ({"nonconformities": [{"found": "2026-05-10", "until": "2026-05-20", "why": "drift"}]}, True),
    ],
)
def test_verified_on_the_day(change: dict[str, Any], verified: bool) -> None:
    assert judge(one(**change)).standings["m"].is_verified is verified


def test_intact_verified_accurate_are_shares_of_the_fitted() -> None:
    # 4 flows, 3 with an instrument: good; in repair; expired and of class 2.0 where 0.5 is demanded (user of class II, level 1).
    # 配备率 3/4; 完好率 2/3; 检定率 2/3; 准确度合格率 2/3.
    flows = [flow(f"f{n}", "outside>organization", "electricity", "900 kW") for n in range(4)]
    old = [{"on": "2024-03-01", "period_months": 12}]
    outcome = judge(
        plant(
            flows=flows,
            instruments=[
                instrument("m0", "f0"),
                instrument("m1", "f1", running="repair"),
                instrument("m2", "f2", verifications=old, accuracy_class="2.0"),
            ],
        )
    )
    found = row(outcome, "electricity", 1)
    assert (found.need, found.fitted, found.rate) == (4, 3, Fraction(3, 4))
    assert (found.intact, found.verified, found.accurate) == (Fraction(2, 3),) * 3


def test_without_evidence_nobody_can_tell_what_delivers() -> None:
    outcome = judge(one())
    found = row(outcome, "electricity", 1)
    assert (found.connected, found.effective, found.auto_collected, found.completeness) == (None,) * 4
    standing = outcome.standings["m"]
    assert (standing.is_connected, standing.is_delivering, standing.is_effective) == (None,) * 3
    assert (found.need, found.fitted) == (1, 1)


@pytest.mark.parametrize(
    ("good", "connected", "effective"),
    [(1000, 1, 1), (900, 1, 1), (899, 1, 0), (1, 1, 0), (0, 0, 0)],
)
def test_effective_wants_nine_of_ten_readings_good(good: int, connected: int, effective: int) -> None:
    # 900/1000 = 90 % >= 90 %: effective. 899/1000 = 89.9 % is not. One good reading is enough to be connected.
    outcome = judge(one(), evidence(m=delivered(good)))
    found = row(outcome, "electricity", 1)
    assert (found.connected, found.effective, found.auto_collected) == (
        connected,
        effective,
        Fraction(effective),
    )


def test_an_instrument_the_evidence_does_not_know_delivered_nothing() -> None:
    outcome = judge(one(), evidence())
    found = row(outcome, "electricity", 1)
    assert (found.fitted, found.connected, found.effective, found.auto_collected) == (1, 0, 0, Fraction(0))


@pytest.mark.parametrize(
    "fault",
    [
        {"verifications": [{"on": "2024-01-01", "period_months": 12}]},
        {"accuracy_class": "2.0"},
        {"accuracy_class": ""},
        {"confirmation": None},
        {"confirmation": {"by": "Li", "on": "2026-03-05", "fit": False}},
        {"confirmation": {"by": "Li", "on": "2026-11-16"}},
    ],
)
def test_each_part_of_effective_alone_spoils_it(fault: dict[str, Any]) -> None:
    # Fitted and connected 1, effective 0; R_z asks only for the readings: 1/1.
    outcome = judge(one(**fault), evidence(m=delivered(1000)))
    found = row(outcome, "electricity", 1)
    assert (found.fitted, found.connected, found.effective, found.auto_collected) == (1, 1, 0, Fraction(1))
    assert outcome.standings["m"].why


def test_automatic_collection_is_a_share_of_the_need() -> None:
    # 4 needed flows, 3 fitted; good readings 100 %, 90 %, 50 %: R_z = 2/4, connected 3, effective 2.
    flows = [flow(f"f{n}", "outside>organization", "electricity", "900 kW") for n in range(4)]
    outcome = judge(
        plant(flows=flows, instruments=[instrument(f"m{n}", f"f{n}") for n in range(3)]),
        evidence(m0=delivered(1000), m1=delivered(900), m2=delivered(500)),
    )
    found = row(outcome, "electricity", 1)
    assert (found.need, found.fitted, found.connected, found.effective) == (4, 3, 3, 2)
    assert found.auto_collected == Fraction(2, 4)


def test_the_better_of_two_instruments_speaks_for_a_flow() -> None:
    # m-1 has run out and is silent, m-2 is good: fitted, verified, effective.
    old = [{"on": "2024-03-01", "period_months": 12}]
    outcome = judge(
        plant(flows=FEEDER, instruments=[instrument("m-1", "f", verifications=old), instrument("m-2", "f")]),
        evidence(m_2=delivered(1000)),
    )
    found = row(outcome, "electricity", 1)
    assert (found.fitted, found.verified, found.effective) == (1, Fraction(1), 1)
    best = judged(outcome, "electricity", 1, "f").best
    assert best is not None
    assert best.instrument == "m-2"


def test_a_check_meter_that_delivers_makes_nothing_effective() -> None:
    # The main instrument is silent, the check meter beside it delivers: fitted 1, connected 0, effective 0.
    outcome = judge(
        plant(flows=FEEDER, instruments=[instrument("m", "f"), instrument("c", "f", role="check")]),
        evidence(c=delivered(1000)),
    )
    found = row(outcome, "electricity", 1)
    assert (found.fitted, found.connected, found.effective, found.auto_collected) == (1, 0, 0, Fraction(0))


def test_kinds_without_a_rate_and_carbon_instruments_are_listed_without_requirement() -> None:
    # Nitrogen has no rate: its flow is listed, nothing is demanded of it. A stack analyser has no flow, a spare none either.
    outcome = judge(
        plant(
            flows=[*FEEDER, flow("n2", "outside>organization", "nitrogen", "100000 m3")],
            instruments=[
                instrument("m", "f"),
                instrument("m-n2", "n2", kind="nitrogen"),
                instrument("stack", category="gas_analyser"),
                instrument("spare", role="spare"),
            ],
        )
    )
    assert needs(outcome, "electricity", 1) == ["f"]
    found = row(outcome, "nitrogen", 1)
    assert (found.fitted, found.required, found.meets) == (1, None, None)
    assert {"stack", "spare"} <= set(outcome.unassigned)
    assert "m" not in outcome.unassigned
