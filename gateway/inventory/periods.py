"""Usual verification periods (检定周期) as advice: the period an inventory states goes before, and nothing is judged by them."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

import gateway
from gateway.config.base import Table
from gateway.config.text_files import decoded, parsed, read_bytes
from gateway.errors import ConfigError, Finding
from gateway.findings import parse
from gateway.inventory.model import Category, ChainPart, Instrument, Rows
from gateway.inventory.values import ClassText

SIZE_MAX_BYTES = 1 << 20
FILE = "verification-periods.toml"
_NUMERIC = re.compile(r"\d+(\.\d+)?")


class Period(Table):
    """`[[periods]]`: how long a verification of some kind of instrument usually lasts; the first row that fits holds."""

    id: str = Field(min_length=1, description="Id of the row.")
    what: str = Field(min_length=1, description="The instruments it speaks of.")
    categories: Rows[Category] = Field(default=(), description="Kinds of instrument.")
    parts: Rows[Literal["ct", "vt"]] = Field(default=(), description="Parts of a chain, in place of a kind.")
    words: Rows[str] = Field(default=(), description="One of them stands in the name or the type; none: any.")
    types: Rows[str] = Field(default=(), description="One of them stands in the type as a word of its own.")
    classes: Rows[ClassText] = Field(default=(), description="Its class is one of them.")
    class_at_most: ClassText = Field(default="", description="Its class is this or more accurate.")
    dn_min_mm: int | None = Field(default=None, description="At least this nominal diameter, mm.")
    dn_max_mm: int | None = Field(default=None, description="At most this nominal diameter, mm.")
    purpose: Literal["", "settlement", "internal"] = Field(default="", description="Its purpose.")
    regulation: str = Field(min_length=1, description="Verification regulation (检定规程).")
    months: int = Field(ge=1, le=240, description="Period, months, at most.")
    mode: Literal["periodic", "limited_use"] = Field(
        description="periodic: 周期检定. limited_use: 首次检定, 限期使用, 到期轮换."
    )
    source: str = Field(min_length=1, description="Where the figure was found.")
    confidence: Literal["S", "S2", "R", "r", "U", "A"] = Field(description="How far to trust it.")


class Periods(Table):
    """The whole table."""

    periods: Rows[Period]


def shipped_path() -> Path:
    """Return the file that comes with the gateway: in the installed package, else in the checkout."""
    package = Path(gateway.__file__).resolve().parent
    installed = package / "_config" / FILE
    return installed if installed.is_file() else package.parent / "config" / FILE


@cache
def usual_periods() -> tuple[Period, ...]:
    """Return the shipped table, read once. Raises ConfigError."""
    return load(shipped_path())


def load(path: Path) -> tuple[Period, ...]:
    """Return the table in a file. Raises ConfigError with every finding."""
    raw: dict[str, Any] = parsed(
        decoded(read_bytes(path, SIZE_MAX_BYTES, "a table of periods", ""), path), path, ("periods",)
    )
    table, findings = parse(Periods, raw, "", {})
    if table is None or findings:
        raise ConfigError(
            [Finding(f"{path.name}: {f.path}", f.found, f.expected, f.suggestion) for f in findings]
        )
    return table.periods


def usual_period(instrument: Instrument) -> Period | None:
    """Return the usual verification period of such an instrument, None if no row fits."""
    return next((row for row in usual_periods() if fits(row, instrument)), None)


def usual_period_of_part(part: ChainPart) -> Period | None:
    """Return the usual verification period of a part of a chain, such as a current transformer; None if no row fits."""
    rows = (row for row in usual_periods() if part.part in row.parts)
    return next((row for row in rows if not row.words or _named(row.words, part.model)), None)


def fits(row: Period, instrument: Instrument) -> bool:
    """Return whether a row speaks of such an instrument; what it asks for and the inventory does not say does not fit."""
    dn = instrument.dn_mm
    return (
        instrument.category in row.categories
        and (not row.words or _named(row.words, f"{instrument.name}\n{instrument.model}"))
        and (not row.types or _named(row.types, instrument.model))
        and (not row.classes or instrument.accuracy_class in row.classes)
        and (not row.class_at_most or _at_most(instrument.accuracy_class, row.class_at_most))
        and (row.dn_min_mm is None or (dn is not None and dn >= row.dn_min_mm))
        and (row.dn_max_mm is None or (dn is not None and dn <= row.dn_max_mm))
        and row.purpose in ("", instrument.purpose)
    )


def _named(words: tuple[str, ...], text: str) -> bool:
    """Return whether one of the words stands in a text: Latin ones as whole words, so that G1.6 is not in G1.65, nor `rail` in `trail`."""
    return any(re.search(_whole(word), text, re.IGNORECASE) for word in words)


def _whole(word: str) -> str:
    quoted = re.escape(word)
    return rf"(?<![A-Za-z0-9]){quoted}(?![A-Za-z0-9]|\.\d)" if word.isascii() else quoted


def _at_most(stated: str, limit: str) -> bool:
    number = _NUMERIC.match(stated)
    return number is not None and Decimal(number[0]) <= Decimal(limit)
