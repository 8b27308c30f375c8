from __future__ import annotations

import random
import socket
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.status_codes import StatusCodes as Code
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors._base import UaError, UaStatusCodeError

from drivers.opcua.faults import FAILURES, GARBLED, explain, is_gone, status_name


def refusal(code: int) -> UaStatusCodeError:
    make: Any = UaStatusCodeError  # asyncua leaves its errors without types
    error: UaStatusCodeError = make(code)
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer within 4 s: is the OPC UA server running"),
        (ConnectionRefusedError(111, "Connection refused"), "is the port right"),
        (ConnectionResetError(104, "reset"), "closed by the other side"),
        (socket.gaierror(-2, "Name or service not known"), "host name not found (Name or service not known)"),
        (OSError(113, "No route to host"), "cannot connect (No route to host)"),
        (refusal(Code.BadTooManySessions), "no session left"),
        (refusal(Code.BadIdentityTokenRejected), "give user and password_file"),
        (refusal(Code.BadSecurityPolicyRejected), "security and security_mode"),
        (refusal(Code.BadInternalError), "see its log (BadInternalError)"),
        (UaError("No matching endpoints: 1, None"), "no unencrypted endpoint"),
        (ValueError("not a valid x"), "makes no sense (ValueError: not a valid x)"),
    ],
)
def test_every_failure_says_what_to_do_next(error: Exception, said: str) -> None:
    assert isinstance(error, FAILURES)
    assert said in explain(error, 4.0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ConnectionError("Connection is closed"),
            "stopped or restarted, or the network broke (Connection is",
        ),
        (ConnectionError(), "or the network broke (connection closed); it is tried again by itself"),
        (refusal(Code.BadShutdown), "or the network broke (BadShutdown); it is tried again by itself"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "the server that answered here before is stopped",
        ),
        (refusal(Code.BadTooManySessions), "no session left"),
        (refusal(Code.BadSecurityChecksFailed), "see its log (BadSecurityChecksFailed)"),
        (OSError(113, "No route to host"), "cannot connect (No route to host)"),
    ],
)
def test_a_link_that_has_worked_is_not_asked_for_its_port(error: Exception, said: str) -> None:
    text = explain(error, 4.0, has_worked=True)
    assert said in text
    assert "is this the port" not in text


@pytest.mark.parametrize(
    ("code", "gone"),
    [
        (Code.BadSessionClosed, True),
        (Code.BadTcpMessageTooLarge, True),
        (Code.BadOutOfMemory, False),
        (0x8ABC0000, False),
    ],
)
def test_which_answers_cost_the_connection(code: int, gone: bool) -> None:
    assert is_gone(refusal(code)) is gone


def test_an_unknown_status_has_a_name_too() -> None:
    assert status_name(Code.BadNodeIdUnknown) == "BadNodeIdUnknown"
    assert status_name(0x8ABC0000) != ""


def test_a_damaged_answer_raises_nothing_but_the_named_errors() -> None:
    """If a new asyncua raises other errors on garbage, the link would take them for bugs."""
    numbers = [
        ua.Variant(1.5),
        ua.Variant([1, 2]),
        ua.Variant("abc"),
        ua.Variant(2**40, ua.VariantType.UInt64),
    ]
    response = ua.ReadResponse()
    response.Results = [ua.DataValue(number) for number in numbers]
    whole = struct_to_binary(response)
    rng = random.Random(1)
    raised: set[Any] = set()
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            struct_from_binary(ua.ReadResponse, Buffer(bytes(damaged)))
        except GARBLED as error:
            raised.add(type(error).__name__)
    assert {"NotEnoughData", "ValueError", "error", "IndexError"} <= raised
