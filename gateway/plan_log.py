"""What the journal is told of the configuration: what each meter is read for, and the layouts that come into force."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.assembly import by_period
from gateway.config.reports import reported
from gateway.config.summary import channels

if TYPE_CHECKING:
    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.journal.event_log import EventLog
    from gateway.layout import Layout
    from gateway.targets import RatioChanges


class PlanLog:
    """Journals plans and layouts: expected counts come from these, not from readings."""

    def __init__(self, site: Site, library: Library, events: EventLog) -> None:
        """site, library: those in force."""
        self._site, self._library, self._events = site, library, events

    def note_plans(self, only: str = "") -> None:
        """Journal what each meter (or only one) is read for, an event for each of its periods."""
        for meter in self._site.meters:
            if only in ("", meter.id):
                reports = {
                    channel.key: {"unit": channel.unit, "kind": channel.kind}
                    for channel in reported(meter, self._library)
                }
                for period_s, keys in by_period(meter, channels(meter, self._library)).items():
                    self._events.note(
                        "plan",
                        meter.id,
                        link=meter.link,
                        period_s=period_s,
                        channels=list(keys),
                        enabled=meter.enabled,
                        reports={key: reports[key] for key in keys if key in reports},
                        energy_kind=meter.energy_kind,
                    )

    def note_layout(self, layout: Layout, changed: RatioChanges) -> None:
        """Journal that a layout is in force now in place of another. changed: the ratios that differ."""
        self._events.note(
            "layout",
            layout.meter,
            period_s=layout.period_s,
            digest=layout.digest,
            ratios=dict(layout.ratios),
            changed=changed,
        )
        self.note_plans(layout.meter)
