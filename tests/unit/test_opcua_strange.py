"""Strange certificates, unreadable files and reports out of order: told or counted, never a crash, never an old value."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from asyncua import ua
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from drivers.opcua import certificates
from drivers.opcua.subscription import READY_MAX, REPEATS_MAX, Counts, Feeding, Reporting, Subscription
from drivers.opcua.trust import TrustStore
from gateway.interfaces import Poll
from gateway.layout import Layout, Part, Slot
from gateway.model import Channel

if TYPE_CHECKING:
    from pathlib import Path

VERSION_3 = bytes.fromhex("a003020102")


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def der(key: rsa.RSAPrivateKey) -> bytes:
    made = certificates.self_signed(key, "x", "urn:x:y", ["localhost"], time.time_ns(), 10)
    return made.public_bytes(serialization.Encoding.DER)


def doctored(der: bytes) -> list[bytes]:
    """Return one of version 8, and one with the same extension twice."""
    basic, usage = bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0f")
    return [der.replace(VERSION_3, VERSION_3[:-1] + b"\x07"), der.replace(basic, usage)]


def test_a_certificate_nobody_can_read_is_no_certificate(
    der: bytes, key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    certificates.write_key(tmp_path / "key", key)
    for bad in doctored(der):
        assert bad != der
        with pytest.raises(ValueError, match="no certificate"):
            certificates.facts(bad)
        (tmp_path / "bad.der").write_bytes(bad)
        with pytest.raises(ValueError, match="no certificate"):
            certificates.load(tmp_path / "bad.der", tmp_path / "key")


def test_a_bad_entry_of_the_trust_folder_hides_no_other(der: bytes, tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    store.add(der)
    (store.folder / "000.der").symlink_to(tmp_path / "nothing")
    (store.folder / "001.der").mkdir()
    (store.folder / "zzz.der").symlink_to(tmp_path / "nothing")
    assert store.trusts(der)
    assert not store.trusts(der + b"x")
    (store.folder / "002.der").write_bytes(doctored(der)[0])
    assert len([facts for _, facts in store.known() if facts]) == 1


class Rig:
    """A subscription of one channel whose reports the test makes."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        clock: Any = SimpleNamespace(wall_ns=lambda: round(self.now_s * 1e9), monotonic=lambda: self.now_s)
        self.counts = Counts()
        self.made = Subscription(cast("Any", None), Reporting(), clock, "x", 0, 4.0, self.counts)
        layout = Layout("m", 1.0, (Channel("c", "code", "1", "gauge"),), (Slot((Part("ua"),)),))
        self.feeding = Feeding(Poll("m", "opcua", "", layout, ("i=1",), 4.0), 1 << 62)
        self.made._active.append(self.feeding)
        self.made._items = [(self.feeding, 0)]

    def report(self, number: int, value: float | None) -> None:
        self.now_s += 1
        item = ua.MonitoredItemNotification(
            ClientHandle=ua.IntegerId(0), Value=ua.DataValue(ua.Variant(value or 0.0, ua.VariantType.Double))
        )
        values: Any = [] if value is None else [ua.DataChangeNotification(MonitoredItems=[item])]
        message = ua.NotificationMessage(SequenceNumber=ua.Counter(number), NotificationData=values)
        self.made._published(ua.PublishResult(SubscriptionId=ua.IntegerId(1), NotificationMessage=message))

    def values(self) -> list[str]:
        layout = self.feeding.poll.layout
        return [str(layout.exact(sample.raw, 0)) for sample in self.feeding.rows()]


def test_an_old_message_again_is_counted_and_no_value() -> None:
    rig = Rig()
    for number, value in ((1, 10.0), (2, 20.0), (1, 10.0), (2, 20.0), (3, 30.0), (3, None), (4, 40.0)):
        rig.report(number, value)
    assert rig.values() == ["10.0", "20.0", "30.0", "40.0"]
    assert (rig.counts.messages_repeated, rig.counts.messages_lost) == (2, 0)
    assert not rig.made.fault()


def test_sequence_numbers_may_begin_again_after_the_last() -> None:
    rig = Rig()
    for number, value in ((0xFFFF_FFFE, 1.0), (0xFFFF_FFFF, 2.0), (1, 3.0), (3, 4.0), (1, 3.0)):
        rig.report(number, value)
    assert rig.values() == ["1.0", "2.0", "3.0", "4.0"]
    assert (rig.counts.messages_repeated, rig.counts.messages_lost) == (1, 1)


def test_a_server_that_numbers_anew_is_subscribed_anew() -> None:
    rig = Rig()
    for number in [7, *range(1, REPEATS_MAX + 1)]:
        rig.report(number, float(number))
    assert "numbers its reports anew" in rig.made.fault()


def test_samples_of_connections_nobody_read_are_bounded() -> None:
    rig = Rig()
    rig.report(1, 1.0)
    sample = rig.feeding.rows()[0]
    for _ in range(READY_MAX + 5):
        rig.feeding.begin(sample, [])
    assert len(rig.feeding.rows()) <= READY_MAX
    assert rig.feeding.loss.count == 5
