"""Simulated OPC UA server on asyncua: the variables of the meters on one link.

Values are computed when somebody reads, and told to subscribers at each refresh; both carry the time of that refresh
as source time. Faults per meter: `bad`, `uncertain`, `frozen`; of the whole link `expired`: the certificate it shows
ended yesterday, so it also offers encrypted sessions.

Source: asyncua 2.1.0, `Server.set_attribute_value_callback`, `set_attribute_value_setter`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from drivers.opcua.certificates import (
    DAY_NS,
    KEY_BITS,
    OWN_DAYS,
    load,
    self_signed,
    write_certificate,
    write_key,
)
from gateway.clock import sleep_for
from simulators.faults import LOOPBACK
from simulators.site import variable_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.interfaces import Clock
    from simulators.faults import Fault
    from simulators.plan import VariablePlan
    from simulators.site import SimulatedMeter, Site

NAMESPACE = "urn:metergate:simulators"
_EPOCH = ua.DateTime(1970, 1, 1, tzinfo=UTC)
_NS = 1_000_000_000
POLICIES = (
    ua.SecurityPolicyType.NoSecurity,
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
)


class OpcuaHost:
    """An OPC UA server with the variables of its meters in namespace 2."""

    def __init__(
        self,
        site: Site,
        meters: Sequence[SimulatedMeter],
        clock: Clock,
        faults: Iterable[Fault] = (),
        *,
        secure: bool = False,
        keep: Path | None = None,
    ) -> None:
        """meters: with variables. faults: times are since the site started. secure: offer encrypted sessions too.

        keep: where the certificate is kept, without ending, so that clients trust the server after a restart too.
        """
        self._site = site
        self._meters = meters
        self._clock = clock
        self.faults = list(faults)
        self._keep = keep
        self._is_secure = secure or any(fault.kind == "expired" for fault in self.faults)
        self._server: Server | None = None
        self._telling: asyncio.Task[None] | None = None
        self._shown: list[tuple[ua.NodeId, Callable[[], ua.DataValue]]] = []
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
        if self._is_secure:
            await self._secure(server)
        self._shown.clear()
        await server.register_namespace(NAMESPACE)
        for meter in self._meters:
            folder = await server.nodes.objects.add_folder(2, meter.plan.id)
            for variable in meter.plan.variables:
                kind = ua.VariantType[variable.type]
                first = ua.Variant(_typed(variable_value(variable, 0.0), kind), kind)
                node = await folder.add_variable(ua.NodeId.from_string(variable.id), variable.key, first)
                read = partial(self._read, meter, variable, kind)
                server.set_attribute_value_callback(node.nodeid, read)
                server.set_attribute_value_setter(node.nodeid, _leave)
                self._shown.append((node.nodeid, partial(read, node.nodeid, AttributeIds.Value)))
        await server.start()
        self._server = server
        self._telling = asyncio.create_task(self._tell(server))
        assert server.bserver is not None
        return int(server.bserver.port)

    async def stop(self) -> None:
        """Close the port and every session."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            self._telling = None
        if self._server is not None:
            sessions = list(self._server.iserver._external_sessions.values())
            await self._server.stop()
            for (
                session
            ) in sessions:  # those whose client did not say goodbye; asyncua would leave them for an hour
                await session.close_session()
            self._server = None

    async def restart(self) -> None:
        """Stop and start again on the same port: sessions and subscriptions are gone."""
        assert self._server is not None
        assert self._server.bserver is not None
        port = int(self._server.bserver.port)
        await self.stop()
        await self.start(port)

    async def _tell(self, server: Server) -> None:
        """Tell subscribers at each refresh what has changed."""
        refresh_s = self._site.plan.refresh_s
        while True:
            for node, read in self._shown:
                await server.write_attribute_value(node, read())
            now_ns = self._clock.wall_ns()
            due_ns = self._site.measured_ns(now_ns) + round(refresh_s * _NS)
            await sleep_for(self._clock, (due_ns - now_ns) / _NS)

    async def _secure(self, server: Server) -> None:
        """Give the server a certificate of its own, valid or ended, and the policies that need one."""
        await server.set_application_uri(NAMESPACE)
        with TemporaryDirectory(prefix="metergate-opcua-") as folder:
            certificate, key = Path(folder, "server.der"), Path(folder, "server.pem")
            if any(fault.kind == "expired" for fault in self.faults):
                _make(certificate, key, self._clock.wall_ns() - 11 * DAY_NS, 10)
            elif self._keep is None:
                _make(certificate, key, self._clock.wall_ns(), OWN_DAYS)
            else:
                certificate, key = _kept(self._keep, Path(folder), self._clock.wall_ns())
            await server.load_certificate(str(certificate))
            await server.load_private_key(str(key))
        server.set_security_policy(list(POLICIES))

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


def _leave(*_: object) -> None:
    """Keep a value that is told to subscribers from taking the place of the one that is computed."""


def _typed(value: float, kind: ua.VariantType) -> float | int:
    return float(value) if kind in {ua.VariantType.Double, ua.VariantType.Float} else int(value)


def _make(certificate: Path, key_file: Path, begin_ns: int, days: int) -> None:
    """Write a new certificate and its key; it names this host, as asyncua and some clients want. Raises OSError."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    hosts = list(dict.fromkeys([socket.gethostname() or "localhost", "localhost"]))
    made = self_signed(key, "Metergate simulator", NAMESPACE, hosts, begin_ns, days)
    write_certificate(certificate, made.public_bytes(Encoding.DER))
    write_key(key_file, key)


def _kept(keep: Path, spare: Path, now_ns: int) -> tuple[Path, Path]:
    """Return the files of the certificate that is kept, made where there is none that can be used.

    spare: a folder for one that cannot be kept.
    """
    folder, name = keep.parent, keep.name
    certificate, key = folder / f"{name}.der", folder / f"{name}.pem"
    with contextlib.suppress(OSError, ValueError):  # none, or half of one
        if load(certificate, key).facts.end_ns > now_ns + DAY_NS:
            return certificate, key
    try:
        _make(certificate, key, now_ns, OWN_DAYS)
    except OSError as error:
        log = logging.getLogger(__name__)
        log.warning("the certificate cannot be kept in %s (%s): another one at the next start", folder, error)
        certificate, key = spare / "server.der", spare / "server.pem"
        _make(certificate, key, now_ns, OWN_DAYS)
    return certificate, key
