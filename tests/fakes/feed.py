"""Messages of the feed for tests of what carries them: whole by the contract, their signatures are not."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from gateway.feed.contract import GENESIS
from gateway.feed.entries import Entry

if TYPE_CHECKING:
    from gateway.feed.contract import Kind

CHAIN = "c0ffee00c0ffee00"
START_NS = 1_785_547_830_000_000_000
_GAPS = {"link_down": 2}


def head(kind: str, seq: int = 1, prev: str = GENESIS) -> dict[str, Any]:
    """Return what every payload begins with."""
    return {
        "v": 1,
        "kind": kind,
        "gateway": "plant-1",
        "region": "330100",
        "enterprise": "91330000MA27XXXX0A",
        "chain": CHAIN,
        "seq": str(seq),
        "prev": prev,
        "issued": "2026-08-01T09:30:30.000+08:00",
        "clock": {"synchronised": True},
        "config": "ab" * 32,
    }


def _boundary(reading: str) -> dict[str, Any]:
    return {"value": reading, "at": "2026-08-01T09:30:00.012+08:00"}


def interval_payload(
    seq: int = 1, *, t0: str = "2026-08-01T09:30:00.000+08:00", rev: int = 0
) -> dict[str, Any]:
    """Return an interval of one meter with a counter and a gauge."""
    counts = {"expected": 90, "received": 88, "good": 88, "gaps": dict(_GAPS)}
    counter = {
        "unit": "kWh", "kind": "counter", "opening": _boundary("2923.100"), "closing": _boundary("2935.600"),
        "delta": "12.500", "how": "normal",
    } | counts  # fmt: skip
    gauge = {"unit": "W", "kind": "gauge", "mean": "49.7", "low": "40", "high": "61.2"} | counts
    interval = {
        "meter": "feeder-1", "t0": t0, "t1": "2026-08-01T09:45:00.000+08:00", "epoch": 0, "rev": rev,
        "cause": "late" if rev else "",
        "channels": {"energy_active_import_total": counter, "power_active": gauge},
    }  # fmt: skip
    return head("data", seq) | {"intervals": [interval]}


def summary_payload(seq: int = 1) -> dict[str, Any]:
    """Return a day's summary of one meter."""
    site = {
        "meter": None, "due": 384, "known": 380, "expected": 17280, "received": 17000, "good": 16990,
        "gaps": {"link_down": 290}, "percent": "98.95", "revised": 1, "manual": 0,
    }  # fmt: skip
    times = {"t0": "2026-08-01T09:30:00.000+08:00", "t1": "2026-08-02T09:30:00.000+08:00", "rev": 0}
    total = {
        "meter": "feeder-1", "channel": "energy_active_import_total", "period": "tariff", "name": "peak",
        "unit": "kWh", "amount": "120.250", "known": "120.250",
        "opening": _boundary("2923.100"), "closing": _boundary("3043.350"),
    } | times  # fmt: skip
    aggregate = {
        "aggregate": "purchased",
        "period": "day",
        "unit": "kWh",
        "value": None,
        "missing": ["feeder-2"],
    }
    return (
        head("summary", seq)
        | times
        | {
            "period": "day",
            "site": site,
            "meters": [site | {"meter": "feeder-1"}],
            "totals": [total],
            "aggregates": [aggregate | times],
            "consistency": {"deviation_percent": "0.01", "boundary_error_s": "9.988"},
        }
    )


def fitting_body() -> dict[str, Any]:
    """Return what a fitting message adds: a rate that is met, one nobody can tell, a share of water."""
    met = {
        "ruleset": "GB17167-2006", "level": 1, "energy_kind": "electricity", "need": 4, "fitted": 4, "connected": 4,
        "effective": 3, "rate_percent": "100.0000", "required_percent": "100", "meets": True,
        "verified_percent": "75.0000", "clauses": ["GB 17167-2006 4.3.8"],
        "superseded": True,
    }  # fmt: skip
    unknown = {
        "ruleset": "GB17167-2006",
        "level": 2,
        "energy_kind": "steam",
        "need": 0,
        "fitted": 0,
        "superseded": True,
    }
    share = {
        "ruleset": "GBT24789-2022",
        "level": 1,
        "energy_kind": "water",
        "share_percent": "80.5000",
        "superseded": False,
    }
    return {
        "ruleset": "GB17167-2006",
        "ruleset_digest": "cd" * 32,
        "as_of": "2026-08-01",
        "at": "2026-08-01T09:30:00.000+08:00",
        "inventory": "ab" * 32,
        "revision": 3,
        "result": {
            "window_from": "2026-07-01",
            "window_to": "2026-07-31",
            "superseded_on": "2026-02-01",
            "superseded_by": "GB17167-2025",
            "doubts": ["GB17167-2006 is superseded since 2026-02-01 by GB17167-2025"],
            "rates": [met, unknown],
            "water_shares": [share | {"required_percent": "95", "meets": False}],
        },
    }


def fitting_payload(seq: int = 1) -> dict[str, Any]:
    """Return fitting rates."""
    return head("fitting", seq) | fitting_body()


def seal(payload: dict[str, Any]) -> bytes:
    """Return a message as it is sent; its signature is made up."""
    parts = (
        orjson.dumps({"alg": "Ed25519", "kid": "plant-1-0", "typ": "metergate-feed+jws"}),
        orjson.dumps(payload),
    )
    first = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return first + b"." + urlsafe_b64encode(sha256(first).digest() * 2).rstrip(b"=")


def entry(
    seq: int, kind: Kind = "data", subject: str = "", *, size: int = 0, time_ns: int = START_NS
) -> Entry:
    """Return a message on its way. size: bytes of filling in its payload."""
    made = {"data": interval_payload, "summary": summary_payload, "fitting": fitting_payload}
    payload = made[kind](seq) if kind in made else head(kind, seq)
    if size:
        payload["filling"] = "x" * size
    return Entry(seq, kind, subject, time_ns, seal(payload))
