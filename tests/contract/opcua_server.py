"""A real OPC UA server in a thread of its own, links and polls for it, and a wire that damages what it sends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.server import Server
from asyncua.server.user_managers import PermissiveUserManager

from drivers.opcua.driver import OpcUaLink
from gateway.clock import SystemClock
from gateway.interfaces import Poll
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel, Sample

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Iterator
    from decimal import Decimal
    from typing import Self

LIMIT_ID = "i=11705"  # Server_ServerCapabilities_OperationLimits_MaxNodesPerRead
PASSWORD = "open sesame"


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
    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> Any:
        if username is not None and (username, password) != ("reader", PASSWORD):
            return None
        return super().get_user(iserver, username, password, certificate)


class PlantServer:
    """asyncua's server with a few variables; `reads` counts the values of each Read call from outside.

    on_read: called in the server's thread before each Read of a plant variable; may raise or take its time.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.reads: list[int] = []
        self.on_read: Callable[[int], object] = lambda _: None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="opcua-server")
        self._server: Server | None = None
        self._variables: dict[str, Any] = {}

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

    def write(self, name: str, answer: ua.DataValue) -> None:
        """Set value, StatusCode and source time of a variable at once."""
        self._run(self._variables[name].write_value(answer))

    def limit(self, nodes_per_read: int) -> None:
        """Name a limit, which asyncua's server then does not check itself."""
        assert self._server is not None
        value = ua.Variant(nodes_per_read, ua.VariantType.UInt32)
        self._run(self._server.get_node(LIMIT_ID).write_value(value))

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
        server = Server(user_manager=_Users())  # type: ignore[arg-type, unused-ignore]
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.register_namespace("urn:plant")
        inner = server.iserver.attribute_service.read

        def read(params: ua.ReadParameters) -> list[ua.DataValue]:
            if any(wanted.NodeId.NamespaceIndex for wanted in params.NodesToRead):
                self.reads.append(len(params.NodesToRead))
                self.on_read(len(params.NodesToRead))
            return inner(params)

        server.iserver.attribute_service.read = read  # type: ignore[method-assign]
        await server.start()
        assert server.bserver is not None
        self._server, self.port = server, server.bserver.port

    async def _add(self, name: str, value: ua.Variant) -> None:
        assert self._server is not None
        node_id: Any = ua.NodeId.from_string(f"ns=2;s={name}")
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
