"""The variables of a server's address space: what they are called, what they show, in which unit.

Source: OPC UA Part 4, 5.8 (Browse, BrowseNext), Part 8, 5.6.3 (EngineeringUnits holds an EUInformation).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors._base import UaStatusCodeError

from drivers.opcua import slot
from drivers.opcua.faults import FAILURES, TOO_LARGE, explain, status_name
from drivers.opcua.reads import value_id
from drivers.opcua.variables import Variable, unit_of_code
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncua.client.client import Client

    from drivers.opcua.driver import OpcUaLink
    from gateway.interfaces import Clock

OBJECTS = f"i={ObjectIds.ObjectsFolder}"
VARIABLES_MAX = 5000
DEPTH_MAX = 12
TIME_MAX_S = 60.0
BATCH = 100  # nodes in one request; fewer where the server says it is too much
REFERENCES_MAX = 1000  # of one node in one answer; the rest by BrowseNext
NAME_MAX = 200  # characters of a name or text value
_SKIPPED = {ObjectIds.Server, ObjectIds.Aliases, ObjectIds.Locations, ObjectIds.Resources}  # of namespace 0
_UNIT = "EngineeringUnits"
T = TypeVar("T")
R = TypeVar("R")


class Browsed(NamedTuple):
    """What was found. is_whole: False if a bound on number, depth or time was reached first."""

    variables: list[Variable]
    is_whole: bool


class _Place(NamedTuple):
    node: ua.NodeId
    path: tuple[str, ...]
    is_variable: bool


async def browse(
    link: OpcUaLink,
    clock: Clock,
    *,
    below: str = OBJECTS,
    variables_max: int = VARIABLES_MAX,
    depth_max: int = DEPTH_MAX,
    time_max_s: float = TIME_MAX_S,
) -> Browsed:
    """Return the variables below a node of an open link's server with their values; changes nothing.

    To be awaited by the task that owns the link. Raises LinkDown, ValueError where `below` is no node id.
    """
    root: Any = value_id(below).NodeId
    try:
        with link.browsing() as client:
            walk = _Walk(client, clock.monotonic() + time_max_s, clock, variables_max)
            async with asyncio.timeout(2 * time_max_s):
                return Browsed(await walk.read(await walk.places(root, depth_max)), not walk.is_cut)
    except FAILURES as error:
        raise LinkDown(f"browsing stopped: {explain(error, time_max_s)}") from error


class _Walk:
    """One walk through an address space, level by level, bounded."""

    def __init__(self, client: Client, until_s: float, clock: Clock, variables_max: int) -> None:
        self._client, self._until_s, self._clock, self._max = client, until_s, clock, variables_max
        self._batch = BATCH
        self._units: dict[ua.NodeId, ua.NodeId] = {}  # variable -> its EngineeringUnits
        self.is_cut = False

    async def places(self, root: ua.NodeId, depth_max: int) -> list[_Place]:
        """Return every variable below a node, each once, by the shortest path."""
        level, found, seen = [_Place(root, (), False)], list[_Place](), {root}
        for _ in range(depth_max):
            answers = await self._in_batches(level, self._children)
            level = []
            for parent, references in answers:
                level += [place for place in self._new(parent, references) if place.node not in seen]
                seen.update(place.node for place in level)
            found += [place for place in level if place.is_variable]
            if len(found) > self._max or self._clock.monotonic() > self._until_s:
                self.is_cut = True
                return found[: self._max]
            if not level:
                return found
        self.is_cut = True
        return found

    def _new(self, parent: _Place, references: list[ua.ReferenceDescription]) -> list[_Place]:
        found = []
        for reference in references:
            node: Any = reference.NodeId
            name = str(reference.BrowseName.Name or "")[:NAME_MAX]
            plain = ua.NodeId(node.Identifier, node.NamespaceIndex)
            if plain.NamespaceIndex == 0 and plain.Identifier in _SKIPPED:
                continue
            is_variable = reference.NodeClass == ua.NodeClass.Variable
            if is_variable and reference.ReferenceTypeId == _node(ObjectIds.HasProperty):
                if name == _UNIT and parent.is_variable:
                    self._units[parent.node] = plain
                continue
            found.append(_Place(plain, (*parent.path, name), is_variable))
        return found

    async def _children(self, places: list[_Place]) -> list[tuple[_Place, list[ua.ReferenceDescription]]]:
        wanted = [
            ua.BrowseDescription(
                NodeId=place.node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=_node(ObjectIds.HierarchicalReferences),
                IncludeSubtypes=True,
                NodeClassMask=ua.UInt32(ua.NodeClass.Object | ua.NodeClass.Variable),
                ResultMask=ua.UInt32(ua.BrowseResultMask.All),
            )
            for place in places
        ]
        asked = ua.BrowseParameters(
            RequestedMaxReferencesPerNode=ua.Counter(REFERENCES_MAX), NodesToBrowse=wanted
        )
        results = await self._client.uaclient.browse(asked)
        found = []
        for place, result in zip(places, results, strict=True):
            references, more = list(result.References or ()), result.ContinuationPoint
            while more and len(references) <= self._max:
                (rest,) = await self._client.uaclient.browse_next(
                    ua.BrowseNextParameters(ReleaseContinuationPoints=False, ContinuationPoints=[more])
                )
                references += rest.References or ()
                more = rest.ContinuationPoint
            found.append((place, references))
        return found

    async def read(self, places: list[_Place]) -> list[Variable]:
        """Return the variables with what they show now."""
        values = await self._in_batches([place.node for place in places], self._values)
        with_unit = [place.node for place in places if place.node in self._units]
        texts = await self._in_batches([self._units[node] for node in with_unit], self._values)
        units = {node: _unit(answer) for node, answer in zip(with_unit, texts, strict=True)}
        return [
            _variable(place, answer, units.get(place.node, ""))
            for place, answer in zip(places, values, strict=True)
        ]

    async def _values(self, nodes: list[ua.NodeId]) -> list[ua.DataValue]:
        wanted = [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in nodes]
        return await self._client.uaclient.read(ua.ReadParameters(NodesToRead=wanted))

    async def _in_batches(self, wanted: list[T], ask: Callable[[list[T]], Awaitable[list[R]]]) -> list[R]:
        """Return the answers in order; stops at the time bound, and asks for fewer where it was too much."""
        found: list[R] = []
        while len(found) < len(wanted):
            batch = wanted[len(found) : len(found) + self._batch]
            try:
                answers = await ask(batch)
            except UaStatusCodeError as error:
                if error.code not in TOO_LARGE or len(batch) == 1:
                    raise
                self._batch = max(len(batch) // 2, 1)
                continue
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers for {len(batch)} nodes")
            found += answers
        return found


def _node(number: Any) -> ua.NodeId:
    return ua.NodeId(number)


def _variable(place: _Place, answer: ua.DataValue, unit: str) -> Variable:
    status = 0 if answer.StatusCode is None else answer.StatusCode.value & slot.CODE
    variant = answer.Value or ua.Variant()
    value = variant.Value
    kind = "" if value is None else variant.VariantType.name
    if isinstance(value, list):
        kind, value = f"{kind}[{len(value)}]", None
    elif not isinstance(value, bool | int | float | None):
        value = str(value)[:NAME_MAX]
    return Variable(
        place.node.to_string(), place.path, kind, value, status_name(status) if status else "Good", unit
    )


def _unit(answer: ua.DataValue) -> str:
    """Return the unit an EUInformation names, "" if it names none."""
    value = answer.Value.Value if answer.Value is not None else None
    if not isinstance(value, ua.EUInformation):
        return ""
    text = value.DisplayName.Text if value.DisplayName is not None else ""
    return str(text or unit_of_code(int(value.UnitId or 0)))[:NAME_MAX]
