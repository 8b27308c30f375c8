"""Reported quantities of intervals: exact, told again with a higher rev when a meter's interval closes again, also in another epoch."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from gateway.config.site_file import from_toml
from gateway.derive.telling import Teller
from gateway.feed.contract import AggregateBody
from tests.unit.history_site import SITE
from tests.unit.sums_rig import KEY, LENGTH_NS, at, grid, interval

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.derive.messenger import Messenger
    from gateway.intervals.model import Interval

T0 = at("2026-08-01T00:00")
NET = f"""
[[aggregates]]
id = "net"
terms = [
  {{ meter = "m-1", channel = "{KEY}" }},
  {{ meter = "m-2", channel = "{KEY}", sign = "-", weight = "0.5" }},
]
codes = {{ code = "0000000002330001" }}
"""


@pytest.fixture
def teller(tmp_path: Path) -> Teller:
    return Teller(from_toml(SITE + NET, tmp_path / "site.toml"), grid(), None)


def told(teller: Teller, *together: Interval) -> dict[str, Any]:
    (body,) = teller.aggregates(together)
    AggregateBody.model_validate(body)
    return body


def test_it_is_signed_weighted_exact_and_has_its_codes(teller: Teller) -> None:
    body = told(teller, interval(T0, "10.1", "13.4"), interval(T0, 5, 6, "m-2"), interval(T0, 0, 900, "m-3"))
    assert body == {
        "aggregate": "net", "period": "interval", "t0": "2026-08-01T00:00:00.000+08:00", "t1": "2026-08-01T00:15:00.000+08:00",
        "rev": 0, "unit": "kWh", "value": "2.8", "missing": [], "codes": {"dataCode": "0000000002330001", "inputType": "4", "statType": "0"},
    }  # fmt: skip


def test_it_is_unknown_if_one_term_is_or_is_not_there(teller: Teller) -> None:
    unknown = told(teller, interval(T0, 10, None), interval(T0, 5, 6, "m-2"))
    assert (unknown["value"], unknown["missing"]) == (None, ["m-1"])
    absent = told(teller, interval(T0, 10, 11))
    assert (absent["value"], absent["missing"]) == (None, ["m-2"])


class Said:
    """Takes what is said in place of a messenger."""

    def __init__(self) -> None:
        self.revs: list[dict[str, int]] = []

    def say(self, _: str, body: dict[str, Any]) -> None:
        self.revs.append({one["aggregate"]: one["rev"] for one in body["aggregates"]})


@pytest.mark.parametrize(("is_told", "revs"), [(True, [1, 2, 3]), (False, [0, 1, 2])])
def test_its_rev_rises_by_one_each_time_its_meters_close_again_and_begins_at_0(
    tmp_path: Path, is_told: bool, revs: list[int]
) -> None:
    said = Said()
    teller = Teller(from_toml(SITE + NET, tmp_path / "site.toml"), grid(), cast("Messenger", said))
    first, other, foreign = interval(T0, 10, 11), interval(T0, 5, 6, "m-2"), interval(T0, 0, 1, "m-3", rev=7)
    late, read = replace(first, rev=1, cause="late"), replace(other, rev=2, cause="replay")
    kept: dict[str, Any] = {}
    for together in (
        [late, replace(other, rev=1, cause="late"), foreign],
        [late, read, foreign],
        [late, read, replace(foreign, rev=8, cause="late")],  # no term of it
        [late, read, replace(first, epoch=1), foreign],
    ):
        kept = orjson.loads(orjson.dumps(teller.anew(together, kept, lambda *_: is_told)))
    assert [one["net"] for one in said.revs] == revs
    assert teller.anew([], kept, lambda *_: is_told) == {}
    assert told(teller, first, other)["rev"] == 0


def test_a_time_that_came_in_two_epochs_counts_twice(teller: Teller) -> None:
    again = interval(T0, 11, 14, epoch=1)
    body = told(teller, interval(T0, 10, 11), interval(T0, 5, 6, "m-2"), again)
    assert Decimal(body["value"]) == Decimal("3.5")
    assert (
        told(teller, interval(T0, 10, 11), interval(T0, 5, 6, "m-2"), interval(T0, 11, None, epoch=1))[
            "value"
        ]
        is None
    )
    assert again.end_ns - again.start_ns == LENGTH_NS
