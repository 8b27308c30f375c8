"""The example files of `config/acl` against real mosquitto: who gets in, who writes where, who reads what.

Only addresses, ports and paths of the files are replaced. The client is paho's own, so that every reason code is seen.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.fakes.certificates import make_certificates
from tests.servers import Server, find_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACL = Path(__file__).resolve().parents[2] / "config" / "acl"
A, A_ROOT = "91350100M000100Y43.plant-1", "emc/v1/350100/91350100M000100Y43/plant-1"
B, B_ROOT = "91330100EXAMPLE00A.boiler-house", "emc/v1/330100/91330100EXAMPLE00A/boiler-house"
WATCH, RECORD, COLLECTOR = "regulator-watch", "regulator-record", "regulator-collector-1"
LEVELS = [
    "birth",
    "birth/feeder-1",
    "state",
    "data",
    "backfill",
    "summary",
    "event",
    "checkpoint",
    "fitting",
    "probe",
]
REFUSED = 0x80
NOT_AUTHORISED = 0x87
WAIT_S = 10.0
TLS_1_1 = ssl.TLSVersion.TLSv1_1


class Example(Server):
    """mosquitto with the example files; `changes`: line of mosquitto.conf -> what stands there instead."""

    def __init__(self, folder: Path, port: int, changes: dict[str, str] | None = None) -> None:
        super().__init__(folder / "broker", port)
        self.certificates = make_certificates(folder / "certs", clients=[A, B, WATCH, RECORD, COLLECTOR])
        self.certs = folder / "certs"
        acl = self.folder / "metergate.acl"
        acl.write_text((ACL / "mosquitto.acl").read_text())
        acl.chmod(0o600)
        replaced = {
            "listener 8883": f"listener {port} 127.0.0.1",
            "certfile /etc/mosquitto/certs/broker.crt": f"certfile {self.certificates.server}",
            "keyfile /etc/mosquitto/certs/broker.key": f"keyfile {self.certificates.server_key}",
            "cafile /etc/mosquitto/certs/feed-ca.crt": f"cafile {self.certificates.ca}",
            "acl_file /etc/mosquitto/metergate.acl": f"acl_file {acl}",
            "persistence_location /var/lib/mosquitto/": f"persistence_location {self.folder}/",
        } | (changes or {})
        lines = (ACL / "mosquitto.conf").read_text().splitlines()
        assert replaced.keys() <= set(lines)
        lines = [replaced.get(line, line) for line in lines]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes a user who may not read the test's folder
        (self.folder / "mosquitto.conf").write_text("\n".join([*lines, "log_dest stdout"]) + "\n")

    def command(self) -> list[str]:
        return [find_binary("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]

    def tls(self, name: str | None, versions: tuple[Any, Any] | None = None) -> ssl.SSLContext:
        """Return how the client `name` connects; None: without a certificate."""
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        if name is not None:
            context.load_cert_chain(self.certs / f"{name}.pem", self.certs / f"{name}.key")
        if versions is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that it is the broker that refuses an old version
            context.minimum_version, context.maximum_version = versions
        return context

    def client(self, name: str | None, **settings: Any) -> Client:
        return Client(self, name, **settings)


class Client:
    """A connected client; `code` is what the broker said to its CONNECT."""

    def __init__(
        self,
        broker: Example,
        name: str | None,
        *,
        client_id: str = "",
        user: str = "",
        will: str = "",
        keep: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """will: topic of a last will. keep: the session outlives the connection. context: else that of `name`."""
        self._paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or f"test-{name}", protocol=paho.MQTTv5
        )
        self._paho.tls_set_context(context or broker.tls(name))
        if user:
            self._paho.username_pw_set(user, "guessed")
        if will:
            self._paho.will_set(will, b"gone", qos=1, retain=True)
        self.code = -1
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._answers: queue.Queue[tuple[str, int]] = queue.Queue()
        self.gone: queue.Queue[int] = queue.Queue()
        self._paho.on_connect = lambda _c, _u, _f, code, _p: self._answers.put(("connect", code.value))
        self._paho.on_publish = lambda _c, _u, _m, code, _p: self._answers.put(("publish", code.value))
        self._paho.on_subscribe = lambda _c, _u, _m, codes, _p: self._answers.put(("sub", codes[0].value))
        self._paho.on_disconnect = lambda _c, _u, _f, code, _p: self.gone.put(code.value)
        self._paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self._port = broker.port
        self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if keep:
            self._properties.SessionExpiryInterval = 86_400
        self._clean = not keep

    def __enter__(self) -> Self:
        self._paho.connect(
            "127.0.0.1", self._port, keepalive=30, clean_start=self._clean, properties=self._properties
        )
        self._paho.loop_start()
        self.code = self._answer("connect")
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def cut(self) -> None:
        """Break the connection without a word, as a power cut does."""
        sock = self._paho.socket()
        assert sock is not None
        self._paho.loop_stop()
        sock.close()

    def _answer(self, kind: str) -> int:
        found, code = self._answers.get(timeout=WAIT_S)
        assert found == kind
        return code

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """Return the reason code of the PUBACK."""
        self._paho.publish(topic, payload, qos=1, retain=retain)
        return self._answer("publish")

    def subscribe(self, topic: str) -> int:
        self._paho.subscribe(topic, qos=1)
        return self._answer("sub")

    def next(self) -> tuple[str, bytes]:
        message = self.messages.get(timeout=WAIT_S)
        return message.topic, bytes(message.payload)


@pytest.fixture
def broker(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Example]:
    with Example(tmp_path, free_port()) as running:
        yield running


def handshake(broker: Example, context: ssl.SSLContext, name: str = "127.0.0.1") -> str | None:
    """Return the TLS version agreed on, once the broker has answered a CONNECT too. Raises OSError if it refuses."""
    connect = bytes.fromhex(
        "100d00044d51545405020003000000"
    )  # MQTT 5, clean start, keep-alive 3 s, no client id
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_S) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        tls.sendall(connect)
        if not tls.recv(1):
            raise ConnectionResetError("the broker hung up")
        return tls.version()


def publish(broker: Example, name: str, topic: str, payload: bytes = b"x", **settings: Any) -> int:
    """Return the reason code of a message sent over a connection of its own.

    mosquitto 2.0.11 drops the connection after it has answered a refused one (its issue 2579).
    """
    with broker.client(name, **settings) as client:
        return client.publish(topic, payload, retain=True)


def test_a_site_writes_its_own_topics(broker: Example) -> None:
    with broker.client(WATCH) as regulator, broker.client(A) as site:
        assert regulator.subscribe("emc/v1/#") < REFUSED
        for level in LEVELS:
            assert site.publish(f"{A_ROOT}/{level}", level.encode()) < REFUSED
        assert [regulator.next() for _ in LEVELS] == [(f"{A_ROOT}/{x}", x.encode()) for x in LEVELS]


@pytest.mark.parametrize(
    "topic",
    [
        f"{B_ROOT}/data",
        f"{B_ROOT}/state",
        "emc/v1/350100/91350100M000100Y43/plant-2/data",
        "emc/v1/350100/91350100M000100Y43/plant-10/data",
        "emc/v1/350100/91350100M000100Y43/other/plant-1/data",
        "emc/v1/330100/91350100M000100Y43/plant-1/data",
        f"x/{A_ROOT}/data",
        "metergate/v1/plant-1/telemetry",
        "anything",
    ],
)
def test_a_site_writes_nowhere_else_and_is_told(broker: Example, topic: str) -> None:
    with broker.client(WATCH) as regulator:
        regulator.subscribe("emc/v1/#")
        assert publish(broker, A, topic, b"forged") == NOT_AUTHORISED
        with broker.client(A) as site:
            site.publish(f"{A_ROOT}/data", b"own")
        assert regulator.next() == (f"{A_ROOT}/data", b"own"), "what was refused reaches nobody"
    with broker.client(COLLECTOR) as late:
        late.subscribe("emc/v1/#")
        with broker.client(A) as site:
            site.publish(f"{A_ROOT}/data", b"fence")
        assert late.next() == (f"{A_ROOT}/data", b"fence"), "and is not retained"


def test_a_site_reads_nobody_but_its_own_probe(broker: Example) -> None:
    with broker.client(A) as site, broker.client(B) as other:
        for topic in ("#", "emc/v1/#", f"{B_ROOT}/#", f"{A_ROOT}/data", "$share/g/emc/v1/#", "$SYS/#"):
            site.subscribe(topic)  # mosquitto 2.0.11 says yes to everything; what counts is what it delivers
        site.subscribe(f"{B_ROOT}/data")
        assert site.subscribe(f"{A_ROOT}/probe") < REFUSED
        other.publish(f"{B_ROOT}/data")
        site.publish(f"{A_ROOT}/data")
        site.publish(f"{A_ROOT}/probe", b"own")
        assert site.next() == (f"{A_ROOT}/probe", b"own")
        seen = {site.next()[0] for _ in range(site.messages.qsize())}  # the probe again, by the wildcards
        assert seen <= {f"{A_ROOT}/probe"}


def test_the_last_will_is_the_sites_own_state(broker: Example) -> None:
    with broker.client(WATCH) as regulator:
        regulator.subscribe("emc/v1/#")
        with broker.client(A, will=f"{A_ROOT}/state") as site:
            assert site.code == 0
            site.cut()
            assert regulator.next() == (f"{A_ROOT}/state", b"gone")
        with broker.client(A, will=f"{B_ROOT}/state") as site:
            if site.code == 0:  # 2.0.11 takes the will and never publishes it; others refuse the connection
                site.cut()
        assert (
            publish(broker, A, f"{A_ROOT}/data", b"fence") < REFUSED
        )  # takes over: the broker knows of the cut
        assert regulator.next() == (f"{A_ROOT}/data", b"fence")
        assert regulator.messages.empty()


@pytest.mark.parametrize("who", [WATCH, RECORD, COLLECTOR])
def test_the_regulator_reads_all_and_writes_nothing(broker: Example, who: str) -> None:
    with broker.client(who) as regulator, broker.client(A) as site_a, broker.client(B) as site_b:
        assert regulator.subscribe("$share/group/emc/v1/#") < REFUSED
        site_a.publish(f"{A_ROOT}/data", b"a")
        site_b.publish(f"{B_ROOT}/summary", b"b")
        assert {regulator.next() for _ in "ab"} == {(f"{A_ROOT}/data", b"a"), (f"{B_ROOT}/summary", b"b")}
    for topic in (f"{A_ROOT}/data", f"{A_ROOT}/state", "emc/v1/x", "regulator", f"{B_ROOT}/probe"):
        assert publish(broker, who, topic) == NOT_AUTHORISED


def test_who_comes_late_gets_what_is_retained(broker: Example) -> None:
    with broker.client(A) as site:
        site.publish(f"{A_ROOT}/birth", b"index", retain=True)
        site.publish(f"{A_ROOT}/data", b"measurement")
    with broker.client(WATCH) as regulator:
        regulator.subscribe("emc/v1/#")
        assert regulator.next() == (f"{A_ROOT}/birth", b"index")
        assert regulator.messages.empty()


@pytest.mark.parametrize("name", [None, "stranger"])
def test_without_a_certificate_of_the_ca_nobody_gets_in(broker: Example, name: str | None) -> None:
    assert handshake(broker, broker.tls(A)) in {"TLSv1.2", "TLSv1.3"}
    for versions in (None, (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(broker, broker.tls(name, versions))


def test_plain_mqtt_is_not_answered(broker: Example) -> None:
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_S) as plain:
        plain.sendall(bytes.fromhex("100d00044d51545405020003000000"))
        try:
            answer = plain.recv(64)
        except ConnectionError:
            answer = b""
    assert not answer.startswith(b"\x20"), "no CONNACK without TLS"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_1_is_refused_by_the_broker(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with Example(tmp_path, free_port()) as broker:
        assert handshake(broker, broker.tls(A, (ssl.TLSVersion.TLSv1_2,) * 2)) == "TLSv1.2"
        with pytest.raises(ssl.SSLError, match=r"(?i)alert.protocol.version"):
            handshake(broker, broker.tls(A, (TLS_1_1, TLS_1_1)))


def test_anonymous_is_refused_even_where_certificates_are_not_required(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Two locks: without the first the second still holds, also for names somebody guesses."""
    with Example(tmp_path, free_port(), {"require_certificate true": "require_certificate false"}) as broker:
        for user in ("", WATCH, A, "admin"):
            with broker.client(None, user=user) as nobody:
                assert nobody.code >= REFUSED


def test_a_client_is_who_its_certificate_says(broker: Example) -> None:
    """Another's user name is not believed, another's client id takes nothing over."""
    with broker.client(COLLECTOR, keep=True) as collector:
        collector.subscribe("emc/v1/#")
    with broker.client(COLLECTOR, keep=True) as collector:
        with broker.client(A, user=WATCH, client_id=f"test-{COLLECTOR}", keep=True) as site:
            assert site.publish(f"{A_ROOT}/data", b"own") < REFUSED
            assert collector.next() == (f"{A_ROOT}/data", b"own")
            assert site.messages.empty()
        assert publish(broker, A, f"{B_ROOT}/data", user=B, client_id=f"test-{COLLECTOR}") == NOT_AUTHORISED
        assert collector.gone.empty()


def test_a_collector_that_is_away_misses_nothing(broker: Example) -> None:
    """More than mosquitto's default of 1000 queued messages, across a restart of the broker."""
    count = 1500
    with broker.client(COLLECTOR, keep=True) as collector:
        collector.subscribe("emc/v1/#")
    with broker.client(A) as site:
        for n in range(count):
            assert site.publish(f"{A_ROOT}/data", str(n).encode()) < REFUSED
    broker.stop()
    broker.start()
    with broker.client(COLLECTOR, keep=True) as collector:
        assert [collector.next()[1] for _ in range(count)] == [str(n).encode() for n in range(count)]


def test_both_examples_say_the_same() -> None:
    """EMQX is not tested here; its rules are at least those of the tested file, closed by a refusal of the rest."""
    user, rules = "", set()
    for line in (ACL / "mosquitto.acl").read_text().splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            user = words[1]
        elif words[:1] == ["topic"]:
            rules.add((user, {"write": "publish", "read": "subscribe"}[words[1]], words[2]))
    lines = [x for x in (ACL / "emqx-acl.conf").read_text().splitlines() if x and not x.startswith("%%")]
    found = [re.fullmatch(r'\{allow, \{user, "(.+?)"\}, (\w+), \["(.+?)"\]\}\.', line) for line in lines[:-1]]
    assert lines[-1] == "{deny, all}."
    assert {match.groups() for match in found if match} == rules
    assert len(found) == len(rules)


def test_nothing_is_let_in_by_default() -> None:
    text = "\n".join(line for line in (ACL / "mosquitto.conf").read_text().splitlines() if line[:1] != "#")
    assert re.findall(r"^listener .*$", text, re.MULTILINE) == ["listener 8883"]
    for line in (
        "allow_anonymous false",
        "require_certificate true",
        "persistence true",
        "max_queued_messages 0",
    ):
        assert re.search(rf"^{line}$", text, re.MULTILINE)
    assert "password" not in text
    assert not re.search(
        r"^(topic|pattern)", (ACL / "mosquitto.acl").read_text().split("user ")[0], re.MULTILINE
    )
