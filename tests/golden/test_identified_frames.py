"""Frames as others published them: what the codecs send, find and make of them."""

from __future__ import annotations

import pytest

from drivers.cjt188 import frame as cjt188
from drivers.dlt645 import frame as dlt645
from drivers.failures import RequestFailed
from drivers.identifiers import CjtSettings

# Source: "DLT645-2007 frame analysis", a public article with frames of a meter (15:44:29 to 15:51:21).
# Source: forum article of the Ebyte laboratory (mbb.eet-china.com, topic 114707).
DLT = [
    ("000000000161", 0x00010000, "6861010000000068110433333433 1416", "6861010000000068910833333433 593333338A16", "26000000"),
    ("000000000161", 0x02010100, "6861010000000068110433343435 1716", "6861010000000068910633343435 34431016", "0110"),
    ("652022122003", 0x00000000, "6803201222206568110433333333 8D16", "6803201222206568910833333333 33333333DD16", "00000000"),
    ("652022122018", 0x0201FF00, "6818201222206568110433323435 A416", "6818201222206568910A33323435 33333333C7561316", "000000009423"),
]  # fmt: skip
# Source: hftangyu.com/563 (request), cnblogs.com/llguanli/p/8683992 (both).
WATER = "6810443322110033780103 1F9000 8016"
HEAT = "6820324131400000000103 901F01 2016"
HEAT_REPLY = (
    "682032413140000000812E901F01 0802000000 0802000000 1700000000 3500000000 2C34100000 352500 662500 000000"
    "53001210071520 0000 3116"
)


@pytest.mark.parametrize(("address", "di", "request_", "reply", "value"), DLT)
def test_dlt645_as_published(address: str, di: int, request_: str, reply: str, value: str) -> None:
    size = len(value) // 2
    ask = dlt645.Ask(address, di, size, preamble=0)
    assert ask.request == bytes.fromhex(request_)
    assert dlt645.Ask(address, di, size).request == b"\xfe" * 4 + bytes.fromhex(request_)
    received = b"\xfe\xfe\xfe\xfe" + bytes.fromhex(reply)
    found = ask.find(ask.request + received)
    assert found is not None, "behind its own echo and a preamble"
    assert not found.refusal
    assert found.lead == len(b"\xfe\xfe\xfe\xfe")
    assert ask.value((ask.request + received)[found.start : found.end], size) == bytes.fromhex(value)
    assert len(bytes.fromhex(reply)) + 4 == dlt645.Ask(address, di, size).answer_size


def test_cjt188_as_published() -> None:
    settings = CjtSettings(0x10, (22,), preamble=0)
    ask = cjt188.Ask("78330011223344", 0x901F, 0, settings, swapped=True)
    assert ask.request == bytes.fromhex(WATER)
    settings = CjtSettings(0x20, (46,), preamble=0)
    ask = cjt188.Ask("00000040314132", 0x901F, 1, settings)
    assert ask.request == bytes.fromhex(HEAT)
    received = bytes.fromhex(HEAT_REPLY)
    found = ask.find(received)
    assert found is not None
    assert ask.data(received[found.start : found.end])[28:34] == bytes.fromhex("352500662500")


def test_an_error_byte_is_told_in_words() -> None:
    ask = dlt645.Ask("000000000161", 0x00010000, 4, preamble=0)
    refused = bytes.fromhex("68 61 01 00 00 00 00 68 D1 01 35")
    refused += bytes((sum(refused) & 0xFF, 0x16))
    found = ask.find(refused)
    assert found is not None
    assert found.refusal
    with pytest.raises(dlt645.Refusal, match=r"无请求数据.*error byte 02"):
        ask.value(refused, 4)
    assert "wrong password" in dlt645.error_words(0x04)
    assert "other error, too many tariffs" in dlt645.error_words(0x41)
    assert "no reason given" in dlt645.error_words(0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("6861010000000068910733333433 59333333", "3 bytes where"),
        ("6861010000000068B10833333433 59333333", "further frames"),
    ],
)
def test_an_answer_of_another_form_is_no_value(change: str, says: str) -> None:
    body = bytes.fromhex(change)
    body = body[:9] + bytes((len(body) - 10,)) + body[10:]
    if "3 bytes" in says:
        body = body[:9] + b"\x07" + body[10:17]
    frame = body + bytes((sum(body) & 0xFF, 0x16))
    ask = dlt645.Ask("000000000161", 0x00010000, 4)
    assert ask.find(frame) is not None
    with pytest.raises(RequestFailed, match=says):
        ask.value(frame, 4)
