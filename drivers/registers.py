"""Where a value lies in a Modbus meter, and how that meter type may be asked. Pure: no I/O, no library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class RegisterSource:
    """One part of a channel: function 1..4, wire address (zero-based), count of registers or bits.

    A channel's entry in `Poll.sources` is a tuple of these, one for each part, read in one request.
    """

    function: int
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What a meter type allows in one request; goes into `Poll.settings`.

    registers_max: per request. align: addresses and counts are multiples of this.
    split: "merge" reads neighbours together; "whole_values" does, but a request may not begin or end inside a
    value; "single" reads one value a request. holes: what unlisted addresses answer; only "zero" may be read
    through. pause_ms: rest between two requests. wake: the first request of a poll may only wake the meter, so it
    is asked once more if it gets no answer. hole_max: addresses that may be read through at a stretch; None: as many
    as are worth it.
    """

    registers_max: int = 64
    align: int = 1
    split: Literal["merge", "whole_values", "single"] = "merge"
    holes: Literal["zero", "error", "unknown"] = "unknown"
    pause_ms: int = 0
    wake: bool = False
    hole_max: int | None = None
