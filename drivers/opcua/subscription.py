"""One subscription with an OPC UA server, for all polls of a link, on asyncua's session services.

asyncua's own Subscription class is not used: it makes a task of each value, or drops the oldest of a queue without a
word. Here each publish response goes into the feeds as it comes, before it is acknowledged.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import structlog
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes as Code
from asyncua.ua.uaerrors._base import UaStatusCodeError

from drivers.opcua import slot
from drivers.opcua.allowance import Allowance
from drivers.opcua.faults import TOO_LARGE, status_name
from drivers.opcua.feed import Change, Feed
from drivers.opcua.reads import value_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncua.client.client import Client

    from gateway.interfaces import Clock, Poll
    from gateway.model import Sample

KEEP_ALIVES = 3  # as many may be missing before the subscription is given up
LIFETIME_S = 60.0  # without a request for so long the server forgets the subscription
LIFETIME_COUNT_MIN = 10
NOTIFICATIONS_MAX = 2000  # values in one message: 60 KiB, far below the guard's limit
BATCH_MAX = 1000  # items in one request, fewer where the server says so
PENDING_MAX = 50_000  # changes of one link that wait to be read: 15 MB
READY_MAX = (
    1000  # samples of one poll that wait beside its feed, from connections that ended before they were read
)
REPEATS_MAX = 3  # old messages in a row before the server is taken to number anew
NUMBERS = 0xFFFF_FFFF  # sequence numbers: after the last comes 1 (Part 4, 7.24)
RETRY_S = 86_400.0
TOLD_S = 60.0  # losses of a poll are one event in this time
_NO_FILTER = {
    Code.BadFilterNotAllowed,
    Code.BadMonitoredItemFilterUnsupported,
    Code.BadMonitoredItemFilterInvalid,
    Code.BadDeadbandFilterInvalid,
}

log = structlog.get_logger("opcua")


class Reporting(NamedTuple):
    """How a server shall report. sampling_s: 0 means as often as it reports. deadband: absolute, 0: every change.

    queue: values of one variable the server keeps between two reports. by_time: a new source time is a change too.
    """

    reporting_s: float = 1.0
    sampling_s: float = 0.0
    queue: int = 10
    deadband: float = 0.0
    by_time: bool = False


class Loss:
    """Changes of one poll that are known to be lost, until they are told."""

    def __init__(self) -> None:
        self.count = 0
        self.channels: set[str] = set()
        self.where = ""
        self.told_s = -TOLD_S


class Feeding:
    """A poll with its feed, and which of its channels the server reports."""

    def __init__(self, poll: Poll, stale_ns: int) -> None:
        """stale_ns: a source time older than this is stale."""
        self.poll = poll
        self.feed = Feed(len(poll.sources), stale_ns)
        self.missing = list(range(len(poll.sources)))  # channels without a monitored item
        self.retry_s = 0.0  # monotonic time to try them again; 0: now
        self.loss = Loss()
        self.idle = 0  # connections in a row in which it was not read
        self._ready: list[Sample] = []

    def begin(self, sample: Sample, changes: list[Change]) -> None:
        """Start with a new connection: from a Read of all channels. What nobody has read yet stays."""
        if len(self.feed):
            self._ready += self.feed.rows()
        self._ready.append(sample)
        excess = len(self._ready) - READY_MAX
        if excess > 0:
            del self._ready[:excess]
            self.lose("gateway_buffer", excess)
        self.feed.begin(sample, changes)
        self.missing, self.retry_s = list(range(len(self.poll.sources))), 0.0

    def rows(self) -> list[Sample]:
        """Return every sample since the last call; see `Feed.rows`."""
        ready, self._ready = self._ready, []
        return ready + self.feed.rows()

    def lose(self, where: str, count: int, index: int | None = None) -> None:
        """Count changes that are lost for certain. where: server_queue, gateway_buffer or message."""
        self.loss.count += count
        self.loss.where = where
        channels = self.poll.layout.channels
        self.loss.channels.update([channels[index].key] if index is not None else [c.key for c in channels])


class Counts:
    """What a link's subscriptions have counted since the process started."""

    def __init__(self) -> None:
        self.publishes = self.changes = self.overflows = self.dropped = 0
        self.messages_lost = self.messages_repeated = 0


class Subscription:
    """One subscription of one session; made anew with each connection."""

    def __init__(
        self,
        client: Client,
        how: Reporting,
        clock: Clock,
        name: str,
        limit: int,
        timeout_s: float,
        counts: Counts,
    ) -> None:
        """name: the link's id. limit: monitored items in one request, 0: the server names none."""
        self._client, self._how, self._clock, self._name = client, how, clock, name
        self._limit = min(limit or BATCH_MAX, BATCH_MAX)
        self._timeout_s = timeout_s
        self._counts = counts
        self._id = 0
        self._items: list[tuple[Feeding, int]] = []  # by client handle
        self._active: list[Feeding] = []
        self._heard_s = clock.monotonic()
        self._silence_max_s = 0.0
        self._next = 0  # sequence number of the next message, 0: not known
        self._repeats = 0
        self._waiting = 0  # changes nobody has read yet
        self._fault = ""
        self.allowance = Allowance(None)
        self.changed: Callable[[Feeding, int, ua.DataValue, bool], None] = lambda *_: None

    async def start(self) -> None:
        """Create it. Raises what asyncua raises."""
        how = self._how
        lifetime = max(LIFETIME_COUNT_MIN, ceil(LIFETIME_S / how.reporting_s))
        asked = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=how.reporting_s * 1000,
            RequestedLifetimeCount=ua.Counter(lifetime),
            RequestedMaxKeepAliveCount=ua.Counter(
                1
            ),  # each report that has nothing to say proves that it lives
            MaxNotificationsPerPublish=ua.Counter(NOTIFICATIONS_MAX),
            PublishingEnabled=True,
        )
        revised = await self._client.uaclient.create_subscription(asked, self._published)
        self._id = revised.SubscriptionId
        beat_s = revised.RevisedPublishingInterval / 1000 * max(revised.RevisedMaxKeepAliveCount, 1)
        self._silence_max_s = KEEP_ALIVES * max(beat_s, how.reporting_s) + self._timeout_s
        self._heard_s = self._clock.monotonic()
        log.info(
            "subscription",
            link=self._name,
            reporting_s=revised.RevisedPublishingInterval / 1000,
            keep_alive_s=beat_s,
        )

    def fault(self) -> str:
        """Return why it has to be made anew, "" while it lives."""
        if self._fault:
            return self._fault
        silent_s = self._clock.monotonic() - self._heard_s
        if silent_s > self._silence_max_s:
            return f"no report and no keep-alive for {silent_s:.1f} s, {KEEP_ALIVES} keep-alives are missing"
        return ""

    async def add(self, feeding: Feeding) -> list[tuple[int, str]]:
        """Ask the server to report the channels of a poll it does not report yet; return (index, error) of those it refuses.

        In batches within the server's limit; a request that is too large is asked again in halves. Raises what
        asyncua raises; what was created until then stays.
        """
        if feeding not in self._active:
            self._active.append(feeding)
        wanted, refused = list(feeding.missing), []
        has_filter = self._how.deadband > 0 or self._how.by_time
        bare: list[int] = []
        while wanted or bare:
            filtered = bool(wanted)
            batch = (wanted or bare)[: self._limit]
            try:
                results = await self._create(feeding, batch, has_filter=has_filter and filtered)
            except UaStatusCodeError as error:
                if error.code not in TOO_LARGE or len(batch) == 1:
                    raise
                self._limit = len(batch) // 2
                log.info("server takes fewer items a request", link=self._name, items=self._limit)
                continue
            del (wanted if filtered else bare)[: len(batch)]
            for index, result in zip(batch, results, strict=True):
                code = result.StatusCode.value & slot.CODE
                if not code >> 30:
                    feeding.missing.remove(index)
                elif has_filter and filtered and code in _NO_FILTER:
                    bare.append(index)
                else:
                    refused.append((index, status_name(code)))
                    feeding.feed.lost(index, code)
        feeding.retry_s = self._clock.monotonic() + RETRY_S
        return refused

    async def _create(
        self, feeding: Feeding, batch: list[int], *, has_filter: bool
    ) -> list[ua.MonitoredItemCreateResult]:
        first = len(self._items)
        self._items += [(feeding, index) for index in batch]  # a report may come before the answer
        self.allowance.reported = len(self._items) * (self._how.queue + 1)
        sampling_ms = self._how.sampling_s * 1000 or -1.0  # -1: the publishing interval (Part 4, 7.21)
        wanted = [
            ua.MonitoredItemCreateRequest(
                ItemToMonitor=value_id(str(feeding.poll.sources[index])),
                MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=ua.MonitoringParameters(
                    ClientHandle=ua.IntegerId(first + n),
                    SamplingInterval=sampling_ms,
                    Filter=self._filter() if has_filter else None,
                    QueueSize=ua.Counter(self._how.queue),
                    DiscardOldest=True,
                ),
            )
            for n, index in enumerate(batch)
        ]
        results = await self._client.uaclient.create_monitored_items(
            ua.CreateMonitoredItemsParameters(
                SubscriptionId=ua.IntegerId(self._id),
                TimestampsToReturn=ua.TimestampsToReturn.Source,
                ItemsToCreate=wanted,
            )
        )
        if len(results) != len(batch):
            raise ValueError(f"{len(results)} results for {len(batch)} monitored items")
        return results

    def _filter(self) -> ua.DataChangeFilter:
        by_time = self._how.by_time
        trigger = ua.DataChangeTrigger.StatusValueTimestamp if by_time else ua.DataChangeTrigger.StatusValue
        kind = ua.DeadbandType.Absolute if self._how.deadband > 0 else ua.DeadbandType.None_
        return ua.DataChangeFilter(
            Trigger=trigger, DeadbandType=ua.UInt32(kind), DeadbandValue=ua.Double(self._how.deadband)
        )

    def _published(self, result: ua.PublishResult) -> None:
        """Take one publish response apart; called by asyncua's publish loop before it acknowledges."""
        message = result.NotificationMessage
        self._counts.publishes += 1
        if self._is_old(message):
            return
        arrival_ns = self._clock.wall_ns()
        self._heard_s = self._clock.monotonic()
        self._waiting = sum(len(feeding.feed) for feeding in self._active)
        self._count_messages(message)
        self._fault = self._fault or self.allowance.slow(len(self._items))
        for notification in message.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                for item in notification.MonitoredItems or ():
                    self._take(arrival_ns, item)
            elif isinstance(notification, ua.StatusChangeNotification):
                code = notification.Status.value & slot.CODE if notification.Status is not None else 0
                if code:
                    self._fault = f"the server ended the subscription ({status_name(code)})"
        for feeding in self._active:
            feeding.feed.heard(arrival_ns)

    def _is_old(self, message: ua.NotificationMessage) -> bool:
        """Return whether a message with values was numbered before the one expected: it came again, or too late.

        Its values are older than those reported since. A server that sends nothing else numbers anew: `fault` is set.
        """
        number = int(message.SequenceNumber)
        if not (message.NotificationData and self._next and number):
            return False
        if (number - self._next) % NUMBERS < NUMBERS // 2:
            self._repeats = 0
            return False
        self._counts.messages_repeated += 1
        self._repeats += 1
        if self._repeats >= REPEATS_MAX:
            self._fault = f"the server numbers its reports anew ({number} after {self._next - 1})"
        return True

    def _count_messages(self, message: ua.NotificationMessage) -> None:
        """Notice messages that never came: sequence numbers go up by one, a keep-alive names the next (Part 4, 5.14.1)."""
        number = int(message.SequenceNumber)
        if not number:
            return
        lost = (number - self._next) % NUMBERS if self._next else 0
        if lost >= NUMBERS // 2:
            return  # a keep-alive with a number that was: a sloppy server's
        if lost:
            self._counts.messages_lost += lost
            for feeding in self._active:
                feeding.lose("message", lost)
        self._next = number % NUMBERS + 1 if message.NotificationData else number

    def _take(self, arrival_ns: int, item: ua.MonitoredItemNotification) -> None:
        if not 0 <= item.ClientHandle < len(self._items):
            return
        feeding, index = self._items[item.ClientHandle]
        answer = item.Value
        status = 0 if answer.StatusCode is None else answer.StatusCode.value
        variant = answer.Value or ua.Variant()
        source_ns = slot.nanoseconds(answer.SourceTimestamp)
        packed = slot.pack(variant.VariantType, variant.Value, status, source_ns)
        if slot.overflowed(status):
            self._counts.overflows += 1
            feeding.lose("server_queue", 1, index)
        if not feeding.feed.report(Change(arrival_ns, index, packed, status, source_ns)):
            return
        self._counts.changes += 1
        self._waiting += 1
        if self._waiting > PENDING_MAX:
            self._waiting -= 1
            fullest = max(self._active, key=lambda one: len(one.feed))
            dropped = fullest.feed.drop_oldest()
            if dropped is not None:
                self._counts.dropped += 1
                fullest.lose("gateway_buffer", 1, dropped.channel)
        self.changed(feeding, index, answer, packed[:1] != slot.NONE)
