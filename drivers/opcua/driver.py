"""A link to an OPC UA server, on asyncua: one session; one Read call a poll, or one subscription for all polls.

asyncua is used without its own reconnection: the link's owner closes and opens again, for ever, each time
with a new client, because a client that has lost its connection may hang when it is used again (asyncua
issue 1660). asyncua's watchdog stays: it keeps the session alive between rare polls and notices a server
that no longer answers.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from asyncua import ua
from asyncua.client.ua_client import UaClientState
from asyncua.ua.uaerrors._base import UaStatusCodeError

from drivers.opcua import slot
from drivers.opcua.channels import Channels
from drivers.opcua.faults import AGAIN, FAILURES, GARBLED, REFUSED, STOPPED, explain, is_gone, status_name
from drivers.opcua.feed import Change
from drivers.opcua.reads import Reads, server_limits
from drivers.opcua.session import Securing, Security, new_client
from drivers.opcua.subscription import TOLD_S, Counts, Feeding, Reporting, Subscription
from drivers.opcua_address import parse_url
from gateway.clock import sleep_for
from gateway.errors import DeviceError, LinkDown
from gateway.interfaces import unnoticed
from gateway.model import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncua.client.client import Client

    from drivers.opcua.guard import Guarded
    from gateway.interfaces import Clock, Notice, Poll

CLOSE_S = 2.0
OPEN_STEPS = 3  # connecting takes seven answers; together they may take this many timeouts
NAMED_MAX = 3
IDLE_MAX = 10  # connections in which a poll was not read before what was reported for it is given up
ENCRYPTED = ua.MessageSecurityMode.SignAndEncrypt
SHUT_DOWN = "BadShutdown"  # with which a server ends its subscriptions when it stops
NEVER_NS = 1 << 62  # no source time is older
log = structlog.get_logger("opcua")


class OpcUaLink:
    """One session with one OPC UA server; `Poll.sources` are node ids as text."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        clock: Clock,
        name: str,
        user: str = "",
        password: str | None = None,
        stale_after_s: float = 0.0,
        security: Security | None = None,
        reporting: Reporting | None = None,
    ) -> None:
        """url: opc.tcp://host[:port][/path]. timeout_s: patience for one answer. name: the link's id, for texts.

        stale_after_s: a source time older than this flags STALE; 0: never, since a server may stamp a value
        with its last change, and a healthy constant value would look stale (OPC UA Part 4, 7.11.3).
        security: None means none. reporting: subscribe in this way; None: a Read call a poll.

        Raises ValueError if the url is none, or carries a password.
        """
        self._url = parse_url(url)
        self._timeout_s = timeout_s
        self._clock = clock
        self._name = name
        self._user = user
        self._password = password
        self._stale_ns = round(stale_after_s * 1e9) or NEVER_NS
        self.notice: Notice = unnoticed
        self._securing = Securing(security or Security(), self._url, name, timeout_s, clock)
        self._reporting = reporting
        self._subscription: Subscription | None = None
        self._feedings: dict[Poll, Feeding] = {}  # outlive a connection, with what nobody has read yet
        self._begun: set[Poll] = set()  # in this connection
        self._counts = Counts()
        self._channels = Channels(name, clock)
        self._client: Client | None = None
        self._guarded: Guarded | None = None
        self._lost = False
        self._has_worked = False  # a session, ever
        self._reads = Reads(name, 0)
        self._is_warned = False
        _silence_asyncua()

    async def open(self) -> None:
        """Connect, start a session and, where the link subscribes, a subscription. Raises LinkDown within 3 timeouts."""
        await self.close()
        client, self._guarded = self._new_client()
        self._securing.notice = self.notice
        is_open = False
        try:
            async with asyncio.timeout(OPEN_STEPS * self._timeout_s):
                await self._securing.prepare(client)
                await client.connect()
                values, items = await server_limits(client)
                self._reads = Reads(self._name, values)
                if self._reporting is not None:
                    self._subscription = await self._subscribe(client, self._reporting, items)
            is_open = True
        except LinkDown as error:
            raise LinkDown(self._text(str(error))) from error
        except FAILURES as error:
            raise LinkDown(self._text(self._cause(error))) from error
        finally:
            if not is_open:
                await self._discard(client, polite=False)
        self._client, self._lost, self._has_worked = client, False, True
        self._warn_of_plain_password(client)

    async def read(self, poll: Poll) -> list[Sample]:
        """Return one sample of every channel from one Read call; in a link that subscribes, all reported since the last call.

        Each has number, StatusCode and source time. Channels the server calls bad, or that are no single number, are
        flagged MISSING and DEVICE. A poll of period 0 is always a Read call, so it
        takes nothing away from the others.
        Raises DeviceError if there was no answer in time, if it was garbled, if the server refuses every
        channel or a source is no node id; LinkDown if connection, session or subscription are gone.
        """
        client = self._client
        if client is None:
            raise LinkDown(self._text("not open"))
        self._channels.flush(self.notice)
        if client.uaclient.protocol is not None:
            client.uaclient.protocol.timeout = max(poll.timeout_s, self._timeout_s)
        try:
            async with asyncio.timeout(poll.timeout_s):
                if self._subscription is None or not poll.layout.period_s:
                    return [(await self._polled(client, poll))[0]]
                return await self._reported(client, poll, self._subscription)
        except TimeoutError as error:
            text = f"{poll.meter}: no answer from {self._url} within {poll.timeout_s:g} s; is the server overloaded?"
            raise DeviceError(text, reason="timeout") from error
        except OSError as error:
            raise self._down(error) from error
        except UaStatusCodeError as error:
            if is_gone(error):
                raise self._down(error) from error
            text = f"{poll.meter}: {self._url} refused the read: {explain(error, poll.timeout_s)}"
            raise DeviceError(text, reason="exception", code=error.code) from error
        except GARBLED as error:
            text = f"{poll.meter}: {self._url} sent {explain(error, poll.timeout_s)}"
            raise DeviceError(text, reason="garbage") from error

    async def _polled(self, client: Client, poll: Poll) -> tuple[Sample, list[Change]]:
        """Return the sample of one Read call, and its values one by one."""
        answers = await self._reads.fetch(client, poll)
        if len(answers) != len(poll.sources):
            text = f"{poll.meter}: {self._url} sent {len(answers)} values for {len(poll.sources)} asked"
            raise DeviceError(text, reason="garbage")
        slow = self._guarded.allowance.slow(len(answers)) if self._guarded is not None else ""
        if slow:
            raise DeviceError(f"{poll.meter}: {self._url} sent {slow}", reason="garbage")
        return self._sample(poll, answers)

    async def _subscribe(self, client: Client, how: Reporting, limit: int) -> Subscription:
        """Return a new subscription. Raises LinkDown where the server gives none, and what asyncua raises."""
        made = Subscription(client, how, self._clock, self._name, limit, self._timeout_s, self._counts)
        made.changed = self._changed
        if self._guarded is not None:
            made.allowance = self._guarded.allowance
        try:
            await made.start()
        except UaStatusCodeError as error:
            if is_gone(error):
                raise
            hint = 'set mode = "poll" for this link, or raise the server\'s limit of subscriptions'
            raise LinkDown(f"the server gives no subscription ({status_name(error.code)}): {hint}") from error
        return made

    async def _reported(self, client: Client, poll: Poll, subscription: Subscription) -> list[Sample]:
        """Return everything reported since the last call, and of a poll new to this connection a first Read.

        Nothing that was reported is forgotten when this fails: it comes with the next call.
        """
        feeding = self._feedings.get(poll)
        if feeding is None or poll not in self._begun:
            sample, changes = await self._polled(client, poll)
            if feeding is None:
                feeding = self._feedings[poll] = Feeding(poll, self._stale_ns)
            feeding.begin(sample, changes)
            vast = self._reads.is_vast
            feeding.missing = [i for i in feeding.missing if not vast(str(poll.sources[i]))]
            feeding.idle = 0
            self._begun.add(poll)
        if feeding.missing and self._clock.monotonic() >= feeding.retry_s:
            for index, error in await subscription.add(feeding):
                self._channels.off(self.notice, poll, index, error)
        found = feeding.rows()
        self._tell_loss(feeding)
        if not found:
            self._check(client, subscription)
        return found

    def _check(self, client: Client, subscription: Subscription) -> None:
        """Raise LinkDown if nothing more can be reported."""
        fault = subscription.fault()
        if fault:
            step = (
                f"it stops or restarts; {AGAIN}"
                if SHUT_DOWN in fault
                else "the session is made anew by itself"
            )
            fault = f"{fault}; {step}"
        elif client.uaclient.state is not UaClientState.CONNECTED:
            fault = f"connection lost: {STOPPED}; {AGAIN}"
        if fault:
            self._lost = True
            raise LinkDown(self._text(fault if self._guarded is None else self._guarded.fault or fault))

    def _changed(self, feeding: Feeding, index: int, answer: ua.DataValue, has_number: bool) -> None:
        self._channels.judge(self.notice, feeding.poll, index, answer, has_number=has_number)

    def _tell_loss(self, feeding: Feeding, *, at_once: bool = False) -> None:
        """Journal what was lost, at most once a minute for each poll."""
        loss, now_s = feeding.loss, self._clock.monotonic()
        if not loss.count or (now_s - loss.told_s < TOLD_S and not at_once):
            return
        self.notice(
            "subscription_overflow", feeding.poll.meter, count=loss.count, channels=sorted(loss.channels),
            where=loss.where,
        )  # fmt: skip
        log.warning(
            "reported values lost; read more often, or raise queue or reporting", link=self._name,
            meter=feeding.poll.meter, at_least=loss.count, where=loss.where,
        )  # fmt: skip
        loss.count, loss.told_s = 0, now_s
        loss.channels.clear()

    async def close(self) -> None:
        """End the session within 2 s; never raises, leaves no task, may be called twice."""
        client, self._client = self._client, None
        self._subscription = None
        if client is not None:
            self._forget_unread()
        for feeding in self._feedings.values():
            self._tell_loss(feeding, at_once=True)
        self._begun.clear()
        if client is not None:
            await self._discard(client, polite=not self._lost)

    def _forget_unread(self) -> None:
        """Let go of polls nobody has read for several connections: their layout was replaced."""
        for poll in self._feedings.keys() - self._begun:
            feeding = self._feedings[poll]
            feeding.idle += 1
            if feeding.idle >= IDLE_MAX:
                self._counts.dropped += len(feeding.feed)
                del self._feedings[poll]

    def figures(self) -> dict[str, object]:
        """Return what its subscriptions have counted; nothing for a link that polls."""
        if self._reporting is None:
            return {}
        waiting = sum(len(feeding.feed) for feeding in self._feedings.values())
        return vars(self._counts) | {"waiting": waiting}

    @contextmanager
    def browsing(self) -> Iterator[Client]:
        """Yield the client of the open session with longer answers allowed. Raises LinkDown if the link is not open."""
        client, guarded = self.session, self._guarded
        assert guarded is not None
        guarded.allowance.is_browsing = True
        try:
            yield client
        finally:
            guarded.allowance.is_browsing = False

    @property
    def session(self) -> Client:
        """Return the client of the open session, for browsing. Raises LinkDown if the link is not open."""
        if self._client is None:
            raise LinkDown(self._text("not open"))
        return self._client

    def _new_client(self) -> tuple[Client, Guarded]:
        client, guarded = new_client(self._url, self._timeout_s, self._name, self._clock)
        if self._user:
            client.set_user(self._user)
            client.set_password(self._password or "")
        return client, guarded

    async def _discard(self, client: Client, *, polite: bool) -> None:
        """Free everything a client holds. polite: say goodbye to the server, so that it frees its session."""
        protocol = client.uaclient.protocol
        transport = None if protocol is None else protocol.transport
        if transport is not None and not polite:
            transport.abort()
            await sleep_for(self._clock, 0)
        try:
            async with asyncio.timeout(CLOSE_S):
                await client.disconnect()
        except FAILURES as error:
            log.debug("goodbye failed", link=self._name, error=repr(error))
        finally:
            if transport is not None:  # after asyncua's watchdog gave up, disconnect() leaves the socket open
                transport.abort()
        await sleep_for(self._clock, 0)

    def _sample(self, poll: Poll, answers: list[ua.DataValue]) -> tuple[Sample, list[Change]]:
        """Return the sample of complete answers. Raises DeviceError if every channel was refused."""
        now_ns = self._clock.wall_ns()
        changes: list[Change] = []
        flags = array("H")
        refused = 0
        for index, answer in enumerate(answers):
            status = 0 if answer.StatusCode is None else answer.StatusCode.value
            source_ns = slot.nanoseconds(answer.SourceTimestamp)
            variant = answer.Value or ua.Variant()
            packed = slot.pack(variant.VariantType, variant.Value, status, source_ns)
            flags.append(slot.judge(packed, status, now_ns - source_ns if source_ns else 0, self._stale_ns))
            changes.append(Change(now_ns, index, packed, status, source_ns))
            refused += status & slot.CODE in REFUSED
            self._channels.judge(self.notice, poll, index, answer, has_number=packed[:1] != slot.NONE)
        if refused == len(answers):
            raise self._all_refused(poll, answers)
        newest_ns = max(change.source_ns for change in changes)
        return Sample(now_ns, newest_ns or None, b"".join(change.slot for change in changes), flags), changes

    def _all_refused(self, poll: Poll, answers: list[ua.DataValue]) -> DeviceError:
        named = [
            f"{source} {status_name(answer.StatusCode.value if answer.StatusCode else 0)}"
            for source, answer in zip(poll.sources[:NAMED_MAX], answers, strict=False)
        ]
        more = f" and {len(answers) - NAMED_MAX} more" if len(answers) > NAMED_MAX else ""
        return DeviceError(
            f"{poll.meter}: {self._url} refuses every channel: {', '.join(named)}{more}; "
            "compare the node ids with the server's address space, and the rights of the link's user",
            reason="refused",
        )

    def _down(self, error: Exception) -> LinkDown:
        self._lost = True
        return LinkDown(self._text(f"connection lost: {self._cause(error)}"))

    def _cause(self, error: Exception) -> str:
        """Return what happened: the guard knows better than asyncua, which only sees a connection lost."""
        fault = self._guarded.fault if self._guarded is not None else ""
        return fault or explain(error, self._timeout_s, has_worked=self._has_worked)

    def _warn_of_plain_password(self, client: Client) -> None:
        if not self._password or self._is_warned or client.security_policy.Mode == ENCRYPTED:
            return
        policy = client.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        if not policy or policy.endswith("#None"):
            self._is_warned = True
            log.warning(
                "server takes the password unencrypted; keep this network apart",
                link=self._name,
                url=self._url,
            )

    def _text(self, what: str) -> str:
        return f"link {self._name} ({self._url}): {what}"


def _silence_asyncua() -> None:
    """Keep asyncua from logging each attempt: whatever its client meets reaches our caller as an exception."""
    for name, level in (("asyncua", logging.ERROR), ("asyncua.client", logging.CRITICAL + 1)):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
