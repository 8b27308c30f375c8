"""Load curves whose integral is known: a level, a day shape and noise, all made of sines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

REFERENCE_NS = 1_767_196_800_000_000_000
"""Where time is counted from: 2026-01-01T00:00:00+08:00, midnight in the plant (no daylight saving there)."""
DAY_S = 86_400.0
HOUR_S = 3_600.0
_TAU = 2 * math.pi


@dataclass(frozen=True, slots=True)
class Wave:
    """A level with sines on it. terms: (amplitude, rad/s, phase); their sum stays below the level."""

    level: float
    terms: tuple[tuple[float, float, float], ...] = ()

    def at(self, t_s: float) -> float:
        """Return the value at a time."""
        return self.level + sum(a * math.sin(w * t_s + p) for a, w, p in self.terms)

    def integral(self, t_s: float) -> float:
        """Return the integral from the reference time, in unit x seconds."""
        return self.level * t_s + sum(a / w * (math.cos(p) - math.cos(w * t_s + p)) for a, w, p in self.terms)

    def scaled(self, factor: float) -> Wave:
        """Return the wave times a factor."""
        return Wave(self.level * factor, tuple((a * factor, w, p) for a, w, p in self.terms))


def load(rng: Random, level: float, swing: float = 0.35, noise: float = 0.12) -> Wave:
    """Return a plant load: highest in the afternoon, lowest before dawn, with short-lived noise on it.

    swing, noise: shares of the level, together below 1, so the wave never reaches zero.
    """
    if not 0 <= swing + noise < 1:
        raise ValueError(f"swing {swing} and noise {noise} must stay below 1 together")
    peak_s = rng.gauss(14 * HOUR_S, HOUR_S)
    terms = []
    for share, period_s in ((0.7, DAY_S), (0.2, DAY_S / 2), (0.1, DAY_S / 3)):
        w = _TAU / period_s
        terms.append((level * swing * share, w, math.pi / 2 - w * peak_s))
    return Wave(level, (*terms, *_noise(rng, level * noise)))


def calm(rng: Random, level: float, noise: float) -> Wave:
    """Return a level with noise only: a voltage, a temperature. noise: largest deviation, same unit."""
    return Wave(level, _noise(rng, noise))


def _noise(rng: Random, size: float) -> tuple[tuple[float, float, float], ...]:
    shares = [rng.uniform(0.5, 1) for _ in range(4)]
    periods_s = (rng.uniform(5, 15), rng.uniform(30, 90), rng.uniform(200, 700), rng.uniform(2000, 5000))
    return tuple(
        (size * share / sum(shares), _TAU / period_s, rng.uniform(0, _TAU))
        for share, period_s in zip(shares, periods_s, strict=True)
    )
