"""How many bytes the history takes: what `plan` says before the disk does. Pure; the figures are measured in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S = 86_400
# Bytes in the file, with its share of pages and indexes. Source: tests/unit/test_history_sizes.py, within 25 %.
INTERVAL_BYTES = 140
CHANNEL_BYTES = 350
MESSAGE_BYTES = 900
MESSAGE_METER_BYTES = 190
MESSAGE_CHANNEL_BYTES = 500
COMPLETENESS_BYTES = 260
SUMMARIES_A_DAY = 25  # one an hour and one a day


class Estimate(NamedTuple):
    """Bytes a day: intervals and summaries; signed messages. kept_bytes: of both over `history.keep`."""

    history_bytes_day: int
    outbox_bytes_day: int
    kept_bytes: int


def estimate(channels_by_meter: Mapping[str, int], length_s: int, keep_s: float, feed: bool) -> Estimate:
    """Return about how much the history grows. channels_by_meter: reported channels. feed: messages are signed."""
    meters, channels = len(channels_by_meter), sum(channels_by_meter.values())
    closed = DAY_S / length_s
    summary = COMPLETENESS_BYTES * (meters + 2)
    history = closed * (INTERVAL_BYTES * meters + CHANNEL_BYTES * channels) + SUMMARIES_A_DAY * summary
    outbox = 0.0
    if feed:
        outbox = closed * (
            MESSAGE_BYTES + MESSAGE_METER_BYTES * meters + MESSAGE_CHANNEL_BYTES * channels
        ) + SUMMARIES_A_DAY * (MESSAGE_BYTES + summary * 4 / 3)
    return Estimate(round(history), round(outbox), round((history + outbox) * keep_s / DAY_S))
