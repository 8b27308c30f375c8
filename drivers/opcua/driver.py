"""A link to an OPC UA server, on asyncua: one session, one Read call a poll.

asyncua is used without its own reconnection: the link's owner closes and opens again, for ever, each time
with a new client, because a client that has lost its connection may hang when it is used again (asyncua
issue 1660). asyncua's watchdog stays: it keeps the session alive between rare polls and notices a server
that no longer answers.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors._base import UaStatusCodeError

from drivers.opcua import slot
from drivers.opcua.address import NodeAddress, parse_id, parse_url
from drivers.opcua.faults import FAILURES, GARBLED, REFUSED, TOO_LARGE, explain, is_gone, status_name
from drivers.opcua.guard import Guarded
from gateway.clock import sleep_for
from gateway.errors import DeviceError, LinkDown
from gateway.interfaces import unnoticed
from gateway.model import Sample

if TYPE_CHECKING:
    from gateway.interfaces import Clock, Notice, Poll

PROTOCOL = "opcua"
SESSION_TIMEOUT_MS = 60_000  # asyncua's hour lets unclean ends fill a server's session table
WATCHDOG_S = 10.0  # asyncua's second is also its patience: a server that pauses 2 s would be dropped
CLOSE_S = 2.0
OPEN_STEPS = 3  # connecting takes seven answers; together they may take this many timeouts
NAMED_MAX = 3
LOGGED_MAX = 10_000
NEVER_NS = 1 << 62  # no source time is older
_MAX_NODES_PER_READ = parse_id(f"i={ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead}")

log = structlog.get_logger("opcua")


class _Plan(NamedTuple):
    """A poll as OPC UA asks it: all channels in one request, or as few as the server's limit allows."""

    requests: tuple[ua.ReadParameters, ...]
    per_request: int


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
    ) -> None:
        """url: opc.tcp://host[:port][/path]. timeout_s: patience for one answer. name: the link's id, for texts.

        stale_after_s: a source time older than this flags STALE; 0: never, since a server may stamp a value
        with its last change, and a healthy constant value would look stale (OPC UA Part 4, 7.11.3).

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
        self._client: Client | None = None
        self._guarded: Guarded | None = None
        self._lost = False
        self._limit = 0  # channels a Read may carry; 0: the server names none
        self._plans: dict[Poll, _Plan] = {}
        self._logged: set[tuple[str, str, str]] = set()
        _silence_asyncua()

    async def open(self) -> None:
        """Connect, start a session and ask for the server's limit. Raises LinkDown within 3 timeouts."""
        await self.close()
        client = self._new_client()
        is_open = False
        try:
            async with asyncio.timeout(OPEN_STEPS * self._timeout_s):
                await client.connect()
                self._limit = await _server_limit(client)
            is_open = True
        except FAILURES as error:
            raise LinkDown(self._text(self._cause(error))) from error
        finally:
            if not is_open:
                await self._discard(client, polite=False)
        self._client, self._lost = client, False
        self._warn_of_plain_password(client)

    async def read(self, poll: Poll) -> list[Sample]:
        """Return one sample: number, StatusCode and source time of every channel, from one Read call.

        Channels the server calls bad, or that are no single number, are flagged MISSING and DEVICE.
        Raises DeviceError if there was no answer in time, if it was garbled, if the server refuses every
        channel or a source is no node id; LinkDown if connection or session are gone.
        """
        client = self._client
        if client is None:
            raise LinkDown(self._text("not open"))
        if client.uaclient.protocol is not None:
            client.uaclient.protocol.timeout = max(poll.timeout_s, self._timeout_s)
        try:
            plan = self._plan(poll)
        except ValueError as error:  # one wrong id must not cost the other meters their link
            text = f"{poll.meter}: {error}; correct the meter's variables in the site file"
            raise DeviceError(text, reason="refused") from error
        try:
            async with asyncio.timeout(poll.timeout_s):
                answers = await self._fetch(client, poll, plan)
        except TimeoutError as error:
            text = f"{poll.meter}: no answer from {self._url} within {poll.timeout_s:g} s; is the server overloaded?"
            raise DeviceError(text, reason="timeout") from error
        except OSError as error:
            raise self._down(error) from error
        except UaStatusCodeError as error:
            if is_gone(error):
                raise self._down(error) from error
            text = f"{poll.meter}: {self._url} refused the read: {explain(error, poll.timeout_s)}"
            raise DeviceError(text, reason="exception") from error
        except GARBLED as error:
            text = f"{poll.meter}: {self._url} sent {explain(error, poll.timeout_s)}"
            raise DeviceError(text, reason="garbage") from error
        if len(answers) != len(poll.sources):
            text = f"{poll.meter}: {self._url} sent {len(answers)} values for {len(poll.sources)} asked"
            raise DeviceError(text, reason="garbage")
        return [self._sample(poll, plan, answers)]

    async def close(self) -> None:
        """End the session within 2 s; never raises, leaves no task, may be called twice."""
        client, self._client = self._client, None
        self._plans.clear()
        if client is not None:
            await self._discard(client, polite=not self._lost)

    def figures(self) -> dict[str, object]:
        """Return what the link has counted: nothing yet."""
        return {}

    def _new_client(self) -> Client:
        client = Client(self._url, timeout=self._timeout_s, watchdog_intervall=WATCHDOG_S)
        client.session_timeout = SESSION_TIMEOUT_MS
        client.name = client.description = f"metergate {self._name}"
        client.application_uri = client.product_uri = "urn:metergate"
        if self._user:
            client.set_user(self._user)
            client.set_password(self._password or "")
        self._guarded = Guarded(client)
        return client

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

    def _plan(self, poll: Poll) -> _Plan:
        """Return the poll's requests, made once for each connection. Raises ValueError on a wrong node id."""
        plan = self._plans.get(poll)
        if plan is None:
            if poll.protocol != PROTOCOL:
                raise ValueError(f"protocol {poll.protocol} on a link that reads {PROTOCOL}")
            wanted = [_value_of(parse_id(str(source))) for source in poll.sources]
            per_request = min(self._limit or len(wanted), len(wanted))
            requests = tuple(
                ua.ReadParameters(0, ua.TimestampsToReturn.Source, wanted[i : i + per_request])
                for i in range(0, len(wanted), per_request)
            )
            plan = _Plan(requests, per_request)
            self._plans[poll] = plan
        return plan

    async def _fetch(self, client: Client, poll: Poll, plan: _Plan) -> list[ua.DataValue]:
        """Return the values in channel order; a server that finds the request too large is asked in halves."""
        while True:
            answers: list[ua.DataValue] = []
            try:
                for request in plan.requests:
                    answers += await client.uaclient.read(request)
            except UaStatusCodeError as error:
                if error.code not in TOO_LARGE or plan.per_request == 1:
                    raise
                self._limit = plan.per_request // 2
                self._plans.clear()
                plan = self._plan(poll)
                log.info(
                    "server takes fewer channels a request", link=self._name, channels=self._limit,
                    error=status_name(error.code),
                )  # fmt: skip
            else:
                return answers

    def _sample(self, poll: Poll, plan: _Plan, answers: list[ua.DataValue]) -> Sample:
        """Return the sample of complete answers. Raises DeviceError if every channel was refused."""
        now_ns = self._clock.wall_ns()
        slots: list[bytes] = []
        flags = array("H")
        newest_ns = 0
        refused = 0
        for source, answer in zip(poll.sources, answers, strict=True):
            status = 0 if answer.StatusCode is None else answer.StatusCode.value
            source_ns = slot.nanoseconds(answer.SourceTimestamp)
            variant = answer.Value or ua.Variant()
            packed = slot.pack(variant.VariantType, variant.Value, status, source_ns)
            flags.append(slot.judge(packed, status, now_ns - source_ns if source_ns else 0, self._stale_ns))
            slots.append(packed)
            newest_ns = max(newest_ns, source_ns)
            refused += status in REFUSED
            if packed[:1] == slot.NONE:
                self._log_once(poll, str(source), variant, status)
        if refused == len(slots):
            raise self._all_refused(poll, answers)
        return Sample(now_ns, newest_ns or None, b"".join(slots), flags)

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

    def _log_once(self, poll: Poll, source: str, variant: ua.Variant, status: int) -> None:
        """Say once for each cause that a channel has no number; the flag says it every time."""
        if status >> 30:
            cause = status_name(status)
        elif variant.Value is None:
            cause = "no value"
        else:
            what = "an array" if isinstance(variant.Value, list) else "a"
            cause = f"{what} {variant.VariantType.name}, not a number"
        key = (poll.meter, source, cause)
        if key not in self._logged and len(self._logged) < LOGGED_MAX:
            self._logged.add(key)
            log.warning(
                "channel has no number; check its id", link=self._name, meter=poll.meter, source=source,
                error=cause,
            )  # fmt: skip

    def _down(self, error: Exception) -> LinkDown:
        self._lost = True
        return LinkDown(self._text(f"connection lost: {self._cause(error)}"))

    def _cause(self, error: Exception) -> str:
        """Return what happened: the guard knows better than asyncua, which only sees a connection lost."""
        fault = self._guarded.fault if self._guarded is not None else ""
        return fault or explain(error, self._timeout_s)

    def _warn_of_plain_password(self, client: Client) -> None:
        if not self._password or (self._name, "", "plain") in self._logged:
            return
        policy = client.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
        if not policy or policy.endswith("#None"):
            self._logged.add((self._name, "", "plain"))
            log.warning(
                "server takes the password unencrypted; keep this network apart",
                link=self._name,
                url=self._url,
            )

    def _text(self, what: str) -> str:
        return f"link {self._name} ({self._url}): {what}"


def _value_of(address: NodeAddress) -> ua.ReadValueId:
    identifier: Any = address.identifier  # asyncua's annotations name its own subclasses of int and str
    namespace: Any = address.namespace
    return ua.ReadValueId(NodeId=ua.NodeId(identifier, namespace), AttributeId=AttributeIds.Value)


async def _server_limit(client: Client) -> int:
    """Return how many values the server lets one Read carry, 0 where it names no limit (Part 5, 6.3.11)."""
    answers = await client.uaclient.read(ua.ReadParameters(NodesToRead=[_value_of(_MAX_NODES_PER_READ)]))
    variant = answers[0].Value if answers else None
    value = None if variant is None else variant.Value
    return value if isinstance(value, int) and value > 0 else 0


def _silence_asyncua() -> None:
    """Keep asyncua from logging each attempt: whatever its client meets reaches our caller as an exception."""
    for name, level in (("asyncua", logging.ERROR), ("asyncua.client", logging.CRITICAL + 1)):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(level)
