"""Words of the reports, Chinese and English side by side. Pure."""

from __future__ import annotations

from typing import Literal

from gateway.energy_kinds import ENERGY_KINDS
from gateway.inventory import terms
from gateway.reports.on_site_texts import ON_SITE_TEXTS
from gateway.reports.page_texts import PAGE_TEXTS

Language = Literal["zh", "en"]

DIAGRAM_TEXTS: dict[str, tuple[str, str]] = {
    "diagram": ("能源计量网络图", "Metering network diagram"),
    "overview": ("总图", "overview"),
    "part": ("第{n}部分，共{of}部分", "part {n} of {of}"),
    "outside": terms.OUTSIDE,
    "supply": ("外部供入", "supply from outside"),
    "delivery": ("向外部输出", "delivery to outside"),
    "role_outside": ("用能单位边界以外", "beyond the boundary"),
    "role_organization": ("用能单位（全厂分配）", "organisation (distribution)"),
    "role_accounting": ("次级用能单位", "sub-unit"),
    "role_process": ("用能单元", "process unit"),
    "role_equipment": ("用能设备", "equipment"),
    "role_reference": ("见该框图", "see its box"),
    "legend": ("图例", "Legend"),
    "mark_good": ("已配备", "fitted"),
    "mark_silent": ("已配备，无足够有效数据", "fitted, delivers too few good readings"),
    "mark_expired": ("已配备，检定超期或无有效检定", "fitted, verification expired or none"),
    "mark_nonconforming": ("已配备，不合格", "fitted, nonconforming"),
    "mark_unfit": ("已配备，等级不符、维护中或未确认", "fitted, class unfit, in repair or not confirmed"),
    "mark_missing": ("应配未配（待装）", "to be fitted"),
    "mark_unsure": ("应配未配，用量不明", "to be fitted, amount unknown"),
    "mark_exempt": ("免配（有依据）", "exempt, with ground"),
    "mark_extra": ("已装，无配备要求", "installed, not required"),
    "main_box": ("粗框：主要次级用能单位、主要用能设备", "thick frame: main sub-unit, main equipment"),
    "flow_standby": ("热备用", "hot standby"),
    "flow_disconnected": ("已断开", "disconnected"),
    "flow_inferred": ("台账中无此流向，由设备用能推出", "not in the inventory; follows from the equipment"),
    "to_fit": ("待装", "to fit"),
    "exempt_short": ("免配", "exempt"),
    "level": ("第{level}级", "level {level}"),
    "counts": ("应配 {need}，实配 {fitted}", "need {need}, fitted {fitted}"),
    "nothing_flows": ("台账中没有该能源的流向", "no flow of this energy kind is in the inventory"),
}

TEXTS = {**DIAGRAM_TEXTS, **PAGE_TEXTS, **ON_SITE_TEXTS}


class Words:
    """Words in one language."""

    def __init__(self, language: Language) -> None:
        """Take the language."""
        self.language = language
        self._column = 0 if language == "zh" else 1

    def __call__(self, key: str, **values: object) -> str:
        """Return a text, its fields filled in. Raises KeyError for one that does not exist."""
        return TEXTS[key][self._column].format(**values)

    def kind(self, energy_kind: str) -> str:
        """Return the name of an energy kind, the key itself if it is unknown."""
        return ENERGY_KINDS.get(energy_kind, (energy_kind, energy_kind))[self._column]

    def either(self, zh: str, en: str) -> str:
        """Return the text of the language, the other one if it is empty."""
        return (zh or en) if self.language == "zh" else (en or zh)
