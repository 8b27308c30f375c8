"""What `probe` shows of an OPC UA server: every variable with its value and unit, and channels it may be."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from asyncua import ua

from drivers.opcua import browse as browsing
from drivers.opcua.browse import browse
from drivers.opcua.variables import Variable, guess, propose
from gateway.clock import SystemClock
from gateway.errors import LinkDown
from tests.contract.opcua_server import PlantServer, new_link

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[PlantServer]:
    with PlantServer() as made:
        made.add_with_unit("SteamFlow", 12.5, "t/h")
        made.add_with_unit("Import", 815.25, "kW·h")
        made.add("Name", "boiler 1", ua.VariantType.String)
        made.add("Bits", [True, False], ua.VariantType.Boolean)
        yield made


async def found_on(server: PlantServer, **bounds: Any) -> browsing.Browsed:
    link = new_link(server.url)
    await link.open()
    found = await browse(link, SystemClock(), **bounds)
    await link.close()
    return found


async def test_variables_with_path_type_value_and_unit(
    server: PlantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "BATCH", 2)
    monkeypatch.setattr(browsing, "REFERENCES_MAX", 1)
    found = await found_on(server)
    assert found.is_whole
    by_name = {variable.path[-1]: variable for variable in found.variables}
    assert by_name["SteamFlow"] == Variable("ns=2;s=SteamFlow", ("SteamFlow",), "Double", 12.5, "Good", "t/h")
    assert by_name["Name"].value == "boiler 1"
    assert by_name["Bits"][2:4] == ("Boolean[2]", None)
    assert not any(variable.id.startswith("i=") for variable in found.variables), (
        "the server's own are left out"
    )


async def test_bounds_are_kept_and_told(server: PlantServer) -> None:
    found = await found_on(server, variables_max=2)
    assert len(found.variables) == 2
    assert not found.is_whole
    assert not (await found_on(server, depth_max=1)).is_whole


async def test_a_link_that_is_not_open_is_not_browsed(server: PlantServer) -> None:
    with pytest.raises(LinkDown, match="not open"):
        await browse(new_link(server.url), SystemClock())


def variable(name: str, unit: str, value: float | str | None = 1.5) -> Variable:
    return Variable(f'ns=3;s="{name}"', ("Plant", name), "Double", value, "Good", unit)


@pytest.mark.parametrize(
    ("name", "unit", "quantity"),
    [
        ("AcActivePowerTotal", "W", "power_active"),
        ("MMTR.TotWh", "kWh", "energy_active_total"),
        ("Meter 正向有功", "kWh", "energy_active_import"),
        ("Energy", "kWh", None),  # import or export: for people to say
        ("Heat", "GJ", "energy_heat"),
        ("T1", "°C", "temperature"),
        ("U12", "V", "voltage_ll"),
        ("Voltage", "V", None),
        ("Import", "m3", "volume"),  # the name alone decides nothing
        ("Flow", "", None),
        ("Flow", "furlongs", None),
    ],
)
def test_the_unit_decides_what_is_possible(name: str, unit: str, quantity: str | None) -> None:
    found = guess(variable(name, unit))
    assert (None if found is None else found.quantity) == quantity


def test_a_proposal_is_toml_whose_unknowns_are_comments() -> None:
    text = propose(
        [
            variable("I.L1", "A"),
            variable("Flow", "m³/h"),
            variable("Flow\n[evil]", "m³/h"),
            variable("State", "", "on"),
        ]
    )
    tables = tomllib.loads(text)["meters"]["variables"]
    assert set(tables) == {"current_l1", "flow_volume", "flow_volume_2"}
    assert tables["current_l1"] == {"id": 'ns=3;s="I.L1"', "quantity": "current", "unit": "A"}
    assert "# Plant/State: Double on;" in text
    assert propose([]) == ""
