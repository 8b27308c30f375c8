"""抄表比对 behind transformers: the tolerance, a display that leaves the ratio out; and who is asked what."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from drivers import profiles
from gateway.commands import commission
from gateway.commissioning.asking import ask_until, yes_or_no
from gateway.commissioning.judgements import Ratio, Step, judge_display
from gateway.commissioning.ratios import display_ratios
from gateway.config.models import MeterConfig
from gateway.display import ratio, shown
from gateway.errors import MetergateError
from tests.unit.test_commission import KEY, reading

if TYPE_CHECKING:
    from collections.abc import Callable

CT40 = Ratio(Decimal(40), Decimal("0.40"))


def judged(display: str, gateway: str, applied: Ratio, power: str = "0") -> Step:
    now = reading(4.0, **{KEY: gateway, "power_active_total": power})
    return judge_display(KEY, shown(display, "energy_active_import"), now, [now], 60, applied)


@pytest.mark.parametrize(
    ("display", "gateway", "left_out", "power", "result"),
    [
        ("14014.0", "14014.4", None, "0", "pass"),  # one count of the meter behind
        ("14014.0", "14014.8", None, "0", "fail"),  # two
        ("14014.0", "14014.8", None, "24", "pass"),  # and 0.4 kWh in a minute
        ("350.35", "14014.4", True, "0", "pass"),
        ("350.35", "14014.8", True, "0", "fail"),
        ("350.3", "14016.0", True, "0", "pass"),  # the last digit that was read, times the ratio
        ("350.35", "14014.0", None, "0", "not judged"),  # secondary values, or a ratio counted twice?
        ("350.35", "14014.0", False, "0", "fail"),
        ("14014.0", "14014.0", True, "0", "fail"),
    ],
)
def test_tolerance_is_one_digit_times_the_ratio_and_the_lapse(
    display: str, gateway: str, left_out: bool | None, power: str, result: str
) -> None:
    step = judged(display, gateway, CT40._replace(left_out=left_out), power)
    assert step.result == result, step.text


def test_a_display_without_the_ratio_is_said_to_be_one() -> None:
    unclear = judged("350.35", "14014.0", CT40)
    assert "350.35x40" in unclear.text
    assert "counted twice" in unclear.text
    said = judged("350.35", "14014.0", CT40._replace(left_out=True))
    assert "350.35 x 40 = 14014.00" in said.text
    assert (said.detail["ratio"], said.detail["last_digit"]) == ("40", "0.40")
    assert "40 times" in judged("350.35", "14014.0", CT40._replace(left_out=False)).text


def test_what_one_count_of_a_meter_is_worth() -> None:
    profile = profiles.Library([profiles.shipped_dir()]).get("dlt645-2007")
    meter = MeterConfig.model_validate(
        {
            "id": "m",
            "link": "l",
            "profile": profile.id,
            "address": "000000000001",
            "energy_kind": "electricity",
            "period": "10s",
        }
    )
    found = display_ratios(meter, profile, {"ct": Decimal(40), "pt": Decimal(1)})
    assert found[KEY] == Ratio(Decimal(40), Decimal("0.40"))
    assert found["power_factor_total"].factor == 1
    assert display_ratios(meter, profile, {}) == {}


async def test_a_typo_is_asked_again_with_the_reason() -> None:
    asked: list[str] = []
    answers = ["abc", "1/0", "200/5"]

    async def prompt(question: str) -> str:
        asked.append(question)
        return answers[len(asked) - 1]

    assert await ask_until(prompt, "Ratio pt", ratio) == 40
    assert asked[0] == "Ratio pt"
    assert asked[1].startswith('"abc" is no ratio')
    assert asked[1].endswith("Ratio pt")
    answers[:] = ["maybe", ""]
    asked.clear()
    assert await ask_until(prompt, "?", yes_or_no) is None


def names(*answers: str) -> Callable[..., str]:
    left = list(answers)

    def prompt(_question: str, default: str | None = None) -> str:
        return left.pop(0) or default or ""

    return prompt


@pytest.mark.parametrize(
    ("login", "by", "answers", "who"),
    [
        ("li", "li", ("",), "li"),  # the login name is offered
        ("li", "li", ("Wang Wei",), "Wang Wei"),
        ("li", "Wang Wei", (), "Wang Wei"),  # --by
        ("root", "root", ("", "root", "Li Wei"), "Li Wei"),
    ],
)
def test_who_commissions_is_asked(
    monkeypatch: pytest.MonkeyPatch, login: str, by: str, answers: tuple[str, ...], who: str
) -> None:
    monkeypatch.setattr(commission, "user", lambda: login)
    monkeypatch.setattr("typer.prompt", names(*answers))
    assert commission._who(by, asks=True) == who


def test_root_signs_no_record_unasked() -> None:
    with pytest.raises(MetergateError, match="--by NAME"):
        commission._who("root", asks=False)
    assert commission._who("Li", asks=False) == "Li"
