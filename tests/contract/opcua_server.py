"""A real OPC UA server in a thread of its own, links and polls for it, and a wire that damages what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.server import Server
from asyncua.server.user_managers import PermissiveUserManager
from asyncua.ua.status_codes import StatusCodes

from drivers.opcua.driver import OpcUaLink
from gateway.clock import SystemClock
from gateway.interfaces import Poll
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Sample

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Iterator
    from decimal import Decimal
    from pathlib import Path
    from typing import Self

LIMIT_ID = "i=11705"  # Server_ServerCapabilities_OperationLimits_MaxNodesPerRead
ITEMS_LIMIT_ID = "i=11714"  # ..._MaxMonitoredItemsPerCall
PASSWORD = "open sesame"
SERVER_URI = "urn:plant:server"
SERVER_TOKENS = (ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken)


class Secure(NamedTuple):
    """What makes a server secure: PEM or DER files, and the policies it offers."""

    certificate: Path
    key: Path
    policies: tuple[ua.SecurityPolicyType, ...]


def new_link(url: str, timeout_s: float = 4.0, **settings: Any) -> OpcUaLink:
    return OpcUaLink(url, timeout_s=timeout_s, clock=SystemClock(), name="dcs", **settings)


def poll_of(*sources: str, period_s: float = 10.0, timeout_s: float = 4.0) -> Poll:
    channels = tuple(Channel(f"c{i}", "temperature", "Cel", "gauge") for i in range(len(sources)))
    layout = Layout("boiler-1", period_s, channels, tuple(Slot((Part("ua"),)) for _ in sources))
    return Poll("boiler-1", "opcua", "", layout, sources, timeout_s)


async def read_one(link: OpcUaLink, poll: Poll) -> Sample:
    (sample,) = await link.read(poll)
    return sample


def exact(poll: Poll, sample: Sample) -> list[Decimal | None]:
    return [poll.layout.exact(sample.raw, i) for i in range(len(poll.sources))]


class _Users(PermissiveUserManager):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self.logins: list[str] = []

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Any:
        self.logins.append(
            "anonymous" if certificate is None and username is None else username or "certificate"
        )
        if username is not None and (username, password) != ("reader", PASSWORD):
            return None
        return super().get_user(iserver, username, password, certificate)


class PlantServer:
    """asyncua's server with a few variables; `reads` counts the values of each Read call from outside.

    on_read: called in the server's thread before each Read of a plant variable; may raise or take its time.
    """

    def __init__(self, port: int = 0, secure: Secure | None = None) -> None:
        self.port = port
        self.secure = secure
        self.users = _Users()
        self.reads: list[int] = []
        self.items: list[int] = []  # monitored items of each request
        self.items_max = 0  # a request for more is refused, 0: none is
        self.is_mute = False  # no publish response any more
        self.on_read: Callable[[int], object] = lambda _: None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="opcua-server")
        self._server: Server | None = None
        self._variables: dict[str, Any] = {}
        self._kept: dict[str, ua.Variant] = {}

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def add(self, name: str, value: object, kind: ua.VariantType) -> str:
        """Return the node id of a new variable."""
        self._run(self._add(name, ua.Variant(value, kind)))
        return f"ns=2;s={name}"

    def add_with_unit(self, name: str, value: float, unit: str) -> None:
        """Add a variable whose property EngineeringUnits says its unit."""
        self.add(name, value, ua.VariantType.Double)
        said = ua.EUInformation(DisplayName=ua.LocalizedText(unit))
        self._run(self._variables[name].add_property(2, "EngineeringUnits", said))

    def write(self, name: str, answer: ua.DataValue) -> None:
        """Set value, StatusCode and source time of a variable at once."""
        self._run(self._variables[name].write_value(answer))

    def remove(self, name: str) -> None:
        """Delete a variable."""
        self._run(self._variables.pop(name).delete())

    def limit(self, nodes_per_read: int, node_id: str = LIMIT_ID) -> None:
        """Name a limit, which asyncua's server then does not check itself."""
        assert self._server is not None
        value = ua.Variant(nodes_per_read, ua.VariantType.UInt32)
        self._run(self._server.get_node(node_id).write_value(value))

    def restart(self) -> None:
        """Stop and start on the same port, with the same variables; sessions and subscriptions are gone."""
        self._run(self._stop())
        kept = dict(self._kept)
        self._run(self._start())
        for name, value in kept.items():
            self._run(self._add(name, value))

    def forget_subscriptions(self) -> None:
        """Delete every subscription without telling anybody."""
        self._run(self._forget())

    async def _forget(self) -> None:
        assert self._server is not None
        service = self._server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))

    def wait_for_connections(self, count: int) -> None:
        """Return when exactly `count` clients are connected. Raises TimeoutError after 5 s."""
        self._run(self._connections(count))

    async def _connections(self, count: int) -> None:
        assert self._server is not None
        async with asyncio.timeout(5):
            while len(self._server.iserver.asyncio_transports) != count:  # noqa: ASYNC110 - asyncua tells nobody
                await asyncio.sleep(0.01)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self) -> None:
        server = Server(user_manager=self.users)  # type: ignore[arg-type, unused-ignore]
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if self.secure is not None:
            await server.set_application_uri(SERVER_URI)
            await server.load_certificate(str(self.secure.certificate))
            await server.load_private_key(str(self.secure.key))
            server.set_security_policy(list(self.secure.policies))
            server.set_identity_tokens([*SERVER_TOKENS])
        await server.register_namespace("urn:plant")
        inner = server.iserver.attribute_service.read

        def read(params: ua.ReadParameters) -> list[ua.DataValue]:
            if any(wanted.NodeId.NamespaceIndex for wanted in params.NodesToRead):
                self.reads.append(len(params.NodesToRead))
                self.on_read(len(params.NodesToRead))
            return inner(params)

        server.iserver.attribute_service.read = read  # type: ignore[method-assign]
        self._watch_subscriptions(server)
        await server.start()
        assert server.bserver is not None
        self._server, self.port = server, server.bserver.port

    def _watch_subscriptions(self, server: Server) -> None:
        service = server.iserver.subscription_service
        create = service.create_monitored_items

        async def create_items(
            params: ua.CreateMonitoredItemsParameters,
        ) -> list[ua.MonitoredItemCreateResult]:
            count = len(params.ItemsToCreate)
            self.items.append(count)
            if self.items_max and count > self.items_max:
                raise ServiceError(StatusCodes.BadTooManyOperations)
            return await create(params)

        service.create_monitored_items = create_items  # type: ignore[method-assign]
        create_one = service.create_subscription

        async def create_subscription(*args: Any, **more: Any) -> Any:
            params, callback, *rest = args

            async def publish(*result: Any) -> None:
                if not self.is_mute:
                    await callback(*result)

            return await create_one(params, publish, *rest, **more)

        service.create_subscription = create_subscription  # type: ignore[method-assign]

    async def _add(self, name: str, value: ua.Variant) -> None:
        assert self._server is not None
        node_id: Any = ua.NodeId.from_string(f"ns=2;s={name}")
        self._kept[name] = value
        objects = self._server.nodes.objects
        self._variables[name] = await objects.add_variable(node_id, f"2:{name}", value)

    async def _stop(self) -> None:
        assert self._server is not None
        await self._server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class DamagingWire:
    """A TCP relay; while `damage` is set it changes a few bytes of whatever the server sends."""

    def __init__(self, to_port: int, rng: random.Random) -> None:
        self._to_port = to_port
        self._rng = rng
        self.damage = False
        self.port = 0

    @contextlib.asynccontextmanager
    async def relaying(self) -> Any:
        async with asyncio.TaskGroup() as group:

            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
                group.create_task(self._pump(reader, up_writer, damaged=False))
                group.create_task(self._pump(up_reader, writer, damaged=True))

            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                server.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, damaged: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                writer.write(self._changed(chunk) if damaged and self.damage else chunk)
                await writer.drain()
        writer.close()

    def _changed(self, chunk: bytes) -> bytes:
        changed = bytearray(chunk)
        for place in self._places(len(chunk)):
            changed[place] = self._rng.randrange(256)
        return bytes(changed)

    def _places(self, length: int) -> Iterator[int]:
        for _ in range(self._rng.randint(1, 3)):
            yield self._rng.randrange(length)
