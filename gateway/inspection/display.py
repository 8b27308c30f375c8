"""Whether a display (表码) agrees with the gateway's last reading of a counter that runs on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from gateway.inspection.model import Mark


def agreement(difference: Decimal, digit: Decimal, lapse: Decimal | None) -> Mark:
    """Return whether a display agrees; not_seen where nobody can tell how far the counter ran on.

    difference: display - gateway. digit: what one count of the display's last place is worth. lapse: the most the counter can
    have counted since the gateway's reading, None if that is not known. All in one unit. A counter never runs back.
    """
    if difference < -digit:
        return "wrong"
    if difference <= digit:
        return "ok"
    if lapse is None:
        return "not_seen"
    return "ok" if difference <= digit + lapse else "wrong"
