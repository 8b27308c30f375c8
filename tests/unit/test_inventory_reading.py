"""Files that are no inventory are told what to do; an inventory against a site file; TOML and JSON."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import orjson
import pytest

from gateway.config.site_file import from_toml
from gateway.errors import ConfigError
from gateway.inventory.check import check, check_against_site
from gateway.inventory.reading import from_body, load
from gateway.inventory.toml_text import toml_text
from tests.unit.config_site import SITE
from tests.unit.inventory_plant import PLANT, changed, plant

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.errors import Finding

METER = 'meter = "feeder-1"\nchannel = "energy_active_import_total"\n'


@pytest.mark.parametrize(
    ("name", "content", "found", "hint"),
    [
        ("i.toml", "[organization]\nname = “x”".encode(), "Invalid value", "full-width"),
        ("i.toml", '[organization]\nname = "示例"'.encode("gbk"), "not UTF-8 in line 2", "GBK"),
        ("i.toml", b"a = " + b"[" * 5000, "nested beyond", ""),
        ("i.json", b'{"organization": ', "line 1", ""),
        ("i.json", b"[]", "a list", "docs/specs/inventory.md"),
        ("i.csv", b"", '".csv"', ""),
        ("i.xls", b"", '".xls"', ""),
        ("i.xlsx", b"PK nothing", "broken", ".xls has"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, found: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load(path)
    (finding,) = refused.value.findings
    assert found in finding.found
    assert hint in finding.suggestion


@pytest.mark.parametrize("name", ["i.toml", "i.json", "i.xlsx"])
def test_no_such_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / name)


def test_a_file_without_organization() -> None:
    with pytest.raises(ConfigError) as refused:
        from_body({}, "x")
    assert [one.path for one in refused.value.findings] == ["organization"]


def test_toml_and_json_read_back_equal(tmp_path: Path) -> None:
    whole = plant()
    (tmp_path / "i.toml").write_text(toml_text(whole), encoding="utf-8")
    body = whole.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (tmp_path / "i.json").write_bytes(orjson.dumps(body))
    for name in ("i.toml", "i.json"):
        assert load(tmp_path / name) == whole
        assert load(tmp_path / name).digest == whole.digest
    assert check(whole) == []


def test_the_digest_follows_the_content_alone() -> None:
    same = tomllib.loads(PLANT)
    same["flows"][0]["state"] = "in_use"  # the default
    assert from_body(same, "x").digest == plant().digest
    same["flows"][0]["state"] = "standby"
    assert from_body(same, "x").digest != plant().digest


def against_site(text: str, tmp_path: Path) -> list[Finding]:
    site = from_toml(SITE, tmp_path / "site.toml")
    return check_against_site(from_body(tomllib.loads(text), "x"), site)


def test_an_inventory_that_fits_the_site(tmp_path: Path) -> None:
    assert against_site(PLANT, tmp_path) == []


@pytest.mark.parametrize(
    ("new", "path", "found", "hint"),
    [
        (METER.replace("feeder-1", "feeder-7"), "meter", "feeder-7", '"feeder-1"'),
        (METER.replace("feeder-1", "water"), "meter", "which the site file says is water", ""),
        (METER.replace("_total", "_totl"), "channel", "energy_active_import_totl", "energy_active_import_total"),
        (METER.replace("energy_active_import_total", "voltage_l1"), "channel", "voltage_l1", ""),
        ('meter = "feeder-1"\n', "channel", "nothing, but feeder-1 counts", "energy_"),
        ('channel = "volume"\n', "meter", "nothing", "meter"),
    ],
)  # fmt: skip
def test_what_the_site_does_not_have(new: str, path: str, found: str, hint: str, tmp_path: Path) -> None:
    first = against_site(changed((METER, new)), tmp_path)[0]
    assert first.path == f"instruments.em-101.{path}"
    assert found in first.found
    assert hint in first.suggestion


def test_the_meter_of_a_removed_instrument_may_be_gone(tmp_path: Path) -> None:
    gone = changed(
        (METER, METER.replace("feeder-1", "feeder-7")), ("installed = 2019-05-01", "removed = 2026-01-01")
    )
    assert against_site(gone, tmp_path) == []
