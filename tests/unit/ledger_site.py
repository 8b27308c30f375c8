"""A site with an inventory beside it, and the command run on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from gateway.commands.cli import app
from tests.unit.balance_rig import flow, meter
from tests.unit.test_config_periods import RIGHT

if TYPE_CHECKING:
    from pathlib import Path

UNITS = "ua", "ub"


def ledger() -> dict[str, Any]:
    """Return a plant of two units: 1 meter at level 1, 2 at level 2, 12 of machines."""
    machines = [f"machine-{n:02}" for n in range(12)]
    flows = [flow("in", "outside", "organization")]
    flows += [flow(f"to-{unit}", "organization", unit) for unit in UNITS]
    flows += [flow(f"to-{one}", "ua", one) for one in machines]
    amounts = [{"energy_kind": "electricity", "rated": "5 kW"}]
    return {
        "organization": {"name": "水泥厂"},
        "units": [{"id": one, "name": one, "role": "accounting"} for one in UNITS],
        "equipment": [{"id": one, "name": one, "unit": "ua", "amounts": amounts} for one in machines],
        "flows": flows,
        "instruments": [meter(f"m-{one['id']}", one["id"], serial=f"S-{one['id']}") for one in flows],
    }


def make_site(folder: Path) -> Path:
    """Return a site file with an inventory beside it that nobody has applied."""
    file = folder / "site.toml"
    head = 'id = "plant-1"\nstate_dir = "state"'
    inventory = '\n[inventory]\nfile = "inventory.json"\n'
    file.write_text(RIGHT.replace('id = "plant-1"', head, 1) + inventory)
    (folder / "state").mkdir(mode=0o700)
    (folder / "inventory.json").write_text(json.dumps(ledger()))
    return file


def run(site: Path, *words: str) -> Any:
    """Return what a command prints with --json. Raises what it raised."""
    done = CliRunner().invoke(app, [*words, "--config", str(site), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
