"""Encrypted sessions against a real server: policies, trust, log in, and certificates that end."""

from __future__ import annotations

import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from asyncua import ua
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.opcua import certificates
from drivers.opcua.session import POLICIES, Security
from drivers.opcua.trust import TrustStore, fetch
from gateway.errors import LinkDown
from tests.contract.opcua_server import (
    PASSWORD,
    SERVER_URI,
    PlantServer,
    Secure,
    exact,
    new_link,
    poll_of,
    read_one,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY_NS = 86_400 * 10**9
P = ua.SecurityPolicyType
OFFERED = (
    P.NoSecurity,
    P.Basic256Sha256_Sign,
    P.Basic256Sha256_SignAndEncrypt,
    P.Aes128Sha256RsaOaep_SignAndEncrypt,
    P.Aes256Sha256RsaPss_SignAndEncrypt,
)
SOURCE = "ns=2;s=Energy"


def make_pair(folder: Path, name: str, *, begin_ns: int, days: int = 3650) -> tuple[Path, Path]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = certificates.self_signed(key, name, SERVER_URI, ["localhost"], begin_ns, days)
    file, key_file = folder / f"{name}.der", folder / f"{name}.pem"
    certificates.write_certificate(file, made.public_bytes(serialization.Encoding.DER))
    certificates.write_key(key_file, key)
    return file, key_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opcua")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PlantServer]:
    pair = make_pair(folder, "server", begin_ns=time.time_ns())
    with PlantServer(secure=Secure(*pair, OFFERED)) as made:
        made.add("Energy", 12.5, ua.VariantType.Double)
        yield made


async def trusting(server: PlantServer, state: Path) -> bytes:
    (offered,) = await fetch(server.url, 4.0)
    TrustStore(state).add(offered.der)
    return offered.der


async def read_with(server: PlantServer, security: Security, **more: Any) -> None:
    link = new_link(server.url, security=security, **more)
    await link.open()
    poll = poll_of(SOURCE)
    assert exact(poll, await read_one(link, poll)) != [None]
    await link.close()


@pytest.mark.parametrize(
    ("policy", "mode"), [*((name, "sign_and_encrypt") for name in POLICIES), ("basic256sha256", "sign")]
)
async def test_r09_every_policy_opens_a_session(
    server: PlantServer, tmp_path: Path, policy: str, mode: str
) -> None:
    await trusting(server, tmp_path)
    await read_with(server, Security(policy, mode, tmp_path))


async def test_r09_an_unknown_server_is_refused_with_what_to_run(server: PlantServer, tmp_path: Path) -> None:
    link = new_link(server.url, security=Security("basic256sha256", state_dir=tmp_path))
    with pytest.raises(LinkDown, match="metergate opcua trust accept dcs") as refused:
        await link.open()
    der = await trusting(server, tmp_path)
    assert certificates.fingerprint(der) in str(refused.value)
    await link.open()  # the same link, by itself
    await link.close()
    (known,) = TrustStore(tmp_path).known()
    assert known[1] is not None
    assert known[1].uri == SERVER_URI


async def test_r09_a_certificate_like_a_trusted_one_is_not_trusted(
    server: PlantServer, tmp_path: Path
) -> None:
    other, _ = make_pair(tmp_path, "server", begin_ns=time.time_ns())
    TrustStore(tmp_path).add(other.read_bytes())
    link = new_link(server.url, security=Security("basic256sha256", state_dir=tmp_path))
    with pytest.raises(LinkDown, match="not trusted yet"):
        await link.open()


async def test_r09_the_own_certificate_is_made_once_and_kept(server: PlantServer, tmp_path: Path) -> None:
    await trusting(server, tmp_path)
    security = Security("basic256sha256", state_dir=tmp_path)
    await read_with(server, security)
    own, key = tmp_path / "opcua/own/metergate.der", tmp_path / "opcua/own/metergate.key"
    first = own.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert certificates.facts(first).uri.startswith("urn:metergate:")
    await read_with(server, security)  # a new link, as after a restart
    assert own.read_bytes() == first


async def test_a_policy_the_server_lacks_is_told_with_those_it_has(
    server: PlantServer, tmp_path: Path
) -> None:
    link = new_link(server.url, security=Security("aes256_sha256_rsapss", "sign", tmp_path))
    with pytest.raises(
        LinkDown, match=r"does not offer Aes256_Sha256_RsaPss/Sign, but .*Basic256Sha256/Sign"
    ):
        await link.open()


async def test_user_and_password_or_certificate_log_in(server: PlantServer, tmp_path: Path) -> None:
    await trusting(server, tmp_path)
    server.users.logins.clear()
    await read_with(server, Security("basic256sha256", state_dir=tmp_path), user="reader", password=PASSWORD)
    wrong = new_link(
        server.url, security=Security("basic256sha256", state_dir=tmp_path), user="x", password="y"
    )
    with pytest.raises(LinkDown, match="check user and password_file"):
        await wrong.open()
    user, user_key = make_pair(tmp_path, "user", begin_ns=time.time_ns())
    await read_with(
        server,
        Security("basic256sha256", state_dir=tmp_path, user_cert_file=user, user_key_file=user_key),
    )
    assert server.users.logins == ["reader", "x", "certificate"]


@pytest.mark.parametrize(
    ("begin_days", "days", "said"),
    [
        (-800, 10, "expired on .*renew it in the server"),
        (5, 10, "is valid from .*is the gateway's clock right"),
    ],
)
async def test_a_server_certificate_that_is_not_valid_is_refused_though_it_is_trusted(
    tmp_path: Path, begin_days: int, days: int, said: str
) -> None:
    pair = make_pair(tmp_path, "server", begin_ns=time.time_ns() + begin_days * DAY_NS, days=days)
    with PlantServer(secure=Secure(*pair, OFFERED)) as server:
        await trusting(server, tmp_path)
        link = new_link(server.url, security=Security("basic256sha256", state_dir=tmp_path))
        with pytest.raises(LinkDown, match=said):
            await link.open()


async def test_a_certificate_that_ends_soon_is_told_once(server: PlantServer, tmp_path: Path) -> None:
    await trusting(server, tmp_path)
    own, key = make_pair(tmp_path, "own", begin_ns=time.time_ns(), days=20)
    security = Security("basic256sha256", "sign_and_encrypt", tmp_path, cert_file=own, key_file=key)
    link = new_link(server.url, security=security)
    events: list[tuple[str, str, object]] = []
    link.notice = lambda kind, subject, /, **detail: events.append((kind, subject, detail["whose"]))
    with structlog.testing.capture_logs() as said:
        for _ in range(2):
            await link.open()
            await link.close()
    assert events == [("certificate_expires", "dcs", "own")]
    assert [entry["event"] for entry in said].count("certificate ends soon") == 1


async def test_files_that_do_not_belong_together_are_told(server: PlantServer, tmp_path: Path) -> None:
    await trusting(server, tmp_path)
    one, _ = make_pair(tmp_path, "one", begin_ns=time.time_ns())
    _, other = make_pair(tmp_path, "other", begin_ns=time.time_ns())
    security = Security("basic256sha256", "sign_and_encrypt", tmp_path, cert_file=one, key_file=other)
    with pytest.raises(LinkDown, match="does not belong to"):
        await new_link(server.url, security=security).open()


async def test_a_server_without_certificates_offers_none(tmp_path: Path) -> None:
    with PlantServer() as plain:
        assert await fetch(plain.url, 4.0) == []
        link = new_link(plain.url, security=Security("basic256sha256", state_dir=tmp_path))
        with pytest.raises(LinkDown, match=r"does not offer .* but None/None"):
            await link.open()


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab:" * 33])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        certificates.parse_fingerprint(text)


def test_a_fingerprint_is_read_as_servers_show_it() -> None:
    shown = ":".join(["AB"] * 32)
    assert certificates.parse_fingerprint(f"SHA256:{shown}") == "ab" * 32
