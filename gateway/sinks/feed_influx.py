"""The feed into InfluxDB (docs/specs/influx-schema.md, Intervals): what signed messages say, as lines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from gateway.feed import jws
from gateway.feed.lines import encode
from gateway.model import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.feed.entries import Entry
    from gateway.sinks.influx_connection import InfluxLines


class FeedInflux:
    """A `Destination`. Kinds without a measurement are acknowledged as they are."""

    def __init__(self, lines: InfluxLines) -> None:
        """lines: to the bucket; its owner from now on."""
        self._lines = lines

    async def open(self, retained: Sequence[Entry], *, chain: str, seq: int) -> None:
        """Make a client and see that a server answers there; nothing is announced to a database. Raises SinkUnavailable."""
        del retained, chain, seq
        await self._lines.open()

    async def write(self, entries: Sequence[Entry], *, late: bool) -> list[Refusal]:
        """Return the messages of which the server refuses a line, once it has stored every other one. Raises SinkUnavailable.

        A line follows from its message alone, and no line overwrites that of another identity: late or not is the same.
        """
        del late
        texts, owners, refused = await asyncio.to_thread(_texts, entries)  # the loop goes on meanwhile
        for refusal in await self._lines.write_lines(texts):
            refused.setdefault(owners[refusal.index], []).append(refusal.reason)
        return [
            Refusal(index, why[0] if len(why) == 1 else f"{len(why)} lines, the first: {why[0]}")
            for index, why in sorted(refused.items())
        ]

    async def close(self) -> None:
        """Close the connections; never raises, may be called twice."""
        await self._lines.close()


def _texts(entries: Sequence[Entry]) -> tuple[list[bytes], list[int], dict[int, list[str]]]:
    """Return all lines, the index of each one's message, and what is no message of the contract: index -> why."""
    texts: list[bytes] = []
    owners: list[int] = []
    refused: dict[int, list[str]] = {}
    for index, entry in enumerate(entries):
        try:
            lines = encode(orjson.loads(jws.parse(entry.jws).payload)).splitlines()
        except (jws.Malformed, ValueError) as error:
            refused[index] = [f"not of the contract: {error}"]
            continue
        texts += lines
        owners += [index] * len(lines)
    return texts, owners, refused
