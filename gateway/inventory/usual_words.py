"""What people write for a word of a closed list in one column of the workbook, where only one meaning is possible. Pure.

A word that may mean two of the list is not here: 送检 is done for a verification (检定) and for a calibration (校准) alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_YES_NO = {"合格": "true", "不合格": "false", "符合": "true", "不符合": "false", "√": "true", "×": "false"}
USUAL: Mapping[str, Mapping[str, str]] = {
    "energy_kind": {
        "电": "electricity",
        "电能": "electricity",
        "原煤": "coal",
        "柴油": "refined_oil",
        "汽油": "refined_oil",
        "煤油": "refined_oil",
        "自来水": "water",
        "新水": "water",
        "压空": "compressed_air",
        "余能": "waste_energy",
    },
    "origin": {
        "外购": "bought",
        "购入": "bought",
        "自产": "self_produced",
        "自发": "self_produced",
        "余热": "recovered",
        "余能": "recovered",
        "回收": "recovered",
        "余热回收": "recovered",
        "余热余能回收": "recovered",
    },
    "state": {"运行": "in_use", "使用": "in_use", "热备": "standby", "拆除": "disconnected"},
    "status": {"限用": "limited", "禁用": "stopped", "封存": "stopped"},
    "running": {"正常": "good", "完好": "good", "维修": "repair", "检修": "repair"},
    "part": {
        "ta": "ct",
        "pt": "vt",
        "tv": "vt",
        "流量积算仪": "computer",
        "流量计算机": "computer",
    },
    "kind": {
        "外校": "calibration",
        "送校": "calibration",
        "外部校准": "calibration",
        "内校": "self_calibration",
        "内部校准": "self_calibration",
        "自校准": "self_calibration",
        "首检": "verification",
        "首次检定": "verification",
        "后续检定": "verification",
        "周期检定": "verification",
    },
    "conforming": _YES_NO,
    "fit": _YES_NO | {"满足": "true", "不满足": "false"},
}
"""Key of a column -> word, in lower case and without blanks -> key of the list."""
