"""One word for each thing of the fitting rates, Chinese and English: sheets, pages and commands all take theirs from here. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Term(NamedTuple):
    """What a thing is called in Chinese and in English."""

    zh: str
    en: str

    @property
    def both(self) -> str:
        """Return 超期 expired."""
        return f"{self.zh} {self.en}"

    @property
    def heading(self) -> tuple[str, str]:
        """Return the two words as headings have them."""
        return self.zh, self.en[:1].upper() + self.en[1:]

    @property
    def english_first(self) -> str:
        """Return expired 超期, as the terminal says it."""
        return f"{self.en} {self.zh}"


CONNECTED = Term("在线", "connected")
CHECK_METER = Term("核查表", "check")
FLOW = Term("流向", "flow")
AS_OF = Term("检查基准日", "as of")
STATISTICS_YEAR = Term("统计年份", "statistics year")
ORGANIZATION = Term("用能单位", "organisation")
OUTSIDE = Term("外部", "outside")
NOT_JUDGED = Term("不判定", "not judged")
BALANCED = Term("平衡", "balanced")
FLAGGED = Term("不平衡", "flagged")
VALIDITY: Mapping[str, Term] = {
    "valid": Term("在检定周期内", "valid"),
    "expired": Term("超期", "expired"),
    "nonconforming": Term("不合格", "nonconforming"),
    "undated": Term("有效期不详", "undated"),
    "unverified": Term("无检定记录", "unverified"),
}
NOT_SAID: Mapping[str, str] = {
    "已接入": CONNECTED.zh,
    "有数据": CONNECTED.zh,
    "校核": CHECK_METER.zh,
    "过期": VALIDITY["expired"].zh,
    "能源流": FLOW.zh,
    "截至": AS_OF.zh,
    "统计年度": STATISTICS_YEAR.zh,
    "不予判定": NOT_JUDGED.zh,
    "无法判定": NOT_JUDGED.zh,
    "本单位": ORGANIZATION.zh,
}
"""Words nothing here uses -> the one that stands for them."""
