"""Site files with many meters of one type on one link."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = '[gateway]\nid = "plant-1"\n[site]\ntimezone = "Asia/Shanghai"\n'
SERIAL = '[[links]]\nid = "line"\nkind = "serial"\nport = "/dev/ttyS0"\nbaud = 9600\n'
TCP = '[[links]]\nid = "hall"\nkind = "modbus-tcp"\nhost = "127.0.0.1"\n'


def site_text(
    link: str,
    meters: int,
    *,
    period: str = "10s",
    channels: Sequence[str] = (),
    more: str = "",
    first: int = 1,
) -> str:
    """Return a site of one link with `meters` SDM630, unit ids from `first`; more: what follows in each meter's table."""
    link_id = link.split('"')[1]
    text = HEAD + link
    for unit in range(first, first + meters):
        text += f"""
[[meters]]
id = "m-{unit}"
link = "{link_id}"
unit = {unit}
profile = "eastron-sdm630"
energy_kind = "electricity"
period = "{period}"
channels = {json.dumps(channels if channels == "*" else list(channels))}
{more}
"""
    return text
