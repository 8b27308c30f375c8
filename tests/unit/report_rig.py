"""A made-up foundry whose fitting shows every mark of a diagram and every kind of finding, for tests of the reports."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from gateway.fitting.evaluate import evaluate
from gateway.fitting.evidence import Evidence
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.model import Inventory

if TYPE_CHECKING:
    from gateway.fitting.outcome import Outcome

AS_OF = date(2026, 8, 15)
Body = dict[str, Any]


def unit(key: str, text: str, parent: str = "", role: str = "accounting") -> Body:
    return {"id": key, "name": text, "parent": parent, "role": role}


def machine(key: str, text: str, of: str, **rated: str) -> Body:
    amounts = [{"energy_kind": kind, "rated": amount, "source": "铭牌"} for kind, amount in rated.items()]
    return {"id": key, "name": text, "unit": of, "amounts": amounts}


def flow(key: str, start: str, end: str, kind: str, **more: Any) -> Body:
    return {"id": key, "from": start, "to": end, "energy_kind": kind, **more}


def meter(key: str, category: str, *flows: str, until: str = "2026-12-31", **more: Any) -> Body:
    return {
        "id": key,
        "name": f"表 {key}",
        "category": category,
        "flows": list(flows),
        "meter": key,
        "accuracy_class": "0.5S" if category == "electricity_meter" else "1.0",
        "serial": f"SN-{key}",
        "verifications": [
            {"on": "2025-08-01", "until": until, "certificate": f"C-{key}", "body": "市计量院"}
        ],
        "confirmation": {"by": "李工", "on": "2025-08-02"},
        **more,
    }


def foundry() -> Body:
    return {
        "organization": {
            "name": "示例铸造有限公司",
            "credit_code": "91350100M000100Y43",
            "industry": "黑色金属铸造",
            "address": "福州市示例路 1 号",
            "statistics_year": 2025,
            "prepared_by": "陈工",
            "electricity": {
                "monthly_kwh": 1200000,
                "transformer_kva": 2500,
                "high_voltage_billed": True,
                "phases": 3,
            },
        },
        "units": [
            unit("melt", "熔化车间"),
            unit("furnaces", "电炉组 <A&B>", "melt", "process"),
            unit("cast", "铸造车间"),
            unit("boilers", "锅炉房"),
            unit("office", "办公楼"),
            unit("lab", "化验室"),
        ],
        "equipment": [
            machine("ef1", "1#中频电炉", "furnaces", electricity="2000 kW", water="8 t/h"),
            machine("ef2", "2#中频电炉", "furnaces", electricity="2000 kW"),
            machine("cr1", "桥式起重机", "melt", electricity="45 kW"),
            machine("ac1", "空压机", "cast", electricity="132 kW"),
            machine("sb1", "抛丸机", "cast", electricity="110 kW"),
            machine("b1", "燃气锅炉", "boilers", natural_gas="300 m3/h", electricity="30 kW"),
        ],
        "flows": _flows(),
        "instruments": _instruments(),
        "staff": [{"name": "陈工", "post": "能源计量负责人", "document": "任命书 2025-03"}],
    }


def _flows() -> list[Body]:
    return [
        flow("e-in-1", "outside", "organization", "electricity", name="10 kV 一进线"),
        flow("e-in-2", "outside", "organization", "electricity", state="standby"),
        flow("e-in-3", "outside", "organization", "electricity", state="disconnected"),
        flow("e-melt", "organization", "melt", "electricity", rated="4500 kW", yearly="9000 MWh"),
        flow("e-furn", "melt", "furnaces", "electricity", rated="4000 kW"),
        flow("e-cast", "organization", "cast", "electricity", rated="600 kW"),
        flow("e-boil", "organization", "boilers", "electricity", rated="60 kW"),
        flow("e-office", "organization", "office", "electricity"),
        flow("e-lab", "organization", "lab", "electricity"),
        flow("e-pv", "office", "outside", "electricity", origin="self_produced"),
        flow("e-ef1", "furnaces", "ef1", "electricity"),
        flow("e-ef2", "furnaces", "ef2", "electricity"),
        flow("e-cr1", "melt", "cr1", "electricity"),
        flow("e-ac1", "cast", "ac1", "electricity"),
        flow("e-sb1", "cast", "sb1", "electricity"),
        flow("g-in", "outside", "organization", "natural_gas", yearly="800000 m3"),
        flow("g-boil", "organization", "boilers", "natural_gas", yearly="800000 m3"),
        flow("g-b1", "boilers", "b1", "natural_gas"),
        flow("s-b1", "b1", "organization", "steam", origin="self_produced", yearly="20000 GJ"),
        flow("s-cast", "organization", "cast", "steam", yearly="12000 GJ"),
        flow("s-office", "organization", "office", "steam", yearly="6000 GJ", seasonal_heating=True),
        flow("w-in", "outside", "organization", "water", yearly="90000 t"),
        flow("w-melt", "organization", "melt", "water", yearly="60000 t"),
        flow("w-back", "melt", "organization", "water", origin="recovered", yearly="5000 t"),
        flow("w-ef1", "melt", "ef1", "water"),
        flow("w-cast", "organization", "cast", "water", yearly="20000 t"),
        flow("a-cast", "ac1", "cast", "compressed_air"),
        flow("d-in", "outside", "organization", "refined_oil", yearly="60 t"),
    ]


def _instruments() -> list[Body]:
    return [
        meter("pm-1", "electricity_meter", "e-in-1", purpose="settlement"),
        meter("pm-2", "electricity_meter", "e-in-2", until="2026-05-31"),
        meter("pm-3", "electricity_meter", "e-melt"),
        meter("pm-3c", "electricity_meter", "e-melt", role="check"),
        meter("pm-4", "electricity_meter", "e-furn"),
        meter("pm-5", "electricity_meter", "e-cast", accuracy_class="2.0"),
        meter("pm-6", "electricity_meter", "e-cr1"),
        meter(
            "pm-7",
            "electricity_meter",
            "e-ac1",
            nonconformities=[{"found": "2026-07-02", "why": "误差超差"}],
        ),
        meter("pm-8", "electricity_meter", "e-boil", meter=""),
        meter("gm-1", "gas_flow_meter", "g-in", "g-boil"),
        meter("sm-1", "steam_flow_meter", "s-b1"),
        meter("wm-1", "water_flow_meter", "w-in"),
        meter("wm-2", "water_flow_meter", "w-melt", running="repair"),
        meter("pt-1", "electricity_meter", role="portable"),
    ]


def evidence(*silent: str) -> Evidence:
    names = ["pm-1", "pm-2", "pm-3", "pm-4", "pm-5", "pm-6", "pm-7", "gm-1", "sm-1", "wm-1", "wm-2"]
    delivered = {
        name: {
            "expected": 2976,
            "good": 1200 if name in silent else 2970,
            "last_good": "2026-07-31T23:45:00+08:00",
        }
        for name in names
    }
    body = {"from": "2026-07-01", "to": "2026-07-31", "timezone": "Asia/Shanghai", "source": "gateway"}
    return Evidence.model_validate({**body, "instruments": delivered})


def outcome_of(body: Body, *, ruleset: str = "GB17167-2006", proved: bool = True) -> Outcome:
    rulesets = Rulesets()
    return evaluate(
        Inventory.model_validate(body),
        rulesets.get(ruleset),
        rulesets.get("GBT24789-2022"),
        AS_OF,
        evidence("sm-1") if proved else None,
    )


def large(units: int, machines: int, instruments: int) -> Body:
    """Return a plant of electricity and water: each machine on two feeders, as many instruments as wanted."""
    body: Body = {
        "organization": {"name": "大厂"},
        "units": [],
        "equipment": [],
        "flows": [],
        "instruments": [],
    }
    for n in range(units):
        body["units"].append(unit(f"u{n}", f"车间 {n}"))
        for kind in ("electricity", "water"):
            body["flows"].append(flow(f"{kind}-u{n}", "organization", f"u{n}", kind))
    for n in range(machines):
        body["equipment"].append(
            machine(f"m{n}", f"设备 {n}", f"u{n % units}", electricity="200 kW", water="2 t/h")
        )
        for k, kind in enumerate(("electricity", "water", "electricity")):
            body["flows"].append(flow(f"f{n}-{k}", f"u{n % units}", f"m{n}", kind))
    names = [one["id"] for one in body["flows"]]
    for n in range(instruments):
        name = names[n % len(names)]
        category = "water_flow_meter" if "water" in name or name.endswith("-1") else "electricity_meter"
        body["instruments"].append(meter(f"i{n}", category, name))
    return body
