"""What differs between two site files is told by the paths findings have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.difference import ENTRIES_MAX, difference
from gateway.config.site_file import from_toml
from tests.unit.config_site import SITE, changed

if TYPE_CHECKING:
    from pathlib import Path


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(entry["path"], entry["before"], entry["after"]) for entry in difference(before, after)]


def test_the_content_of_a_site_is_plain_and_stands_for_its_digest(tmp_path: Path) -> None:
    site = from_toml(SITE, tmp_path / "site.toml")
    assert site.body["meters"][0]["period"] == "10s"
    same = from_toml("# again\n" + SITE, tmp_path / "other.toml")
    assert same.body == site.body
    assert difference(site.body, same.body) == []


def test_changes_of_a_site_are_told_where_they_are(tmp_path: Path) -> None:
    before = from_toml(SITE, tmp_path / "site.toml")
    after = from_toml(
        changed(("unit = 2\n", "unit = 9\n"), ('unit = "m3"', 'unit = "m3"\nlow = 0')), tmp_path / "s"
    )
    assert told(dict(before.body), dict(after.body)) == [
        ("meters.pump-2.unit", 2, 9),
        ("meters.water.override.volume_forward.low", None, 0),
    ]


def test_a_meter_that_is_new_or_gone_or_moved() -> None:
    one, two = {"id": "m1", "period": "10s"}, {"id": "m2", "period": "60s"}
    assert told({"meters": [one]}, {"meters": [two, one]}) == [
        ("meters.m2.id", None, "m2"),
        ("meters.m2.period", None, "60s"),
    ]
    assert told({"meters": [one, two]}, {}) == [
        ("meters.m1.id", "m1", None),
        ("meters.m1.period", "10s", None),
        ("meters.m2.id", "m2", None),
        ("meters.m2.period", "60s", None),
    ]
    assert told({"meters": [one, two]}, {"meters": [two, one]}) == []
    assert told({"meters": []}, {"meters": [one]})[0] == ("meters.m1.id", None, "m1")


def test_lists_without_ids_are_one_value() -> None:
    assert told({"a": [1, 2]}, {"a": [2, 1]}) == [("a", [1, 2], [2, 1])]
    assert told({"a": [{"b": 1}]}, {"a": [{"b": 2}]}) == [("a", [{"b": 1}], [{"b": 2}])]
    assert told({"a": [{"id": "x"}, {"id": "x"}]}, {"a": [{"id": "x"}]})[0][0] == "a"


def test_what_is_alike_to_python_but_not_to_a_reader_differs() -> None:
    assert told({"a": True}, {"a": 1}) == [("a", True, 1)]
    assert told({"a": [1]}, {"a": [1.0]}) == [("a", [1], [1.0])]
    assert told({"a": {}}, {}) == [("a", {}, None)]


def test_odd_keys_are_quoted_and_long_values_cut() -> None:
    ((path, _, after),) = told({"labels": {"a b": "x"}}, {"labels": {"a b": "y" * 1000}})
    assert path == 'labels."a b"'
    assert after == "y" * 199 + "…"
    ((_, _, after),) = told({}, {"a": list(range(1000))})
    assert len(after) == 200


def test_many_changes_end_in_a_count() -> None:
    found = difference({}, {"meters": [{"id": f"m{i}", "unit": i} for i in range(300)]})
    assert len(found) == ENTRIES_MAX + 1
    assert found[-1] == {"path": "", "before": None, "after": None, "more": 600 - ENTRIES_MAX}
