"""A straight line through samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Line(NamedTuple):
    """slope: y per x; error: its standard error, as if the samples did not depend on each other."""

    slope: float
    error: float


def slope(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Return the least-squares line through at least three samples."""
    n = len(xs)
    mean_x, mean_y = sum(xs) / n, sum(ys) / n
    spread = sum((x - mean_x) ** 2 for x in xs)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return Line(rise, math.sqrt(rest / (n - 2) / spread))
