"""Physics: deterministic, counters are the integral of what stands beside them, they rise and roll over."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest

from simulators.physics import MODELS, REQUIRED, find, is_counter
from simulators.plan import load_plan
from simulators.site import Site
from simulators.waves import DAY_S, load

if TYPE_CHECKING:
    from pathlib import Path

START_NS = 1_795_316_400_000_000_000
NS = 1_000_000_000
COUNTED = {  # counter -> what it is the integral of
    "electricity": ("energy_active_import_total", "power_active_total"),
    "water": ("volume_forward", "flow_volume"),
    "heat": ("energy_heat", "power_thermal"),
    "gas": ("volume_normal", "flow_volume_normal"),
    "compressed_air": ("volume_normal", "flow_volume_normal"),
    "steam": ("mass", "flow_mass"),
    "stack": ("volume_normal", "flue_gas_flow"),
}
PARAMETERS = {"power_kw": 80.0, "flow_m3_h": 30.0, "flow_t_h": 6.0, "supply_c": 80.0, "return_c": 60.0}


@pytest.mark.parametrize("model", COUNTED)
def test_a_counter_is_the_integral_of_its_flow(model: str) -> None:
    made = MODELS[model](Random(3), PARAMETERS)
    counter, flow = COUNTED[model]
    start_s, steps, dt_s = 5e6, 4000, 0.5
    amount = made.state(start_s + steps * dt_s)[counter] - made.state(start_s)[counter]
    summed = sum(made.state(start_s + (i + 0.5) * dt_s)[flow] for i in range(steps)) * dt_s
    assert amount == pytest.approx(summed, rel=2e-5)


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_plant_and_counters_only_rise(model: str) -> None:
    one, same, other = (MODELS[model](Random(seed), PARAMETERS) for seed in (3, 3, 4))
    times = [2e7 + 0.2 * i for i in range(50)] + [2e7 + DAY_S * i for i in range(1, 20)]
    states = [one.state(t) for t in times]
    assert states == [same.state(t) for t in times]
    assert states[0] != other.state(times[0])
    for before, after in pairwise(states):
        for key in before:
            if is_counter(key):
                assert after[key] >= before[key], key


def test_power_is_highest_by_day() -> None:
    wave = load(Random(1), 100.0)
    noon, night = wave.at(13 * 3600), wave.at(3 * 3600)
    assert night < 90.0
    assert noon > 110.0
    with pytest.raises(ValueError, match="below 1"):
        load(Random(1), 100.0, swing=0.8, noise=0.3)


def test_three_phases_agree_with_their_totals() -> None:
    state = MODELS["electricity"](Random(5), PARAMETERS).state(1e6)
    for quantity in ("power_active", "power_reactive", "energy_active_import"):
        assert sum(state[f"{quantity}_l{n}"] for n in (1, 2, 3)) == pytest.approx(state[f"{quantity}_total"])
    assert state["power_active_l1"] == pytest.approx(state["voltage_ln_l1"] * state["current_l1"] * 0.93)
    assert state["voltage_ll_l12"] == pytest.approx(state["voltage_ln_l1"] * 3**0.5, rel=0.03)


def test_find_falls_back_to_the_quantity() -> None:
    state = {"energy_active_import_total": 1.0, "temperature": 2.0}
    assert (
        find(state, "energy_active_import_total_t1", "energy_active_import") == "energy_active_import_total"
    )
    assert find(state, "energy_active_import", "energy_active_import") == "energy_active_import_total"
    assert find(state, "temperature_medium", "temperature") == "temperature"
    assert find(state, "status_alarm", "status") == ""


def test_every_model_names_what_it_needs() -> None:
    for model in MODELS:
        MODELS[model](Random(1), dict.fromkeys(REQUIRED[model], 10.0)).state(0)


def test_a_counter_rolls_over_when_the_plan_says(plant_file: Path) -> None:
    site = Site(load_plan(plant_file), START_NS)
    channel = ("feeder", "energy_active_import_total")

    def reading(after_s: float) -> float:
        return site.truth(*channel, START_NS + round(after_s * NS), "kWh")

    assert 999_990 < reading(0) <= reading(9.4) < 1_000_000
    assert 0 <= reading(10.4) < 1
    assert reading(3600) == pytest.approx(90, rel=0.6)


def test_truth_is_reproducible_and_holds_between_measurements(plant_file: Path) -> None:
    one, same = (Site(load_plan(plant_file), START_NS) for _ in range(2))
    times = [START_NS + i * 37_000_000 for i in range(200)]
    values = [one.truth("boiler", "mass_total", t, "kg") for t in times]
    assert values == [same.truth("boiler", "mass_total", t, "kg") for t in times]
    assert values == sorted(values)
    held = {one.truth("feeder", "voltage_ln_l1", START_NS + i * 1_000_000, "V") for i in range(200)}
    assert len(held) == 1
    assert one.truth("boiler", "flow_mass", times[0], "kg/h") == pytest.approx(
        one.truth("boiler", "flow_mass", times[0], "t/h") * 1000
    )
