"""Payloads of the feed as InfluxDB line protocol (docs/specs/influx-schema.md, Intervals): one line per identity. Pure.

Everything a line has follows from the signed payload, so whoever writes it, gateway or collector, writes the same line.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

from gateway.escaping import escape
from gateway.feed.contract import MESSAGES, ClosedIntervals, Fitting, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.feed.contract import (
        AggregateBody,
        Boundary,
        ChannelBody,
        CompletenessBody,
        IntervalBody,
        ManualBody,
        Payload,
        TotalBody,
    )
    from gateway.feed.contract_fitting import FittingRow, FittingShare

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_INTEGER_MAX = 2**63 - 1


def encode(payload: Mapping[str, Any]) -> bytes:
    """Return the lines of one payload, joined by newlines, precision `ms`; empty where its kind has no measurement.

    Raises ValueError where it is not of the contract, or a name in it cannot be written in line protocol.
    """
    model = MESSAGES.get(payload.get("kind", ""))
    if model not in _LINES:
        return b""
    assert model is not None
    return b"\n".join(_LINES[model](model.model_validate(payload)))


def _intervals(message: Payload) -> Iterator[bytes]:
    assert isinstance(message, ClosedIntervals)
    for interval in message.intervals:
        for key, channel in interval.channels.items():
            yield _interval(message, interval, key, channel)
    for aggregate in message.aggregates:
        yield _aggregate(message, aggregate)
    for reading in message.readings:
        yield _manual(message, reading)


def _summary(message: Payload) -> Iterator[bytes]:
    assert isinstance(message, Summary)
    if message.part == 1:
        yield _completeness(message, message.site)
    for meter in message.meters:
        yield _completeness(message, meter)
    for total in message.totals:
        yield _total(message, total)
    for aggregate in message.aggregates:
        yield _aggregate(message, aggregate)


def _fitting(message: Payload) -> Iterator[bytes]:
    assert isinstance(message, Fitting)
    for row in message.result.rates:
        yield _rate(message, row)
    for share in message.result.water_shares:
        yield _share(message, share)


_LINES: dict[type[Payload], Callable[[Payload], Iterator[bytes]]] = {
    ClosedIntervals: _intervals,
    Summary: _summary,
    Fitting: _fitting,
}


def _rate(message: Fitting, row: FittingRow) -> bytes:
    fields = _counts(need=row.need, fitted=row.fitted)
    known = {"connected": row.connected, "effective": row.effective, "meets": row.meets}
    fields |= _counts(**{name: int(number) for name, number in known.items() if number is not None})
    fields |= _readings(
        rate_percent=row.rate_percent,
        required_percent=row.required_percent,
        intact_percent=row.intact_percent,
        verified_percent=row.verified_percent,
        accurate_percent=row.accurate_percent,
        auto_collected_percent=row.auto_collected_percent,
        completeness_percent=row.completeness_percent,
        covered_percent=row.covered_percent,
    )
    fields |= _counts(completeness_of=row.completeness_of) | _stands_on(message, row)
    labels = {"level": str(row.level), "energy_kind": row.energy_kind, "ruleset": row.ruleset}
    return _line("fitting", message, labels, fields, message.at)


def _stands_on(message: Fitting, row: FittingRow | FittingShare) -> dict[str, bytes]:
    fields = _counts(revision=message.revision, superseded=int(row.superseded))
    return fields | _words(as_of=message.as_of, inventory=message.inventory)


def _share(message: Fitting, row: FittingShare) -> bytes:
    fields = _stands_on(message, row)
    fields |= _readings(share_percent=row.share_percent, required_percent=row.required_percent)
    if row.meets is not None:
        fields |= _counts(meets=int(row.meets))
    labels = {"level": str(row.level), "energy_kind": row.energy_kind, "ruleset": row.ruleset}
    return _line("fitting_share", message, labels, fields, message.at)


def _interval(message: Payload, interval: IntervalBody, key: str, channel: ChannelBody) -> bytes:
    labels = {"meter": interval.meter, "channel": key, "epoch": _unless_0(interval.epoch)}
    fields = _readings(
        delta=channel.delta,
        opening=_value(channel.opening),
        closing=_value(channel.closing),
        mean=channel.mean,
        low=channel.low,
        high=channel.high,
    )
    fields |= _counts(expected=channel.expected, received=channel.received, good=channel.good)
    fields |= _gaps(channel.gaps)
    return _line("interval", message, labels | {"rev": _unless_0(interval.rev)}, fields, interval.t0)


def _aggregate(message: Payload, body: AggregateBody) -> bytes:
    labels = {"aggregate": body.aggregate, "period": body.period, "rev": _unless_0(body.rev)}
    fields = _readings(value=body.value) | _counts(missing=len(body.missing))
    return _line("aggregate", message, labels, fields, body.t0)


def _manual(message: Payload, body: ManualBody) -> bytes:
    labels = {"meter": body.meter, "channel": body.channel}
    return _line("manual", message, labels, _readings(reading=body.value), body.at)


def _completeness(message: Summary, body: CompletenessBody) -> bytes:
    labels = {"meter": body.meter, "period": message.period, "rev": _unless_0(message.rev)}
    fields = _counts(
        due=body.due,
        known=body.known,
        expected=body.expected,
        received=body.received,
        good=body.good,
        revised=body.revised,
        manual=body.manual,
    )
    fields |= _readings(percent=body.percent) | _gaps(body.gaps)
    if body is message.site and message.consistency is not None:
        told = message.consistency
        fields |= _readings(deviation_percent=told.deviation_percent, boundary_error_s=told.boundary_error_s)
    return _line("completeness", message, labels, fields, message.t0)


def _total(message: Payload, body: TotalBody) -> bytes:
    labels = {"meter": body.meter, "channel": body.channel, "period": body.period, "name": body.name or None}
    fields = _readings(
        amount=body.amount,
        known=body.known,
        opening=_value(body.opening),
        closing=_value(body.closing),
    )
    return _line("total", message, labels | {"rev": _unless_0(body.rev)}, fields, body.t0)


def _unless_0(number: int) -> str | None:
    return str(number) if number else None


def _value(boundary: Boundary | None) -> str | None:
    return None if boundary is None else boundary.value


def _readings(**texts: str | None) -> dict[str, bytes]:
    """Return fields of decimal texts as floats, in the fewest digits that read back as the same float64; what is unknown has none."""
    numbers = {name: float(text) for name, text in texts.items() if text is not None}
    return {name: orjson.dumps(number) for name, number in numbers.items() if isfinite(number)}


def _counts(**numbers: int) -> dict[str, bytes]:
    return {name: b"%di" % min(number, _INTEGER_MAX) for name, number in numbers.items()}


def _words(**texts: str) -> dict[str, bytes]:
    """Return fields of texts. Raises ValueError: a name that cannot be written."""
    return {name: b'"%b"' % escape(text, special='"') for name, text in texts.items()}


def _gaps(gaps: Mapping[str, int]) -> dict[str, bytes]:
    return _counts(**{f"gap_{reason}": number for reason, number in gaps.items()})


def _line(
    measurement: str, message: Payload, labels: Mapping[str, str | None], fields: Mapping[str, bytes], at: str
) -> bytes:
    """Return one line; a label (InfluxDB: tag) that is None is left out. Raises ValueError."""
    origin = {
        "gateway": message.gateway,
        "region": message.region or None,
        "enterprise": message.enterprise or None,
    }
    named = b"".join(
        b",%b=%b" % (name.encode(), escape(value))
        for name, value in (origin | dict(labels)).items()
        if value is not None
    )
    listed = b",".join(b"%b=%b" % (escape(name), text) for name, text in fields.items())
    return b"%b%b %b %d" % (measurement.encode(), named, listed, time_ms(at))


def time_ms(text: str) -> int:
    """Return an ISO 8601 time with offset in ms since 1970 UTC, cut. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return (moment - _EPOCH) // _MS
