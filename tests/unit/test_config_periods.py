"""Periods, aggregates and the feed: each mistake is one finding that says where and what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.credit_code import ALPHABET, check_character
from gateway.config.site_file import from_toml
from tests.unit.config_site import SITE, changed, findings

if TYPE_CHECKING:
    from pathlib import Path

ENERGY = "energy_active_import_total"
SENDER = 'region = "330100"\nenterprise = "91350100M000100Y43"\n'
FEED = '[[sinks]]\nid = "regulator"\nkind = "feed"\nhost = "feed.example.org"\n'
DATABASE = '[[sinks]]\nid = "regulator-db"\nkind = "feed-influx"\nurl = "https://db.example.org"\norg = "o"\nbucket = "b"\n'
VALLEY, PEAK = '["00:00-08:00", "22:00-24:00"]', '["08:00-22:00"]'
RIGHT = (
    SITE.replace("[journal]", f"{SENDER}[journal]")
    + FEED
    + DATABASE
    + f"""
[intervals]
length = "30min"
day_start = "08:00"
month_day = 26
[[intervals.shifts]]
id = "day"
start = "08:00"
end = "20:00"
[[intervals.shifts]]
id = "night"
start = "20:00"
end = "08:00"
[[intervals.tariffs]]
kind = "valley"
hours = {VALLEY}
[[intervals.tariffs]]
kind = "peak"
hours = {PEAK}
months = [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]
[[intervals.tariffs]]
kind = "sharp"
hours = ["08:00-22:00"]
months = [7, 8]
[[aggregates]]
id = "plant"
[[aggregates.terms]]
meter = "feeder-1"
channel = "{ENERGY}"
[[aggregates.terms]]
meter = "pump-2"
channel = "{ENERGY}"
sign = "-"
"""
)
TERM = f'meter = "pump-2"\nchannel = "{ENERGY}"'

# (name, text, what stands there instead, key path, a word of: found, expected, suggestion)
MISTAKES = [
    # periods
    ("day-off-the-grid", 'day_start = "08:00"', 'day_start = "08:20"', "intervals.day_start", "08:20", "every 30 min", '"08:00"'),
    ("no-time-of-day", 'day_start = "08:00"', 'day_start = "8:00"', "intervals.day_start", "8:00", "time of day", ""),
    ("length-of-no-hour", '"30min"', '"25min"', "intervals.length", "25min", "divides an hour", "15min"),
    ("shift-off-the-grid", 'end = "20:00"', 'end = "20:10"', "intervals.shifts[1].end", "20:10", "interval begins", '"20:00"'),
    ("shift-twice", 'id = "night"', 'id = "day"', "intervals.shifts[2].id", "again", "its own", "shifts[1]"),
    ("empty-shift", 'end = "20:00"', 'end = "08:00"', "intervals.shifts[1].end", "begins", "another", ""),
    ("tariff-off-the-grid", VALLEY, '["00:00-08:00", "22:00-23:50", "23:50-24:00"]', "", "23:50", "every 30 min", "23:30"),
    ("hours-in-no-tariff", PEAK, '["08:00-21:00"]', "intervals.tariffs", "21:00-22:00 in no tariff period in month 1, 2, 3", "exactly one", "add"),
    ("hours-in-two-tariffs", VALLEY, '["00:00-08:30", "22:00-24:00"]', "", "08:00-08:30 is valley and", "exactly one", "take"),
    ("months-in-no-tariff", "months = [7, 8]", "months = [7]", "intervals.tariffs", "08:00-22:00 in no tariff period in month 8", "every month", "add"),
    ("hours-across-midnight", PEAK, '["22:00-08:00"]', "intervals.tariffs[2].hours[1]", "22:00-08:00", "write two", ""),
    ("thirteenth-month", "months = [7, 8]", "months = [7, 13]", "intervals.tariffs[3].months[2]", "13", "12", ""),
    # aggregates
    ("aggregate-like-a-meter", 'id = "plant"', 'id = "water"', "aggregates.water.id", "again", "its own", "meters.water"),
    ("unknown-meter", TERM, TERM.replace("pump", "pmup"), "aggregates.plant.terms[2].meter", "pmup-2", "pump-2", "pump-2"),
    ("unknown-channel", TERM, TERM.replace("import", "imported"), "aggregates.plant.terms[2].channel", "imported", ENERGY, ENERGY),
    ("gauge", TERM, 'meter = "boiler-1"\nchannel = "flow_mass"', "aggregates.plant.terms[2].channel", "flow_mass", "none", "report = true"),
    ("reported-gauge", TERM, 'meter = "water"\nchannel = "flow_volume"', "aggregates.plant.terms[2].channel", "flow_volume", "volume_forward", ""),
    ("another-unit", TERM, 'meter = "water"\nchannel = "volume_forward"', "aggregates.plant.terms[2].channel", "m³", "kW·h, as of terms[1]", "two aggregates"),
    ("term-twice", TERM, TERM.replace("pump-2", "feeder-1"), "aggregates.plant.terms[2]", "again", "once", "weight = 2"),
    ("no-terms", 'id = "plant"', 'id = "x"\nterms = []\n[[aggregates]]\nid = "plant"', "aggregates.x.terms", "list", "not empty", ""),
    ("weight", 'sign = "-"', "weight = 0", "aggregates.plant.terms[2].weight", "0", "above 0", ""),
    ("unreported", 'unit = "m3"\n', 'unit = "m3"\nreport = false\n[[aggregates]]\nid = "w"\nterms = [{ meter = "water", channel = "volume_forward" }]\n', "aggregates.w.terms[1].channel", "volume_forward", "water has none", "report = true"),
    # who sends it, and where to
    ("no-region", 'region = "330100"\n', "", "site.region", "nothing", "sinks.regulator sends it", '"330100"'),
    ("region-too-short", '"330100"', '"3301"', "site.region", "3301", "6 digits", ""),
    ("region-not-ascii", '"330100"', '"３３０１００"', "site.region", "３", "6 digits", ""),
    ("no-enterprise", 'enterprise = "91350100M000100Y43"\n', "", "site.enterprise", "nothing", "18 digits", "营业执照"),
    ("enterprise-in-small-letters", "M000100Y43", "m000100y43", "site.enterprise", "m000100y43", "18 digits", '"91350100M000100Y43"'),
    ("enterprise-with-an-o", "M000100Y43", "MO00100Y43", "site.enterprise", '"O"', "without I O S V Z", "营业执照"),
    ("wrong-check-character", "M000100Y43", "M000100Y4Z".replace("Z", "4"), "site.enterprise", "check character", '"3"', "exchanged"),
    ("exchanged-characters", "M000100Y43", "M001000Y43", "site.enterprise", "check character", "GB 32100-2015", "exchanged"),
    ("same-broker-twice", FEED, FEED + FEED.replace("regulator", "again").replace("feed.ex", "Feed.ex"), "sinks.again.host", "Feed.example.org:8883", "its own", '"regulator"'),
    ("same-bucket-twice", DATABASE, DATABASE + DATABASE.replace("regulator-db", "again"), "sinks.again.url", "bucket b", "its own", '"regulator-db"'),
    ("size-of-history", '[intervals]\n', '[history]\nsize_max = "1MiB"\n[intervals]\n', "history.size_max", "1MiB", "16MiB", "16MiB"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "path", "found", "expected", "suggestion"),
    [pytest.param(*m[1:], id=m[0]) for m in MISTAKES],
)
def test_a_mistake_is_found(
    old: str, new: str, path: str, found: str, expected: str, suggestion: str, tmp_path: Path
) -> None:
    assert old in RIGHT
    there = findings(RIGHT.replace(old, new, 1), tmp_path)
    if path:
        assert [finding.path for finding in there] == [path]
    finding = there[0]
    assert found in finding.found
    assert expected in finding.expected
    assert suggestion in finding.suggestion


def test_what_is_right_has_no_finding(tmp_path: Path) -> None:
    assert findings(RIGHT, tmp_path) == ()
    site = from_toml(RIGHT, tmp_path / "site.toml")
    assert (site.intervals.length_s, site.intervals.month_day) == (1800.0, 26)
    assert [term.sign for term in site.aggregates[0].terms] == ["+", "-"]


def test_defaults_need_nothing(tmp_path: Path) -> None:
    site = from_toml(SITE, tmp_path / "site.toml")
    assert (site.intervals.length_s, site.intervals.grace_s) == (900.0, 30.0)
    assert (site.history.keep_s, site.history.size_max_bytes) == (200 * 86_400.0, 4 << 30)
    assert (site.feed.prefix, site.aggregates) == ("emc/v1", ())


def test_a_grace_may_be_longer_than_an_interval(tmp_path: Path) -> None:
    text = RIGHT.replace('length = "30min"', 'length = "1min"\ngrace = "10min"')
    assert findings(text, tmp_path) == ()


def test_a_sender_is_not_asked_for_where_nothing_is_sent(tmp_path: Path) -> None:
    assert findings(changed(("[site]\n", '[site]\nenterprise = "old"\n')), tmp_path) == ()


def test_a_length_is_refused_where_a_change_of_the_clock_would_cut_it(tmp_path: Path) -> None:
    text = RIGHT.replace("Asia/Shanghai", "Australia/Lord_Howe").replace('"30min"', '"1h"')
    (finding,) = findings(text, tmp_path)
    assert finding.path == "intervals.length"
    assert "Australia/Lord_Howe" in finding.expected
    assert findings(text.replace('"1h"', '"30min"'), tmp_path) == ()


def test_two_brokers_and_two_buckets_are_fine(tmp_path: Path) -> None:
    more = FEED.replace("regulator", "plant").replace("feed.", "mine.")
    more += DATABASE.replace("regulator-db", "own-db").replace('"b"', '"c"')
    assert findings(RIGHT.replace(FEED, FEED + more), tmp_path) == ()


def test_a_disabled_meter_and_a_meter_of_variables_may_be_terms(tmp_path: Path) -> None:
    variable = '[meters.variables.mass]\nid = "ns=2;s=Boiler1.Sum"\nquantity = "mass"\nunit = "t"\n[meters.variables.flow_mass]'
    steam = (
        '[[aggregates]]\nid = "steam"\nterms = [{ meter = "boiler-1", channel = "mass", weight = "0.5" }]\n'
    )
    text = RIGHT.replace("[meters.variables.flow_mass]", variable).replace(
        "unit = 2\n", "unit = 2\nenabled = false\n"
    )
    assert findings(text + steam, tmp_path) == ()


def test_a_meter_with_faults_of_its_own_is_told_of_once(tmp_path: Path) -> None:
    text = RIGHT.replace('profile = "acrel-adl3000"', 'profile = "acrel-adl3001"')
    assert [finding.path for finding in findings(text, tmp_path)] == ["meters.pump-2.profile"]
    text = RIGHT.replace("unit = 2\n", 'unit = 2\nchannels = ["nothing"]\n')
    assert [finding.path for finding in findings(text, tmp_path)] == ["meters.pump-2.channels[1]"]


def test_a_fault_in_a_table_does_not_hide_what_else_is_wrong(tmp_path: Path) -> None:
    text = RIGHT.replace("month_day = 26", "month_day = 31").replace("M000100Y43", "M000100Y44")
    text = text.replace('"Asia/Shanghai"', '"Asia/Shangai"').replace(PEAK, '["08:00-21:00"]')
    assert [finding.path for finding in findings(text, tmp_path)] == [
        "site.timezone",
        "site.enterprise",
        "intervals.month_day",
        "intervals.tariffs",
    ]


def test_check_characters_of_the_standards_own_examples() -> None:
    """Source: GB 32100-2015, and a public walk through its algorithm."""
    assert check_character("91350100M000100Y4") == "3"
    assert check_character("11320000MB151840X") == "J"
    assert check_character("0" * 17) == "0"


def test_every_single_wrong_character_and_most_exchanges_show() -> None:
    first = "91350100M000100Y4"
    for i in range(17):
        for other in ALPHABET:
            if other != first[i]:
                assert check_character(first[:i] + other + first[i + 1 :]) != "3"
