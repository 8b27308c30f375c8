"""What to write instead of an amount, a number or an accuracy class as it stands on a bill or a name plate: a hint, never a conversion. Pure."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_AMOUNT = re.compile(r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,15}(?:\.\d{1,12})?)([万亿]?)(.*)")
_TIMES = {"": 1, "万": 10_000, "亿": 100_000_000}
_DENSE = str.maketrans("", "", " \t·^")
_CHINESE = {
    "瓦": "W",
    "千瓦": "kW",
    "兆瓦": "MW",
    "千瓦时": "kWh",
    "千瓦小时": "kWh",
    "度": "kWh",
    "度电": "kWh",
    "兆瓦时": "MWh",
    "千焦": "kJ",
    "兆焦": "MJ",
    "吉焦": "GJ",
    "百万千焦": "GJ",
    "公斤": "kg",
    "千克": "kg",
    "吨": "t",
    "千吨": "kt",
    "升": "L",
    "方": "m3",
    "立方": "m3",
    "立方米": "m3",
}
_NORMAL = re.compile(r"(?:[ns]m3|标方|标准?立方米?|标准?m3)(/h)?")
"""A volume at a reference condition; the condition is no unit."""
_YEAR = re.compile(r"/(a|年|yr|year)$")
_HOUR = re.compile(r"/(小时|时|hr|hour)$")
_CLASSES = {"一": "1", "二": "2", "三": "3"}
_NUMBERS: Mapping[str, re.Pattern[str]] = {
    "period_months": re.compile(r"(\d{1,3})个?(?:月|months?)"),
    "year": re.compile(r"(\d{4})年度?"),
    "statistics_year": re.compile(r"(\d{4})年度?"),
    "dn_mm": re.compile(r"(?:dn|φ|ø)?(\d{1,4})(?:mm|毫米)?"),
    "percent": re.compile(r"(\d{1,3}(?:\.\d+)?)%"),
    "electricity.monthly_kwh": re.compile(r"(\d[\d,]*(?:\.\d+)?)(?:kwh|度|千瓦时)?"),
    "electricity.transformer_kva": re.compile(r"(\d[\d,]*(?:\.\d+)?)(?:kva|千伏安)?"),
    "electricity.phases": re.compile(r"([13])相"),
}
"""Key of a column -> its number with the unit people write behind it."""
_OTHER = {
    ("electricity.phases", "三相"): "3",
    ("electricity.phases", "单相"): "1",
    ("period_months", "半年"): "6",
}
_YEARS = re.compile(r"(\d{1,2}|[一二两三四五六])年")
_DIGITS = {"一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6}


def amount_hint(value: object, known: Collection[str]) -> str:
    """Return what to write for an amount that was not understood, "" if nothing is certain. known: units that may stand here."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    text = unicodedata.normalize("NFKC", str(value)).translate(_DENSE)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return ""
    number = _plain(Decimal(match[1].replace(",", "")) * _TIMES[match[2]])
    unit = match[3]
    if not unit:
        return f"write {number} and its unit: {', '.join(dict.fromkeys(known))}"
    normal = _NORMAL.fullmatch(_HOUR.sub("/h", unit.lower()))
    meant = f"m3{normal[1] or ''}" if normal else _unit(unit, known)
    if meant not in known:
        return ""
    condition = " and the reference condition (标准状态) into `source`; it is not converted" if normal else ""
    return f"write {number} {meant}{condition}"


def _plain(value: Decimal) -> str:
    """Return a number without zeros that say nothing."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unit(text: str, known: Collection[str]) -> str:
    """Return the unit a word means, "" for none."""
    text = _HOUR.sub("/h", _YEAR.sub("", text))
    base, slash, per = text.partition("/")
    text = _CHINESE.get(base, base) + slash + per
    return next((unit for unit in known if unit.lower() == text.lower()), "")


def class_hint(text: str) -> str:
    """Return what to write for an accuracy class that was not understood, "" if nothing is certain."""
    dense = unicodedata.normalize("NFKC", text).replace(" ", "").removesuffix("级")
    if dense in _CLASSES:
        return f"write {_CLASSES[dense]} if that is the class of its certificate"
    is_class = re.fullmatch(r"\d{1,2}(\.\d{1,3})?s?", dense, re.IGNORECASE) and dense.strip("0.sS")
    return f"write {dense.upper()}" if is_class else ""


def number_hint(text: str, key: str) -> str:
    """Return what to write for a number with its unit, "" if nothing is certain. key: of the column."""
    dense = unicodedata.normalize("NFKC", text).translate(_DENSE).lower()
    if (key, dense) in _OTHER:
        return f"write {_OTHER[key, dense]}"
    years = _YEARS.fullmatch(dense) if key == "period_months" else None
    if years is not None:
        return f"write {12 * (_DIGITS.get(years[1]) or int(years[1]))}"
    match = _NUMBERS[key].fullmatch(dense) if key in _NUMBERS else None
    if match is None or (number := match[1].replace(",", "")) == text.strip():
        return ""
    return f"write {number}"
