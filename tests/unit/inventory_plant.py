"""A small inventory that is right, and what is found after it was changed."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.inventory.reading import from_body, load

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.errors import Finding
    from gateway.inventory.model import Inventory

PLANT = """
[organization]
name = "示例陶瓷有限公司"
credit_code = "91350100M000100Y43"
statistics_year = 2025
[organization.electricity]
monthly_kwh = 350000
high_voltage_billed = true
phases = 3

[[units]]
id = "kilns"
name = "烧成车间"
role = "accounting"
[[units.amounts]]
energy_kind = "electricity"
yearly = "2400000 kWh"
year = 2025

[[units]]
id = "kiln-hall"
name = "一号窑"
parent = "kilns"
role = "process"

[[equipment]]
id = "fan-1"
name = "风机"
unit = "kiln-hall"
[[equipment.amounts]]
energy_kind = "electricity"
rated = "75 kW"

[[flows]]
id = "grid"
from = "outside"
to = "organization"
energy_kind = "electricity"
yearly = "4200000 kWh"
year = 2025

[[flows]]
id = "kilns-power"
from = "organization"
to = "kilns"
energy_kind = "electricity"

[[flows]]
id = "kiln-power"
from = "kilns"
to = "kiln-hall"
energy_kind = "electricity"

[[flows]]
id = "gas-in"
from = "outside"
to = "kiln-hall"
energy_kind = "natural_gas"
state = "standby"

[[instruments]]
id = "em-101"
name = "进线电能表"
category = "electricity_meter"
meter = "feeder-1"
channel = "energy_active_import_total"
flows = ["grid"]
purpose = "settlement"
accuracy_class = "0.5S"
serial = "2019001"
own_number = "E-001"
installed = 2019-05-01
[[instruments.chain]]
part = "ct"
ratio = "400/5"
accuracy_class = "0.2S"
[[instruments.verifications]]
on = 2024-03-01
period_months = 24
[[instruments.verifications]]
on = 2026-02-20
until = 2028-02-19
certificate = "Z2026-0012"
[instruments.confirmation]
by = "王工"
on = 2026-02-21

[[instruments]]
id = "em-102"
name = "车间电能表"
category = "electricity_meter"
flows = ["kilns-power", "kiln-power"]
own_number = "E-002"
status = "limited"
[[instruments.nonconformities]]
found = 2025-06-01
until = 2025-06-05
why = "超差"

[[losses]]
unit = "kilns"
energy_kind = "electricity"
percent = 1.5
source = "线损计算书"

[[staff]]
name = "张三"
document = "任命文件 2023-5"

[[stocks]]
energy_kind = "coal"
year = 2025
purchased = "1200 t"
document = "盘点表"

[[answers]]
item = "1-8-1.1"
answer = "yes"
document = "制度 3"
"""


def plant() -> Inventory:
    """Return the inventory as it is."""
    return from_body(tomllib.loads(PLANT), "inventory.toml")


def changed(*changes: tuple[str, str]) -> str:
    """Return the text with each (old, new) replaced once; old must be there."""
    text = PLANT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def findings(text: str, folder: Path, *, with_files: bool = False) -> tuple[Finding, ...]:
    """Return what is found in an inventory of this text; none if it can be used."""
    path = folder / "inventory.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path, with_files=with_files)
    except ConfigError as error:
        return error.findings
    return ()
