"""What the how-tos of the feed tell people to type: certificates made that way work, the verifier of the page verifies."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature

from tests.integration.test_feed_acl import A_ROOT, B_ROOT, NOT_AUTHORISED, REFUSED, A, Example, handshake

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
EXAMPLES = ROOT / "docs" / "specs" / "examples"


def block(page: str, language: str) -> str:
    """Return the first code of a language on a page."""
    match = re.search(
        rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert match is not None
    return match[1]


def test_the_certificates_of_the_page_work(tmp_path: Path, free_port: Callable[[], int]) -> None:
    made = tmp_path / "made"
    made.mkdir()
    subprocess.run(
        ["sh", "-eu", "-c", block("secure-a-feed.md", "sh")], cwd=made, check=True, capture_output=True
    )
    paths = "certfile /etc/mosquitto/certs/broker.crt", "keyfile /etc/mosquitto/certs/broker.key"
    changes = {line: f"{line.split()[0]} {made / Path(line.split()[1]).name}" for line in paths}
    changes["cafile /etc/mosquitto/certs/feed-ca.crt"] = f"cafile {made / 'feed-ca.crt'}"
    with Example(tmp_path, free_port(), changes) as broker:
        context = ssl.create_default_context(cafile=str(made / "feed-ca.crt"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        context.load_cert_chain(made / f"{A}.crt", made / f"{A}.key")
        assert handshake(broker, context, "feed.example.org") is not None
        context.check_hostname = False  # paho connects by address
        with broker.client(A, context=context) as site:
            assert site.publish(f"{A_ROOT}/data") < REFUSED
            assert site.publish(f"{B_ROOT}/data") == NOT_AUTHORISED
        broker_as_client = ssl.create_default_context(cafile=str(made / "feed-ca.crt"))
        broker_as_client.load_cert_chain(made / "broker.crt", made / "broker.key")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(broker, broker_as_client, "feed.example.org")


def page_verifier() -> Any:
    names: dict[str, Any] = {}
    exec(compile(block("read-a-feed.md", "python"), "read-a-feed.md", "exec"), names)
    return names["verify"]


def messages() -> list[str]:
    lines = [json.loads(line)["payload"] for line in (EXAMPLES / "feed.jsonl").read_text().splitlines()]
    return [text for text in lines if not text.startswith("{")]


def test_the_verifier_of_the_page_verifies() -> None:
    key = json.loads((EXAMPLES / "feed-key.jwk.json").read_text())
    payloads = list(page_verifier()(messages(), key))
    assert [int(payload["seq"]) for payload in payloads] == list(range(1, len(messages()) + 1))


def test_the_verifier_of_the_page_finds_what_is_wrong() -> None:
    key = json.loads((EXAMPLES / "feed-key.jwk.json").read_text())
    whole = messages()
    with pytest.raises(AssertionError):
        list(page_verifier()(whole[:4] + whole[5:], key))
    head, body, signature = whole[-1].split(".")
    forged = f"{head}.{body}.{signature[:-6]}AAAA{signature[-2:]}"
    with pytest.raises(InvalidSignature):
        list(page_verifier()([*whole[:-1], forged], key))


def test_the_command_of_the_page_verifies_the_example() -> None:
    (line,) = re.findall(
        r"^metergate (verify docs/[^#\n]+)", (HOW_TO / "read-a-feed.md").read_text(), re.MULTILINE
    )
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *line.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "VERIFIED" in done.stdout) == (0, True), done.stdout + done.stderr
