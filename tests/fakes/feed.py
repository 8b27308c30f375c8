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
    payload = (
        interval_payload(seq)
        if kind == "data"
        else summary_payload(seq)
        if kind == "summary"
        else head(kind, seq)
    )
    if size:
        payload["filling"] = "x" * size
    return Entry(seq, kind, subject, time_ns, seal(payload))
