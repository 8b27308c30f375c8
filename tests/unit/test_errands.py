"""Requests for extra reads are read strictly, and become polls their readers take."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from drivers.identifiers import CjtSettings, CjtSource, DltSettings, DltSource
from drivers.registers import RegisterSource
from gateway.control.errands import SOURCES_MAX, Question, poll_of, question
from gateway.control.requests import BadRequest
from gateway.polling.errand_queue import ErrandQueue

if TYPE_CHECKING:
    from gateway.interfaces import Link

NO_LINK = cast("Link", None)
ASKED: dict[str, Any] = {"protocol": "modbus", "address": 1, "sources": [[3, 10, 2]], "timeout_s": 1}


def test_registers_of_one_source_are_one_request() -> None:
    poll = poll_of(question(ASKED))
    assert poll.sources == ((RegisterSource(3, 10, 1), RegisterSource(3, 11, 1)),)
    assert poll.layout.size == 4
    typed = poll_of(question(ASKED | {"types": ["f32"]}))
    assert typed.sources == ((RegisterSource(3, 10, 2),),)


def test_identifiers_of_other_protocols() -> None:
    dlt = ASKED | {"protocol": "dlt645", "address": "000000000001", "sources": [[0x00010000, 4]]}
    poll = poll_of(question(dlt | {"types": ["bcd_le4"]}))
    assert poll.sources == (DltSource(0x00010000, 4),)
    cjt = ASKED | {"protocol": "cjt188", "address": "00000000000001", "sources": [[0x10, 0x901F, 3, 22]]}
    poll = poll_of(question(cjt))
    assert poll.sources == (CjtSource(0x901F, 3, 22),)
    assert poll.layout.size == 22


def test_how_a_meter_is_asked_goes_with_the_question() -> None:
    asked = Question("cjt188", "00000000000001", ((0x10, 0x901F, 3, 4),), preamble=0, echoes_ser=False)
    assert question(asked.to_request()) == asked
    settings = poll_of(asked).settings
    assert isinstance(settings, CjtSettings)
    assert (settings.preamble, settings.echoes_ser, settings.meter_type) == (0, False, 0x10)
    assert poll_of(Question("dlt645", "000000000001", ((0, 4),), preamble=9)).settings == DltSettings(9)
    usual = Question("dlt645", "000000000001", ((0, 4),)).to_request()
    assert {"preamble", "echoes_ser"}.isdisjoint(usual), "an older gateway may be asked"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"preamble": 17}, "preamble: expected a number from 0 to 16"),
        ({"echoes_ser": "no"}, "echoes_ser: expected true or false"),
        ({"protocol": "telepathy"}, "known: cjt188, dlt645, modbus"),
        ({"address": "1"}, "is none of modbus"),
        ({"address": True}, "expected a number or text"),
        ({"sources": []}, "1 to 64"),
        ({"sources": [[3, 0, 1]] * (SOURCES_MAX + 1)}, "1 to 64"),
        ({"sources": [[3, 65535, 2]]}, "function 1 to 4"),
        ({"sources": [[5, 0, 1]]}, "function 1 to 4"),
        ({"sources": [[3, 0, 126]]}, "function 1 to 4"),
        ({"sources": ["3,0,1"]}, "function 1 to 4"),
        ({"types": ["f32", "f32"]}, "one for each source"),
        ({"types": ["f64"]}, "does not fit"),
        ({"timeout_s": 0}, "timeout_s: expected a number from 0.01 to 10"),
        ({"timeout_s": "1"}, "timeout_s"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        question(ASKED | change)


async def test_an_errand_that_waits_is_withdrawn_when_nobody_wants_it_any_more() -> None:
    come = asyncio.Event()
    queue = ErrandQueue("hall", come.set)
    done: list[str] = []

    async def work(name: str, _: Link) -> None:
        done.append(name)

    first = asyncio.create_task(queue.ask(partial(work, "first"), 9.0))
    await come.wait()
    come.clear()
    second = asyncio.create_task(queue.ask(partial(work, "second"), 9.0))
    await come.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert len(queue) == 1
    await queue.run_one(NO_LINK)
    await second
    assert done == ["second"]


async def test_an_errand_under_way_is_cut_short_when_nobody_wants_it_any_more() -> None:
    come, begun, cut = asyncio.Event(), asyncio.Event(), asyncio.Event()
    queue = ErrandQueue("hall", come.set)

    async def work(_: Link) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    asking = asyncio.create_task(queue.ask(work, 9.0))
    await come.wait()
    owner = asyncio.create_task(queue.run_one(NO_LINK))
    await begun.wait()
    asking.cancel()
    async with asyncio.timeout(1):
        await owner
    assert cut.is_set()
