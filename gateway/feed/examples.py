"""A recorded feed of a made-up site, the same every time: what docs/specs/examples holds.

The plant is commissioned at 23:00. One meter's link is down for ten minutes, an interval is made anew, the broker
misses a message and gets it late, a reading is entered by hand, the key is changed. Keys and codes are throw-away ones.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.feed import contract, jws
from gateway.feed.keys import Key

GATEWAY, REGION, ENTERPRISE = "plant-1", "350100", "91350100M000100Y43"
"""The enterprise is the one GB 32100-2015 has for its example."""
ROOT = f"emc/v1/{REGION}/{ENTERPRISE}/{GATEWAY}"
CHAIN = "5f0c5b1e9d9f4f0ab7c1d2e3f4a59687"
CONFIG = hashlib.sha256(b"an example").hexdigest()
SEEDS = (b"doc-example-only", b"doc-example-only, the second")
"""What the two keys are made of; never use a key whose seed is printed."""

_BEGIN = datetime.fromisoformat("2026-08-01T23:00:00+08:00")
_QUARTER = timedelta(minutes=15)
_DUE = 15  # once a minute
_ENERGY, _POWER, _VOLUME = "energy_active_import", "power_active", "volume"
_UNITS = {_ENERGY: "kW·h", _POWER: "kW", _VOLUME: "m³"}
Body = dict[str, Any]


class Recorded(NamedTuple):
    """One message as a subscriber recorded it. t: milliseconds since 1970 UTC. body: what the payload says."""

    t: int
    topic: str
    retain: bool
    payload: str
    body: Body


def key_of(seed: bytes) -> Key:
    """Return an example's key."""
    return Key.of(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest()), GATEWAY)


class Recorder:
    """Signs messages into one chain and notes them in the order a subscriber gets them."""

    def __init__(self) -> None:
        self.key = key_of(SEEDS[0])
        self.seq, self.head = 0, contract.GENESIS
        self.recorded: list[Recorded] = []

    def sign(self, kind: contract.Kind, at: datetime, body: Body) -> tuple[str, Body]:
        """Return a message and what its payload says; the chain goes on after it."""
        self.seq += 1
        payload: Body = {
            "v": 1,
            "kind": kind,
            "gateway": GATEWAY,
            "region": REGION,
            "enterprise": ENTERPRISE,
            "chain": CHAIN,
            "seq": str(self.seq),
            "prev": self.head,
            "issued": _iso(at),
            "clock": {"synchronised": True, "offset_ms": 0.4, "max_error_ms": 12.0},
            "config": CONFIG,
        } | body
        signed = jws.sign(self.key.private, self.key.kid, _compact(payload))
        self.head = jws.digest(signed)
        return signed.decode(), payload

    def note(self, at: datetime, level: str, payload: str, body: Body, *, retain: bool = False) -> None:
        """Note a message as it arrives."""
        self.recorded.append(Recorded(int(at.timestamp() * 1000), f"{ROOT}/{level}", retain, payload, body))

    def send(self, kind: contract.Kind, at: datetime, body: Body, subject: str = "") -> None:
        """Sign a message and note that it arrives at once."""
        signed, payload = self.sign(kind, at, body)
        retain = kind in contract.RETAINED
        self.note(at, contract.topic(kind, subject), signed, payload, retain=retain)

    def state(self, at: datetime, *, online: bool) -> None:
        """Note a message of state, the only one that is not signed."""
        body = {"v": 1, "gateway": GATEWAY, "online": online, "at": _iso(at)}
        body |= {"chain": CHAIN, "seq": str(self.seq)}
        self.note(at, "state", _compact(body).decode(), body, retain=True)


def recording() -> list[Recorded]:
    """Return the feed of the site's first 75 minutes."""
    feed = Recorder()
    _start(feed)
    _first_hour(feed)
    _first_day(feed)
    _new_key(feed)
    return feed.recorded


def lines() -> str:
    """Return the recording as JSON lines."""
    return "".join(
        json.dumps({"t": r.t, "topic": r.topic, "retain": r.retain, "payload": r.payload}) + "\n"
        for r in recording()
    )


def payloads() -> dict[str, Body]:
    """Return name of the example -> what its payload says; one of each message, the first of the fullest."""
    found: dict[str, Body] = {}
    for message in recording():
        kind = message.body.get("kind", "state")
        if kind not in found or len(message.body) > len(found[kind]):
            found[kind] = message.body
    return found


def jws_of(kind: str) -> str:
    """Return a whole example message of a kind (or of state), the shortest."""
    whole = [m.payload for m in recording() if m.body.get("kind", "state") == kind]
    return min(whole, key=len)


def public_key() -> Body:
    """Return the key the recording begins with, as JWK."""
    return dict(key_of(SEEDS[0]).known.jwk)


def _start(feed: Recorder) -> None:
    feed.state(_at(0.2), online=True)
    meters = [_about("feeder-1", "electricity", _ENERGY, _POWER), _about("boiler-water", "water", _VOLUME)]
    _birth(feed, _at(0.5), meters)
    for about in meters:
        feed.send("meter", _at(0.5), {"about": about}, about["id"])
    begun = _event(_at(0), "start", GATEWAY, {"software": "0.1.0", "config": CONFIG, "pid": 412})
    begins = _event(
        _at(0.3), "chain_begins", GATEWAY, {"chain": CHAIN, "reason": "first_start", "before": ""}
    )
    feed.send("event", _at(1), {"events": begun["events"] + begins["events"]})


def _birth(feed: Recorder, at: datetime, meters: list[Body]) -> None:
    index = [{"id": about["id"], "digest": hashlib.sha256(_compact(about)).hexdigest()} for about in meters]
    total = {
        "id": "site-electricity",
        "name": "全厂电力",
        "unit": _UNITS[_ENERGY],
        "terms": [{"meter": "feeder-1", "channel": _ENERGY, "sign": "+", "weight": "1"}],
        "codes": {"dataCode": "0000000002330001", "inputType": "4", "scope": "1"},
    }
    body = {
        "software": "0.1.0",
        "timezone": "Asia/Shanghai",
        "key": feed.key.body,
        "cadence": {"interval_s": 900, "grace_s": 30.0, "day_start": "00:00", "month_day": 1},
        "meters": index,
        "aggregates": [total],
    }
    feed.send("birth", at, body)


def _first_hour(feed: Recorder) -> None:
    """Four intervals: a gap in the second and its revision, the third late for the broker."""
    feed.send("data", _closed(0), _quarter(0))
    feed.send("event", _at(1200.2), _event(_at(1200), "link_down", "hall-b", {"reason": "connection"}))
    feed.send("event", _at(1740.2), _event(_at(1740), "link_up", "hall-b", {}))
    feed.send("data", _closed(1), _quarter(1))
    anew = _water(1, received=6) | {"rev": 1, "cause": "late"}
    feed.send("data", _at(1860), {"intervals": [anew]})
    late, body = feed.sign("data", _closed(2), _quarter(2))
    feed.send("data", _closed(3), _quarter(3) | {"readings": [_by_hand()]})
    feed.note(_at(3631), "backfill", late, body)


def _first_day(feed: Recorder) -> None:
    hour = {"t0": _iso(_BEGIN), "t1": _iso(_BEGIN + 4 * _QUARTER), "rev": 0}
    feed.send("summary", _at(3632), {"period": "hour"} | hour | _completeness())
    day = {"t0": _iso(_BEGIN - timedelta(hours=23)), "t1": hour["t1"], "rev": 0}
    totals = [
        {
            "meter": meter,
            "channel": channel,
            "period": "day",
            **day,
            "unit": _UNITS[channel],
            "amount": None,
            "known": str(_reading(channel, 4) - _reading(channel, 0)),
            "opening": None,
            "closing": _boundary(channel, 4),
        }
        for meter, channel in (("feeder-1", _ENERGY), ("boiler-water", _VOLUME))
    ]
    feed.send("summary", _at(3633), {"period": "day"} | day | _completeness() | {"totals": totals})
    feed.send("checkpoint", _at(3634), {"covers": str(feed.seq), "head": feed.head})
    feed.send("fitting", _at(3635), _fitting())


def _fitting() -> Body:
    """Return what two instruments come to by a ruleset made up for the example."""
    row: Body = {"ruleset": "example-1", "level": 1, "energy_kind": "electricity", "need": 1, "fitted": 1}
    row |= {
        "connected": 1,
        "effective": 1,
        "rate_percent": "100.0000",
        "required_percent": "100",
        "meets": True,
    }
    row |= {"intact_percent": "100.0000", "verified_percent": "100.0000", "accurate_percent": "100.0000"}
    row |= {"auto_collected_percent": "100.0000", "clauses": ["example 1"], "superseded": True}
    water: Body = {"ruleset": "example-1", "level": 2, "energy_kind": "water", "need": 2, "fitted": 1}
    water |= {
        "connected": 1,
        "effective": 0,
        "rate_percent": "50.0000",
        "required_percent": "95",
        "meets": False,
    }
    water |= {"clauses": ["example 2"], "missing": ["pipe-7"], "superseded": True}
    result: Body = {"window_from": "2026-07-01", "window_to": "2026-07-31", "whole": True}
    result |= {"superseded_on": "2026-02-01", "superseded_by": "example-2"}
    result |= {"doubts": ["example-1 is superseded since 2026-02-01 by example-2"], "rates": [row, water]}
    head: Body = {
        "ruleset": "example-1",
        "ruleset_digest": CONFIG,
        "as_of": "2026-08-02",
        "at": _iso(_at(3635)),
    }
    head |= {"inventory": CONFIG, "revision": 1}
    return head | {"result": result}


def _new_key(feed: Recorder) -> None:
    """The old key signs the event that names the new one; the new one signs what follows."""
    fresh = key_of(SEEDS[1])
    detail = {"key": fresh.body, "by": "zhang", "why": "example"}
    feed.send("event", _at(4000), _event(_at(4000), "key_rotated", GATEWAY, detail))
    feed.key = fresh
    meters = [_about("feeder-1", "electricity", _ENERGY, _POWER), _about("boiler-water", "water", _VOLUME)]
    _birth(feed, _at(4001), meters)
    feed.send("data", _closed(4), _quarter(4))
    feed.state(_at(4600), online=False)


_VERIFIED: dict[str, Body] = {
    "feeder-1": {
        "accuracy_class": "0.5S",
        "verification": {
            "instrument": "E-001",
            "state": "valid",
            "kind": "verification",
            "on": "2025-03-01",
            "until": "2031-02-28",
            "certificate": "DN-2025-0117",
            "body": "市计量院",
        },
    }
}


def _about(meter: str, energy_kind: str, *channels: str) -> Body:
    ucum = {_ENERGY: "kW.h", _POWER: "kW", _VOLUME: "m3"}
    return {
        "id": meter,
        "name": {"feeder-1": "1号进线", "boiler-water": "锅炉补水"}[meter],
        "energy_kind": energy_kind,
        "profile": {"feeder-1": "eastron-sdm630", "boiler-water": "cjt188-water"}[meter],
        "channels": [
            {
                "key": channel,
                "quantity": channel,
                "unit": _UNITS[channel],
                "ucum": ucum[channel],
                "kind": "gauge" if channel == _POWER else "counter",
                "period_s": 60.0,
            }
            for channel in channels
        ],
        **_VERIFIED.get(meter, {"accuracy_class": None, "verification": None}),
    }


def _quarter(n: int) -> Body:
    """Return the n-th closed interval of both meters, and the aggregate."""
    begin = _BEGIN + n * _QUARTER
    ends = {"t0": _iso(begin), "t1": _iso(begin + _QUARTER)}
    power = Decimal("12.4") + n
    gauge = {"mean": str(power), "low": str(power - 1), "high": str(power + 2)}
    feeder = {
        "meter": "feeder-1",
        **ends,
        "epoch": 0,
        "rev": 0,
        "verification": "valid",
        "channels": {_ENERGY: _counter(_ENERGY, n), _POWER: _channel(_POWER, _DUE) | gauge},
    }
    amount = _reading(_ENERGY, n + 1) - _reading(_ENERGY, n)
    total = {"aggregate": "site-electricity", "period": "interval", **ends, "rev": 0}
    total |= {"unit": _UNITS[_ENERGY], "value": str(amount)}
    codes = {"dataCode": "0000000002330001", "inputType": "4", "statType": "0", "scope": "1"}
    water = _water(n, received=5 if n == 1 else _DUE)
    return {"intervals": [feeder, water], "aggregates": [total | {"codes": codes}]}


def _water(n: int, *, received: int) -> Body:
    begin = _BEGIN + n * _QUARTER
    ends = {"t0": _iso(begin), "t1": _iso(begin + _QUARTER)}
    return {"meter": "boiler-water", **ends, "epoch": 0, "rev": 0} | {
        "channels": {_VOLUME: _counter(_VOLUME, n, received)}
    }


def _counter(channel: str, n: int, received: int = _DUE) -> Body:
    return _channel(channel, received) | {
        "opening": _boundary(channel, n),
        "closing": _boundary(channel, n + 1),
        "delta": str(_reading(channel, n + 1) - _reading(channel, n)),
        "how": "normal",
    }


def _channel(channel: str, received: int) -> Body:
    kind = "gauge" if channel == _POWER else "counter"
    body: Body = {"unit": _UNITS[channel], "kind": kind, "expected": _DUE}
    body |= {"received": received, "good": received}
    return body if received == _DUE else body | {"gaps": {"link_down": _DUE - received}}


def _boundary(channel: str, n: int) -> Body:
    return {"value": str(_reading(channel, n)), "at": _iso(_BEGIN + n * _QUARTER, milliseconds=12)}


def _reading(channel: str, n: int) -> Decimal:
    """Return what a counter shows after n intervals."""
    begin, step = {_ENERGY: ("2935.600", "3.100"), _VOLUME: ("481.25", "0.75")}[channel]
    return Decimal(begin) + n * Decimal(step)


def _by_hand() -> Body:
    return {
        "meter": "boiler-water",
        "channel": _VOLUME,
        "at": _iso(_at(3000)),
        "value": "483.8",
        "unit": _UNITS[_VOLUME],
        "by": "zhang",
        "why": "抄表比对",
        "entered": _iso(_at(3100)),
    }


def _completeness() -> Body:
    """Return the first hour's: ten readings were due and not there, one of them came late."""
    feeder: Body = {"meter": "feeder-1", "due": 8, "known": 8}
    feeder |= {"expected": 8 * _DUE, "received": 8 * _DUE, "good": 8 * _DUE, "percent": "100.00"}
    came = 4 * _DUE - 9
    water: Body = {"meter": "boiler-water", "due": 4, "known": 4, "expected": 4 * _DUE, "received": came}
    water |= {"good": came, "gaps": {"link_down": 9}, "percent": "100.00", "revised": 1}
    site: Body = {"meter": None, "due": 12, "known": 12, "expected": 12 * _DUE}
    site |= {"received": 12 * _DUE - 9, "good": 12 * _DUE - 9, "gaps": {"link_down": 9}}
    return {"site": site | {"percent": "100.00", "revised": 1}, "meters": [feeder, water]}


def _event(at: datetime, kind: str, subject: str, detail: Body) -> Body:
    return {"events": [{"at": _iso(at), "kind": kind, "subject": subject, "detail": detail}]}


def _at(seconds: float) -> datetime:
    return _BEGIN + timedelta(seconds=seconds)


def _closed(n: int) -> datetime:
    """Return when the n-th interval is closed and signed: after its grace."""
    return _BEGIN + (n + 1) * _QUARTER + timedelta(seconds=30)


def _iso(at: datetime, milliseconds: int = 0) -> str:
    return (at + timedelta(milliseconds=milliseconds)).isoformat(timespec="milliseconds")


def _compact(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
