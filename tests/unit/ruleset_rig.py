"""Rows of rulesets as text, and rulesets written into a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CITED = 'clause = "c"\nsource = "s"\nconfidence = "U"\n'
LIMIT = f'[[limits]]\nid = "l"\nlevel = 2\nenergy_kinds = ["coal"]\nyearly = "7 t"\n{CITED}'
RATE = f'[[rates]]\nid = "r"\nlevel = 1\nenergy_kinds = ["coal"]\npercent = 12.5\n{CITED}'
LADDER = f'[ladder]\nid = "ladder"\ncategories = ["electricity_meter"]\nclasses = ["1.0", "2.0"]\n{CITED}'
CLASS = f'[[classes]]\nid = "c"\ncategories = ["electricity_meter"]\naccuracy_class = "1.0"\n{CITED}'


def head(id_: str, more: str = "") -> str:
    return f'[ruleset]\nid = "{id_}"\ntitle = "t"\ntitle_zh = "题"\n{more}\n'


def write(folder: Path, id_: str, *parts: str, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{id_}.toml"
    file.write_text(head(id_, more) + "\n".join(parts), encoding="utf-8")
    return file
