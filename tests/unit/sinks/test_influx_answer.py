"""What an answer means; only what speaks of lines costs readings."""

from __future__ import annotations

import pytest

from gateway.sinks.influx_answer import Answer

NOW_S = 1_792_567_680.0  # Wed, 21 Oct 2026 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "asked_s"),
    [
        ("", None),
        ("0", 0.0),
        ("17", 17.0),
        ("9" * 400, float("inf")),
        ("-5", None),
        ("1.5", None),
        ("١٧", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2026 07:27:30 GMT", None),
        ("Wed, 99 Oct 2026 07:28:30 GMT", None),
        ("Wed, 21 Oct 2026 07:28:30 +999999", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:30 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date_ahead(text: str, asked_s: float | None) -> None:
    assert Answer(503, retry_after=text).asked_s(NOW_S) == asked_s


@pytest.mark.parametrize(
    ("status", "body", "blames"),
    [
        (400, b'{"code":"invalid","message":"no"}', True),
        (400, b"unable to parse 'x'", True),
        (400, b"<html>a line</html>", False),
        (400, b"", False),
        (422, b'{"message":"points beyond retention policy"}', True),
        (413, b"", True),
        (201, b"", False),
        (201, b"line 4", False),
        (201, b"[]", False),
        (201, b'{"message":"created"}', False),
        (201, b'{"code":"invalid","message":"bad","line":4}', True),
        (201, b'{"error":"partial write","data":[{"error_message":"type","line_number":2}]}', True),
        (200, b'{"message":"partial write"}', False),
        (503, b'{"message":"partial write"}', False),
    ],
)
def test_lines_are_to_blame_only_where_the_server_says_so(status: int, body: bytes, blames: bool) -> None:
    assert Answer(status, body=body).blames_lines() is blames


@pytest.mark.parametrize(
    "body",
    [b"[]", b'"x"', b"5", b'{"message":{"a":[1]}}', b'{"data":[[]]}', b"{", b"\xff\xfe", b"[" * 60_000],
)
def test_odd_bodies_are_told_somehow(body: bytes) -> None:
    assert Answer(400, "Bad Request", body=body).told("secret").startswith("400 Bad Request")


def test_the_secret_is_hidden_wherever_it_stands() -> None:
    answer = Answer(401, "Not s3cret", body=b'{"message":"' + b"s3cret " * 200 + b'"}')
    assert "s3c" not in answer.told("s3cret")
    assert answer.told("s3cret").startswith("401 Not …: … … …")


def test_a_count_of_dropped_lines_beyond_reason_is_no_count() -> None:
    assert Answer(400, body=b'{"message":"partial write: dropped=3"}').dropped() == 3
    assert Answer(400, body=b'{"message":"dropped=' + b"9" * 5000 + b'"}').dropped() == 0
