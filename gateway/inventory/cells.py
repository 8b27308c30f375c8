"""What a cell of the workbook means, and how a value is written into one. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.config.values import nearest
from gateway.inventory.sheet_words import OTHER_WORDS
from gateway.inventory.usual_words import USUAL

if TYPE_CHECKING:
    from gateway.inventory.sheets import Column

_BETWEEN = re.compile(r"[\s,;，；、]+")
_WIDE = str.maketrans("（）：", "():")
_REFUSED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]|_x[0-9A-Fa-f]{4}_")
"""What no cell keeps as it is: control characters, and what Excel takes for one."""
CELL_MAX = 32_767
"""Characters a cell holds. Source: Microsoft, Excel specifications and limits."""
SHORT = 3
"""Characters of a Chinese word too short to be recognised by likeness."""
_NEGATIONS = frozenset("不非未无")
FLOAT_DIGITS = 15
"""Digits a number in a cell keeps. Source: the same."""


def value_of(cell: Any, column: Column) -> Any:
    """Return what a cell means in its column, None for an empty one; what cannot be understood stays as it is."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if column.holds == "day":
        return cell.date() if isinstance(cell, datetime) else cell.strip() if isinstance(cell, str) else cell
    if column.holds == "integer":
        return _integer(cell)
    if column.holds == "number":
        return cell.strip() if isinstance(cell, str) else cell
    if column.holds == "flag" and isinstance(cell, bool):
        return cell
    text = _text(cell)
    if column.holds == "text":
        return text
    text = text.strip()
    if column.holds == "ids":
        return [one for one in _BETWEEN.split(text) if one]
    if column.holds in ("word", "flag", "id"):
        return _word(text, column)
    return text


def cell_of(value: Any, column: Column) -> Any:
    """Return what to write for a value, None for nothing. Raises ValueError for text no cell keeps as it is."""
    if value is None or value == "" or value == ():
        return None
    if column.holds == "flag":
        return column.words["true" if value else "false"]
    if column.holds == "word":
        return column.words[value]
    if column.holds in ("day", "integer"):
        return value
    if column.holds == "number":
        return _number(value)
    text = ", ".join(value) if column.holds == "ids" else str(value)
    if column.holds == "id":
        return text
    if len(text) > CELL_MAX or _REFUSED.search(text) or not text.strip():
        raise ValueError
    return text


def _text(cell: Any) -> str:
    """Return a cell as text: a number as people see it, a day as 2026-08-31."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (datetime, date)):
        return (cell.date() if isinstance(cell, datetime) else cell).isoformat()
    return str(cell)


def _integer(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if isinstance(cell, str) and re.fullmatch(r"\d{1,9}", cell.strip(), re.ASCII):
        return int(cell)
    return cell.strip() if isinstance(cell, str) else cell


def _word(text: str, column: Column) -> Any:
    """Return the key of a word of a closed list, or the text itself."""
    plain = text.translate(_WIDE).replace(" ", "")
    usual = USUAL.get(column.key, {}).get(plain.replace("/", "").lower(), "")
    if usual in column.words and plain not in column.words.values():
        return usual == "true" if column.holds == "flag" else usual
    for word in (plain, OTHER_WORDS.get(plain, ""), OTHER_WORDS.get(plain.lower(), "")):
        for key, own in column.words.items():
            if word == own or word.lower() == key or word == f"{own}{key}":
                return key == "true" if column.holds == "flag" else key
    if column.holds == "flag" and plain.lower() in ("true", "false"):
        return plain.lower() == "true"
    return text


def near_word(text: str, column: Column) -> str:
    """Return the word of a closed list that was probably meant, "" if that is not certain.

    Of few Chinese characters one alone turns the meaning round (外校, 自校), so short words are never matched by likeness.
    """
    if len(text) <= SHORT and not text.isascii():
        return ""
    near = nearest(text, column.words.values(), 0.5)
    return "" if text[:1] in _NEGATIONS and near[:1] not in _NEGATIONS else near


def _number(value: Decimal | str) -> int | float | str:
    """Return a number as a cell keeps it without loss, else as text."""
    text = f"{value:f}" if isinstance(value, Decimal) else value
    if len(text.replace(".", "").lstrip("0")) <= FLOAT_DIGITS:
        if text.isdecimal() and str(int(text)) == text:
            return int(text)
        if repr(float(text)) == text and not float(text).is_integer():
            return float(text)
    return text
