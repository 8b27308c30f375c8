"""Drawn plants: units of any depth, equipment, flows between all of them with amounts about the limits, and instruments."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.unit.fitting_rig import delivered, flow, instrument, machine, unit

KINDS = ("electricity", "natural_gas", "water", "steam", "refined_oil", "nitrogen")
FLOW_AMOUNTS = {
    "electricity": ("4 kW", "9.99 kW", "10 kW", "150 kW", "30000 kWh", ""),
    "natural_gas": ("9999 m3", "10000 m3", "400 m3", ""),
    "water": ("4999 t", "5000 m3", "2 t", ""),
    "steam": ("2500 GJ", "5000 GJ", ""),
    "refined_oil": ("39 t", "40 t", ""),
    "nitrogen": ("1000 m3", ""),
}
RATED = {
    "electricity": ("5 kW", "99.9 kW", "100 kW", ""),
    "natural_gas": ("99 m3/h", "100 m3/h", ""),
    "water": ("0.9 t/h", "1 m3/h", ""),
    "steam": ("6.99 MW", "7 MW", ""),
    "refined_oil": ("0.1 t/h", "0.5 t/h", ""),
    "nitrogen": ("10 m3/h", ""),
}
FAULTS: tuple[dict[str, Any], ...] = (
    {"role": "check"},
    {"status": "stopped"},
    {"measurement": "derived"},
    {"running": "repair"},
    {"verifications": []},
    {"accuracy_class": "2.0"},
    {"confirmation": None},
    {"removed": "2026-01-01"},
)
Body = dict[str, list[dict[str, Any]]]


@st.composite
def plants(draw: st.DrawFn) -> Body:
    """Draw the lists of an inventory."""
    units = [
        unit(
            f"u{n}",
            draw(st.sampled_from(["", *(f"u{m}" for m in range(n))])),
            draw(st.sampled_from(["accounting", "process"])),
            **(
                {"water": draw(st.sampled_from(FLOW_AMOUNTS["water"]))}
                if draw(st.integers(0, 5)) == 0
                else {}
            ),
        )
        for n in range(draw(st.integers(1, 5)))
    ]
    places = [one["id"] for one in units]
    machines = []
    for n in range(draw(st.integers(1, 6))):
        kinds = draw(st.sets(st.sampled_from(KINDS), min_size=1, max_size=3))
        rated = {kind: draw(st.sampled_from(RATED[kind])) for kind in sorted(kinds)}
        machines.append(machine(f"e{n}", draw(st.sampled_from(["", *places])), **rated))
    ends = [*places, *(one["id"] for one in machines)]
    flows = [_flow(draw, n, ends, machines) for n in range(draw(st.integers(2, 10)))]
    meters = [draw(one_instrument(f"i{n}", flows)) for n in range(draw(st.integers(0, 8)))]
    return {"units": units, "equipment": machines, "flows": flows, "instruments": meters}


def _flow(draw: st.DrawFn, n: int, ends: list[str], machines: list[dict[str, Any]]) -> dict[str, Any]:
    to_end = draw(st.sampled_from(["outside", "organization", *ends, *ends]))
    from_end = draw(st.sampled_from([one for one in ("outside", "organization", *ends) if one != to_end]))
    taken = [amount["energy_kind"] for one in machines if one["id"] == to_end for amount in one["amounts"]]
    kind = draw(st.sampled_from([*taken, *taken, *KINDS]))
    return flow(
        f"f{n}",
        f"{from_end}>{to_end}",
        kind,
        draw(st.sampled_from(FLOW_AMOUNTS[kind])),
        state=draw(st.sampled_from(["in_use", "in_use", "in_use", "standby", "disconnected"])),
        seasonal_heating=kind == "steam" and draw(st.booleans()),
        other_settlement=draw(st.sampled_from(["", "by area"])),
        origin=draw(st.sampled_from(["bought", "self_produced"])),
    )


@st.composite
def one_instrument(draw: st.DrawFn, id_: str, flows: list[dict[str, Any]]) -> dict[str, Any]:
    """Draw an instrument on one to three flows of one kind, faulty now and then."""
    first = draw(st.sampled_from(flows))
    same = [one["id"] for one in flows if one["energy_kind"] == first["energy_kind"]]
    names = draw(st.lists(st.sampled_from(same), min_size=1, max_size=3, unique=True))
    fault = draw(st.sampled_from([{}, {}, {}, *FAULTS]))
    return instrument(id_, *names, kind=first["energy_kind"], **fault)


@st.composite
def readings(draw: st.DrawFn, body: Body) -> dict[str, dict[str, Any]]:
    """Draw what some of the instruments of a plant delivered."""
    names = [one["id"] for one in body["instruments"] if draw(st.integers(0, 3))]
    return {name: delivered(draw(st.sampled_from([0, 1, 899, 900, 1000]))) for name in names}
