"""Uncertainty from class and chain, against figures computed by hand."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from gateway.fitting.uncertainty import accuracy, class_percent, expanded, rounded_up
from gateway.inventory.model import Instrument
from tests.unit.balance_rig import RULES, meter


def _instrument(**fields: Any) -> Instrument:
    return Instrument.model_validate({**meter("m", of_class=""), **fields})


def test_class_is_a_rectangular_distribution() -> None:
    # class 1: u = 1 %/√3 = 0.577 %, k = 2: 1.1547 %
    percent = accuracy(_instrument(accuracy_class="1.0")).expanded_percent
    assert percent is not None
    assert f"{percent:.4f}" == "1.1547"


def test_transformers_come_in_by_root_sum_of_squares() -> None:
    # √(0.5² + 0.2² + 0.5²) = 0.7348; · 2/√3 = 0.8485
    chain = [{"part": "ct", "accuracy_class": "0.2S"}, {"part": "vt", "accuracy_class": "0.5"}]
    known = accuracy(_instrument(accuracy_class="0.5S", chain=chain))
    assert known.expanded_percent is not None
    assert f"{known.expanded_percent:.4f}" == "0.8485"
    assert known.text == "0.5S + ct 0.2S + vt 0.5"


def test_chain_without_a_class_of_the_whole() -> None:
    # √(1² + 0.5² + 0.2²) = 1.1358; · 2/√3 = 1.3115
    chain = [
        {"part": "sensor", "accuracy_class": "1"},
        {"part": "transmitter", "accuracy_class": "0.5"},
        {"part": "computer", "accuracy_class": "0.2"},
    ]
    percent = accuracy(_instrument(chain=chain)).expanded_percent
    assert percent is not None
    assert f"{percent:.4f}" == "1.3115"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "its class is not known"),
        ({"accuracy_class": "1", "chain": [{"part": "ct"}]}, "class of its ct is not known"),
        ({"chain": [{"part": "sensor", "accuracy_class": "1"}, {"part": "computer"}]}, "class of its computer is not known"),
        ({"accuracy_class": "E"}, "its class E has no number"),
        ({"accuracy_class": "B", "category": "heat_meter"}, "its class B has no number"),
    ],
)  # fmt: skip
def test_unknown_class(fields: dict[str, Any], why: str) -> None:
    known = accuracy(_instrument(**fields), RULES.ladder)
    assert known.variance is None
    assert known.why.en == why
    assert not re.search("[a-z]{3}", known.why.zh)


def test_letters_mean_what_the_ruleset_says() -> None:
    assert class_percent("B", RULES.ladder, "electricity_meter") == 1
    assert class_percent("0.5S") == Decimal("0.5")
    assert class_percent("B") is None


def test_what_comes_in_and_goes_out_through_one_instrument_cancels() -> None:
    variance = Decimal("0.0001") / 3
    errors = {"m": (Decimal(100), variance)}
    assert expanded({"m": Decimal(0)}, errors) == 0
    # twice the amount: twice the uncertainty of one, not √2 of it
    assert f"{expanded({'m': Decimal(2)}, errors):.4f}" == "2.3094"


def test_two_digits_rounded_up() -> None:
    assert rounded_up(Decimal("1.2345")) == Decimal("1.3")
    assert rounded_up(Decimal(12001)) == Decimal(13000)
    assert rounded_up(Decimal(0)) == 0
