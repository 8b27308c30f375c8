"""What to read from which meter: site file + profile → targets, one for each (meter, period).

Ratios that live in the meter (CT, VT, exponents) are read before the layout is compiled, again after every
reconnect and once an hour; a changed ratio is a new layout, so earlier readings keep the old one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import structlog

from drivers import profiles
from drivers.profiles.ratio import REGISTER_EVIDENCE
from gateway.config.meters import address_of, channel_overrides, limits_of, variable_specs
from gateway.errors import DeviceError
from gateway.interfaces import Poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from drivers.profiles import Profile
    from gateway.config.models import MeterConfig
    from gateway.interfaces import Clock, Link
    from gateway.layout import Layout
    from gateway.model import MeterInfo

    RatioChanges = Mapping[str, Mapping[str, str]]  # name -> "before", "after"

RATIO_AGE_MAX_S = 3600.0

log = structlog.get_logger("targets")


class SiteDirectory:
    """What sinks may announce: the meters, and the layouts in force as they become known."""

    def __init__(self, gateway: str, software: str, config_digest: str, meters: Sequence[MeterInfo]) -> None:
        """meters: enabled ones, in site-file order."""
        self.gateway, self.software, self.config_digest = gateway, software, config_digest
        self.meters = meters
        self.replaced: Callable[[Layout, RatioChanges], None] = lambda _, __: None
        self._layouts: dict[tuple[str, float], Layout] = {}
        self._earlier: dict[str, dict[str, str]] = {}  # meter -> its ratios when the gateway stopped

    def announce(self, layout: Layout) -> None:
        """Put a layout in force, in place of the earlier one of the same meter and period; tell `replaced`.

        The first one after the start is told as well if a ratio is another one than before.
        """
        key = layout.meter, layout.period_s
        before, self._layouts[key] = self._layouts.get(key), layout
        ratios = self._earlier.get(layout.meter, {}) if before is None else before.ratios
        changed = {
            name: {"before": ratios[name], "after": value}
            for name, value in layout.ratios.items()
            if ratios.get(name, value) != value
        }
        if changed or (before is not None and before.digest != layout.digest):
            self.replaced(layout, changed)

    def remember(self, layouts: Iterable[Layout]) -> None:
        """Note what was in force before the start; of two with the same ratio the later one counts."""
        for layout in layouts:
            self._earlier.setdefault(layout.meter, {}).update(layout.ratios)
        known, self._layouts = self._layouts, {}
        for layout in known.values():
            self.announce(layout)

    def layouts(self) -> list[Layout]:
        """Return the layouts in force, in the order they became known."""
        return list(self._layouts.values())


class RatioReader:
    """The ratios of one meter, shared by its targets."""

    def __init__(self, meter: MeterConfig, profile: Profile, timeout_s: float, clock: Clock) -> None:
        """timeout_s: of the read that fetches them."""
        self._meter, self._profile, self._clock = meter.id, profile, clock
        self._configured = {name: str(value) for name, value in meter.ratios.items()}
        found = profiles.ratio_layout(profile, meter.id)
        self._poll = None
        if found is not None:
            layout, sources = found
            address = address_of(meter)
            limits = limits_of(meter, profile)
            self._poll = Poll(meter.id, profile.protocol, address, layout, sources, timeout_s, limits)
        self._values: Mapping[str, Decimal] | None = None
        self._read_s = 0.0
        self._told = False

    def forget(self) -> None:
        """Read them again before the next use."""
        self._values = None

    async def values(self, link: Link) -> Mapping[str, Decimal]:
        """Return ratio name → value.

        Raises DeviceError if the meter does not tell one that the site file does not give, LinkDown. Once known, they
        hold until the next connection: reading them again may fail.
        """
        if self._values is None:
            self._values = await self._fetch(link)
            self._read_s = self._clock.monotonic()
        elif self._poll is not None and self._clock.monotonic() - self._read_s > RATIO_AGE_MAX_S:
            self._read_s = self._clock.monotonic()
            await self._refresh(link)
        return self._values

    async def _refresh(self, link: Link) -> None:
        try:
            self._values = await self._fetch(link, again=True)
        except DeviceError as error:
            if not self._told:
                log.warning(
                    "ratios cannot be read again; those in force stay", meter=self._meter, error=str(error)
                )
            self._told = True
        else:
            self._told = False

    async def _fetch(self, link: Link, *, again: bool = False) -> Mapping[str, Decimal]:
        if self._poll is None:
            return profiles.ratio_values(self._profile, None, b"", self._configured)
        keys = [channel.key for channel in self._poll.layout.channels]
        try:
            (sample,) = await link.read(self._poll)
        except DeviceError:
            if again or not self._configured.keys() >= set(keys):
                raise
            return {key: Decimal(self._configured[key]) for key in self._profile.ratios}
        unread = {key for key, flags in zip(keys, sample.flags, strict=True) if flags}
        needed = unread - self._configured.keys()
        if needed or (unread and again):
            named = ", ".join(sorted(needed or unread))
            given = sorted(needed & self._profile.ratios.keys())  # a unit only the meter knows
            hint = f"; put ratios.{given[0]} into the site file" if given else ""
            text = f"{self._meter}: ratio registers {named} could not be read{hint}"
            raise DeviceError(text, reason="exception")
        values = profiles.ratio_values(self._profile, self._poll.layout, sample.raw, self._configured)
        for key in unread:  # zeros that nobody sent are no evidence
            values.pop(key + REGISTER_EVIDENCE, None)
        return values


class ProfileTarget:
    """One period of a meter that has a profile."""

    def __init__(
        self,
        meter: MeterConfig,
        profile: Profile,
        keys: tuple[str, ...],
        period_s: float,
        timeout_s: float,
        ratios: RatioReader,
        directory: SiteDirectory,
    ) -> None:
        """keys: the channels of this period."""
        self.meter, self.period_s, self.keys = meter.id, period_s, keys
        self._meter, self._profile, self._timeout_s = meter, profile, timeout_s
        self._ratios, self._directory = ratios, directory
        self._compiled: Poll | None = None
        self._with: Mapping[str, Decimal] | None = None

    def reconnected(self) -> None:
        """Read the ratios again: the meter may have been exchanged while the link was down."""
        self._ratios.forget()

    async def poll(self, link: Link) -> Poll:
        """Return what to read, compiled for the ratios in force."""
        ratios = await self._ratios.values(link)
        if self._compiled is None or (ratios is not self._with and ratios != self._with):
            layout, sources = profiles.compile(
                self._profile,
                self.meter,
                self.period_s,
                self.keys,
                ratios,
                channel_overrides(self._meter),
                self._meter.variant,
                self._meter.energy_kind,
            )
            self._compiled = Poll(
                self.meter,
                self._profile.protocol,
                address_of(self._meter),
                layout,
                sources,
                self._timeout_s,
                limits_of(self._meter, self._profile),
            )
            self._directory.announce(layout)
        self._with = ratios
        return self._compiled


class VariablesTarget:
    """One period of an OPC UA meter whose variables the site file names."""

    def __init__(
        self,
        meter: MeterConfig,
        keys: tuple[str, ...],
        period_s: float,
        timeout_s: float,
        directory: SiteDirectory,
    ) -> None:
        """keys: the variables of this period."""
        self.meter, self.period_s, self.keys = meter.id, period_s, keys
        specs = variable_specs(meter)
        own = {key: specs[key] for key in keys}
        layout, sources = profiles.compile_variables(meter.id, period_s, own, meter.energy_kind)
        self._poll = Poll(meter.id, "opcua", address_of(meter), layout, sources, timeout_s)
        directory.announce(layout)

    def reconnected(self) -> None:
        """Nothing was read from the meter that could have changed."""

    async def poll(self, _: Link) -> Poll:
        """Return what to read."""
        return self._poll
