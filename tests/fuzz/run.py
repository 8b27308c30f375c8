"""`make fuzz`: malformed and truncated answers through every codec, as the gateway itself uses it.

    python -m tests.fuzz.run [--only CODEC] [--answers 1000000] [--seed 1] [--index N] [--processes 2] [--json]

A case is made from codec, seed and index alone, so whatever is found is seen again with `--seed S --index N`. The last line
of stdout is a JSON list, one object a codec. Exit code 1 on a crash, a wrong value or something left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import signal
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from simulators.virtual import VirtualLoop
from tests.fuzz.verdict import COUNTS, Codec, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

CODECS = {
    "modbus-tcp": "tests.fuzz.modbus_tcp",
    "modbus-rtu": "tests.fuzz.modbus_rtu",
    "dlt645": "tests.fuzz.dlt645",
    "cjt188": "tests.fuzz.cjt188",
    "opcua": "tests.fuzz.opcua",
}
PART = 10_000
"""Cases a process works off at a time."""
_INDICES = 1 << 40

console = Console(stderr=True)


class Part(NamedTuple):
    """Some cases of a codec: indices from `first` up to `end`."""

    codec: str
    seed: int
    first: int
    end: int


def rng_of(codec: str, seed: int, index: int) -> Random:
    """Return the source of one case."""
    return Random((seed * len(CODECS) + list(CODECS).index(codec)) * _INDICES + index)


def quieten() -> None:
    """Say nothing of what every second case provokes."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=True
    )
    logging.disable(logging.CRITICAL)


async def _work(codec: Codec, part: Part, tally: Tally) -> None:
    """Take the cases one after the other; `tally.answers` says which one raised."""
    for index in range(part.first + tally.answers, part.end):
        tally.take(await codec.case(rng_of(part.codec, part.seed, index)), part.seed, index)


async def _every(part: Part) -> Tally:
    codec: Codec = importlib.import_module(CODECS[part.codec]).codec()
    tally = Tally(part.codec)
    astray: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: astray.append(_told(context.get("exception"), context)))
    while part.first + tally.answers < part.end:
        work = asyncio.ensure_future(_work(codec, part, tally))
        await asyncio.wait({work})
        error = work.exception()
        if error is not None:
            tally.crash(part.seed, part.first + tally.answers, _told(error, {}))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    await asyncio.sleep(0)
    for text in astray:  # raised in a callback: the case is one of this part
        tally.crash(part.seed, part.first, f"in a callback: {text}")
    return tally


def _told(error: BaseException | None, context: dict[str, object]) -> str:
    if error is None:
        return str(context.get("message"))
    return "".join(traceback.format_exception(error)[-4:]).strip()


def work(part: Part) -> Tally:
    """Return the counts of some cases, worked off under virtual time."""
    quieten()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_every(part))


def parts(codec: str, seed: int, answers: int, index: int | None = None) -> Iterator[Part]:
    """Yield the cases in pieces; the one of `index` alone, if it is given."""
    if index is not None:
        yield Part(codec, seed, index, index + 1)
        return
    for first in range(0, answers, PART):
        yield Part(codec, seed, first, min(first + PART, answers))


def run(work_list: list[Part], processes: int) -> dict[str, Tally]:
    """Return the counts of every codec."""
    tallies = {part.codec: Tally(part.codec) for part in work_list}
    columns = (TextColumn("{task.description:<11}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        bars = {
            codec: bar.add_task(codec, total=sum(p.end - p.first for p in work_list if p.codec == codec))
            for codec in tallies
        }
        if processes == 1:
            for part in work_list:
                tallies[part.codec].add(work(part))
                bar.advance(bars[part.codec], part.end - part.first)
            return tallies
        with ProcessPoolExecutor(processes, get_context("spawn"), _ignore_interrupts) as pool:
            waiting = {pool.submit(work, part): part for part in work_list}
            try:
                for done in as_completed(waiting):
                    part = waiting[done]
                    tallies[part.codec].add(done.result())
                    bar.advance(bars[part.codec], part.end - part.first)
            except KeyboardInterrupt:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return tallies


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def table(tallies: list[Tally]) -> Table:
    """Return the counts for people."""
    shown = Table(title="Malformed answers")
    shown.add_column("codec")
    for key in COUNTS:
        shown.add_column(key.replace("_", " "), justify="right")
    for tally in tallies:
        shown.add_row(tally.codec, *(f"{getattr(tally, key):,}" for key in COUNTS))
    return shown


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description="Feed malformed answers to every codec.")
    parser.add_argument(
        "--only", action="append", choices=list(CODECS), help="this codec alone; may be repeated"
    )
    parser.add_argument("--answers", type=int, default=1_000_000, help="malformed answers a codec")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--index", type=int, help="this one case alone, as a failure names it")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="no table and no progress on stderr")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run, print; return the exit code: 1 on any crash, wrong value or leak."""
    arguments = _arguments(argv)
    console.quiet = arguments.json
    began_s = time.monotonic()
    chosen = [codec for codec in CODECS if not arguments.only or codec in arguments.only]
    work_list = [
        part for codec in chosen for part in parts(codec, arguments.seed, arguments.answers, arguments.index)
    ]
    try:
        tallies = list(run(work_list, arguments.processes).values())
    except KeyboardInterrupt:
        return 130
    console.print(table(tallies), f"{time.monotonic() - began_s:.0f} s")
    for tally in tallies:
        for failure in tally.failures:
            print(
                f"{failure.codec} --seed {failure.seed} --index {failure.index}: {failure.kind}: {failure.text}\n"
                f"  bytes {failure.raw}",
                file=sys.stderr,
            )
    print(json.dumps([tally.figures() for tally in tallies]))
    return 1 if any(tally.failed for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
