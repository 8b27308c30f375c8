"""Usual verification periods: each row as in the table of regulations, and none where the inventory does not say enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConfigError
from gateway.inventory.model import ChainPart, Instrument
from gateway.inventory.periods import load, usual_period, usual_period_of_part, usual_periods

if TYPE_CHECKING:
    from pathlib import Path


def usual(category: str, **more: Any) -> tuple[str, int] | None:
    body = {"id": "i", "name": "仪表", "category": category} | more
    row = usual_period(Instrument.model_validate(body))
    return None if row is None else (row.regulation, row.months)


@pytest.mark.parametrize(
    ("category", "more", "months", "regulation"),
    [
        ("electricity_meter", {"accuracy_class": "0.5S"}, 72, "JJG 596-2012"),
        ("electricity_meter", {"accuracy_class": "0.2S"}, 72, "JJG 596-2012"),
        ("electricity_meter", {"accuracy_class": "1"}, 96, "JJG 596-2012"),
        ("electricity_meter", {"accuracy_class": "2.0"}, 96, "JJG 596-2012"),
        ("electricity_meter", {"name": "三相感应式电能表", "accuracy_class": "2"}, 72, "JJG 307-2006"),
        ("electricity_meter", {"name": "直流充电桩"}, 36, "JJG 1149-2022"),
        ("water_flow_meter", {"dn_mm": 15}, 72, "JJG 162-2019"),
        ("water_flow_meter", {"dn_mm": 25}, 48, "JJG 162-2019"),
        ("water_flow_meter", {"dn_mm": 50}, 48, "JJG 162-2019"),
        ("water_flow_meter", {"dn_mm": 65}, 24, "JJG 162-2019"),
        ("water_flow_meter", {"name": "电磁流量计", "dn_mm": 15}, 24, "JJG 1033"),
        ("gas_flow_meter", {"name": "膜式燃气表", "model": "CG-G1.6"}, 120, "JJG 577-2012"),
        ("gas_flow_meter", {"name": "膜式燃气表", "model": "G25"}, 36, "JJG 577-2012"),
        ("gas_flow_meter", {"name": "罗茨流量计", "accuracy_class": "1.0"}, 36, "JJG 633-2005"),
        ("gas_flow_meter", {"name": "腰轮流量计", "accuracy_class": "0.5"}, 24, "JJG 633-2005"),
        ("gas_flow_meter", {"name": "Turbine meter", "accuracy_class": "1.0"}, 24, "JJG 1037"),
        ("oil_flow_meter", {"name": "质量流量计", "accuracy_class": "1.0"}, 24, "JJG 1038"),
        ("steam_flow_meter", {"name": "涡街流量计"}, 24, "JJG 1029"),
        ("steam_flow_meter", {"name": "孔板流量计"}, 24, "JJG 640-2016"),
        ("heat_meter", {}, 36, "JJG 225-2001"),
        ("weighing", {"name": "电子皮带秤"}, 12, "JJG 195-2019"),
        ("weighing", {"name": "轨道衡"}, 12, "JJG 234-2012"),
        ("weighing", {"name": "汽车衡"}, 12, "JJG 539-2016"),
        ("pressure", {"name": "压力变送器"}, 12, "JJG 882"),
        ("pressure", {"name": "压力表"}, 6, "JJG 52-2013"),
        ("temperature", {"model": "WZP Pt100"}, 12, "JJG 229-2010"),
    ],
)
def test_the_usual_period(category: str, more: dict[str, Any], months: int, regulation: str) -> None:
    found = usual(category, **more)
    assert found is not None
    assert found[0].startswith(regulation)
    assert found[1] == months


@pytest.mark.parametrize(
    "more",
    [
        {"purpose": "settlement"},
        {"accuracy_class": "0.5"},
        {"accuracy_class": "0.2"},
        {"name": "插入式涡轮流量计"},
    ],
)
def test_flow_meters_for_trade_of_high_class_or_put_in_are_verified_yearly(more: dict[str, Any]) -> None:
    found = usual("gas_flow_meter", **({"name": "涡轮流量计", "accuracy_class": "1.0"} | more))
    assert found is not None
    assert found[1] == 12


@pytest.mark.parametrize(
    ("category", "more"),
    [
        ("electricity_meter", {}),
        ("water_flow_meter", {}),
        ("gas_flow_meter", {"name": "流量计"}),
        ("pressure", {}),
        ("gas_analyser", {}),
        ("other", {"name": "涡轮"}),
    ],
)
def test_none_where_the_inventory_does_not_say_enough(category: str, more: dict[str, Any]) -> None:
    assert usual(category, **more) is None


@pytest.mark.parametrize(
    ("part", "model", "months"),
    [("ct", "LZZBJ9", 120), ("vt", "JDZ10", 120), ("vt", "TYD 电容式", 48), ("meter", "", None)],
)
def test_parts_of_a_chain(part: str, model: str, months: int | None) -> None:
    row = usual_period_of_part(ChainPart.model_validate({"part": part, "model": model}))
    assert (None if row is None else row.months) == months


def test_ids_are_unique_and_every_row_names_its_source() -> None:
    rows = usual_periods()
    assert len({row.id for row in rows}) == len(rows)
    assert all(("recalled" in row.source) == (row.confidence in {"R", "r", "U"}) for row in rows)
    assert all(bool(row.categories) != bool(row.parts) for row in rows)


def test_a_table_with_a_fault_is_told(tmp_path: Path) -> None:
    file = tmp_path / "periods.toml"
    file.write_text('[[periods]]\nid = "x"\nmonhts = 12\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="did you mean `months`"):
        load(file)
