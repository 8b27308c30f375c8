"""What the feed announces of itself: an index, and each meter's details; sent again only when something has changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from gateway import __version__
from gateway.config.reports import reported
from gateway.quantity import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.profiles import Library
    from gateway.config.models import MeterConfig, Site
    from gateway.derive.marks import Marks

Body = dict[str, Any]


def about(meter: MeterConfig, library: Library, marks: Marks, now_ns: int) -> Body:
    """Return a meter's details as its own message has them: `contract.About`. marks: its verification as it stands now."""
    return {
        "id": meter.id,
        "name": meter.name,
        "energy_kind": meter.energy_kind,
        "profile": meter.profile,
        "channels": [
            {
                "key": channel.key,
                "quantity": channel.quantity,
                "unit": channel.unit,
                "ucum": QUANTITIES[channel.quantity].ucum,
                "kind": channel.kind,
                "period_s": channel.period_s,
                "reference": channel.reference,
            }
            for channel in reported(meter, library)
        ],
        "labels": dict(meter.labels),
    } | marks.about(meter.id, now_ns)


def index(site: Site, details: Mapping[str, Body], key: Body) -> Body:
    """Return the index: `contract.Birth`. details: meter -> `about`. key: the public key in force."""
    intervals = site.intervals
    return {
        "software": __version__,
        "timezone": site.site.timezone,
        "key": dict(key),
        "cadence": {
            "interval_s": round(intervals.length_s),
            "grace_s": intervals.grace_s,
            "day_start": intervals.day_start,
            "month_day": intervals.month_day,
        },
        "meters": [{"id": meter, "digest": digest(body)} for meter, body in details.items()],
        "aggregates": [
            {
                "id": one.id,
                "name": one.name,
                "unit": _unit(details, one.terms[0].meter, one.terms[0].channel),
                "terms": [
                    {"meter": t.meter, "channel": t.channel, "sign": t.sign, "weight": t.weight}
                    for t in one.terms
                ],
                "codes": one.codes.as_sent(),
            }
            for one in site.aggregates
        ],
    }


def _unit(details: Mapping[str, Body], meter: str, key: str) -> str:
    channels = details[meter]["channels"] if meter in details else []
    return next((str(channel["unit"]) for channel in channels if channel["key"] == key), "")


def digest(body: Body) -> str:
    """Return SHA-256 of a body as it lies in its message."""
    return hashlib.sha256(orjson.dumps(body)).hexdigest()
