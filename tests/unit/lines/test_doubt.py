"""Late answers: what may be asked, what is believed, what ends a doubt."""

from __future__ import annotations

import pytest

from drivers.lines.doubt import OPEN_MAX, Doubts
from drivers.modbus.rtu import RtuAsk
from tests.unit.lines.fake_port import own, refuse

TWO = RtuAsk(1, 3, 100, 2)
TWO_ELSEWHERE = RtuAsk(1, 3, 500, 2)
THREE = RtuAsk(1, 3, 100, 3)
INPUTS = RtuAsk(1, 4, 100, 2)
OTHER_METER = RtuAsk(2, 3, 100, 2)


def believed(doubts: Doubts, ask: RtuAsk, frame: bytes, now_s: float = 1.0) -> bool:
    found = ask.find(frame)
    assert found is not None
    return doubts.believe(ask, found, frame, now_s)


def in_doubt(*asks: RtuAsk) -> Doubts:
    doubts = Doubts(10.0)
    for n, ask in enumerate(asks):
        doubts.give_up(ask, n / 100)
    return doubts


def test_what_would_look_the_same_is_not_asked() -> None:
    doubts = in_doubt(TWO)
    assert doubts.rest_s(TWO, 1.0) == pytest.approx(9.0)
    assert doubts.rest_s(TWO_ELSEWHERE, 1.0) == pytest.approx(9.0)
    assert not any(doubts.rest_s(ask, 1.0) for ask in (THREE, INPUTS, OTHER_METER))


def test_a_doubt_ends_by_itself() -> None:
    doubts = in_doubt(TWO)
    assert doubts.rest_s(TWO, 9.99) > 0
    assert doubts.rest_s(TWO, 10.0) == 0
    assert len(doubts) == 0


def test_no_patience_means_no_doubt() -> None:
    doubts = Doubts(0.0)
    doubts.give_up(TWO, 0.0)
    assert doubts.rest_s(TWO, 0.0) == 0


def test_values_for_a_later_request_end_the_doubt_for_a_meter_answers_in_order() -> None:
    doubts = in_doubt(TWO, INPUTS)
    assert believed(doubts, THREE, own(THREE.request))
    assert len(doubts) == 0


def test_values_of_another_meter_end_nothing() -> None:
    doubts = in_doubt(TWO)
    assert believed(doubts, OTHER_METER, own(OTHER_METER.request))
    assert doubts.rest_s(TWO, 1.0) > 0


def test_a_refusal_that_may_be_the_late_one_is_not_believed() -> None:
    doubts = in_doubt(TWO)
    assert not believed(doubts, THREE, refuse(THREE.request, 2))
    assert doubts.rest_s(TWO, 1.0) > 0


@pytest.mark.parametrize("code", [4, 6, 10, 11])
def test_a_converters_refusal_of_another_function_is_believed_and_ends_nothing(code: int) -> None:
    doubts = in_doubt(TWO)
    assert believed(doubts, INPUTS, refuse(INPUTS.request, code))
    assert doubts.rest_s(TWO, 1.0) > 0


def test_one_meters_answer_ends_the_doubts_of_no_other() -> None:
    doubts = in_doubt(TWO, OTHER_METER)
    assert believed(doubts, THREE, own(THREE.request))
    assert doubts.rest_s(TWO, 1.0) == 0
    assert doubts.rest_s(OTHER_METER, 1.0) > 0
    assert len(doubts) == 1


def test_a_refusal_only_the_meter_can_give_ends_its_doubts_if_it_cannot_mean_them() -> None:
    doubts = in_doubt(TWO, THREE, OTHER_METER)
    assert believed(doubts, INPUTS, refuse(INPUTS.request, 2))
    assert doubts.rest_s(TWO, 1.0) == doubts.rest_s(THREE, 1.0) == 0
    assert doubts.rest_s(OTHER_METER, 1.0) > 0


def test_without_doubt_a_refusal_is_believed() -> None:
    assert believed(in_doubt(OTHER_METER), TWO, refuse(TWO.request, 2))


def test_the_late_answer_ends_its_doubt_and_those_before_it() -> None:
    doubts = in_doubt(TWO, INPUTS, THREE)
    assert doubts.came(b"\0" + own(INPUTS.request) + b"\xff", 1.0) == 1
    assert doubts.rest_s(TWO, 1.0) == doubts.rest_s(INPUTS, 1.0) == 0
    assert doubts.rest_s(THREE, 1.0) > 0


def test_a_late_refusal_ends_nothing_for_a_converter_may_have_sent_it() -> None:
    doubts = in_doubt(TWO)
    assert doubts.came(refuse(TWO.request, 11), 1.0) == 1
    assert doubts.rest_s(TWO, 1.0) > 0


def test_noise_ends_nothing() -> None:
    doubts = in_doubt(TWO)
    assert doubts.came(own(TWO.request)[:-1], 1.0) == 0
    assert doubts.came(b"", 1.0) == 0
    assert doubts.rest_s(TWO, 1.0) > 0


def test_doubts_are_bounded() -> None:
    doubts = Doubts(10.0)
    for count in range(1, OPEN_MAX + 1):
        doubts.give_up(RtuAsk(1, 3, 0, count), 0.0)
    assert doubts.rest_s(RtuAsk(1, 3, 0, OPEN_MAX + 1), 0.0) > 0
    assert doubts.rest_s(OTHER_METER, 0.0) == 0
