"""TCP connections to meters and serial device servers, and what an engineer is told when there is none."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, TypeVar, cast

from gateway.errors import LinkDown

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECT_TIMEOUT_S = 5.0
UNSENT_MAX = 4096  # bytes of requests the peer's TCP does not take before the connection counts as dead

_STEPS = {
    errno.ECONNREFUSED: "nothing listens there: check the port{usual} and that the {peer} is on",
    errno.EHOSTUNREACH: "no way to this host: check address, cable and switch",
    errno.ENETUNREACH: "no way to this network: check the gateway's own address and route",
    errno.ETIMEDOUT: "no answer: check address, power, cable and firewall",
    errno.ECONNRESET: "closed at once: many devices allow only one to four connections; find who else is connected",
    errno.EACCES: "a firewall on this machine forbids it",
    errno.EPERM: "a firewall on this machine forbids it",
}
_STEP = "check address and port"

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


async def connect(
    make: Callable[[], ProtocolT],
    host: str,
    port: int,
    *,
    where: str,
    peer: str,
    usual: str = "",
    timeout_s: float = CONNECT_TIMEOUT_S,
) -> ProtocolT:
    """Return the protocol of a new connection. Raises LinkDown: `where`, the system's reason and a next step.

    peer: what should listen there; usual: a remark on the usual port.
    """
    try:
        async with asyncio.timeout(timeout_s):
            _, protocol = await asyncio.get_running_loop().create_connection(make, host, port)
    except TimeoutError:
        raise LinkDown(f"{where}: no connection within {timeout_s:g} s; {_STEPS[errno.ETIMEDOUT]}") from None
    except socket.gaierror as error:
        raise LinkDown(
            f"{where}: {error.strerror or error}; the name is unknown: check it, or write the IP address"
        ) from None
    except ValueError as error:
        raise LinkDown(f"{where}: {error}; this is no host name or address: check it") from None
    except OSError as error:
        step = _STEPS.get(error.errno or 0, _STEP).format(peer=peer, usual=usual)
        raise LinkDown(f"{where}: {reason_of(error)}; {step}") from None
    return protocol


def reason_of(error: OSError) -> str:
    """Return the system's reason with its number."""
    if not error.errno:
        return str(error)
    return f"{os.strerror(error.errno)} (errno {error.errno})"


def prepare_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """Return the transport set up for small requests: sent at once, dead peers noticed, little kept unsent."""
    transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
    transport.set_write_buffer_limits(high=UNSENT_MAX)
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return transport
