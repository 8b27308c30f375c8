"""How fast fitting rates are: 5 000 instruments, 2 000 pieces of equipment and 6 000 flows, evaluated, reported, and as a whole command.

The evaluation alone is measured in this process; page, workbook and command are those of `metergate fitting`, its start included.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, Any

from gateway.evidence.evidence_file import read_evidence
from gateway.fitting.evaluate import evaluate
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.reading import load
from tests.bench.processes import BenchError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "fitting"
UNITS, CELLS, EQUIPMENT, FLOWS, INSTRUMENTS = 100, 400, 2_000, 6_000, 5_000
AS_OF = "2026-11-22"
RUNS = 3
SEED = 17
CATEGORIES = {
    "electricity": ("electricity_meter", "120 kW", "960000 kWh"),
    "water": ("water_flow_meter", "2 t/h", "9000 m3"),
    "steam": ("steam_flow_meter", "8 MW", "80000 GJ"),
    "natural_gas": ("gas_flow_meter", "150 m3/h", "900000 m3"),
}
Body = dict[str, Any]


def inventory() -> Body:
    """Return the plant: accounting units with process units in them, equipment in these, feeders all the way down, and instruments."""
    rng = random.Random(SEED)
    units = [_named(f"u{n}", role="accounting", parent="") for n in range(UNITS)]
    units += [_named(f"c{n}", role="process", parent=f"u{n % UNITS}") for n in range(CELLS)]
    equipment: list[Body] = []
    flows: list[Body] = []
    for n in range(EQUIPMENT):
        kinds = ["electricity", *rng.sample([*CATEGORIES][1:], rng.randrange(2))]
        amounts = [{"energy_kind": kind, "rated": CATEGORIES[kind][1]} for kind in kinds]
        equipment.append(_named(f"e{n}", unit=f"c{n % CELLS}", amounts=amounts))
        flows += [_flow(len(flows) + i, f"c{n % CELLS}", f"e{n}", kind) for i, kind in enumerate(kinds)]
    for n in range(CELLS):
        flows += [_flow(len(flows) + i, f"u{n % UNITS}", f"c{n}", kind) for i, kind in enumerate(CATEGORIES)]
    while len(flows) < FLOWS:
        n = len(flows)
        from_end = "outside" if n % 4 == 0 else "organization"
        flows.append(_flow(n, from_end, f"u{n % UNITS}", [*CATEGORIES][n % 7 % 4]))
    chosen = rng.sample(flows, INSTRUMENTS)
    instruments = [_instrument(n, flow) for n, flow in enumerate(chosen)]
    parts = {"units": units, "equipment": equipment, "flows": flows, "instruments": instruments}
    return {"organization": {"name": "bench", "electricity": {"monthly_kwh": "6000000"}}} | parts


def _named(id_: str, **more: Any) -> Body:
    return {"id": id_, "name": id_} | more


def _flow(n: int, from_end: str, to_end: str, kind: str) -> Body:
    _, rated, yearly = CATEGORIES[kind]
    ends = {"from": from_end, "to": to_end, "energy_kind": kind}
    return {"id": f"f{n}"} | ends | {"rated": rated, "yearly": yearly, "year": 2025}


def _instrument(n: int, flow: Body) -> Body:
    days = [
        {"on": f"20{year}-0{1 + n % 9}-15", "period_months": 24, "certificate": f"C-{year}-{n}"}
        for year in ((21, 23, 25) if n % 10 else (19, 21, 23))
    ]
    return _named(
        f"m{n}",
        category=CATEGORIES[flow["energy_kind"]][0],
        flows=[flow["id"]],
        accuracy_class="0.5S" if flow["energy_kind"] == "electricity" else "1.5",
        dn_mm=100,
        model="type 1",
        serial=f"S{n:06d}",
        location=f"place {n % 50}",
        verifications=days,
        confirmation={"by": "Li", "on": "2025-10-01"},
    )


def evidence(plant: Body) -> Body:
    """Return evidence of October 2026 of four instruments in five."""
    found = {
        one["id"]: {"expected": 2976, "good": 2976 - n % 400, "last_good": "2026-10-31T23:45:00+08:00"}
        for n, one in enumerate(plant["instruments"])
        if n % 5
    }
    window = {"from": "2026-10-01", "to": "2026-10-31", "timezone": "Asia/Shanghai"}
    return window | {"instruments": found}


def measure(folder: Path) -> Body:
    """Return the figures: seconds of the evaluation (median of three), of reading, page, workbook and the command. Raises BenchError."""
    folder.mkdir(parents=True, exist_ok=True)
    plant = inventory()
    files = folder / "inventory.json", folder / "evidence.json"
    files[0].write_text(json.dumps(plant), encoding="utf-8")
    files[1].write_text(json.dumps(evidence(plant)), encoding="utf-8")
    begin_s = time.perf_counter()
    ledger = load(files[0])
    load_s = time.perf_counter() - begin_s
    rulesets, proof = Rulesets(), read_evidence(files[1])
    by, water = rulesets.get("GB17167-2006"), rulesets.get("GBT24789-2022")
    times = []
    for _ in range(RUNS):
        begin_s = time.perf_counter()
        outcome = evaluate(ledger, by, water, date.fromisoformat(AS_OF), proof)
        times.append(time.perf_counter() - begin_s)
    command = [*_command(*files)]
    command_s = _seconds([*command, "--json"])
    page_s = _seconds([*command, "--html", str(folder / "report.html")])
    workbook_s = _seconds([*command, "--workbook", str(folder / "report.xlsx")])
    return {
        "workload": NAME,
        "flows": len(plant["flows"]),
        "needs": sum(row.need for row in outcome.rows),
        "evaluation_s": median(times),
        "load_s": load_s,
        "command_s": command_s,
        "page_s": page_s,
        "workbook_s": workbook_s,
        "rss_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def _command(inventory_file: Path, evidence_file: Path) -> list[str]:
    given = ["--inventory", str(inventory_file), "--evidence", str(evidence_file), "--as-of", AS_OF]
    return [sys.executable, "-m", "gateway", "fitting", *given, "--ruleset", "GB17167-2006"]


def _seconds(command: list[str]) -> float:
    begin_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise BenchError(f"metergate fitting: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - begin_s
