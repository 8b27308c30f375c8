"""What the commands of a regulator say on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.commands.brokers import tell

if TYPE_CHECKING:
    import pytest


def test_foreign_text_stays_on_its_line_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell("not written: topic \x1b[2J\x9b1m\nmetergate: all is well\u202e")
    assert (
        capsys.readouterr().err
        == "metergate: not written: topic \\x1b[2J\\x9b1m\\x0ametergate: all is well\\u202e\n"
    )
