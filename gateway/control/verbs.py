"""Who answers which request on the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.changes import Changes, counters_of
from gateway.control.errands import Errands
from gateway.control.history import History
from gateway.control.last_readings import Lasts
from gateway.control.maintenance import Maintenance
from gateway.control.readings import Entered
from gateway.declared import Declared, ratios_of
from gateway.replay.job import Replays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from drivers.profiles import Library
    from gateway.config.models import Site
    from gateway.config.sinks import SinkConfig
    from gateway.control.server import Answer
    from gateway.interfaces import Clock, Directory, Sink
    from gateway.journal.event_log import EventLog
    from gateway.journal.journal import Journal
    from gateway.journal.reader import Reader
    from gateway.polling.poll import LinkPoller
    from gateway.polling.recorder import Recorder
    from gateway.polling.target import Target
    from gateway.replay.rules import Rules


class Verbs:
    """What a running gateway does when asked; `maintenance` and `replays` are tasks to be run as well."""

    def __init__(
        self,
        site: Site,
        library: Library,
        clock: Clock,
        *,
        journal: Journal,
        events: EventLog,
        recorder: Recorder,
        pollers: Iterable[LinkPoller],
        targets: Mapping[str, list[Target]],
        directory: Directory,
        new_sink: Callable[[SinkConfig, Directory, Clock], Sink],
        readers: Mapping[str, Reader],
        rules: Rules,
    ) -> None:
        """targets: by link. readers: by sink, as the deliverers advance them. new_sink: makes one for a replay."""
        meters = {info.id: info.link for info in directory.meters}
        self.maintenance = Maintenance(site.gateway.state_dir, meters, recorder, events, clock)
        self.errands = Errands({poller.id: poller for poller in pollers}, targets, clock)
        self.history = History(journal, clock)
        counters = counters_of(site, library)
        declared = Declared(site.gateway.state_dir)
        self.changes = Changes(
            recorder,
            events,
            journal,
            clock,
            self.errands.read_meter,
            ratios_of(site.meters),
            counters,
            declared,
            site.site.timezone,
        )
        self.entered = Entered(site, library, events, clock, Lasts(journal, self.history, declared, clock))
        self.replays = Replays(site, library, journal, events, clock, directory, new_sink, readers, rules)

    def answers(self) -> dict[str, Answer]:
        """Return verb -> who answers it."""
        return {
            "ask": self.errands.ask,
            "poll": self.errands.poll,
            "browse": self.errands.browse,
            "maintenance": self.maintenance.answer,
            "swap": self.changes.swap,
            "ratio_change": self.changes.ratio_change,
            "commissioned": self.changes.commissioned,
            "reading": self.entered.answer,
            "events": self.history.answer,
            "replay": self.replays.start,
            "replay_state": self.replays.state,
            "replay_stop": self.replays.stop,
        }
