"""`metergate trace`, `calendar` and `evidence gather` beside a gateway that holds its history open."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.errors import MetergateError
from gateway.evidence.evidence_file import read_evidence
from gateway.evidence.trace import span_of_days, trace
from gateway.feed.jws import parse
from gateway.inventory.model import Inventory
from gateway.inventory.reading import load
from gateway.inventory.revisions import Revisions
from tests.unit.fitting_rig import flow, machine, process, unit
from tests.unit.history_site import HistorySite
from tests.unit.sums_rig import KEY, at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGGREGATE = f"""
[[aggregates]]
id = "bought"
name = "外购电"
[[aggregates.terms]]
meter = "m-1"
channel = "{KEY}"
[[aggregates.terms]]
meter = "m-2"
channel = "{KEY}"
sign = "-"
[[aggregates]]
id = "other"
[[aggregates.terms]]
meter = "m-1"
channel = "{KEY}"
"""
BAD = {"found": "2026-08-31", "since": "2026-08-31", "why": "creeps", "until": "2026-09-01"}


def instrument(name: str, *flows: str, **more: Any) -> dict[str, Any]:
    row = {"id": name, "name": name, "category": "electricity_meter", "flows": list(flows)}
    return row | {"verifications": [{"on": "2026-03-01", "until": "2027-02-28"}]} | more


LEDGER = {
    "organization": {"name": "Plant", "credit_code": "91350100M000100Y43"},
    "units": [unit("shop", electricity="5000000 kWh"), process("house", "shop")],
    "equipment": [
        machine("pump-1", "house", electricity="150 kW"),
        machine("pump-2", "house", electricity="150 kW"),
    ],
    "flows": [
        flow("in", "outside>shop", "electricity"),
        flow("f-1", "shop>house", "electricity"),
        flow("p-1", "house>pump-1", "electricity"),
        flow("p-2", "house>pump-2", "electricity"),
    ],
    "instruments": [
        instrument("e-1", "in", meter="m-1", channel=KEY, location="1 号变"),
        instrument("e-2", "f-1", meter="m-2", channel=KEY, nonconformities=[BAD]),
        instrument("e-3", verifications=[{"on": "2020-01-01", "until": "2021-01-01"}]),
    ],
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HistorySite]:
    site = HistorySite(tmp_path)
    site.file.write_text(site.file.read_text() + AGGREGATE)
    (tmp_path / "ledger.json").write_bytes(orjson.dumps(LEDGER))
    yield site
    site.close()


def run(site: HistorySite, *words: str, code: int = 0) -> str:
    ledger = str(site.file.with_name("ledger.json"))
    given = [*words, "--inventory", ledger, "--config", str(site.file)]
    answer = CliRunner().invoke(app, given, catch_exceptions=bool(code), env={"COLUMNS": "200"})
    assert answer.exit_code == code, answer.output
    return answer.stdout if not code else answer.output


def traced(site: HistorySite, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(site, "trace", *words, "--json"))
    return found


# -- trace ---------------------------------------------------------------------------------------------------


def test_by_default_its_newest_doubt_is_traced(here: HistorySite) -> None:
    found = traced(here, "e-2")
    assert (found["since"], found["until"], found["meter"], found["channel"]) == ("2026-08-31", "2026-09-01", "m-2", KEY)  # fmt: skip
    assert found["doubts"] == [
        {
            "since": "2026-08-31",
            "until": "2026-09-01",
            "state": "nonconforming",
            "why": "found on 2026-08-31: creeps",
        }
    ]
    (stretch,) = found["stretches"]
    assert (stretch["intervals"], stretch["known"], stretch["told"], stretch["amount"]) == (96, 96, 96, "96")
    assert (stretch["t0"], stretch["t1"]) == (
        "2026-08-31T00:00:00.000+08:00",
        "2026-09-01T00:00:00.000+08:00",
    )
    assert len(found["intervals"]) == 96
    assert {(one["verification"], one["verification_now"]) for one in found["intervals"]} == {
        ("", "nonconforming")
    }


def test_the_messages_are_those_that_tell_it(here: HistorySite) -> None:
    wanted = {
        (one["t0"], entry.seq)
        for entry in here.entries
        if entry.kind == "data"
        for one in orjson.loads(parse(entry.jws).payload)["intervals"]
        if one["meter"] == "m-2" and one["t0"] >= "2026-08-31"
    }
    found = traced(here, "e-2")
    assert {(one["t0"], seq) for one in found["intervals"] for seq in one["seqs"]} == wanted
    seqs = [seq for _, seq in wanted]
    assert (found["stretches"][0]["first_seq"], found["stretches"][0]["last_seq"]) == (min(seqs), max(seqs))


def test_a_revision_is_told_with_the_messages_of_all_before(here: HistorySite) -> None:
    here.revise(96, "1100")
    (one,) = [one for one in traced(here, "e-1", "--since", "2026-08-31", "--until", "2026-09-01")["intervals"] if one["rev"]]  # fmt: skip
    assert one["seqs"][-1] == len(here.entries)
    assert len(one["seqs"]) == 2
    assert one["delta"] == "4"


def test_totals_and_reported_quantities_of_its_meter_are_listed(here: HistorySite) -> None:
    totals = traced(here, "e-2")["totals"]
    assert [(one["of"], one["name"], one["period"], one["t0"][:10], one["amount"]) for one in totals] == [
        ("meter", "m-2", "day", "2026-08-31", "96"),
        ("aggregate", "bought", "day", "2026-08-31", "0"),
        ("meter", "m-2", "month", "2026-08-01", None),
        ("aggregate", "bought", "month", "2026-08-01", None),
    ]
    assert {one["rev"] for one in totals} == {0, None}, "the quantity was added later: it was never told"


def test_exemptions_that_rest_on_it_are_listed(here: HistorySite) -> None:
    found = traced(here, "e-2")["exemptions"]
    assert {(one["level"], one["flow"]) for one in found} == {(3, "p-1"), (3, "p-2")}
    assert all(one["clause"] and one["rests_on"] == ["e-2"] for one in found)
    assert not traced(here, "e-1", "--since", "2026-08-30", "--until", "2026-08-31")["exemptions"]


def test_exemptions_of_one_that_was_removed_have_their_days(here: HistorySite) -> None:
    ledger = json.loads(here.file.with_name("ledger.json").read_bytes())
    ledger["instruments"][1]["removed"] = "2026-07-15"
    here.file.with_name("ledger.json").write_bytes(orjson.dumps(ledger))
    found = traced(here, "e-2", "--since", "2026-03-01", "--until", "2026-09-01")["exemptions"]
    assert [(one["flow"], one["since"], one["until"]) for one in found] == [
        ("p-1", "2026-03-01", "2026-07-15"),
        ("p-2", "2026-03-01", "2026-07-15"),
    ]
    assert "2026-07-15" in run(here, "trace", "e-2", "--since", "2026-03-01", "--until", "2026-09-01")


def test_exemptions_of_an_applied_inventory_follow_its_revisions(here: HistorySite) -> None:
    kept = Revisions(here.site.gateway.state_dir / "inventory")
    first = load(here.file.with_name("ledger.json"))
    kept.add(first, "Li", "first", at("2026-06-01T10:00"))
    body = json.loads(here.file.with_name("ledger.json").read_bytes())
    body["instruments"][1]["flows"] = []
    kept.add(Inventory.model_validate(body), "Li", "second", at("2026-08-20T10:00"))
    words = [
        "trace",
        "e-2",
        "--since",
        "2026-05-01",
        "--until",
        "2026-09-01",
        "--json",
        "--config",
        str(here.file),
    ]
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    found = json.loads(answer.stdout)["exemptions"]
    assert [(one["flow"], one["since"], one["until"]) for one in found] == [
        ("p-1", "2026-05-01", "2026-08-20"),
        ("p-2", "2026-05-01", "2026-08-20"),
    ]


def test_gaps_are_counted_and_never_zero(here: HistorySite) -> None:
    (stretch,) = traced(here, "e-2", "--since", "2026-08-30", "--until", "2026-08-31")["stretches"]
    assert (stretch["intervals"], stretch["known"], stretch["amount"]) == (96, 91, "91")


def test_for_people_it_is_a_few_tables(here: HistorySite) -> None:
    text = run(here, "trace", "e-2", "--since", "2026-08-01", "--until", "2026-09-01")
    for words in (
        "in doubt 存疑: 2026-08-31 – 2026-09-01: nonconforming, found on 2026-08-31: creeps",
        "Intervals 区间",
        "The history begins later 历史起点: 2026-08-30 00:00",
        "unknown 未知",
        "Exemptions that rest on it",
        "bought",
    ):
        assert words in text
    none = run(here, "trace", "e-3")
    assert "2021-01-02" in none
    assert "not connected to a meter" in none


def test_what_cannot_be_meant_is_refused(here: HistorySite) -> None:
    assert "never in doubt" in run(here, "trace", "e-1", code=2)
    assert "is not before" in run(
        here, "trace", "e-1", "--since", "2026-09-01", "--until", "2026-09-01", code=2
    )
    assert "is no day" in run(here, "trace", "e-1", "--since", "yesterday", code=2)
    answer = CliRunner().invoke(app, ["trace", "e-22", "--config", str(here.file), "--inventory", str(here.file.with_name("ledger.json"))])  # fmt: skip
    assert isinstance(answer.exception, MetergateError)
    assert "did you mean e-2?" in str(answer.exception)


def test_only_the_days_it_was_in_its_place_are_traced(here: HistorySite) -> None:
    ledger = load(here.file.with_name("ledger.json"))
    one = ledger.instruments[0].model_copy(update={"installed": date(2026, 8, 31)})
    span = span_of_days(here.site, one, date(2026, 8, 1), date(2026, 9, 10))
    assert (span.start_ns, span.end_ns) == (at("2026-08-31T00:00"), at("2026-09-10T00:00"))
    gone = one.model_copy(update={"removed": date(2026, 8, 31), "installed": None})
    span = span_of_days(here.site, gone, date(2026, 9, 1), date(2026, 9, 10))
    assert span.start_ns == span.end_ns
    assert not trace(gone, here.site, here.store, span).intervals


# -- evidence gather -----------------------------------------------------------------------------------------


def test_what_is_gathered_is_read_again(here: HistorySite, tmp_path: Path) -> None:
    out = tmp_path / "evidence.json"
    run(here, "evidence", "gather", "--as-of", "2026-09-10", "--out", str(out))
    found = read_evidence(out)
    assert (found.first, found.last, found.timezone) == (date(2026, 8, 1), date(2026, 8, 31), "Asia/Shanghai")
    assert {name: (one.expected, one.good) for name, one in found.instruments.items()} == {
        "e-1": (17280, 17280), "e-2": (17280, 17280 - 225),
    }  # fmt: skip
    assert json.loads(out.read_text()) == json.loads(run(here, "evidence", "gather", "--as-of", "2026-09-10"))
    assert not list(tmp_path.glob("*.part"))


def test_a_month_before_the_history_is_refused(here: HistorySite) -> None:
    ledger = str(here.file.with_name("ledger.json"))
    given = ["evidence", "gather", "--as-of", "2026-08-10", "--inventory", ledger, "--config", str(here.file)]
    answer = CliRunner().invoke(app, given)
    assert isinstance(answer.exception, MetergateError)
    assert "nobody can tell" in str(answer.exception)


def test_a_damaged_history_is_said(here: HistorySite) -> None:
    here.store._db.execute("UPDATE totals SET body='{' WHERE period = 'day'")
    ledger = str(here.file.with_name("ledger.json"))
    given = ["evidence", "gather", "--as-of", "2026-09-10", "--inventory", ledger, "--config", str(here.file)]
    answer = CliRunner().invoke(app, given)
    assert isinstance(answer.exception, MetergateError)
    assert json.loads(answer.stdout)["instruments"]["e-1"]["good"] == 17280
    assert "2 rows of the history cannot be read" in str(answer.exception)


# -- calendar ------------------------------------------------------------------------------------------------


def test_the_calendar_of_a_plant(here: HistorySite, tmp_path: Path) -> None:
    found = json.loads(run(here, "calendar", "--json"))["instruments"]
    assert [one["instrument"] for one in found] == ["e-3", "e-1", "e-2"]
    assert (found[0]["state"], found[0]["last_day"], found[1]["last_day"]) == (
        "overdue",
        "2021-01-01",
        "2027-02-28",
    )
    assert "OVERDUE 超期" in run(here, "calendar")
    assert [one["instrument"] for one in json.loads(run(here, "calendar", "--json", "--until", "2021-12-31"))["instruments"]] == ["e-3"]  # fmt: skip
    out = tmp_path / "due.ics"
    run(here, "calendar", "--ics", str(out))
    body = out.read_bytes().decode()
    assert body.count("BEGIN:VEVENT\r\n") == 3
    assert "UID:verification-e-1@plant-1\r\n" in body
    assert "LOCATION:1 号变\r\n" in body
