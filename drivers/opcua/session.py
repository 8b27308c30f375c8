"""A client for one OPC UA session: its limits, its security, who logs in; made anew for each connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies as policies
from cryptography import x509

from drivers.opcua import certificates
from drivers.opcua.guard import Guarded
from drivers.opcua.trust import TrustStore, name_of
from gateway.errors import LinkDown

if TYPE_CHECKING:
    from pathlib import Path

    from drivers.opcua.certificates import Facts, Identity
    from gateway.interfaces import Clock, Notice

SESSION_TIMEOUT_MS = 60_000  # asyncua's hour lets unclean ends fill a server's session table
WATCHDOG_S = 10.0  # asyncua's second is also its patience: a server that pauses 2 s would be dropped
POLICIES: dict[str, type[policies.SecurityPolicy]] = {
    "basic256sha256": policies.SecurityPolicyBasic256Sha256,
    "aes128_sha256_rsaoaep": policies.SecurityPolicyAes128Sha256RsaOaep,
    "aes256_sha256_rsapss": policies.SecurityPolicyAes256Sha256RsaPss,
}
MODES = {"sign": ua.MessageSecurityMode.Sign, "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt}

log = structlog.get_logger("opcua")


@dataclass(frozen=True)
class Security:
    """How a link secures its session.

    policy: key of POLICIES or "none". mode: key of MODES. state_dir: where own certificate and trusted servers are kept.
    cert_file, key_file: own application certificate, None: made and kept in state_dir. user_*: log in with it.
    """

    policy: str = "none"
    mode: str = "sign_and_encrypt"
    state_dir: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    user_cert_file: Path | None = None
    user_key_file: Path | None = None


def new_client(url: str, timeout_s: float, name: str, clock: Clock | None = None) -> tuple[Client, Guarded]:
    """Return a client that is not connected, and its guard. clock: tells how long decoding takes."""
    client = Client(url, timeout=timeout_s, watchdog_intervall=WATCHDOG_S)
    client.session_timeout = SESSION_TIMEOUT_MS
    client.name = client.description = f"metergate {name}"
    client.application_uri = client.product_uri = certificates.URI
    return client, Guarded(client, clock)


async def endpoints_of(url: str, timeout_s: float) -> list[ua.EndpointDescription]:
    """Return what a server offers, asked without security. Raises what asyncua raises."""
    client, _ = new_client(url, timeout_s, "endpoints")
    return await client.connect_and_get_server_endpoints()


class Securing:
    """Prepares the clients of one link."""

    def __init__(self, how: Security, url: str, name: str, timeout_s: float, clock: Clock) -> None:
        """url: of the server. name: the link's id."""
        self._how, self._url, self._name, self._timeout_s, self._clock = how, url, name, timeout_s, clock
        self._told: set[str] = set()
        self.notice: Notice | None = None

    async def prepare(self, client: Client) -> None:
        """Give a client its certificates, having checked the server's.

        Raises LinkDown with the next step where the server is not trusted, or a certificate cannot be used; and what
        asyncua raises.
        """
        how = self._how
        if how.user_cert_file is not None and how.user_key_file is not None:
            user = await self._load("user", how.user_cert_file, how.user_key_file)
            client.user_certificate, client.user_private_key = user.certificate, user.key
        if how.policy == "none":
            return
        policy, mode = POLICIES[how.policy], MODES[how.mode]
        endpoint = self._choose(await endpoints_of(self._url, self._timeout_s), policy.URI, mode)
        der = certificates.first_of_chain(endpoint.ServerCertificate or b"")
        self._check(der, str(endpoint.Server.ApplicationUri or ""))
        own = await self._own()
        client.application_uri = own.facts.uri or certificates.URI
        server = x509.load_der_x509_certificate(der)
        chosen: Any = policy(
            server, own.certificate, own.key, mode
        )  # asyncua annotates the field with its default
        client.security_policy = chosen
        client.uaclient.set_security(chosen)

    def _choose(
        self, endpoints: list[ua.EndpointDescription], uri: str, mode: ua.MessageSecurityMode
    ) -> ua.EndpointDescription:
        for endpoint in endpoints:
            if (
                endpoint.SecurityPolicyUri == uri
                and endpoint.SecurityMode == mode
                and endpoint.ServerCertificate
            ):
                return endpoint
        offered = ", ".join(sorted({name_of(endpoint) for endpoint in endpoints})) or "nothing"
        wanted = f"{uri.rpartition('#')[2]}/{mode.name}"
        raise LinkDown(
            f"the server does not offer {wanted}, but {offered}: set security and security_mode of the link to one "
            "of these, or enable it in the server"
        )

    def _check(self, der: bytes, server_uri: str) -> None:
        """Raise LinkDown unless the server's certificate is trusted and valid now."""
        found = certificates.facts(der)
        now_ns = self._clock.wall_ns()
        invalid = certificates.validity_fault(found, now_ns)
        if invalid:
            raise LinkDown(
                f"the server's certificate {invalid} (SHA-256 {found.fingerprint}): renew it in the server, then run "
                f"`metergate opcua trust accept {self._name}`"
            )
        if self._how.state_dir is None or not TrustStore(self._how.state_dir).trusts(der):
            raise LinkDown(
                f"the server's certificate is not trusted yet (SHA-256 {found.fingerprint}, {found.subject}, until "
                f"{certificates.day(found.end_ns)}): compare it with the server's and run "
                f"`metergate opcua trust accept {self._name}`"
            )
        self._warn_of_end("server", found, now_ns)
        if server_uri and found.uri != server_uri and "uri" not in self._told:
            self._told.add("uri")
            log.warning(
                "server's certificate names another application; it is trusted by its fingerprint",
                link=self._name, certificate=found.uri, server=server_uri,
            )  # fmt: skip

    async def _own(self) -> Identity:
        how = self._how
        if how.cert_file is not None and how.key_file is not None:
            return await self._load("own", how.cert_file, how.key_file)
        assert how.state_dir is not None
        folder = TrustStore(how.state_dir).own_folder
        try:
            found = await asyncio.to_thread(certificates.own, folder, self._clock.wall_ns())
        except (OSError, ValueError) as error:
            raise LinkDown(f"own certificate in {folder}: {error}") from error
        return self._usable("own", found, str(folder / certificates.OWN_CERTIFICATE))

    async def _load(self, whose: str, certificate: Path, key: Path) -> Identity:
        try:
            found = await asyncio.to_thread(certificates.load, certificate, key)
        except (OSError, ValueError) as error:
            raise LinkDown(f"{whose} certificate: {error}") from error
        return self._usable(whose, found, str(certificate))

    def _usable(self, whose: str, found: Identity, file: str) -> Identity:
        now_ns = self._clock.wall_ns()
        invalid = certificates.validity_fault(found.facts, now_ns)
        if invalid:
            hint = (
                "put a new one in its place"
                if whose != "own"
                else "remove or renew it, then trust it in the server"
            )
            raise LinkDown(f"{whose} certificate {file} {invalid}: {hint}")
        self._warn_of_end(whose, found.facts, now_ns)
        return found

    def _warn_of_end(self, whose: str, found: Facts, now_ns: int) -> None:
        """Tell once that a certificate ends within 30 days."""
        key = f"{whose} {found.fingerprint}"
        if found.end_ns - now_ns > certificates.WARN_NS or key in self._told:
            return
        self._told.add(key)
        log.warning(
            "certificate ends soon", link=self._name, whose=whose, until=certificates.day(found.end_ns),
            fingerprint=found.fingerprint,
        )  # fmt: skip
        if self.notice is not None:
            self.notice(
                "certificate_expires",
                self._name,
                whose=whose,
                fingerprint=found.fingerprint,
                until_ns=found.end_ns,
            )
