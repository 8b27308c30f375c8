"""Each judgement of a commissioning: what passes, what fails, what cannot be judged."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from typing import Any

import pytest

from gateway.commissioning.judgements import (
    Reading,
    Step,
    Value,
    judge_clock,
    judge_direction,
    judge_display,
    judge_ratio,
)
from gateway.commissioning.record import record
from gateway.display import Shown, pairs, ratio, shown
from gateway.errors import MetergateError
from gateway.model import Flag

KEY = "energy_active_import_total"
UNITS = {"power": "kW", "energy": "kW·h", "flow_v": "m³/h", "volume": "m³"}


def reading(at_s: float = 0.0, /, **numbers: str | None) -> Reading:
    values = {}
    for key, text in numbers.items():
        unit = next((u for start, u in UNITS.items() if key.startswith(start)), "1")
        kind = "counter" if key.startswith(("energy", "volume")) else "gauge"
        flags = int(Flag.SENTINEL) if text is None else 0
        values[key] = Value(None if text is None else Decimal(text), unit, kind, flags)
    return Reading(at_s, values)


def direction(expect: Any = "import", **numbers: str) -> Step:
    return judge_direction([reading(0.0, **numbers), reading(2.0, **numbers)], expect)


@pytest.mark.parametrize(
    ("numbers", "expect", "result", "said"),
    [
        ({"power_active_total": "12.5"}, "import", "pass", "12.5 kW"),
        ({"power_active_total": "-12.5"}, "import", "fail", "import was expected"),
        ({"power_active_total": "-12.5"}, "export", "pass", "-12.5 kW"),
        ({"power_active_total": "12.5"}, "export", "fail", "export was expected"),
        ({"power_active_total": "0"}, "import", "not judged", "under load"),
        ({"power_active_total": "4", "power_active_l1": "3", "power_active_l2": "-2", "power_active_l3": "3"},
         "import", "fail", "L2 -2 kW"),
        ({"power_active_l1": "1", "power_active_l2": "1", "power_active_l3": "1"}, "import", "pass", "3 kW"),
        ({"flow_volume": "2"}, "import", "pass", "forward"),
        ({"flow_volume": "-2"}, "import", "fail", "wrong way"),
        ({"flow_volume": "0"}, "import", "not judged", "nothing flows"),
        ({"temperature": "20"}, "import", "not judged", "no power or flow"),
    ],
)  # fmt: skip
def test_direction(numbers: dict[str, str], expect: Any, result: str, said: str) -> None:
    step = direction(expect, **numbers)
    assert step.result == result
    assert said in step.text


def test_direction_by_what_the_counters_do() -> None:
    still, moved = reading(volume="5"), reading(volume="5.01")
    assert judge_direction([still, moved], "import").result == "pass"
    assert judge_direction([still, still], "import").result == "not judged"
    turned = [reading(power_active_total="0", energy_active_export_total=text) for text in ("1", "1.1")]
    assert judge_direction(turned, "import").result == "fail"


def test_ratio_against_the_plate() -> None:
    assert judge_ratio("ct", Decimal(40), "meter", ratio("200/5")).result == "pass"
    wrong = judge_ratio("ct", Decimal(60), "site file", ratio("200/5"))
    assert wrong.result == "fail"
    assert "correct ratios.ct" in wrong.text
    assert judge_ratio("ct", Decimal(40), "meter", None).result == "not judged"


def test_clock() -> None:
    assert judge_clock(False, None, "").result == "fail"
    assert "-3 s off" in judge_clock(False, -3.0, "").text
    assert judge_clock(True, None, "not read").result == "pass"
    assert judge_clock(True, -59.0, "").result == "pass"
    assert judge_clock(True, 61.0, "").result == "fail"


@pytest.mark.parametrize(
    ("display", "gateway", "power", "elapsed_s", "result"),
    [
        ("1234.5", "1234.5", "0", 0, "pass"),
        ("1234.5", "1234.6", "0", 0, "pass"),  # one last digit
        ("1234.5", "1234.7", "0", 0, "fail"),
        ("1234.5", "1234.7", "6", 60, "pass"),  # 0.1 kWh in a minute
        ("1234.5", "1234.71", "6", 60, "fail"),
        ("1234", "1234.99", "0", 0, "pass"),
        ("1234.50", "1234.52", "0", 0, "fail"),
    ],
)
def test_display_within_a_digit_and_the_lapse(
    display: str, gateway: str, power: str, elapsed_s: float, result: str
) -> None:
    seen = shown(display, "energy_active_import")
    now = reading(4.0, **{KEY: gateway, "power_active_total": power})
    step = judge_display(KEY, seen, now, [now], elapsed_s)
    assert step.result == result, step.text


def test_display_of_a_counter_without_power_lapses_by_its_own_rise() -> None:
    before, now = reading(0.0, volume="10.0"), reading(10.0, volume="10.1")
    seen = Shown(Decimal("10.0"), Decimal("0.01"))
    assert judge_display("volume", seen, now, [before], 10).result == "pass"
    assert judge_display("volume", seen, now, [before], 5).result == "fail"
    gauge = [reading(0.0, temperature="20"), reading(2.0, temperature="20.5")]
    assert (
        judge_display("temperature", Shown(Decimal("19.5"), Decimal("0.1")), gauge[1], gauge, 1).result
        == "fail"
    )
    assert (
        judge_display("temperature", Shown(Decimal("20.0"), Decimal("0.1")), gauge[1], gauge, 1).result
        == "pass"
    )


def test_display_says_what_a_difference_looks_like() -> None:
    now = reading(**{KEY: "49380"})
    assert "40 times" in judge_display(KEY, shown("1234.5", "energy_active_import"), now, [now], 0).text
    now = reading(**{KEY: "1234500"})
    assert "10^3" in judge_display(KEY, shown("1234.5", "energy_active_import"), now, [now], 0).text
    none = reading(**{KEY: None})
    assert judge_display(KEY, shown("1", "energy_active_import"), none, [none], 0).result == "fail"
    assert judge_display("volume", shown("1", "volume"), none, [none], 0).result == "not judged"


def test_what_is_typed() -> None:
    assert shown("1.20 MWh", "energy_active_import") == (Decimal("1200.00"), Decimal("10.00"))
    assert shown("00123.45", "energy_active_import") == (Decimal("123.45"), Decimal("0.01"))
    assert ratio("10000/100") == 100
    assert pairs(["a=1", "b = 2 kWh"], "x") == {"a": "1", "b": "2 kWh"}
    for wrong in ("", "1,5", "1.5 litres", "nan"):
        with pytest.raises(MetergateError):
            shown(wrong, "energy_active_import")
    for wrong in ("0", "-1", "5/0", "x", "1/0.0"):
        with pytest.raises(MetergateError):
            ratio(wrong)
    for twice in (["a"], ["=1"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(MetergateError):
            pairs(twice, "x")


def test_the_record_reads_back() -> None:
    odd = 'a "quote"\\ new\nline 抄表 \x7f\x01'
    text = record(
        {"meter": "m", "passed": True, "n": 1.5}, [Step("display x", "pass", odd, {"a.b": odd, "n": 1})]
    )
    found = tomllib.loads(text)
    assert (found["meter"], found["passed"], found["n"]) == ("m", True, 1.5)
    assert found["steps"] == [
        {"name": "display x", "result": "pass", "text": odd, "detail": {"a.b": odd, "n": 1}}
    ]
