"""TLS of sinks and feed: 1.2 at least, verification always on, and what has ended is named with its date."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gateway.clock import SystemClock
from gateway.errors import SinkUnavailable
from gateway.sinks.feed_influx import FeedInflux
from gateway.sinks.feed_mqtt import FeedMqtt
from gateway.sinks.influx_connection import InfluxLines
from gateway.sinks.tls import TlsFiles
from tests.fakes.certificates import Certificates, make_certificates
from tests.fakes.feed import CHAIN, entry
from tests.servers import Mosquitto, VictoriaMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Port = Callable[[], int]

TODAY = datetime.now(UTC)


def day(offset: int) -> str:
    return re.escape((TODAY + timedelta(days=offset)).date().isoformat())


class Tls12(TlsFiles):
    """At most TLS 1.2: there a server refuses a client within the handshake, in 1.3 after it."""

    def context(self) -> ssl.SSLContext:
        context = TlsFiles.context(self)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


VERSIONS = pytest.mark.parametrize("tls", [TlsFiles, Tls12])


@contextlib.contextmanager
def broker(
    tmp_path: Path, port: int, *, settings: tuple[str, ...] = (), **made: Any
) -> Iterator[Certificates]:
    files = make_certificates(tmp_path / "pki", **made)
    tls = (files.ca, files.server, files.server_key)
    with Mosquitto(tmp_path / "broker", port, tls=tls, settings=settings):
        yield files


def make_feed(port: int, tls: TlsFiles, host: str = "127.0.0.1") -> FeedMqtt:
    return FeedMqtt(
        id="reg", host=host, port=port, gateway="plant-1", region="330100", enterprise="9133",
        zone="Asia/Shanghai", clock=SystemClock(), tls=tls, timeout_s=5,
    )  # fmt: skip


async def fate(feed: FeedMqtt) -> str:
    """Return why it cannot be opened."""
    with pytest.raises(SinkUnavailable) as caught:
        await feed.open([], chain=CHAIN, seq=0)
    await feed.close()
    return str(caught.value)


@VERSIONS
async def test_mutual_tls(tmp_path: Path, free_port: Port, tls: type[TlsFiles]) -> None:
    port = free_port()
    with broker(tmp_path, port) as files:
        feed = make_feed(port, tls(files.ca, files.client, files.client_key))
        await feed.open([entry(1, "birth")], chain=CHAIN, seq=1)
        assert await feed.write([entry(2)], late=False) == []
        await feed.close()
        nobody = await fate(make_feed(port, tls(files.ca)))
        assert nobody.startswith("sink reg (feed 127.0.0.1:")
        assert "cannot connect" in nobody
        stranger = await fate(make_feed(port, tls(files.other_ca, files.client, files.client_key)))
        assert "certificate verify failed" in stranger
        assert "ended" not in stranger + nobody


def test_nothing_below_tls_1_2_and_nothing_unverified(tmp_path: Path) -> None:
    context = TlsFiles(make_certificates(tmp_path).ca).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_a_broker_that_speaks_older_tls_only_is_not_spoken_to(tmp_path: Path, free_port: Port) -> None:
    files = make_certificates(tmp_path)
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    older.load_cert_chain(files.server, files.server_key)
    older.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_1
    agreed = []  # called once both sides speak the same version

    def meet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agreed.append(writer.get_extra_info("cipher"))
        writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", port := free_port(), ssl=older)
    async with server:
        told = await fate(make_feed(port, TlsFiles(files.ca)))
    assert not agreed
    assert re.search("cannot connect: .*SSL", told), (
        told
    )  # an alert, or the end of the connection if that is sooner


async def test_an_expired_server_certificate_is_named_with_its_end(tmp_path: Path, free_port: Port) -> None:
    port = free_port()
    with broker(tmp_path, port, days={"server": (-3, -2)}) as files:
        told = await fate(make_feed(port, TlsFiles(files.ca, files.client, files.client_key)))
    assert re.search(
        rf"certificate has expired: the server's certificate \(CN=127\.0\.0\.1\) ended on {day(-2)}", told
    )
    assert "our client certificate" not in told


async def test_a_server_certificate_of_tomorrow_makes_one_look_at_the_clock(
    tmp_path: Path, free_port: Port
) -> None:
    port = free_port()
    with broker(tmp_path, port, days={"server": (2, 3)}) as files:
        told = await fate(make_feed(port, TlsFiles(files.ca, files.client, files.client_key)))
    assert re.search(rf"the server's certificate \(CN=127\.0\.0\.1\) begins on {day(2)}.*clock", told)


@VERSIONS
async def test_an_expired_client_certificate_is_named_with_its_end(
    tmp_path: Path, free_port: Port, tls: type[TlsFiles]
) -> None:
    port = free_port()
    with broker(tmp_path, port, days={"client": (-3, -1)}) as files:
        told = await fate(make_feed(port, tls(files.ca, files.client, files.client_key)))
        assert re.search(rf"our client certificate {re.escape(str(files.client))} ended on {day(-1)}", told)


async def test_an_expired_ca_is_named(tmp_path: Path, free_port: Port) -> None:
    port = free_port()
    with broker(tmp_path, port, days={"ca": (-3, -1)}) as files:
        told = await fate(make_feed(port, TlsFiles(files.ca, files.client, files.client_key)))
    assert re.search(rf"an authority's certificate \(CN=ca\) ended on {day(-1)}", told)


async def test_an_expired_ca_the_server_does_not_send_is_named(tmp_path: Path, free_port: Port) -> None:
    files = make_certificates(tmp_path, days={"ca": (-3, -1)})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    server = await asyncio.start_server(
        lambda _r, writer: writer.close(), "127.0.0.1", port := free_port(), ssl=context
    )
    async with server:
        told = await fate(make_feed(port, TlsFiles(files.ca)))
    assert "certificate has expired: it is the CA's, in the sink's tls.ca_file" in told


class SecureVictoriaMetrics(VictoriaMetrics):
    files: Certificates

    def command(self) -> list[str]:
        more = ["-tls", f"-tlsCertFile={self.files.server}", f"-tlsKeyFile={self.files.server_key}"]
        return [*super().command(), *more]


@pytest.mark.parametrize("end", [1, -2])
async def test_a_database_is_verified_and_its_expired_certificate_named(
    tmp_path: Path, free_port: Port, end: int
) -> None:
    files = make_certificates(tmp_path / "pki", days={"server": (-3, end)})
    server = SecureVictoriaMetrics(tmp_path / "db", free_port())
    server.files = files
    with server:
        url = f"https://127.0.0.1:{server.port}"
        for ca, why in (
            (files.ca, f"the server's certificate .* ended on {day(end)}"),
            (files.other_ca, "verify failed"),
        ):
            feed = FeedInflux(
                InfluxLines(
                    id="db",
                    url=url,
                    org="o",
                    bucket="b",
                    token="very-secret-token",
                    clock=SystemClock(),
                    tls=TlsFiles(ca),
                    timeout_s=5,
                )
            )
            if end > 0 and ca == files.ca:
                await feed.open([], chain=CHAIN, seq=0)
                assert await feed.write([entry(1)], late=False) == []
            else:
                with pytest.raises(SinkUnavailable, match=why):
                    await feed.open([], chain=CHAIN, seq=0)
            await feed.close()
