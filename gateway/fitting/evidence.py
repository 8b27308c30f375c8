"""What the instruments delivered in a window; contract: docs/specs/evidence.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal, NamedTuple

from pydantic import ConfigDict, Field, PrivateAttr

from gateway.config.base import Table
from gateway.inventory.values import RequiredDay, Text, Yearly


@dataclass(frozen=True, slots=True)
class Window:
    """Days from `first` to `last`, both included, in the time zone of the site."""

    first: date
    last: date

    def as_json(self) -> dict[str, str]:
        """Return it as it stands in results."""
        return {"from": self.first.isoformat(), "to": self.last.isoformat()}


def window_before(as_of: date) -> Window:
    """Return the last full calendar month before a day."""
    last = as_of.replace(day=1) - timedelta(days=1)
    return Window(last.replace(day=1), last)


class Delivered(Table):
    """What one instrument delivered in the window. Readings are counted, as in intervals."""

    expected: int = Field(ge=0, description="Readings that were due.")
    good: int = Field(ge=0, description="Readings without a doubt that counts.")
    last_good: Text = Field(default="", description="Time of the last good reading, ISO 8601; empty: none.")
    amount: Yearly = Field(
        default=None,
        validate_default=True,
        description="Energy, mass or volume of the window; null: unknown.",
    )

    @property
    def share(self) -> Fraction | None:
        """Return good of expected readings, None if none was due."""
        return Fraction(self.good, self.expected) if self.expected else None


class Origin(NamedTuple):
    """Where evidence came from: the gateway's own history, or a file somebody handed in, with its SHA-256 (hex)."""

    kind: Literal["history", "file"] = "file"
    sha256: str = ""


class Evidence(Table):
    """What all instruments delivered; one that is not listed delivered nothing."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: RequiredDay = Field(alias="from", description="First day of the window.")
    last: RequiredDay = Field(alias="to", description="Last day of the window, included.")
    timezone: Text = Field(default="", description="IANA zone the days are of.")
    whole: bool = Field(
        default=True,
        description="Whether it covers the whole window; if not, shares of good readings cannot be told.",
    )
    source: Text = Field(default="", description="Where it comes from: gateway, file.")
    instruments: Mapping[str, Delivered] = Field(default={}, description="By id of the instrument.")

    _origin: Origin = PrivateAttr(default=Origin())

    @property
    def origin(self) -> Origin:
        """Return where it came from. Said by the program that gathered or read it: a file cannot say it, nor `source`."""
        return self._origin

    def of(self, origin: Origin) -> Evidence:
        """Return it with its origin."""
        self._origin = origin
        return self

    @property
    def window(self) -> Window:
        """Return the window."""
        return Window(self.first, self.last)
