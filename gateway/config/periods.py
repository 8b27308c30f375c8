"""`[intervals]`, `[history]`, `[feed]` and `[[aggregates]]`: what is made of readings, how long it is kept, how it is announced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config.base import Table
from gateway.config.values import (
    Bytes,
    Id,
    Key,
    PositiveDecimal,
    Seconds,
    Topic,
    as_tuple,
    at_least,
    unusable,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00", re.ASCII)
HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)
HOUR_S = 3600


def clock_time_s(text: str) -> int:
    """Return a time of day HH:MM in seconds since midnight; 24:00 is the end of the day."""
    return int(text[:2]) * HOUR_S + int(text[3:]) * 60


def _clock_time(value: str) -> str:
    if not CLOCK_TIME.fullmatch(value) or value == "24:00":
        raise unusable('a time of day, "HH:MM", such as "08:00"')
    return value


def _hours(value: str) -> str:
    match = HOURS.fullmatch(value)
    if match is None or not all(CLOCK_TIME.fullmatch(end) for end in match.groups()):
        raise unusable('two times of day, such as "08:00-11:00"')
    if clock_time_s(match[1]) >= clock_time_s(match[2]):
        raise unusable(
            'hours whose end is after their begin; across midnight write two: "22:00-24:00", "00:00-06:00"'
        )
    return value


def _length(value_s: float) -> float:
    if value_s != int(value_s) or HOUR_S % int(value_s):
        raise unusable('a length that divides an hour, such as "15min", "30min" or "1h"', '"15min"')
    return value_s


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    """Return a list that has something in it. As `min_length` it would blame a list for each entry that is wrong."""
    if not values:
        raise unusable("a list that is not empty")
    return values


ClockTime = Annotated[
    str,
    AfterValidator(_clock_time),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"}),
]
Hours = Annotated[
    str, AfterValidator(_hours), WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d-\d\d:\d\d$"})
]


class ShiftConfig(Table):
    """`[[intervals.shifts]]`: one shift of every day."""

    id: Id = Field(description="Id of the shift, as it stands in totals.")
    start: ClockTime = Field(description="When it begins.", examples=["08:00"])
    end: ClockTime = Field(description="When it ends; before `start`: on the next day.", examples=["16:00"])


class TariffConfig(Table):
    """`[[intervals.tariffs]]`: hours of one tariff period (尖峰平谷). Together they cover every hour of every month once, or there are none."""

    kind: Literal["sharp", "peak", "flat", "valley", "deep_valley"] = Field(
        description="尖 sharp, 峰 peak, 平 flat, 谷 valley, 深谷 deep_valley."
    )
    hours: Annotated[tuple[Hours, ...], BeforeValidator(as_tuple), AfterValidator(_some)] = Field(
        json_schema_extra={"minItems": 1},
        description='Hours of the day, such as ["08:00-11:00", "18:00-21:00"].',
    )
    months: Annotated[tuple[Annotated[int, Field(ge=1, le=12)], ...], BeforeValidator(as_tuple)] = Field(
        default=tuple(range(1, 13)), description="Months they hold in; default: all."
    )


class IntervalsConfig(Table):
    """`[intervals]`: closed periods and the longer ones above them; docs/specs/intervals.md."""

    length_s: Annotated[Seconds, AfterValidator(_length), within("1s", "1h")] = Field(
        default="15min",
        validate_default=True,
        alias="length",
        description="Length of an interval; divides an hour.",
    )
    grace_s: Annotated[Seconds, within("0s", "10min")] = Field(
        default="30s",
        validate_default=True,
        alias="grace",
        description="An interval closes so long after its end; later samples make a revision.",
    )
    day_start: ClockTime = Field(default="00:00", description="When a day begins, on the site's clock.")
    month_day: int = Field(default=1, ge=1, le=28, description="Day a month begins (closing day).")
    shifts: Annotated[tuple[ShiftConfig, ...], BeforeValidator(as_tuple)] = Field(
        default=(), description="Shifts of every day."
    )
    tariffs: Annotated[tuple[TariffConfig, ...], BeforeValidator(as_tuple)] = Field(
        default=(), description="Tariff periods (尖峰平谷)."
    )


class HistoryConfig(Table):
    """`[history]`: intervals, events and signed messages, kept for months; docs/specs/history.md."""

    keep_s: Annotated[Seconds, within("1d", "4000d")] = Field(
        default="200d",
        validate_default=True,
        alias="keep",
        description="How long; six months are asked for.",
    )
    size_max_bytes: Annotated[Bytes, at_least("16MiB")] = Field(
        default="4GiB",
        validate_default=True,
        alias="size_max",
        description="Size at which the oldest go sooner.",
    )


class FeedConfig(Table):
    """`[feed]`: the regulators' feed; it is signed once a sink of kind `feed` or `feed-influx` is there. docs/specs/feed.md."""

    prefix: Topic = Field(
        default="emc/v1", description="What the topics begin with, before region and enterprise."
    )


class TermConfig(Table):
    """One term of an aggregate."""

    meter: Id = Field(description="Id of the meter.")
    channel: Key = Field(description="Key of a reported counter.")
    sign: Literal["+", "-"] = Field(default="+", description="Added or taken off.")
    weight: PositiveDecimal = Field(default="1", description="Times this.")


class CodesConfig(Table):
    """The platform's codes of an aggregate; they travel with it as they are written. Source: NHJC-04 as implemented in public code."""

    code: str = Field(default="", description="采集数据项编码 dataCode, from the platform's dictionary.")
    input_type: Literal["", "1", "2", "3", "4", "5"] = Field(
        default="4", description="数据采集来源 inputType: 4 field instrument, 5 by hand."
    )
    scope: Literal["", "1", "2", "3", "4"] = Field(
        default="", description="数据范围 scope: 1 plant, 2 process, 3 process unit, 4 main equipment."
    )
    coefficient: str = Field(default="", description="折标系数 convertRation, as the platform gives it.")

    def as_sent(self) -> dict[str, str]:
        """Return the codes that are set, by the names the platforms give them."""
        named = {
            "dataCode": self.code,
            "inputType": self.input_type,
            "scope": self.scope,
            "coefficient": self.coefficient,
        }
        return {name: code for name, code in named.items() if code}


class AggregateConfig(Table):
    """`[[aggregates]]`: a reported quantity, the signed and weighted sum of meters."""

    id: Id = Field(description="Id of the aggregate.")
    name: str = Field(default="", description="Free text shown to people.")
    terms: Annotated[tuple[TermConfig, ...], BeforeValidator(as_tuple), AfterValidator(_some)] = Field(
        json_schema_extra={"minItems": 1}, description="What it is the sum of; all in one unit."
    )
    codes: CodesConfig = Field(default=CodesConfig(), description="The platform's codes.")


def tariff_spans(tariffs: Sequence[TariffConfig], month: int) -> list[tuple[int, int, str]]:
    """Return (begin, end, kind) in seconds of the day of the tariff periods of a month, in order of time."""
    spans = []
    for tariff in tariffs:
        if month in tariff.months:
            for hours in tariff.hours:
                begin, _, end = hours.partition("-")
                spans.append((clock_time_s(begin), clock_time_s(end), tariff.kind))
    return sorted(spans)
