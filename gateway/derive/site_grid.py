"""The grid a site's intervals, days and months lie on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.periods import clock_time_s
from gateway.intervals.grid import Grid

if TYPE_CHECKING:
    from gateway.config.models import Site


def grid_of(site: Site) -> Grid:
    """Return the grid of intervals, days and months of a site."""
    own = site.intervals
    return Grid(
        site.site.timezone,
        round(own.length_s),
        day_start_s=clock_time_s(own.day_start),
        month_day=own.month_day,
    )
