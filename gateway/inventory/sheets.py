"""Sheets and columns of the inventory's workbook: names in Chinese and English, and what a cell may hold. Pure.

Fixed: audit teams keep filled-in copies. A test holds the columns against the keys of the models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gateway.inventory import sheet_words as words
from gateway.inventory import terms

if TYPE_CHECKING:
    from collections.abc import Mapping

Holds = Literal["text", "id", "ids", "word", "flag", "integer", "number", "day", "amount"]
"""What a cell may hold. id: a name without blanks; ids: several, between commas; word: one of a closed list."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. words: of a closed list, key of the inventory -> Chinese word; of ids: words for some of them. hint: for the guide."""

    key: str
    heading: str
    holds: Holds = "text"
    required: bool = False
    words: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet. table: of the inventory. inside: the list or table of an entry it fills, "" for the entries themselves.

    The first column of a sheet that fills something inside entries names the entry.
    """

    key: str
    name: str
    table: str
    columns: tuple[Column, ...]
    inside: str = ""

    @property
    def title(self) -> str:
        """Return the name on the sheet's tab."""
        return f"{self.name} {self.key}"


def _word(key: str, heading: str, of: Mapping[str, str], *, required: bool = False) -> Column:
    return Column(key, heading, "flag" if of is words.FLAGS else "word", required, of)


_ID = Column("id", "标识", "id", required=True)
_NAME = Column("name", "名称", required=True)
_KIND = _word("energy_kind", "能源种类", words.KINDS, required=True)
_RATED = Column("rated", "额定小时量", "amount")
_YEARLY = Column("yearly", "年量", "amount")
_YEAR = Column("year", "年份", "integer")
_SOURCE = Column("source", "数值来源")
_DOCUMENT = Column("document", "文件编号")
_DECLARED = Column("document", "文件编号", required=True)
_INSTRUMENT = Column("instrument", "器具标识", "id", required=True)
_CHANNEL = "通道名: a-z 0-9 _, 如 energy_active_import_total; 仪表只有一个累计通道时不填 a channel of that meter; empty: its only counter"

SHEETS: tuple[Sheet, ...] = (
    Sheet(
        "organization",
        "用能单位",
        "organization",
        (
            _NAME,
            Column("credit_code", "统一社会信用代码"),
            Column("industry", "行业"),
            Column("address", "地址"),
            Column("statistics_year", terms.STATISTICS_YEAR.zh, "integer"),
            Column("prepared_by", "编制人"),
            Column("electricity.monthly_kwh", "月平均用电量 kW·h", "number"),
            Column("electricity.transformer_kva", "变压器容量 kVA", "number"),
            _word("electricity.high_voltage_billed", "高压计量", words.FLAGS),
            Column("electricity.phases", "相数", "integer"),
        ),
    ),
    Sheet(
        "units",
        "次级用能单位",
        "units",
        (
            _ID,
            _NAME,
            Column("parent", "上级单位标识", "id"),
            _word("role", "单位性质", words.UNIT_ROLES, required=True),
        ),
    ),
    Sheet(
        "equipment",
        "用能设备",
        "equipment",
        (
            _ID,
            _NAME,
            Column("unit", "所属单位标识", "id"),
            Column("model", "型号规格"),
            Column("location", "安装地点"),
        ),
    ),
    Sheet(
        "amounts",
        "用能量",
        "",
        (Column("owner", "单位或设备标识", "id", required=True), _KIND, _RATED, _YEARLY, _YEAR, _SOURCE),
        "amounts",
    ),
    Sheet(
        "flows",
        terms.FLOW.zh,
        "flows",
        (
            _ID,
            Column("name", "名称"),
            Column("from", "起点标识", "id", required=True, words=words.ENDS),
            Column("to", "终点标识", "id", required=True, words=words.ENDS),
            _KIND,
            _word("state", "状态", words.STATES),
            _word("seasonal_heating", "季节性采暖", words.FLAGS),
            Column("other_settlement", "采暖其他结算方式"),
            _word("origin", "来源", words.ORIGINS),
            _RATED,
            _YEARLY,
            _YEAR,
            _SOURCE,
        ),
    ),
    Sheet(
        "instruments",
        "计量器具",
        "instruments",
        (
            _ID,
            _NAME,
            _word("category", "计量器具类别", words.CATEGORIES, required=True),
            Column("flows", f"所测{terms.FLOW.zh}标识", "ids"),
            _word("status", "检定校准状态", words.STATUSES),
            _word("running", "运行状态", words.RUNNING),
            Column("accuracy_class", "准确度等级(证书)"),
            Column("range", "测量范围"),
            Column("model", "型号规格"),
            Column("manufacturer", "生产厂家"),
            Column("serial", "出厂编号"),
            Column("own_number", "管理编号"),
            Column("location", "安装使用地点"),
            _word("purpose", "用途", words.PURPOSES),
            _word("role", "器具作用", words.ROLES),
            _word("measurement", "取值方式", words.MEASUREMENTS),
            Column("params", "计量参数"),
            _word("current", "电流种类", words.CURRENTS),
            _word("weighing", "衡器种类", words.WEIGHINGS),
            Column("dn_mm", "公称通径 mm", "integer"),
            Column("meter", "接入仪表标识", "id", hint="站点文件中仪表的标识 id of a meter of the site file"),
            Column("channel", "接入通道", "id", hint=_CHANNEL),
            Column("barcode", "条码"),
            Column("installer", "安装单位"),
            Column("installed", "安装日期", "day"),
            Column("removed", "拆除日期", "day"),
            Column("system", "接入系统"),
            Column("unverified_reason", "未检定原因"),
            Column("remark", "备注"),
        ),
    ),
    Sheet(
        "chain",
        "测量链",
        "instruments",
        (
            _INSTRUMENT,
            _word("part", "部件", words.PARTS, required=True),
            Column("model", "型号规格"),
            Column("serial", "出厂编号"),
            Column("accuracy_class", "准确度等级"),
            Column("ratio", "变比"),
        ),
        "chain",
    ),
    Sheet(
        "verifications",
        "检定校准",
        "instruments",
        (
            _INSTRUMENT,
            Column("on", "检定校准日期", "day", required=True),
            _word("kind", "方式", words.VERIFIED),
            _word("conforming", "是否合格", words.FLAGS),
            Column("period_months", "周期(月)", "integer"),
            Column("until", "有效期至", "day"),
            Column("certificate", "证书编号"),
            Column("body", "检定机构"),
            Column("file", "证书文件"),
            Column("sha256", "文件 SHA-256"),
        ),
        "verifications",
    ),
    Sheet(
        "confirmations",
        "计量确认",
        "instruments",
        (
            _INSTRUMENT,
            Column("by", "确认人", required=True),
            Column("on", "确认日期", "day", required=True),
            _word("fit", "满足使用要求", words.FLAGS),
            _DOCUMENT,
        ),
        "confirmation",
    ),
    Sheet(
        "nonconformities",
        "不合格记录",
        "instruments",
        (
            _INSTRUMENT,
            Column("found", "发现日期", "day", required=True),
            Column("since", "存疑起始日期", "day"),
            Column("until", "恢复日期", "day"),
            Column("why", "情况", required=True),
            _DOCUMENT,
        ),
        "nonconformities",
    ),
    Sheet(
        "losses",
        "申报损耗",
        "losses",
        (
            Column("unit", "单位或设备标识", "id"),
            _KIND,
            Column("percent", "损耗率 %", "number", required=True),
            Column("source", "数值来源", required=True),
        ),
    ),
    Sheet(
        "staff",
        "计量人员",
        "staff",
        (
            Column("name", "姓名", required=True),
            Column("post", "岗位职责"),
            Column("department", "部门"),
            Column("training", "培训与证书"),
            Column("document", "任命文件", required=True),
        ),
    ),
    Sheet(
        "stocks",
        "购消存",
        "stocks",
        (
            _KIND,
            Column("year", "年份", "integer", required=True),
            Column("purchased", "购进量", "amount"),
            Column("consumed", "消费量", "amount"),
            Column("stock", "年末库存", "amount"),
            _DECLARED,
        ),
    ),
    Sheet(
        "answers",
        "管理项答复",
        "answers",
        (
            Column("item", "项目", required=True, hint="项目的键, 见下表 key of the item, listed below"),
            _word("answer", "答复", words.ANSWERS, required=True),
            _DECLARED,
        ),
    ),
)
"""The sheets in their order; `amounts` belongs to units and equipment alike."""
GUIDE = "说明 guide"
