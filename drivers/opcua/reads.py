"""Polls as OPC UA asks them: all channels in one Read, or in as few as the server's limit allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes as Code
from asyncua.ua.uaerrors._base import UaStatusCodeError

from drivers.opcua.allowance import TooLong
from drivers.opcua.faults import TOO_LARGE, status_name
from drivers.opcua_address import parse_id
from gateway.errors import DeviceError

if TYPE_CHECKING:
    from asyncua.client.client import Client

    from gateway.interfaces import Poll

PROTOCOL = "opcua"
_LIMITS = (
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
)

log = structlog.get_logger("opcua")


class _Plan(NamedTuple):
    """What one poll reads in each request."""

    requests: tuple[list[ua.ReadValueId], ...]
    per_request: int


class Reads:
    """The Read calls of one connection, and what the server takes at once."""

    def __init__(self, name: str, limit: int) -> None:
        """name: the link's id. limit: channels a Read may carry, 0: the server names none."""
        self._name, self._limit = name, limit
        self._plans: dict[Poll, _Plan] = {}
        self._vast: set[ua.NodeId] = set()  # variables whose value is far longer than a number's

    def is_vast(self, source: str) -> bool:
        """Return whether a variable's value is so long that it cannot be a number; it is not asked for any more."""
        return bool(self._vast) and value_id(source).NodeId in self._vast

    def _plan(self, poll: Poll) -> _Plan:
        """Return what the poll reads, cut once. Raises DeviceError on a wrong node id: it costs one meter only."""
        plan = self._plans.get(poll)
        if plan is None:
            if poll.protocol != PROTOCOL:  # no meter of a site file: somebody asks for registers by hand
                raise DeviceError(
                    f"{poll.meter}: link {self._name} is an OPC UA server, which has no registers and no identifiers: `metergate probe "
                    f"{self._name}` lists its variables with their values, `metergate read METER` reads those of a meter",
                    reason="refused",
                )
            try:
                wanted = [value_id(str(source)) for source in poll.sources]
            except ValueError as error:
                text = f"{poll.meter}: {error}; correct the meter's variables in the site file"
                raise DeviceError(text, reason="refused") from error
            per_request = min(self._limit or len(wanted), len(wanted))
            requests = tuple(wanted[i : i + per_request] for i in range(0, len(wanted), per_request))
            plan = self._plans[poll] = _Plan(requests, per_request)
        return plan

    async def fetch(self, client: Client, poll: Poll) -> list[ua.DataValue]:
        """Return the values in channel order; a server that finds the request too large is asked in halves.

        A variable far longer than a number costs only itself: it gets the StatusCode BadEncodingLimitsExceeded, which is
        what a stack says of a value beyond its own limits (Part 4, 7.39.2).
        """
        plan = self._plan(poll)
        while True:
            answers: list[ua.DataValue] = []
            try:
                for values in plan.requests:
                    answers += await self._read(client, values)
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

    async def _read(self, client: Client, wanted: list[ua.ReadValueId]) -> list[ua.DataValue]:
        """Return one value for each; what makes an answer too long is found by halves, and left out from then on.

        Raises DeviceError if the server sends more or fewer values than it was asked for: nobody knows whose they are.
        """
        vast = self._vast
        asked = [value for value in wanted if value.NodeId not in vast] if vast else wanted
        if not asked:
            return [_VAST] * len(wanted)
        left_out = frozenset(vast)  # while halves are asked, more may be found
        try:
            answers = await client.uaclient.read(ua.ReadParameters(0, ua.TimestampsToReturn.Source, asked))
        except TooLong as error:
            if len(asked) == 1:
                vast.add(asked[0].NodeId)
                node = asked[0].NodeId.to_string()
                log.warning("variable is too long for a number", link=self._name, node=node, error=str(error))
                return [_VAST] * len(wanted)
            middle = len(asked) // 2
            answers = [
                value for half in (asked[:middle], asked[middle:]) for value in await self._read(client, half)
            ]
        if len(answers) != len(asked):
            text = f"link {self._name}: the server sent {len(answers)} values for {len(asked)} asked"
            raise DeviceError(text, reason="garbage")
        if len(asked) == len(wanted):
            return answers
        found = iter(answers)
        return [_VAST if value.NodeId in left_out else next(found) for value in wanted]


_VAST = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(Code.BadEncodingLimitsExceeded)))


def value_id(source: str) -> ua.ReadValueId:
    """Return the request for the value of a node id. Raises ValueError if it is none."""
    address = parse_id(source)
    identifier: Any = address.identifier  # asyncua's annotations name its own subclasses of int and str
    namespace: Any = address.namespace
    return ua.ReadValueId(NodeId=ua.NodeId(identifier, namespace), AttributeId=AttributeIds.Value)


async def server_limits(client: Client) -> tuple[int, int]:
    """Return how many values one Read and one creation of monitored items may carry, 0: not named (Part 5, 6.3.11)."""
    wanted = [value_id(f"i={number}") for number in _LIMITS]
    answers = await client.uaclient.read(ua.ReadParameters(NodesToRead=wanted))
    found = [answer.Value.Value if answer.Value is not None else None for answer in answers]
    reads, items = (value if isinstance(value, int) and value > 0 else 0 for value in found)
    return reads, items
