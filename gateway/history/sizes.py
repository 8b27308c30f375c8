"""How many bytes the history takes: what `plan` says before the disk does. Pure; the figures are measured in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S = 86_400
PAGE_BYTES = 4096
# Bytes of a row or a message, and what each meter and reported channel adds. Source: tests/unit/test_history_sizes.py,
# where the estimate is within 25 % of what a day takes: complete counters of two decimals, 1 to 40 meters.
INTERVAL_BYTES = 130
CHANNEL_BYTES = 255
INDEX_BYTES = 45
COMPLETENESS_BYTES = 160
MESSAGE_BYTES = 1050
MESSAGE_METER_BYTES = 180
MESSAGE_CHANNEL_BYTES = 350
SUMMARIES_A_DAY = 25  # one an hour and one a day


class Estimate(NamedTuple):
    """Bytes a day: intervals and summaries; signed messages. kept_bytes: of both over `history.keep`."""

    history_bytes_day: int
    outbox_bytes_day: int
    kept_bytes: int


def _paged(row_bytes: int) -> float:
    """Return what a row takes of the file: no page holds a part of one, but a page alone is not enough for a long one."""
    in_page = (PAGE_BYTES - 30) // row_bytes
    return PAGE_BYTES / in_page if in_page else -(-row_bytes // PAGE_BYTES) * PAGE_BYTES


def estimate(channels_by_meter: Mapping[str, int], length_s: int, keep_s: float, feed: bool) -> Estimate:
    """Return about how much the history grows. channels_by_meter: reported channels. feed: messages are signed."""
    meters, channels = len(channels_by_meter), sum(channels_by_meter.values())
    closed = DAY_S / length_s
    summary = COMPLETENESS_BYTES * (meters + 2)
    rows = [INTERVAL_BYTES + CHANNEL_BYTES * count for count in channels_by_meter.values()]
    history = closed * sum(_paged(row) + INDEX_BYTES for row in rows) + SUMMARIES_A_DAY * summary
    outbox = 0.0
    if feed:
        message = MESSAGE_BYTES + MESSAGE_METER_BYTES * meters + MESSAGE_CHANNEL_BYTES * channels
        outbox = closed * message + SUMMARIES_A_DAY * (MESSAGE_BYTES + summary * 4 / 3)
    return Estimate(round(history), round(outbox), round((history + outbox) * keep_s / DAY_S))
