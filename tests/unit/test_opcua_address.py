from __future__ import annotations

import subprocess
import sys
import uuid

import pytest

from drivers.opcua_address import NodeAddress, parse_id, parse_url


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("i=2258", NodeAddress(0, 2258)),
        ("ns=2;i=4294967295", NodeAddress(2, 4294967295)),
        ("ns=2;s=Boiler1.Flow", NodeAddress(2, "Boiler1.Flow")),
        ('ns=3;s="DB"."电能";x=1', NodeAddress(3, '"DB"."电能";x=1')),
        ("ns=65535;s=i=1", NodeAddress(65535, "i=1")),
        (
            "ns=1;g=09087e75-8e5e-499b-954f-f2a9603db28a",
            NodeAddress(1, uuid.UUID("09087e75-8e5e-499b-954f-f2a9603db28a")),
        ),
        (
            "ns=1;b=M/RbKBsRVkePCePcx24oRA==",
            NodeAddress(1, bytes.fromhex("33f45b281b115647 8f09e3dcc76e2844")),
        ),
    ],
)
def test_node_ids(text: str, address: NodeAddress) -> None:
    assert parse_id(text) == address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no OPC UA node id"),
        ("Boiler1.Flow", "such as ns=2;s=Boiler1.Flow"),
        ("ns=2", "no OPC UA node id"),
        ("ns=2;s=", "no OPC UA node id"),
        ("ns=x;i=1", "no OPC UA node id"),
        ("ns=65536;i=1", "at most 65535"),
        ("ns=2;i=-1", "number of 0 to 4294967295"),
        ("ns=2;i=4294967296", "number of 0 to 4294967295"),
        ("ns=2;i=1_0", "number of 0 to 4294967295"),
        ("ns=2;g=09087e75", "GUID"),
        ("ns=2;b=?", "base64"),
        ("nsu=urn:x;i=1", "by URI; give the index"),
        ("ns=2;s=" + "x" * 4097, "at most 4096 characters"),
    ],
)
def test_wrong_node_ids_say_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_id(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("opc.tcp://plc", "opc.tcp://plc:4840"),
        ("opc.tcp://plc:", "opc.tcp://plc:4840"),
        ("opc.tcp://plc/a/b", "opc.tcp://plc:4840/a/b"),
        ("opc.tcp://10.0.0.7:53530/OPCUA/Server", "opc.tcp://10.0.0.7:53530/OPCUA/Server"),
        ("opc.tcp://[fe80::1]", "opc.tcp://[fe80::1]:4840"),
    ],
)
def test_urls_get_their_port(text: str, url: str) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://plc:4840", "no OPC UA url"),
        ("opc.tcp://", "no OPC UA url"),
        ("plc:4840", "no OPC UA url"),
        ("opc.tcp://plc:99999", "port is a number"),
        ("opc.tcp://plc:abc", "port is a number"),
        ("opc.tcp://reader:hunter2@plc", "password_file"),
    ],
)
def test_wrong_urls_say_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse_url(text)
    assert "hunter2" not in str(caught.value)


def test_checking_a_configuration_does_not_load_asyncua() -> None:
    code = "import sys, drivers.opcua_address; sys.exit('asyncua' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
