"""Simulated OPC UA server on asyncua: the variables of the meters on one link.

Values are computed when somebody reads, at most once a refresh, and carry the time of that refresh as source
time. Faults per meter: `bad`, `uncertain`, `frozen`.

Source: asyncua 2.1.0, `Server.set_attribute_value_callback`.
"""

from __future__ import annotations

import logging
from datetime import UTC, timedelta
from functools import partial
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes

from simulators.faults import LOOPBACK
from simulators.site import variable_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncua.ua.attribute_ids import AttributeIds

    from gateway.interfaces import Clock
    from simulators.faults import Fault
    from simulators.plan import VariablePlan
    from simulators.site import SimulatedMeter, Site

NAMESPACE = "urn:metergate:simulators"
_EPOCH = ua.DateTime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000


class OpcuaHost:
    """An OPC UA server with the variables of its meters in namespace 2."""

    def __init__(
        self, site: Site, meters: Sequence[SimulatedMeter], clock: Clock, faults: Iterable[Fault] = ()
    ) -> None:
        """meters: with variables. faults: times are since the site started."""
        self._site = site
        self._meters = meters
        self._clock = clock
        self.faults = list(faults)
        self._server: Server | None = None
        self._states: dict[str, tuple[int, dict[str, tuple[float, bool]]]] = {}

    async def start(self, port: int = 0) -> int:
        """Return the loopback port it listens on. Raises OSError when it cannot."""
        for name in ("asyncua.server", "asyncua.uaprotocol"):
            logging.getLogger(name).setLevel(logging.ERROR)  # it warns of open endpoints, which are meant
        server = Server()
        await server.init()
        server.disable_clock(True)
        server.set_endpoint(f"opc.tcp://{LOOPBACK}:{port}/")
        server.set_server_name("Metergate simulated control system")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.register_namespace(NAMESPACE)
        for meter in self._meters:
            folder = await server.nodes.objects.add_folder(2, meter.plan.id)
            for variable in meter.plan.variables:
                kind = ua.VariantType[variable.type]
                first = ua.Variant(_typed(variable_value(variable, 0.0), kind), kind)
                node = await folder.add_variable(ua.NodeId.from_string(variable.id), variable.key, first)
                server.set_attribute_value_callback(node.nodeid, partial(self._read, meter, variable, kind))
        await server.start()
        self._server = server
        assert server.bserver is not None
        return int(server.bserver.port)

    async def stop(self) -> None:
        """Close the port and every session."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def _read(
        self,
        meter: SimulatedMeter,
        variable: VariablePlan,
        kind: ua.VariantType,
        _node: ua.NodeId,
        _attribute: AttributeIds,
    ) -> ua.DataValue:
        """Return what the variable shows now, with the time it was measured."""
        time_ns = self._site.measured_ns(self._clock.wall_ns())
        fault = self._fault(meter.plan.id)
        if fault is not None and fault.kind == "frozen":
            time_ns = self._site.measured_ns(self._site.start_ns + round(fault.start_s * _NS))
        value = ua.Variant(
            _typed(variable_value(variable, self._value(meter, variable.key, time_ns)), kind), kind
        )
        status = StatusCodes.Good
        if fault is not None and fault.kind == "bad":
            status = StatusCodes.BadSensorFailure
        elif fault is not None and fault.kind == "uncertain":
            status = StatusCodes.UncertainLastUsableValue
        stamp = _EPOCH + timedelta(microseconds=time_ns // 1000)
        return ua.DataValue(
            value, StatusCode=ua.StatusCode(ua.UInt32(status)), SourceTimestamp=stamp, ServerTimestamp=stamp
        )

    def _value(self, meter: SimulatedMeter, key: str, time_ns: int) -> float:
        held = self._states.get(meter.plan.id)
        if held is None or held[0] != time_ns:
            held = (time_ns, meter.state(self._site.seconds(time_ns)))
            self._states[meter.plan.id] = held
        return held[1][key][0]

    def _fault(self, meter: str) -> Fault | None:
        since_s = (self._clock.wall_ns() - self._site.start_ns) / _NS
        for fault in self.faults:
            in_time = fault.start_s <= since_s < fault.end_s
            if (
                fault.kind not in {"down", "half_open"}
                and in_time
                and (not fault.meters or meter in fault.meters)
            ):
                return fault
        return None


def _typed(value: float, kind: ua.VariantType) -> float | int:
    return float(value) if kind in {ua.VariantType.Double, ua.VariantType.Float} else int(value)
