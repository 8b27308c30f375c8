"""A simulation of a meter type nobody has says which meter it is and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConfigError
from simulators.run import serve

if TYPE_CHECKING:
    from simulators.plan import Plan


@pytest.mark.asyncio
async def test_an_unknown_profile_is_counted_from_one_and_names_the_folders(modbus_plan: Plan) -> None:
    wrong = replace(modbus_plan.meters[0], profile="acme")
    with pytest.raises(ConfigError) as caught:
        await serve(replace(modbus_plan, meters=(wrong, *modbus_plan.meters[1:])))
    (finding,) = caught.value.findings
    assert finding.path.startswith("meters[1] ")
    assert "simulation.profile_dirs" in finding.suggestion
