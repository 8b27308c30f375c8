"""What every table of the site file is built on."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.values import Seconds, within

Timeout = Annotated[Seconds, within("10ms", "10min")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Table(BaseModel):
    """One table of the site file: unknown keys refused, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def kinds(union: object) -> dict[str, type[Table]]:
    """Return the classes of a union of tables by the `kind` they stand for."""
    return {get_args(table.model_fields["kind"].annotation)[0]: table for table in get_args(union)}
