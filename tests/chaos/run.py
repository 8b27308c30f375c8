"""`make chaos`: a few minutes of random outages and kills, and whether anything was lost, doubled or left unexplained.

A simulated site of 47 meters, the gateway, mosquitto, VictoriaMetrics and `metergate verify`, all real processes. The
gateway is killed (SIGKILL) over and over; broker and database are stopped or frozen at random. Then everything settles, and the
journal is held against every destination, the feed against the journal. The last line is one JSON object; exit code 1 if
something does not hold. The same seed makes the same plan; processes and sockets have a chance of their own.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from gateway.history.read import ReadOnlyHistory
from gateway.model import NS
from simulators.stage import free_port
from tests.chaos import findings
from tests.chaos.plant import Outages, Plant
from tests.integration.listener import identity
from tests.integration.site import wait_until
from tests.integration.test_outage_and_kill import journaled

KILLS = 20
LIFE_S = (1.5, 6.0)  # of the gateway between two kills
LAST_S = 12.0  # it lives so long after the last one: an interval closes
FAULTS_SHOWN = 5

console = Console(stderr=True)


def trial(folder: Path, seed: int, kills: int) -> dict[str, Any]:
    """Return the figures. Raises AssertionError, RuntimeError if a process does not do its part."""
    chance = random.Random(seed)
    with Plant(folder, free_port, seed) as plant:
        assert plant.recorder is not None
        plant.gateway.status()
        outages = Outages(plant, chance)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("kills", total=kills)
            for _ in range(kills):
                end_s = time.monotonic() + chance.uniform(*LIFE_S)
                while time.monotonic() < end_s:
                    outages.turn(time.monotonic())
                    time.sleep(0.5)  # a life has a length: real time is inherent
                plant.gateway.kill()
                plant.gateway.start()
                plant.gateway.status()
                progress.advance(task)
        outages.end()
        console.print(f"{kills} kills, {outages.count} outages; settling …")
        time.sleep(LAST_S)
        plant.settle()
        assert plant.gateway.end() == 0, plant.gateway.tail()
        return figures(plant, folder) | {"kills": kills, "outages": outages.count, "seed": seed}


def figures(plant: Plant, folder: Path) -> dict[str, Any]:
    """Return what was found."""
    recorder, state = plant.recorder, plant.site.state
    assert recorder is not None
    frames = journaled(state)
    with ReadOnlyHistory(state / "history.db") as history:
        chain, seq = history.meta()["chain"], history.meta()["seq"]
        kept = {(chain, str(entry.seq)): entry.jws for entry in history.entries(1, seq + 1, 1 << 40)}

    def told() -> list[dict[str, Any]]:
        return [*recorder.frames("/telemetry"), *recorder.frames("/telemetry-backfill")]

    def all_came() -> bool:
        came = {identity(frame) for frame in told()}
        return frames.keys() <= came and len(findings.signed(recorder.received)[0]) >= seq

    try:
        wait_until(all_came, "everything has come to the listener", 30)
    except AssertionError as error:
        console.print(f"[red]{error}")
    telemetry_lost, unlike = findings.of_telemetry(frames, told())
    database_lost, doubles = findings.of_database(frames, plant.database)
    messages, forged = findings.signed(recorder.received)
    feed_lost = len(kept.keys() - messages.keys())
    key = folder / "key.jwk"
    key.write_text(json.dumps(_public_key(state)))
    report = findings.verified(recorder.record(folder / "feed.jsonl"), key)
    missing, explained, faults = findings.explained(findings.newest(messages), frames, _ns)
    for fault in faults[:FAULTS_SHOWN]:
        console.print(f"[red]{fault}")
    readings = sum(len(frame.flags) for frame in frames.values())
    return {
        "journaled": readings,
        "delivered": readings - max(telemetry_lost, database_lost),
        "lost": telemetry_lost + database_lost + feed_lost,
        "duplicates": unlike + doubles + forged,
        "batches": len(messages),
        "chain_verified": report["verified"],
        "findings": report["findings"][:FAULTS_SHOWN],
        "intervals": len(findings.newest(messages)),
        "readings_missing": missing,
        "gaps_explained_percent": 100
        if explained == missing and not faults
        else round(100 * explained / max(missing, 1), 2),
    }


def _public_key(state: Path) -> dict[str, str]:
    from gateway.feed.keys import load_key

    return load_key(state / "feed.key", "demo").known.jwk


def _ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000) * (NS // 1000)


def is_good(found: dict[str, Any]) -> bool:
    """Return whether everything holds."""
    return (
        not found["lost"]
        and not found["duplicates"]
        and found["chain_verified"]
        and found["gaps_explained_percent"] == 100
    )


def main(argv: list[str] | None = None) -> int:
    """Run, print, clean up; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Random outages and kills: is anything lost?"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument(
        "--keep", type=Path, help="keep journal, history, recording and logs in this new folder"
    )
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="metergate-chaos-", dir="/var/tmp"))
    began_s = time.monotonic()
    try:
        folder.mkdir(exist_ok=True, parents=True)
        found = trial(folder.resolve(), arguments.seed, arguments.kills)
    except (AssertionError, RuntimeError, OSError) as error:
        sys.stderr.write(f"chaos: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    found["seconds"] = round(time.monotonic() - began_s, 1)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
