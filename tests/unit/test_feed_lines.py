"""Lines of the feed's payloads: everything from the payload, unknown stays absent, each identity a line of its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.feed.lines import encode, time_ms
from tests.fakes.feed import fitting_payload, interval_payload, summary_payload

T0_MS = 1_785_547_800_000  # 2026-08-01T01:30:00Z
STANDS_ON = b'revision=3i,superseded=%di,as_of="2026-08-01",inventory="' + b"ab" * 32 + b'"'
TAGS = b",gateway=plant-1,region=330100,enterprise=91330000MA27XXXX0A"


def test_an_interval_is_one_line_a_channel() -> None:
    assert encode(interval_payload()).split(b"\n") == [
        b"interval" + TAGS + b",meter=feeder-1,channel=energy_active_import_total "
        b"delta=12.5,opening=2923.1,closing=2935.6,expected=90i,received=88i,good=88i,gap_link_down=2i %d"
        % T0_MS,
        b"interval" + TAGS + b",meter=feeder-1,channel=power_active "
        b"mean=49.7,low=40.0,high=61.2,expected=90i,received=88i,good=88i,gap_link_down=2i %d" % T0_MS,
    ]


def test_what_is_unknown_has_no_field_and_is_never_0() -> None:
    payload = interval_payload()
    channel = payload["intervals"][0]["channels"]["energy_active_import_total"]
    channel |= {
        "delta": None,
        "closing": None,
        "how": "missing",
        "received": 0,
        "good": 0,
        "gaps": {"meter_off": 90},
    }
    (first, _) = encode(payload).split(b"\n")
    assert b" opening=2923.1,expected=90i,received=0i,good=0i,gap_meter_off=90i " in first
    assert b"delta" not in first


def test_revision_and_epoch_are_part_of_the_identity_and_left_out_where_0() -> None:
    first = encode(interval_payload()).split(b" ")[0]
    payload = interval_payload()
    payload["intervals"][0] |= {"rev": 2, "epoch": 3, "cause": "late"}
    second = encode(payload).split(b" ")[0]
    assert second == first + b",epoch=3,rev=2"


def test_a_summary_has_completeness_of_the_site_and_each_meter_and_totals() -> None:
    lines = encode(summary_payload()).split(b"\n")
    assert lines[0] == (
        b"completeness"
        + TAGS
        + b",period=day due=384i,known=380i,expected=17280i,received=17000i,good=16990i,"
        b"revised=1i,manual=0i,percent=98.95,gap_link_down=290i,deviation_percent=0.01,boundary_error_s=9.988 %d"
        % T0_MS
    )
    assert lines[1].startswith(b"completeness" + TAGS + b",meter=feeder-1,period=day due=384i")
    assert lines[2] == (
        b"total" + TAGS + b",meter=feeder-1,channel=energy_active_import_total,period=tariff,name=peak "
        b"amount=120.25,known=120.25,opening=2923.1,closing=3043.35 %d" % T0_MS
    )
    assert lines[3] == b"aggregate" + TAGS + b",aggregate=purchased,period=day missing=1i %d" % T0_MS
    assert len(lines) == 4


def test_only_the_first_part_of_a_summary_speaks_of_the_site() -> None:
    payload = summary_payload() | {"part": 2, "parts": 2}
    assert encode(payload).split(b"\n")[0].startswith(b"completeness" + TAGS + b",meter=feeder-1")


def test_a_reading_entered_by_hand_has_its_own_measurement() -> None:
    payload = interval_payload() | {"intervals": []}
    payload["readings"] = [
        {"meter": "feeder-1", "channel": "energy_active_import_total", "at": "2026-08-01T09:30:00.000+08:00",
         "value": "2935.600", "unit": "kWh", "by": "li", "why": "link down", "entered": "2026-08-01T10:00:00.000+08:00"}
    ]  # fmt: skip
    assert encode(payload) == (
        b"manual" + TAGS + b",meter=feeder-1,channel=energy_active_import_total reading=2935.6 %d" % T0_MS
    )


def test_rates_are_lines_of_their_own_and_what_is_unknown_has_no_field() -> None:
    lines = encode(fitting_payload()).split(b"\n")
    assert lines == [
        b"fitting"
        + TAGS
        + b",level=1,energy_kind=electricity,ruleset=GB17167-2006 need=4i,fitted=4i,connected=4i,"
        b"effective=3i,meets=1i,rate_percent=100.0,required_percent=100.0,verified_percent=75.0,completeness_of=0i,"
        + STANDS_ON % 1
        + b" %d" % T0_MS,
        b"fitting"
        + TAGS
        + b",level=2,energy_kind=steam,ruleset=GB17167-2006 need=0i,fitted=0i,completeness_of=0i,"
        + STANDS_ON % 1
        + b" %d" % T0_MS,
        b"fitting_share"
        + TAGS
        + b",level=1,energy_kind=water,ruleset=GBT24789-2022 "
        + STANDS_ON % 0
        + b",share_percent=80.5,required_percent=95.0,meets=0i %d" % T0_MS,
    ]


@pytest.mark.parametrize("kind", ["birth", "meter", "event", "checkpoint", "something-new"])
def test_other_kinds_have_no_line(kind: str) -> None:
    assert encode(interval_payload() | {"kind": kind}) == b""


def test_keys_it_does_not_know_are_passed_over() -> None:
    payload = interval_payload() | {"later": [1]}
    payload["intervals"][0]["channels"]["power_active"]["later"] = "x"
    assert encode(payload) == encode(interval_payload())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gateway",), "a\nb"),
        (("intervals", 0, "meter"), "ends\\"),
        (("intervals", 0, "t0"), "2026-08-01T09:30:00"),
        (("intervals", 0, "t0"), "yesterday"),
        (("intervals", 0, "rev"), -1),
        (("intervals", 0, "channels", "power_active", "mean"), "NaN"),
        (("intervals", 0, "channels", "power_active", "expected"), None),
        (("intervals", 0, "channels", ""), {"unit": "W", "kind": "gauge", "expected": 0, "received": 0, "good": 0}),
    ],
)  # fmt: skip
def test_what_is_not_of_the_contract_is_refused(path: tuple[Any, ...], value: Any) -> None:
    payload = copy.deepcopy(interval_payload())
    place: Any = payload
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=r".+"):
        encode(payload)


def test_separators_in_names_are_escaped() -> None:
    payload = interval_payload()
    payload["intervals"][0]["meter"] = "a b,c=d"
    assert rb"meter=a\ b\,c\=d," in encode(payload)


def test_a_decimal_keeps_every_digit_a_float_has() -> None:
    payload = interval_payload()
    payload["intervals"][0]["channels"]["power_active"]["mean"] = "0.1234567890123456789"
    assert b"mean=0.12345678901234568," in encode(payload)
    payload["intervals"][0]["channels"]["power_active"]["mean"] = "9" * 400  # no float: absent, not infinite
    assert b"mean" not in encode(payload)


def test_times_are_ms_since_1970_whatever_the_offset() -> None:
    assert time_ms("1970-01-01T08:00:00.001+08:00") == 1
    assert time_ms("1970-01-01T00:00:00.001Z") == 1
    assert time_ms("1969-12-31T23:59:59.999+00:00") == -1
