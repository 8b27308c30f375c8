"""A regulator's machine has no drivers: what runs there starts with their packages absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ABSENT = "apsw", "asyncua", "serial", "serial_asyncio_fast", "pymodbus", "nicegui", "openpyxl", "amqtt"
EXAMPLES = Path(__file__).parents[2] / "docs" / "specs" / "examples"
_BLOCK = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {set(ABSENT)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def without(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python that lacks these packages."""
    return subprocess.run(
        [sys.executable, "-c", _BLOCK + program, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


METERGATE = "from gateway.commands.cli import main; main()"


@pytest.mark.parametrize("name", ABSENT)
def test_they_are_absent_here(tmp_path: Path, name: str) -> None:
    done = without(tmp_path, f"import {name}")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("command", ["watch", "collect", "verify"])
def test_the_commands_are_there(tmp_path: Path, command: str) -> None:
    done = without(tmp_path, METERGATE, command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_watch_goes_as_far_as_the_broker(tmp_path: Path) -> None:
    done = without(tmp_path, METERGATE, "watch", "mqtt://127.0.0.1:1", "--json", "--for", "1s")
    assert done.returncode == 1
    assert "cannot connect" in done.stderr


def test_collect_goes_as_far_as_the_broker(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    program = METERGATE.replace(
        "; main()",
        "; import os, signal, threading; threading.Timer(2, os.kill, (os.getpid(), signal.SIGTERM)).start(); main()",
    )
    done = without(
        tmp_path, program, "collect", "mqtt://127.0.0.1:1", "--influx", "http://127.0.0.1:1",
        "--bucket", "b", "--token-file", str(token), "--client-id", "one",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot connect" in done.stderr
    assert '"messages":0' in done.stdout


def test_a_recorded_chain_is_verified(tmp_path: Path) -> None:
    key = EXAMPLES / "feed-key.jwk.json"
    done = without(tmp_path, METERGATE, "verify", str(EXAMPLES / "feed.jsonl"), "--key", str(key))
    assert done.returncode == 0, done.stdout + done.stderr
