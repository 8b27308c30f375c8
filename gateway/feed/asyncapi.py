"""The feed's contract as files: JSON Schemas, an AsyncAPI 3.0.0 document, examples, a page; all from the models.

`make schema` writes them; tests compare what it would write with what lies there.
Source: AsyncAPI Specification 3.0.0; AsyncAPI MQTT bindings 0.2.0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic.json_schema import models_json_schema

from gateway.feed import contract, contract_page, contract_values, examples

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "docs" / "specs"
DOCUMENT = SPECS / "feed.asyncapi.json"
PAGE = SPECS / "feed-contract.md"
SCHEMAS = SPECS / "schemas"
EXAMPLES = SPECS / "examples"

ASYNCAPI, BINDINGS = "3.0.0", "0.2.0"
PREFIX = "emc/v1/{region}/{enterprise}/{gateway}"
MESSAGES: dict[str, type[contract_values.Model]] = {
    **{str(kind): model for kind, model in contract.MESSAGES.items()},
    "state": contract.State,
}
"""Kind -> model, with the message that is not signed."""
_JWS = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$"
_MESSAGE_MAX = 256 * 1024
_Json = dict[str, Any]


class Channel(NamedTuple):
    """A topic. levels: what follows the gateway's prefix; kinds: which messages go there."""

    levels: str
    retain: bool
    kinds: tuple[str, ...]
    about: str


CHANNELS: dict[str, Channel] = {
    "birth": Channel("birth", True, ("birth",), "Index of what the gateway measures."),
    "birthMeter": Channel("birth/{meter}", True, ("meter",), "Details of one meter."),
    "state": Channel("state", True, ("state",), "Online or offline; the last will. Not signed."),
    "data": Channel("data", False, ("data",), "Closed intervals, aggregates, readings entered by hand."),
    "backfill": Channel(
        "backfill",
        False,
        tuple(contract.MESSAGES),
        "Messages of any kind that are late for this destination, in order.",
    ),
    "summary": Channel("summary", False, ("summary",), "Hour, day, month: completeness and totals."),
    "event": Channel("event", False, ("event",), "What happened."),
    "checkpoint": Channel("checkpoint", True, ("checkpoint",), "Where the chain stands, daily."),
    "fitting": Channel("fitting", True, ("fitting",), "The fitting rates and their ruleset."),
}
"""Every topic of the feed; docs/specs/feed.md has the same."""

_PARAMETERS = {
    "region": "Administrative code of the site, six digits.",
    "enterprise": "Unified social credit code, 18 characters.",
    "gateway": "Id of the gateway.",
    "meter": "Id of the meter.",
}


def schema(kind: str) -> _Json:
    """Return the JSON Schema of what a message of this kind says, decoded."""
    body = MESSAGES[kind].model_json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Feed message {kind}" if kind == "state" else f"Payload of the feed message {kind}",
    }
    tidy: _Json = _tidy(body)
    return head | tidy | {"required": _required(body)}


def _required(body: _Json) -> list[str]:
    """Return the required keys of a message: `v` and `kind` too, though the models fill them in."""
    first = [key for key in ("v", "kind") if key in body["properties"]]
    return first + [key for key in body.get("required", ()) if key not in first]


def _tidy(part: Any) -> Any:
    """Return a schema without the titles that only repeat a key."""
    if isinstance(part, dict):
        return {k: _tidy(v) for k, v in part.items() if not (k == "title" and isinstance(v, str))}
    return [_tidy(item) for item in part] if isinstance(part, list) else part


def document() -> _Json:
    """Return the AsyncAPI document of one gateway's feed."""
    return {
        "asyncapi": ASYNCAPI,
        "id": "urn:metergate:feed:v1",
        "info": {
            "title": "Metergate regulators' feed",
            "version": f"{contract.VERSION}.0.0",
            "description": "Closed intervals, completeness with reasons and events, signed and chained. In words: "
            "docs/specs/feed.md. The gateway sends; it receives nothing. The levels emc/v1 are configurable.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/jose",
        "servers": {"broker": _server()},
        "channels": {name: _channel(channel) for name, channel in CHANNELS.items()},
        "operations": {
            f"send{name[0].upper()}{name[1:]}": _operation(name, channel)
            for name, channel in CHANNELS.items()
        },
        "components": {
            "schemas": _schemas(),
            "messages": {kind: _message(kind) for kind in MESSAGES},
            "securitySchemes": {
                "certificate": {"type": "X509", "description": "Client certificate (mutual TLS)."},
                "password": {"type": "userPassword", "description": "User name and password, over TLS."},
            },
        },
    }


def _server() -> _Json:
    will = {"v": 1, "gateway": "{gateway}", "online": False}
    return {
        "host": "{host}:{port}",
        "protocol": "secure-mqtt",
        "protocolVersion": "5",
        "description": "A broker the site file names in a sink of kind feed; several are possible. TLS 1.2 or newer.",
        "variables": {
            "host": {"description": "Name in the broker's certificate.", "default": "localhost"},
            "port": {"description": "TCP port.", "default": "8883"},
        },
        "security": [_ref("securitySchemes", "certificate"), _ref("securitySchemes", "password")],
        "bindings": {
            "mqtt": {
                "clientId": "metergate-{gateway}-{sink}",
                "cleanSession": True,
                "keepAlive": 30,
                "lastWill": {
                    "topic": f"{PREFIX}/state",
                    "qos": 1,
                    "retain": True,
                    "message": json.dumps(will, separators=(",", ":")),
                },
                "bindingVersion": BINDINGS,
            }
        },
    }


def _channel(channel: Channel) -> _Json:
    address = f"{PREFIX}/{channel.levels}"
    return {
        "address": address,
        "description": channel.about,
        "servers": [{"$ref": "#/servers/broker"}],
        "parameters": {
            name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in address
        },
        "messages": {kind: _ref("messages", kind) for kind in channel.kinds},
    }


def _operation(name: str, channel: Channel) -> _Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": channel.about,
        "messages": [{"$ref": f"#/channels/{name}/messages/{kind}"} for kind in channel.kinds],
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": BINDINGS}},
    }


def _message(kind: str) -> _Json:
    model = MESSAGES[kind]
    body = _ref("schemas", model.__name__)
    message = {"name": kind, "summary": (model.__doc__ or "").strip()}
    if kind == "state":
        return message | {
            "contentType": "application/json",
            "payload": body,
            "examples": [{"payload": examples.payloads()[kind]}],
        }
    return message | {
        "contentType": "application/jose",
        "payload": {
            "type": "string",
            "pattern": _JWS,
            "maxLength": _MESSAGE_MAX,
            "description": "A compact JWS (RFC 7515), alg Ed25519; the schema of what it carries: x-jws-payload.",
            "x-jws-payload": body,
        },
        "examples": [{"payload": examples.jws_of(kind)}],
    }


def _schemas() -> _Json:
    """Return every model's schema by its name; those of whole messages with what a message must have."""
    models: list[Any] = [(model, "validation") for model in MESSAGES.values()]
    _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")
    parts: _Json = _tidy(found["$defs"])
    for model in MESSAGES.values():
        parts[model.__name__]["required"] = _required(parts[model.__name__])
    return parts


def _ref(section: str, name: str) -> _Json:
    return {"$ref": f"#/components/{section}/{name}"}


def _text(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2) + "\n"


def files() -> dict[Path, str]:
    """Return every generated file of the contract and what is to be in it."""
    found = {SCHEMAS / f"feed-{kind}.schema.json": _text(schema(kind)) for kind in MESSAGES}
    found |= {EXAMPLES / f"feed-{kind}.json": _text(body) for kind, body in examples.payloads().items()}
    found[EXAMPLES / "feed.jsonl"] = examples.lines()
    found[EXAMPLES / "feed-key.jwk.json"] = _text(examples.public_key())
    found[DOCUMENT] = _text(document())
    found[PAGE] = contract_page.text(MESSAGES, CHANNELS, examples.payloads())
    return found


def main() -> None:
    """Write the files of the contract."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
