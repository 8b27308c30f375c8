"""`metergate completeness` and `metergate export` beside a gateway that holds its history open."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gateway.commands.cli import app
from gateway.commands.export_rows import Asked, rows
from gateway.errors import MetergateError
from tests.unit.history_site import BEGIN, DESK, END, HistorySite
from tests.unit.sums_rig import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[HistorySite]:
    site = HistorySite(tmp_path)
    yield site
    site.close()


def run(site: HistorySite, *words: str) -> str:
    answer = CliRunner().invoke(app, [*words, "--config", str(site.file)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def told(site: HistorySite, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(site, "completeness", *words, "--json"))
    return found


def test_a_day_is_told_meter_by_meter_with_reasons(here: HistorySite) -> None:
    found = told(here, "--day", "2026-08-30")
    assert (found["from"], found["to"]) == ("2026-08-30T00:00:00.000+08:00", "2026-08-31T00:00:00.000+08:00")
    assert found["is_running"] is False
    assert found["meters"]["m-1"] | {"gaps": {}} == {
        "due": 96, "known": 96, "expected": 8640, "received": 8640, "good": 8640, "gaps": {},
        "percent": "100.00", "revised": 0, "manual": 0,
    }  # fmt: skip
    assert (found["meters"]["m-2"]["known"], found["meters"]["m-2"]["gaps"]) == (91, {"meter_off": 225})
    assert (found["site"]["percent"], found["site"]["is_ok"]) == ("97.39", True)
    assert found["boundary_error_s"] == {"value": "0.000", "is_ok": True}
    assert found["deviation_percent"] == {"value": None, "is_ok": None}, "that is one of months"
    text = run(here, "completeness", "--day", "2026-08-30")
    for words in (
        "Completeness 完整率",
        "m-2: 225 the meter did not answer 仪表无应答",
        "97.39",
        "ok 达标",
        "上传率 regulator",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("live", "backlog", "lost", "is_ok"),
    [(None, None, 0, True), (1, None, 187, False), (None, (1, 11), 16, False)],
)
def test_what_a_destination_acknowledged_is_counted_from_its_messages(
    tmp_path: Path, live: int | None, backlog: tuple[int, int] | None, lost: int, is_ok: bool
) -> None:
    site = HistorySite(tmp_path, live=live, backlog=backlog)
    assert [one.kind for one in site.entries[:10]].count("data") == 8, "each tells two values"
    found = told(site, "--day", "2026-08-30")["uploaded"][DESK]
    assert (found["values"], found["is_ok"]) == (187 - lost, is_ok)
    site.close()


def test_of_a_revision_the_newest_that_was_acknowledged_counts_once(here: HistorySite) -> None:
    here.revise(3, "1004")
    here.store.save_position(DESK, here.store.positions[DESK] | {"live": len(here.entries) + 1})
    found = told(here, "--day", "2026-08-30")
    assert found["uploaded"][DESK]["values"] == 187
    assert found["uploaded"][DESK]["is_whole"] is True


def test_a_month_has_its_days_against_it_and_says_since_when_the_history_knows(here: HistorySite) -> None:
    found = told(here, "--month", "2026-08")
    assert (found["site"]["due"], found["history_from"]) == (384, "2026-08-30T00:00:00.000+08:00")
    assert found["deviation_percent"]["value"] is None, "it began before the history"
    assert "The history begins later 历史起点" in run(here, "completeness", "--month", "2026-08")


def test_a_stretch_of_a_day_and_one_meter_alone(here: HistorySite) -> None:
    found = told(here, "--from", "2026-08-30T12:00", "--to", "2026-08-30T13:00", "--meter", "m-2")
    assert list(found["meters"]) == ["m-2"]
    assert (found["site"]["due"], found["site"]["known"], found["site"]["is_ok"]) == (4, 0, False)
    assert found["uploaded"][DESK]["values"] == 0
    across = told(here, "--from", "2026-08-30T23:00", "--to", "2026-08-31T01:00")
    assert across["site"]["due"] == 16


def test_a_period_that_still_runs_says_so(here: HistorySite) -> None:
    text = run(here, "completeness", "--month", "2026-09")
    assert "still running 统计中: so far up to 2026-09-01 00:00:00+08:00" in text
    assert "Nothing was due" in text


@pytest.mark.parametrize("words", [["--day", "2026-08-30", "--month", "2026-08"], ["--day", "yesterday"], ["--to", "2026-08-30"], ["--from", "2026-08-31", "--to", "2026-08-30"]])  # fmt: skip
def test_what_cannot_be_meant_is_refused(here: HistorySite, words: list[str]) -> None:
    answer = CliRunner().invoke(app, ["completeness", *words, "--config", str(here.file)])
    assert answer.exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        *(["completeness", "--day", day] for day in ("0001-01-01", "1969-12-31", "9999-12-31")),
        *(["completeness", "--month", month] for month in ("0001-01", "9999-12")),
        ["completeness", "--from", "0001-01-01", "--to", "9999-12-31"],
        ["export", "intervals", "--out", "-", "--from", "0001-01-01"],
        ["export", "totals", "--out", "-", "--to", "9999-12-31T00:00:00+00:00"],
    ],
)
def test_a_date_no_clock_shows_is_refused_with_what_to_write(here: HistorySite, words: list[str]) -> None:
    answer = CliRunner().invoke(app, [*words, "--config", str(here.file)])
    assert answer.exit_code == 2
    assert "out of range" in answer.output


def refused(site: HistorySite, *words: str) -> tuple[str, str]:
    """Return what is shown of a damaged history, and the error."""
    answer = CliRunner().invoke(app, [*words, "--config", str(site.file)])
    assert isinstance(answer.exception, MetergateError)
    return answer.stdout, str(answer.exception)


def test_rows_that_cannot_be_read_are_counted_and_nothing_is_above_100_percent(here: HistorySite) -> None:
    here.store._db.execute("UPDATE intervals SET body='{' WHERE rowid % 3 = 0")
    here.store._db.execute("UPDATE totals SET body='[1]' WHERE period = 'day'")
    shown, error = refused(here, "completeness", "--day", "2026-08-30", "--json")
    found = json.loads(shown)
    assert found["unreadable_rows"] > 50
    assert f"{found['unreadable_rows']:,} rows of the history cannot be read" in error
    assert found["uploaded"][DESK] == {"values": 187, "percent": None, "is_ok": None, "is_whole": True}
    text, _ = refused(here, "completeness", "--day", "2026-08-30")
    assert "uploaded 上传率 regulator: unknown" in text
    rows, error = refused(here, "export", "intervals", "--out", "-")
    assert len(table(rows)) == 2 * 192 * 2 // 3
    assert "128 rows" in error
    assert "2 rows" in refused(here, "export", "totals", "--out", "-")[1]


def test_more_values_than_were_due_are_no_more_than_all(here: HistorySite) -> None:
    here.store._db.execute("DELETE FROM intervals WHERE rowid % 3 = 0")
    here.store._db.execute("DELETE FROM totals")
    assert told(here, "--day", "2026-08-30")["uploaded"][DESK]["percent"] == "100.00"


def test_without_a_history_it_says_what_to_look_at(here: HistorySite) -> None:
    here.close()
    here.path.unlink()
    with pytest.raises(MetergateError, match="there is no history"):
        run(here, "completeness")


# -- export --------------------------------------------------------------------------------------------------


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_intervals_are_one_row_a_channel_with_exact_decimals_and_offsets(
    here: HistorySite, tmp_path: Path
) -> None:
    out = tmp_path / "intervals.csv"
    run(here, "export", "intervals", "--out", str(out), "--from", "2026-08-30", "--to", "2026-08-31", "--bom")
    raw = out.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfmeter,epoch,t0,")
    rows = table(raw.decode("utf-8-sig"))
    assert len(rows) == 192
    first = next(row for row in rows if row["meter"] == "m-1")
    wanted = {"t0": "2026-08-30T00:00:00.000+08:00", "channel": KEY, "delta": "1", "opening": "1000", "closing_at": "2026-08-30T00:15:00.000+08:00", "rev": "0", "gap_meter_off": "0", "how": "normal", "mean": "", "layouts": "a"}  # fmt: skip
    assert {key: first[key] for key in wanted} == wanted
    gap = [row for row in rows if row["delta"] == ""]
    assert {row["gap_meter_off"] for row in gap} == {"45"}
    assert not list(tmp_path.glob("*.part"))


def test_a_file_is_not_written_over_unless_forced_nor_half_written(here: HistorySite, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    out.write_text("precious")
    with pytest.raises(MetergateError, match="--force"):
        run(here, "export", "events", "--out", str(out))
    assert out.read_text() == "precious"
    run(here, "export", "events", "--out", str(out), "--force")
    assert out.read_text().startswith("at,kind,subject,detail")
    with pytest.raises(MetergateError, match="No such file"):
        run(here, "export", "events", "--out", str(tmp_path / "nowhere" / "x.csv"))


def test_all_revisions_or_the_newest(here: HistorySite) -> None:
    here.revise(3, "1004.25")
    newest = table(run(here, "export", "intervals", "--out", "-", "--meter", "m-1"))
    every = table(run(here, "export", "intervals", "--out", "-", "--meter", "m-1", "--revisions"))
    assert (len(newest), len(every)) == (192, 193)
    (made,) = [row for row in newest if row["rev"] == "1"]
    assert (made["delta"], made["cause"]) == ("1.25", "late")


def test_totals_events_manual_and_completeness(here: HistorySite) -> None:
    here.more()
    totals = table(run(here, "export", "totals", "--out", "-"))
    assert [(row["meter"], row["period"], row["amount"]) for row in totals] == [
        ("m-1", "day", "96"), ("m-2", "day", "96"), ("m-1", "day", "96"), ("m-2", "day", "96"), ("m-1", "month", ""), ("m-2", "month", ""),
    ]  # fmt: skip
    assert totals[-1]["known"] == "192"
    (event,) = (
        json.loads(line) for line in run(here, "export", "events", "--out", "-", "--json").splitlines()
    )
    assert event == {"at": "2026-08-30T00:00:01.000+08:00", "kind": "meter_swap", "subject": "m-1", "detail": {"by": "Li", "why": 'broken, "old"'}}  # fmt: skip
    (same,) = table(run(here, "export", "events", "--out", "-"))
    assert json.loads(same["detail"]) == event["detail"]
    (hand,) = table(run(here, "export", "manual", "--out", "-"))
    assert (hand["reading"], hand["at"], hand["why"]) == ("1234.500", "2026-09-01T00:00:00.000+08:00", "=1+1")
    assert not table(run(here, "export", "manual", "--out", "-", "--meter", "m-1"))
    complete = table(run(here, "export", "completeness", "--out", "-", "--from", "2026-08-30"))
    day = [row for row in complete if (row["period"], row["t0"][:10]) == ("day", "2026-08-30")]
    assert [(row["meter"], row["due"], row["percent"], row["gap_meter_off"]) for row in day] == [
        ("", "192", "97.39", "225"), ("m-1", "96", "100.00", "0"), ("m-2", "96", "94.79", "225"),
    ]  # fmt: skip
    assert len([row for row in complete if row["period"] == "hour"]) == (END - BEGIN) // 3_600_000_000_000 * 3


def test_json_lines_say_null_for_what_is_unknown(here: HistorySite) -> None:
    lines = run(here, "export", "intervals", "--out", "-", "--json", "--meter", "m-2").splitlines()
    rows = [json.loads(line) for line in lines]
    assert sum(row["delta"] is None for row in rows) == 5
    assert rows[0]["delta"] == "1"


def test_rows_are_made_as_they_are_asked_for(here: HistorySite, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    intervals = here.store.intervals

    def counted(*given: Any) -> Iterator[Any]:
        for one in intervals(*given):
            asked.append(one.start_ns)
            yield one

    monkeypatch.setattr(here.store, "intervals", counted)
    found = rows(here.store, here.grid, "intervals", Asked(BEGIN, END, None, revisions=False))
    assert asked == []
    assert [next(found)[0], next(found)[0], next(found)[0]] == asked == sorted(asked)
