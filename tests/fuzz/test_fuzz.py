"""20 000 malformed answers a codec, and proof that the fuzzer sees what it is there for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from drivers.opcua import guard  # noqa: F401 - guards asyncua's decoder
from drivers.opcua.faults import GARBLED
from tests.fuzz.mutations import mutated
from tests.fuzz.run import CODECS, rng_of

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = 20_000
BROKEN = {
    "modbus-tcp": "import drivers.modbus.stream as s; s.check = lambda frame, ask: frame.pdu[2:]",
    "modbus-rtu": "import drivers.modbus.rtu as r; r.is_whole = lambda frame: True",
    "dlt645": "import drivers.dlt645.frame as f; f.Ask._answers = lambda self, telegram: telegram.control == f.VALUES",
    "cjt188": "import drivers.cjt188.frame as f; f.Ask._answers = lambda self, telegram: telegram.control == f.VALUES",
    "opcua": "import drivers.opcua.slot as s; s._BAD = 4",
}
"""What makes each codec believe too much."""


def fuzzed(code: str) -> tuple[int, dict[str, Any], str]:
    """Return exit code, figures and stderr of a fuzzer of its own: it silences all logging."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    (figures,) = json.loads(done.stdout.splitlines()[-1])
    return done.returncode, figures, done.stderr


@pytest.mark.parametrize("codec", list(CODECS))
def test_malformed_answers_crash_nothing_and_are_not_believed(codec: str) -> None:
    arguments = ["--only", codec, "--answers", str(ANSWERS), "--processes", "1", "--json"]
    code, figures, said = fuzzed(f"import tests.fuzz.run as fuzz; raise SystemExit(fuzz.main({arguments}))")
    assert (code, said) == (0, "")
    assert figures["answers"] == ANSWERS
    assert not figures["crashes"] + figures["wrong"] + figures["leaked_tasks"]
    assert figures["accepted"] > ANSWERS / 50, "answers with something around them are read"
    assert figures["refused"] > ANSWERS / 2


@pytest.mark.parametrize("codec", list(CODECS))
def test_a_codec_that_believes_too_much_is_found_out(codec: str) -> None:
    arguments = ["--only", codec, "--answers", "1500", "--processes", "1", "--json"]
    code, figures, said = fuzzed(
        f"import tests.fuzz.run as fuzz; {BROKEN[codec]}; raise SystemExit(fuzz.main({arguments}))"
    )
    assert code == 1
    assert figures["wrong"] > 0
    failure = figures["failures"][0]
    assert f"{codec} --seed 1 --index {failure['index']}: wrong" in said
    again = [*arguments, "--index", str(failure["index"])]
    _, figures, _ = fuzzed(
        f"import tests.fuzz.run as fuzz; {BROKEN[codec]}; raise SystemExit(fuzz.main({again}))"
    )
    assert [f["raw"] for f in figures["failures"]] == [failure["raw"]], "a failure is seen again by its index"


def test_an_array_of_nothing_costs_nothing() -> None:
    """asyncua alone takes seconds and gigabytes for these nineteen bytes."""
    for announced in (b"\xff\xff\xff\x7f", b"\x01\x00\x00\x00", b"\xff\xff\xff\xff"):
        with pytest.raises(GARBLED):
            struct_from_binary(ua.DataValue, Buffer(b"\x01\x80" + announced + bytes(13)))


def test_a_mutation_changes_something_and_is_the_same_again() -> None:
    right, others = bytes.fromhex("0103020102"), [b"\x01\x83\x02"]
    first = [mutated(rng_of("dlt645", 1, n), right, others) for n in range(2000)]
    assert first == [mutated(rng_of("dlt645", 1, n), right, others) for n in range(2000)]
    assert right not in first
    assert len(set(first)) > 1000
