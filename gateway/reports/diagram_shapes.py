"""Shapes of a network diagram as SVG text: circles by their mark, boxes by their role, labels that fit. Pure."""

from __future__ import annotations

import re
import unicodedata
from xml.sax.saxutils import escape

RADIUS = 7
INK, WARN, PALE, FAINT = "#1b2733", "#b3261e", "#ffffff", "#5b6875"
FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What XML 1.0 has no place for."""

BOX_STYLE = {
    "outside": f'fill="#eef1f4" stroke="{FAINT}" rx="16"',
    "organization": f'fill="#e3edf7" stroke="{INK}" rx="2"',
    "accounting": f'fill="#ffffff" stroke="{INK}" rx="2"',
    "process": f'fill="#ffffff" stroke="{INK}" rx="2" stroke-dasharray="7 3"',
    "equipment": f'fill="#f6f3e8" stroke="{INK}" rx="10"',
    "reference": f'fill="#ffffff" stroke="{FAINT}" rx="16" stroke-dasharray="2 3"',
}
FLOW_STYLE = {
    "in_use": f'stroke="{INK}"',
    "standby": f'stroke="{INK}" stroke-dasharray="9 4"',
    "disconnected": 'stroke="#7c8894" stroke-dasharray="2 4"',
    "inferred": f'stroke="{FAINT}" stroke-dasharray="1 3"',
}


def xml(text: str) -> str:
    """Return a text as it may stand in XML, between elements or in quotes."""
    return escape(FORBIDDEN.sub("\ufffd", text), {'"': "&quot;"})


def width(text: str) -> int:
    """Return how wide a text is, in halves of a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def fit(text: str, limit: int) -> str:
    """Return a text cut to a width, with an ellipsis if something was cut."""
    if width(text) <= limit:
        return text
    kept = ""
    for letter in text:
        if width(kept + letter) > limit - 1:
            break
        kept += letter
    return kept.rstrip() + "…"


def wrap(text: str, limit: int, lines: int) -> list[str]:
    """Return a text in at most so many lines; broken at a space if there is one, the last one cut to the width."""
    found: list[str] = []
    rest = text.strip()
    while rest and len(found) < lines - 1 and width(rest) > limit:
        end = max(n for n in range(1, len(rest) + 1) if width(rest[:n]) <= limit)
        space = rest.rfind(" ", 1, end + 1)
        end = space if 2 * space > end else end
        found.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return [*found, fit(rest, limit)] if rest else found


def text_line(x: float, y: float, text: str, size: int, *, anchor: str = "middle", extra: str = "") -> str:
    """Return one line of text."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{extra and " " + extra}>'
        f"{xml(text)}</text>"
    )


def box(x: float, y: float, size: tuple[float, float], role: str, is_main: bool) -> str:
    """Return the frame of a box."""
    stroke = 2.6 if is_main or role == "organization" else 1.1
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{size[0]:g}" height="{size[1]:g}" {BOX_STYLE[role]}'
        f' stroke-width="{stroke}"/>'
    )


def circle(x: float, y: float, mark: str) -> str:
    """Return the sign of a metering place; every mark differs by shape, colour only helps."""
    r, d = RADIUS, RADIUS * 0.62
    ring = f'<circle cx="{x:g}" cy="{y:g}" r="{r}" stroke-width="1.6"'
    filled = f'{ring} fill="{INK}" stroke="{INK}"/>'
    if mark == "good":
        return filled
    if mark == "silent":
        half = f'<path d="M{x:g} {y - r:g}a{r} {r} 0 0 0 0 {2 * r}z" fill="{INK}"/>'
        return f'{ring} fill="{PALE}" stroke="{INK}"/>{half}'
    if mark == "expired":
        out = r + 1.5
        line = f"M{x - out:g} {y + out:g}L{x + out:g} {y - out:g}"
        return (
            f'{filled}<path d="{line}" stroke="{PALE}" stroke-width="4.2"/>'
            f'<path d="{line}" stroke="{WARN}" stroke-width="1.8"/>'
        )
    if mark == "nonconforming":
        cross = f"M{x - d:g} {y - d:g}l{2 * d:g} {2 * d:g}m0 {-2 * d:g}l{-2 * d:g} {2 * d:g}"
        return (
            f'<circle cx="{x:g}" cy="{y:g}" r="{r}" fill="{WARN}" stroke="{WARN}" stroke-width="1.6"/>'
            f'<path d="{cross}" stroke="{PALE}" stroke-width="2.2"/>'
        )
    if mark == "unfit":
        return f'{filled}<path d="M{x - d:g} {y:g}h{2 * d:g}" stroke="{PALE}" stroke-width="2.6"/>'
    if mark == "exempt":
        return f'{ring} fill="{PALE}" stroke="{INK}" stroke-dasharray="2.5 2"/>'
    if mark == "extra":
        return f'{ring} fill="{PALE}" stroke="{INK}"/><circle cx="{x:g}" cy="{y:g}" r="2.6" fill="{INK}"/>'
    sign = (
        text_line(x, y + 3.8, "?", 11, extra=f'font-weight="700" fill="{WARN}"') if mark == "unsure" else ""
    )
    return f'{ring} fill="{PALE}" stroke="{WARN}"/>{sign}'
