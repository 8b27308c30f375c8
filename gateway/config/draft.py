"""What could be made of a site file so far, whole or not: the ground of the cross checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.inventory import InventoryConfig
    from gateway.config.links import LinkConfig
    from gateway.config.models import GatewayConfig, JournalConfig, MeterConfig, PlaceConfig
    from gateway.config.periods import AggregateConfig, FeedConfig, HistoryConfig, IntervalsConfig
    from gateway.config.sinks import SinkConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One table. path: how findings call it. value: None if it cannot be an object.

    doubtful: keys of `value` that are not what the user wrote, since that could not be used.
    """

    path: str
    body: Mapping[str, Any]
    value: T | None
    doubtful: frozenset[str] = frozenset()


@dataclass(slots=True)
class Draft:
    """The tables of a site file as far as they could be parsed."""

    gateway: Entry[GatewayConfig]
    site: Entry[PlaceConfig]
    journal: Entry[JournalConfig]
    intervals: Entry[IntervalsConfig]
    history: Entry[HistoryConfig]
    feed: Entry[FeedConfig]
    inventory: Entry[InventoryConfig]
    links: list[Entry[LinkConfig]] = field(default_factory=list)
    meters: list[Entry[MeterConfig]] = field(default_factory=list)
    sinks: list[Entry[SinkConfig]] = field(default_factory=list)
    aggregates: list[Entry[AggregateConfig]] = field(default_factory=list)

    def singles(self) -> dict[str, Entry[Any]]:
        """Return the tables that stand once, by name, in the order of a site file."""
        return {
            "gateway": self.gateway,
            "site": self.site,
            "journal": self.journal,
            "intervals": self.intervals,
            "history": self.history,
            "feed": self.feed,
            "inventory": self.inventory,
        }
