"""What arrived, beside what the gateway says it journaled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.plant import CLOCK_KEY

if TYPE_CHECKING:
    from tests.servers import VictoriaMetrics


def missing(journaled: int, pending: int, found: int) -> int:
    """Return readings that should be at a destination and are not; what is pending still lies in the journal."""
    return max(0, journaled - pending - found)


def stored_frames(database: VictoriaMetrics) -> int:
    """Return how many frames the database has: values of channel 0 at different times."""
    return sum(len(times) for times in database.export(f'{{__name__="meter_{CLOCK_KEY}"}}').values())
