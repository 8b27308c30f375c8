"""Chinese words of the inventory's closed lists, as the cells of its workbook show them.

Source: GB 17167-2006 (合格, 准用, 停用; 主要次级用能单位), JJF 1356-2012 form B.3, form 1-8-1 of the yearly report (计量器具类别, 运行状态).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.energy_kinds import ENERGY_KINDS
from gateway.inventory import terms

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Mapping[str, str] = {key: names[0] for key, names in ENERGY_KINDS.items()}
UNIT_ROLES = {"accounting": "次级用能单位", "process": "用能单元"}
STATES = {"in_use": "在用", "standby": "热备用", "disconnected": "停用断开"}
ORIGINS = {"bought": "外购", "self_produced": "自产", "recovered": "余能回收"}
CATEGORIES = {
    "weighing": "衡器",
    "electricity_meter": "电能表",
    "oil_flow_meter": "油流量表(装置)",
    "gas_flow_meter": "气体流量表(装置)",
    "steam_flow_meter": "蒸汽流量表",
    "water_flow_meter": "水流量表(装置)",
    "heat_meter": "热量表",
    "temperature": "温度仪表",
    "pressure": "压力仪表",
    "gas_analyser": "气体分析仪",
    "other": "其他",
}
ROLES = {"main": "主表", "check": terms.CHECK_METER.zh, "portable": "便携", "spare": "备用"}
MEASUREMENTS = {"measured": "实测", "derived": "差值", "estimated": "估算"}
STATUSES = {"qualified": "合格", "limited": "准用", "stopped": "停用"}
RUNNING = {"good": "良好", "repair": "维护"}
PURPOSES = {"settlement": "贸易结算", "internal": "内部核算"}
CURRENTS = {"ac": "交流", "dc": "直流"}
WEIGHINGS = {"static": "静态", "dynamic": "动态"}
PARTS = {
    "ct": "电流互感器",
    "vt": "电压互感器",
    "meter": "电能表",
    "sensor": "传感器",
    "transmitter": "变送器",
    "computer": "积算仪",
}
VERIFIED = {"verification": "检定", "calibration": "校准", "self_calibration": "自校"}
ANSWERS = {"yes": "√", "no": "×", "not_applicable": "—"}
FLAGS = {"true": "是", "false": "否"}
ENDS = {"outside": terms.OUTSIDE.zh, "organization": terms.ORGANIZATION.zh}
OTHER_WORDS: Mapping[str, str] = {
    "强检": "检定",
    "强制检定": "检定",
    "本单位": "用能单位",
    "校核表": "核查表",
    "断开": "停用断开",
    "备用": "热备用",
    "次级": "次级用能单位",
    "主要次级用能单位": "次级用能单位",
    "基本用能单元": "用能单元",
    "v": "√",
    "✓": "√",
    "x": "×",
    "X": "×",
    "-": "—",
    "y": "是",
    "n": "否",
    "yes": "是",
    "no": "否",
    "1": "是",
    "0": "否",
}
"""What people write for a word of a list, where the list has no word of that spelling itself."""
