"""Evidence as a JSON file: what other tools hand in, and what `metergate evidence gather` writes. Contract: docs/specs/evidence.md."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from gateway.errors import ConfigError, Finding
from gateway.file_reading import read_file
from gateway.findings import parse
from gateway.fitting.evidence import Evidence, Origin

if TYPE_CHECKING:
    from pathlib import Path

SIZE_MAX_BYTES = 64 << 20


def read_evidence(path: Path) -> Evidence:
    """Return the evidence of a file. Raises ConfigError with every finding."""
    try:
        text = read_file(path, SIZE_MAX_BYTES, str(path))
        body = orjson.loads(text)
    except FileNotFoundError:
        raise ConfigError(
            [
                Finding(
                    str(path),
                    "no such file",
                    "evidence as JSON",
                    "`metergate evidence gather --out FILE` writes one",
                )
            ]
        ) from None
    except OSError as error:
        raise ConfigError(
            [Finding(str(path), error.strerror or "a failure", "a file that can be read")]
        ) from None
    except orjson.JSONDecodeError as error:
        raise ConfigError([Finding(str(path), str(error), "one JSON object")]) from None
    if not isinstance(body, dict):
        raise ConfigError([Finding(str(path), "no JSON object", "one JSON object")])
    evidence, findings = parse(Evidence, body, "", {})
    if evidence is not None and evidence.first > evidence.last:
        findings = [*findings, Finding("to", f"{evidence.last}", f"a day not before {evidence.first}")]
    findings += [] if evidence is None else _impossible(evidence)
    if evidence is None or findings:
        raise ConfigError(
            [Finding(f"{path.name}: {f.path}", f.found, f.expected, f.suggestion) for f in findings]
        )
    return evidence.of(Origin("file", hashlib.sha256(text).hexdigest()))


def _impossible(evidence: Evidence) -> list[Finding]:
    return [
        Finding(f"instruments.{name}.good", f"{one.good} of {one.expected}", "not more than were expected")
        for name, one in evidence.instruments.items()
        if one.good > one.expected
    ]
