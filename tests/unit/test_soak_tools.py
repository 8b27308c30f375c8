from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from gateway.config.site_file import load
from simulators.plan import load_plan
from tests.sim.sizes import sizes
from tests.soak.plant import CYCLE_S, IDLE_CHANNELS, idle_site, repeated_faults
from tests.soak.run import faults_found
from tests.soak.slope import slope

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "lost": 0,
    "crashes": {},
    "rss_second_half_mb_h": 1.0,
    "rss_slope_mb_h": 2.0,
    "idle_cpu_fraction": 0.005,
}


def test_a_slope_is_found_with_its_error() -> None:
    exact = slope([0, 1, 2, 3], [5, 7, 9, 11])
    assert exact.slope == pytest.approx(2)
    assert exact.error == pytest.approx(0)
    # by hand: mean 1.5 and 8; rises 2.2; residuals 0.3 -0.9 0.9 -0.3, squares 1.8, over 2 and 5
    scattered = slope([0, 1, 2, 3], [5, 6, 10, 11])
    assert scattered.slope == pytest.approx(2.2)
    assert scattered.error == pytest.approx((1.8 / 2 / 5) ** 0.5)


def test_the_bad_day_comes_again_and_ends_in_time(tmp_path: Path) -> None:
    path = repeated_faults(tmp_path / "faults.toml", 400)
    plan = load_plan(path)
    faults = tomllib.loads(path.read_text())["faults"]
    pulled = [fault["from"] for fault in faults if fault["kind"] == "unplugged"]
    assert pulled == [f"{70 + CYCLE_S * n:g}s" for n in range(3)]
    assert len([fault for fault in faults if fault["kind"] == "dead"]) == 1
    assert max(float(fault["to"].removesuffix("s")) for fault in faults) <= 400
    assert {link.kind for link in plan.links} == {"modbus-tcp", "serial", "opcua"}


def test_the_idle_site_is_six_channels_of_five_seconds(tmp_path: Path) -> None:
    site = load(idle_site(tmp_path, 1502, 1883))
    (meter,) = site.meters
    assert (len(meter.channels), meter.period_s) == (6, 5.0)
    assert set(meter.channels) == set(IDLE_CHANNELS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lost": 3}, "lost 3"),
        ({"crashes": {"link a": 1}}, "bugs"),
        ({"rss_slope_mb_h": 30.0, "rss_second_half_mb_h": 29.0}, "memory grows by 30.0 MB/h"),
        ({"idle_cpu_fraction": 0.02}, "idle gateway takes 2.00%"),
    ],
)
def test_a_soak_that_is_not_good_says_why(change: dict[str, object], told: str) -> None:
    assert faults_found(GOOD, 20) == []
    assert told in "; ".join(faults_found(GOOD | change, 20))


class Inner:
    def __init__(self) -> None:
        self.kept = [1, 2, 3]


def test_sizes_finds_containers_wherever_they_lie() -> None:
    Inner.__module__ = "gateway.made_up"
    held = {"a": Inner(), "b": Inner()}
    found = sizes(held)
    assert found["dict"] == 2
    assert found["dict[].kept"] == 6
    assert sizes({"call": held["a"].__init__})["dict[].kept"] == 3  # type: ignore[misc]
