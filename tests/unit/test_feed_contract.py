"""The contract of the regulators' feed: files fresh, examples valid, chain whole, AsyncAPI document sound and complete."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from gateway.feed import asyncapi, contract, examples
from gateway.feed.contract_values import Model
from gateway.feed.keys import load_public
from gateway.feed.recording import Message, Reader
from gateway.feed.verify import Verifier

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "docs" / "specs"
SPEC = (SPECS / "feed.md").read_text(encoding="utf-8")
KINDS = [*contract.MESSAGES, "state"]
FILES = asyncapi.files()
HTTP_REF = re.compile(r"^#/")
# AsyncAPI 3.0.0: what each object may have and what it must have; x-… is always allowed.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "document": (
        {"id", "servers", "defaultContentType", "channels", "operations", "components"},
        {"asyncapi", "info"},
    ),
    "info": (
        {"description", "termsOfService", "contact", "license", "tags", "externalDocs"},
        {"title", "version"},
    ),
    "server": (
        {
            "protocolVersion",
            "pathname",
            "description",
            "title",
            "summary",
            "variables",
            "security",
            "bindings",
        },
        {"host", "protocol"},
    ),
    "channel": (
        {"title", "summary", "description", "servers", "parameters", "bindings"},
        {"address", "messages"},
    ),
    "operation": (
        {"title", "summary", "description", "security", "bindings", "messages", "reply"},
        {"action", "channel"},
    ),
    "message": (
        {
            "headers",
            "correlationId",
            "contentType",
            "title",
            "summary",
            "description",
            "bindings",
            "examples",
        },
        {"name", "payload"},
    ),
    "mqtt server": (
        {"clientId", "cleanSession", "lastWill", "keepAlive", "sessionExpiryInterval", "maximumPacketSize"},
        {"bindingVersion"},
    ),
    "mqtt operation": ({"qos", "retain", "messageExpiryInterval"}, {"bindingVersion"}),
}


def document() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(asyncapi.DOCUMENT.read_text(encoding="utf-8"))
    return body


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (asyncapi.EXAMPLES / "feed.jsonl").read_text().splitlines()]


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def payload_of(line: dict[str, Any]) -> dict[str, Any]:
    text: str = line["payload"]
    body: dict[str, Any] = json.loads(text if text.startswith("{") else decoded(text.split(".")[1]))
    return body


def validator(kind: str) -> jsonschema.Draft202012Validator:
    rules = json.loads((asyncapi.SCHEMAS / f"feed-{kind}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    return jsonschema.Draft202012Validator(rules)


def example(kind: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((asyncapi.EXAMPLES / f"feed-{kind}.json").read_text(encoding="utf-8"))
    return body


def assert_object(kind: str, body: dict[str, Any]) -> None:
    may, must = ALLOWED[kind]
    assert must <= body.keys(), f"{kind} lacks {must - body.keys()}"
    odd = {key for key in body if not key.startswith("x-")} - may - must
    assert not odd, f"{kind} has {odd}"


def refs(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [ref for value in part.values() for ref in refs(value)]
    return [ref for item in part for ref in refs(item)] if isinstance(part, list) else []


def resolve(body: dict[str, Any], ref: str) -> Any:
    for step in ref.removeprefix("#/").split("/"):
        body = body[step]
    return body


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.name)
def test_what_is_generated_is_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path], "run `make schema`"


def test_nothing_is_left_over() -> None:
    there = {*asyncapi.SCHEMAS.glob("feed-*"), *asyncapi.EXAMPLES.glob("feed*")}
    assert there == {path for path in FILES if path.parent in (asyncapi.SCHEMAS, asyncapi.EXAMPLES)}


def test_make_schema_writes_them() -> None:
    target = re.search(r"^schema:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert target is not None
    assert "gateway.feed.asyncapi" in target[1]


@pytest.mark.parametrize("kind", KINDS)
def test_examples_fit_schema_and_model(kind: str) -> None:
    body = example(kind)
    validator(kind).validate(body)
    asyncapi.MESSAGES[kind].model_validate(body)


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_recorded_fits(kind: str) -> None:
    bodies = [body for line in recorded() if (body := payload_of(line)).get("kind", "state") == kind]
    assert bodies
    for body in bodies:
        validator(kind).validate(body)
        asyncapi.MESSAGES[kind].model_validate(body)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("data", ("seq",), 7),
        ("data", ("prev",), "sha256:0"),
        ("data", ("kind",), "event"),
        ("data", ("v",), 2),
        ("data", ("intervals", 0, "t0"), "2026-08-01T08:45:00Z"),
        ("data", ("intervals", 0, "channels", "energy_active_import", "delta"), 3.1),
        ("data", ("intervals", 0, "channels", "energy_active_import", "delta"), "3.1E+2"),
        ("data", ("intervals", 0, "channels", "energy_active_import", "kind"), "guessed"),
        ("data", ("intervals", 0, "channels", "energy_active_import", "expected"), -1),
        ("data", ("readings", 0, "value"), "NaN"),
        ("birth", ("key", "x"), "short"),
        ("checkpoint", ("head",), ""),
        ("summary", ("site", "percent"), 100),
    ],
)
def test_schema_and_model_refuse_the_same(kind: str, path: tuple[Any, ...], value: Any) -> None:
    body = inner = example(kind)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert not validator(kind).is_valid(body)
    with pytest.raises(ValidationError):
        asyncapi.MESSAGES[kind].model_validate(body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_passes_over_what_it_does_not_know(kind: str) -> None:
    body = example(kind) | {"later": 1}
    validator(kind).validate(body)
    asyncapi.MESSAGES[kind].model_validate(body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_says_its_version_and_kind(kind: str) -> None:
    for key in {"v", "kind"} & example(kind).keys():
        assert not validator(kind).is_valid({k: v for k, v in example(kind).items() if k != key})


def test_gaps_have_the_closed_list_of_reasons() -> None:
    body = example("data")
    channel = body["intervals"][0]["channels"]["energy_active_import"]
    channel["gaps"] = {"dog_ate_it": 1}
    assert not validator("data").is_valid(body)


def test_every_field_is_described() -> None:
    models = {m for m in vars(contract).values() if isinstance(m, type) and issubclass(m, Model)}
    silent = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not field.description and not (name == "kind" and issubclass(model, contract.Payload))
    ]
    assert not silent


def test_the_recorded_chain_is_whole() -> None:
    """Signatures by the key of the birth, then by the one the old key named; seq and prev without a hole."""
    signed = [line for line in recorded() if not line["payload"].startswith("{")]
    by_seq = sorted(signed, key=lambda line: int(payload_of(line)["seq"]))
    key = json.loads((asyncapi.EXAMPLES / "feed-key.jwk.json").read_text())
    keys = {key["kid"]: key["x"]}
    prev = contract.GENESIS
    for number, line in enumerate(by_seq, 1):
        head, body, signature = line["payload"].split(".")
        header, payload = json.loads(decoded(head)), json.loads(decoded(body))
        assert header == {"alg": "Ed25519", "kid": header["kid"], "typ": contract.TYP}
        public = Ed25519PublicKey.from_public_bytes(decoded(keys[header["kid"]]))
        public.verify(decoded(signature), f"{head}.{body}".encode())
        assert (payload["seq"], payload["prev"]) == (str(number), prev)
        prev = f"sha256:{hashlib.sha256(line['payload'].encode()).hexdigest()}"
        for event in payload.get("events", ()):
            if event["kind"] == "key_rotated":
                fresh = event["detail"]["key"]
                assert hashlib.sha256(decoded(fresh["x"])).hexdigest() == fresh["fingerprint"]
                assert fresh["kid"] not in keys
                keys = {fresh["kid"]: fresh["x"]}  # from here on only the new one
    assert len(by_seq) > 10


def test_our_verifier_finds_nothing_in_the_recording() -> None:
    """With the key from the folder, every signature and every payload looked at."""
    keys = load_public((asyncapi.EXAMPLES / "feed-key.jwk.json").read_bytes())
    verifier = Verifier(keys, every_signature=True, schema=True)
    with Reader(asyncapi.EXAMPLES / "feed.jsonl") as reader:
        for number, message in reader:
            assert isinstance(message, Message)
            verifier.feed(message.topic, message.retain, message.payload, line=number)
    report = verifier.report()
    assert [found for found in report["findings"] if found["severity"] == "finding"] == []
    assert report["authentic"] == report["batches"] == 18


def test_a_flipped_bit_does_not_verify() -> None:
    key = json.loads((asyncapi.EXAMPLES / "feed-key.jwk.json").read_text())
    public = Ed25519PublicKey.from_public_bytes(decoded(key["x"]))
    head, body, signature = recorded()[1]["payload"].split(".")
    public.verify(decoded(signature), f"{head}.{body}".encode())
    with pytest.raises(InvalidSignature):
        public.verify(decoded(signature), f"{head}.{body[:-5]}A{body[-4:]}".encode())


def test_digests_of_the_birth_are_those_of_the_meters() -> None:
    bodies = [payload_of(line) for line in recorded()]
    index = next(body for body in bodies if body.get("kind") == "birth")["meters"]
    abouts = {body["about"]["id"]: body["about"] for body in bodies if body.get("kind") == "meter"}
    for meter in index:
        compact = json.dumps(abouts[meter["id"]], ensure_ascii=False, separators=(",", ":")).encode()
        assert meter["digest"] == hashlib.sha256(compact).hexdigest()


def test_the_recording_adds_up() -> None:
    """Amounts are differences of boundary readings; gaps are what is expected and not good; topics and retain agree."""
    for line in recorded():
        body, level = payload_of(line), line["topic"].removeprefix(examples.ROOT + "/")
        if level not in ("state", "backfill"):
            about = body.get("about", {})
            assert level == contract.topic(body["kind"], about.get("id", ""))
        assert line["retain"] == (level == "state" or (body["kind"] in contract.RETAINED))
        for interval in body.get("intervals", ()):
            for channel in interval["channels"].values():
                assert sum(channel.get("gaps", {}).values()) == channel["expected"] - channel["good"]
    times = [line["t"] for line in recorded()]
    assert times == sorted(times)


def test_the_recording_has_every_topic() -> None:
    levels = {
        re.sub(r"^birth/.*", "birth/{meter}", line["topic"].removeprefix(examples.ROOT + "/"))
        for line in recorded()
    }
    assert levels == {channel.levels for channel in asyncapi.CHANNELS.values()}


def test_topics_are_those_of_the_specification() -> None:
    rows = re.findall(r"^\| `…/([\w/{}]+)` \| (yes|no) \|", SPEC, re.MULTILINE)
    assert len(rows) == 9
    channels = document()["channels"]
    retained = {
        channel["address"].removeprefix(f"{asyncapi.PREFIX}/"): operation["bindings"]["mqtt"]["retain"]
        for operation in document()["operations"].values()
        for channel in [resolve({"channels": channels}, operation["channel"]["$ref"])]
    }
    assert retained == {levels: word == "yes" for levels, word in rows}
    assert {channel["address"].removeprefix(f"{asyncapi.PREFIX}/") for channel in channels.values()} == set(
        retained
    )
    page = asyncapi.PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `…/([\w/{}]+)` \|", page, re.MULTILINE)) == set(retained)


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    body = document()
    assert body["asyncapi"] == "3.0.0"
    assert_object("document", body)
    assert_object("info", body["info"])
    for server in body["servers"].values():
        assert_object("server", server)
        assert set(re.findall(r"{(\w+)}", server["host"])) == server["variables"].keys()
        assert_object("mqtt server", server["bindings"]["mqtt"])
    for channel in body["channels"].values():
        assert_object("channel", channel)
        assert set(re.findall(r"{(\w+)}", channel["address"])) == channel["parameters"].keys()
        assert all(set(message) == {"$ref"} for message in channel["messages"].values())
    for name, operation in body["operations"].items():
        assert_object("operation", operation)
        assert operation["action"] == "send", "the gateway sends and receives nothing"
        assert_object("mqtt operation", operation["bindings"]["mqtt"])
        assert operation["bindings"]["mqtt"]["qos"] == 1
        assert operation["bindings"]["mqtt"]["bindingVersion"] == "0.2.0"
        below = operation["channel"]["$ref"] + "/messages/"
        assert operation["messages"], name
        assert all(message["$ref"].startswith(below) for message in operation["messages"])
    for message in body["components"]["messages"].values():
        assert_object("message", message)
    keys = re.compile(r"^[\w.\-]+$", re.ASCII)
    assert all(keys.match(key) for section in body["components"].values() for key in section)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    body = document()
    found = refs(body)
    assert len(found) > 50
    for ref in found:
        assert HTTP_REF.match(ref)
        assert resolve(body, ref), ref


def test_every_message_is_in_the_document_with_its_schema() -> None:
    body = document()
    messages = body["components"]["messages"]
    assert messages.keys() == set(KINDS)
    used = {ref for channel in body["channels"].values() for ref in refs(channel["messages"])}
    assert used == {f"#/components/messages/{kind}" for kind in KINDS}
    assert set(body["channels"]["backfill"]["messages"]) == set(contract.MESSAGES)
    for kind, message in messages.items():
        (shown,) = message["examples"]
        if kind == "state":
            resolved = message["payload"]
            said = shown["payload"]
        else:
            assert re.match(message["payload"]["pattern"], shown["payload"])
            resolved, said = message["payload"]["x-jws-payload"], payload_of(shown)
        rules = {"$ref": resolved["$ref"], "components": body["components"]}
        jsonschema.Draft7Validator(rules).validate(said)


def test_the_last_will_is_the_retained_state() -> None:
    will = document()["servers"]["broker"]["bindings"]["mqtt"]["lastWill"]
    assert (will["topic"], will["qos"], will["retain"]) == (f"{asyncapi.PREFIX}/state", 1, True)
    said = json.loads(will["message"])
    assert said["online"] is False
    validator("state").validate(said)
    contract.State.model_validate(said)
