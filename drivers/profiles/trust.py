"""How far a register map can be trusted: what rests on one source, and the page that lists every meter type. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.profiles.model import Profile

ONE_SOURCE = "one-source"


def one_source_channels(profile: Profile, keys: Iterable[str]) -> list[str]:
    """Return those of `keys` for which only one source speaks; none where that is said of the whole profile."""
    if profile.confidence == ONE_SOURCE:
        return []
    return [key for key in keys if profile.channels[key].confidence == ONE_SOURCE]


def profiles_table(profiles: Iterable[Profile]) -> list[str]:
    """Return the meter types as lines of a Markdown table, media together, then by id."""
    rows = [
        "| Profile | Maker | Model | Medium | Protocol | Channels | Confidence | Sources | Doubts |",
        "|---|---|---|---|---|---:|---|---:|---:|",
    ]
    for profile in sorted(profiles, key=lambda p: (p.medium, p.id)):
        confidence: str = profile.confidence
        weak = len(one_source_channels(profile, profile.channels))
        if weak:
            confidence += f", {weak} channels one-source"
        cells = (
            f"`{profile.id}`",
            profile.maker,
            profile.model,
            profile.medium,
            profile.protocol,
            str(len(profile.channels)),
            confidence,
            str(len(profile.sources)),
            str(len(profile.doubts)),
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows
