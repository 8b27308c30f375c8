"""Which servers a gateway trusts: their certificates in one folder, by fingerprint.

Trust is pinned to the certificate itself. There is no chain to follow: a plant's servers sign their own certificates.
The gateway looks at every attempt to connect, so a certificate put here takes effect by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from drivers.opcua.certificates import Facts, facts, fingerprint, first_of_chain, write_certificate
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from pathlib import Path

    from asyncua import ua

FILE_MAX = 64 * 1024  # bytes of a certificate
FOLDER = "opcua"


class Offered(NamedTuple):
    """A certificate a server shows. policies: names of the security policies and modes it is offered with."""

    der: bytes
    facts: Facts
    server_uri: str
    policies: tuple[str, ...]


class TrustStore:
    """The folder of trusted certificates, `<state_dir>/opcua/trusted/*.der`."""

    def __init__(self, state_dir: Path) -> None:
        """state_dir: the gateway's own folder; nothing is made in it before something is added."""
        self.folder = state_dir / FOLDER / "trusted"
        self.own_folder = state_dir / FOLDER / "own"

    def trusts(self, der: bytes) -> bool:
        """Return whether this very certificate is trusted."""
        try:
            return any(_content(file) == der for file in self.folder.glob("*.der"))
        except OSError:
            return False

    def add(self, der: bytes) -> Path:
        """Trust a certificate; return its file. Raises OSError."""
        path = self.folder / f"{fingerprint(der)}.der"
        write_certificate(path, der)
        return path

    def known(self) -> list[tuple[Path, Facts | None]]:
        """Return every file with what it says, None for one that is no certificate."""
        found: list[tuple[Path, Facts | None]] = []
        for file in sorted(self.folder.glob("*.der")):
            try:
                found.append((file, facts(file.read_bytes())))
            except (OSError, ValueError):
                found.append((file, None))
        return found


def _content(file: Path) -> bytes | None:
    """Return a file's bytes; None if it cannot be read or is too long: it hides no other."""
    try:
        return file.read_bytes() if file.stat().st_size <= FILE_MAX else None
    except OSError:
        return None


async def fetch(url: str, timeout_s: float) -> list[Offered]:
    """Return the certificates a server shows, without trusting it and without a session.

    Raises LinkDown, ValueError for a url that is none.
    """
    from drivers.opcua.faults import FAILURES, explain
    from drivers.opcua.session import endpoints_of

    try:
        async with asyncio.timeout(3 * timeout_s):
            endpoints = await endpoints_of(url, timeout_s)
        return offered(endpoints)
    except FAILURES as error:
        raise LinkDown(f"{url}: {explain(error, timeout_s)}") from error


def offered(endpoints: list[ua.EndpointDescription]) -> list[Offered]:
    """Return the certificates of a server's endpoints, each once. Raises ValueError on a damaged one."""
    found: dict[bytes, list[str]] = {}
    uris: dict[bytes, str] = {}
    for endpoint in endpoints:
        if endpoint.ServerCertificate:
            der = first_of_chain(endpoint.ServerCertificate)
            uris[der] = str(endpoint.Server.ApplicationUri or "")
            found.setdefault(der, []).append(name_of(endpoint))
    return [Offered(der, facts(der), uris[der], tuple(names)) for der, names in found.items()]


def name_of(endpoint: ua.EndpointDescription) -> str:
    """Return policy and mode of an endpoint as people write them, such as Basic256Sha256/SignAndEncrypt."""
    policy = str(endpoint.SecurityPolicyUri or "").rpartition("#")[2] or "None"
    return f"{policy}/{endpoint.SecurityMode.name.rstrip('_')}"
