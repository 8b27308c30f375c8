"""The meter's own clock and its daily frozen totals (日冻结). Pure.

Source: DL/T 645-2007 annex A. 04000101 and 04000102 by two public tables of identifiers; the 0506 family by five public
programs for terminals and modules that read it, which agree on 05060001 (5 bytes, time) and on 05060101, 05060201
(4 bytes for the total, then 4 for each tariff).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

DATE = 0x04000101
"""Date and day of the week, YYMMDDWW, low byte first: 4 bytes."""
TIME = 0x04000102
"""Time of day, hhmmss, low byte first: 3 bytes."""
FROZEN_TIME = 0x05060001
"""When the last daily totals were frozen, YYMMDDhhmm, low byte first: 5 bytes."""
DATE_SIZE, TIME_SIZE, FROZEN_TIME_SIZE = 4, 3, 5
TOTAL_SIZE = 4
CENTURY = 2000
SLACK_S = 120.0
"""By how much a corrected time of freezing may lie outside an outage: clocks are compared to the second, polls are not."""
UNKNOWN_S = 25 * 3600.0
"""At the start nobody knows how long the outage was; a meter that freezes daily has done so within a day."""


def _digits(raw: bytes) -> list[int] | None:
    """Return each byte's two decimal digits as a number; None if one is not decimal."""
    text = raw.hex()
    return [int(text[i : i + 2]) for i in range(0, len(text), 2)] if text.isdecimal() else None


def clock_s(date: bytes, time: bytes, utc_offset_min: int) -> float | None:
    """Return what the meter's clock shows in seconds since the Unix epoch, None if it is no time.

    date, time: the values of DATE and TIME as the wire carries them less 33H.
    """
    day, moment = _digits(date), _digits(time)
    if day is None or moment is None or len(day) != DATE_SIZE or len(moment) != TIME_SIZE:
        return None
    return _seconds((CENTURY + day[3], day[2], day[1], *reversed(moment)), utc_offset_min)


def frozen_s(raw: bytes, utc_offset_min: int) -> float | None:
    """Return when the totals were frozen in seconds since the Unix epoch, None if it is no time (never frozen: zeros)."""
    fields = _digits(raw)
    if fields is None or len(fields) != FROZEN_TIME_SIZE:
        return None
    minute, hour, day, month, year = fields
    return _seconds((CENTURY + year, month, day, hour, minute, 0), utc_offset_min)


def _seconds(fields: tuple[int, ...], utc_offset_min: int) -> float | None:
    year, month, day, hour, minute, second = fields
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (local - timedelta(minutes=utc_offset_min)).timestamp()


def frozen_doubt(frozen_s: float, offset_s: float | None, from_s: float, to_s: float) -> tuple[str, bool]:
    """Return what is doubtful about totals frozen at this time ("": nothing), and whether the time itself can be believed.

    frozen_s: by the meter's clock; offset_s: of that clock against the gateway's, None: not compared. from_s, to_s: the outage.
    """
    corrected_s = frozen_s - (offset_s or 0.0)
    if not from_s - SLACK_S <= corrected_s <= to_s + SLACK_S:
        shown = f"{datetime.fromtimestamp(frozen_s, UTC):%Y-%m-%dT%H:%MZ}"
        return f"the meter says that it froze this at {shown}, which is not within the outage", False
    return ("" if offset_s is not None else "the meter's clock was not compared yet"), True


def local_day(wall_s: float, utc_offset_min: int) -> int:
    """Return the number of the meter's day, for telling whether a midnight lies between two times."""
    return int((wall_s + 60 * utc_offset_min) // 86_400)
