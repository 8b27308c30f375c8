"""The documentation against the code: links lead somewhere, examples load, every command and record is listed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from drivers import profiles
from gateway.commands.cli import app
from gateway.config.site_file import Site, from_toml
from gateway.errors import ConfigError
from gateway.fitting.rulesets import Rulesets
from gateway.inventory.model import Inventory
from gateway.inventory.reading import from_body
from simulators.plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
COMMANDS = DOCS / "reference" / "commands.md"
ADD_A_METER = DOCS / "how-to" / "add-a-meter.md"
FENCE = re.compile(r"^(```|~~~)(\S*)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
# The parts of a site file an example may leave out, so that it is about one thing.
SENDER = 'region = "330100"\nenterprise = "91350100M000100Y43"\n'  # what a feed needs; the code is the standard's own example
HEADS = {"gateway": '[gateway]\nid = "plant-1"\n', "site": f'[site]\ntimezone = "Asia/Shanghai"\n{SENDER}'}
NAMED_FILE = re.compile(r'(_file\s*=\s*)"([^"]+)"')


@cache
def pages() -> tuple[Path, ...]:
    """Return every page of the repository: tracked, or new and not ignored."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        found = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        everything = ROOT.rglob("*.md")
        found = [p for p in everything if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def prose(path: Path) -> str:
    """Return a page without its code, line numbers kept."""
    text = path.read_text(encoding="utf-8")
    text = FENCE.sub(lambda m: "\n" * m[0].count("\n"), text)
    return re.sub(r"`[^`\n]*`", "``", text)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def examples() -> Iterator[Any]:
    """Yield every TOML example of README, tutorial, how-to and drivers."""
    for path in pages():
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("README", "docs/tutorial/", "docs/how-to/", "drivers/")):
            continue
        blocks = [m for m in FENCE.finditer(path.read_text(encoding="utf-8")) if m[2] == "toml"]
        for n, match in enumerate(blocks, 1):
            yield pytest.param(match[3], id=f"{name}:{n}")


def test_there_are_pages() -> None:
    assert {ROOT / "README.md", ROOT / "README.zh-CN.md", COMMANDS} <= set(pages())


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for number, line in enumerate(prose(path).splitlines(), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target) or target.startswith("<"):
                continue
            name, _, anchor = target.partition("#")
            there = path if not name else (path.parent / name).resolve()
            if not there.exists() or ROOT not in (there, *there.parents):
                broken.append(f"line {number}: {target}")
            elif anchor and there.suffix == ".md" and anchor not in anchors(there):
                broken.append(f"line {number}: {target} has no such heading")
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_one_title(path: Path) -> None:
    titles = [line for line in prose(path).splitlines() if line.startswith("# ")]
    assert len(titles) == 1, titles


@pytest.mark.parametrize("text", list(examples()))
def test_examples_load(text: str, tmp_path: Path) -> None:
    """A site file or a part of one is refused for nothing but what it leaves to the rest; a simulation loads."""
    body = tomllib.loads(text)
    if "simulation" in body:
        file = tmp_path / "plant.toml"
        file.write_text(text, encoding="utf-8")
        folder = tmp_path / "profiles"
        folder.mkdir()
        profile_text = next(match[3] for match in FENCE.finditer(ADD_A_METER.read_text(encoding="utf-8")))
        (folder / f"{tomllib.loads(profile_text)['id']}.toml").write_text(profile_text, encoding="utf-8")
        assert load_plan(file).meters
        return
    if "ruleset" in body:
        file = tmp_path / f"{body['ruleset']['id']}.toml"
        file.write_text(text, encoding="utf-8")
        assert Rulesets([tmp_path]).get(file.stem).ruleset.title == body["ruleset"]["title"]
        return
    if body.keys() <= set(Inventory.model_fields):
        assert from_body({"organization": {"name": "plant"}} | body, "example").instruments
        return
    if not body.keys() <= set(Site.model_fields):
        assert {"id", "maker", "model"} & body.keys() or "channels" in body, "neither site file nor profile"
        return
    (tmp_path / "file").write_text("made up\n")
    (tmp_path / "rulesets").mkdir()
    whole = NAMED_FILE.sub(rf'\1"{tmp_path / "file"}"', text)
    whole += "\n".join(head for name, head in HEADS.items() if name not in body)
    try:
        site = from_toml(whole, tmp_path / "site.toml")
    except ConfigError as error:
        pytest.fail("\n".join(map(str, error.findings)), pytrace=False)
    assert len(site.links) == len(body.get("links", ()))
    assert len(site.meters) == len(body.get("meters", ()))
    assert len(site.sinks) == len(body.get("sinks", ()))
    assert len(site.aggregates) == len(body.get("aggregates", ()))


def test_the_example_of_a_meter_type_works(tmp_path: Path) -> None:
    """The profile of the how-to loads under its name, decodes its own capture, and its simulation names it."""
    page = ADD_A_METER.read_text(encoding="utf-8")
    profile_text, plan_text = (match[3] for match in FENCE.finditer(page) if match[2] == "toml")
    file = tmp_path / f"{tomllib.loads(profile_text)['id']}.toml"
    file.write_text(profile_text, encoding="utf-8")
    profile = profiles.load(file)
    assert len(profile.channels) >= 3
    for golden in profile.golden:
        decoded = profiles.decode_golden(profile, golden)
        assert set(decoded) == set(profile.channels)
        assert {key: str(value.exact) for key, value in decoded.items()} == golden.expect
    assert profile.probe is not None
    assert [meter["profile"] for meter in tomllib.loads(plan_text)["meters"]] == [profile.id]


def command_sections() -> dict[str, str]:
    """Return command name → its part of the commands page."""
    parts = re.split(r"^## `metergate (\w+)[^`]*`$", COMMANDS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.split("\n## ")[0] for part in parts[2::2]), strict=True))


def test_every_command_is_described() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(command_sections()) == set(commands)


@pytest.mark.parametrize("name", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_every_option_is_described(name: str) -> None:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    section = command_sections()[name]
    rows = set(re.findall(r"`(--?[a-z][\w-]*)", section))
    rows |= set(re.findall(r"^\| `([A-Z]+)`", section, re.MULTILINE))
    known = {
        option if option.startswith("-") else option.upper().rstrip("_")  # `from` is a word of Python
        for parameter in parameters(command)
        for option in parameter.opts
        if option != "--help"
    }
    assert rows == known


def parameters(command: Any) -> list[Any]:
    """Return the options and arguments of a command and of those below it."""
    below = getattr(command, "commands", {}).values()
    return [*command.params, *(parameter for sub in below for parameter in parameters(sub))]


def test_every_command_teaches() -> None:
    """`--help` says what each command and each option is for."""
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    silent += [name for name, command in get_command(app).commands.items() if not command.help]  # type: ignore[attr-defined]
    assert not silent


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(index)}
    folders = ("tutorial", "how-to", "explanation", "reference")
    missing = [page for folder in folders for page in (DOCS / folder).glob("*.md") if page not in listed]
    assert not missing


def test_every_specification_and_decision_is_in_its_index() -> None:
    for folder in (DOCS / "specs", DOCS / "decisions"):
        index = (folder / "README.md").read_text(encoding="utf-8")
        listed = set(LINK.findall(index))
        missing = [page.name for page in folder.glob("*.md") if page.name not in listed | {"README.md"}]
        assert not missing, folder.name


def test_decisions_have_their_form() -> None:
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}: "), path.name
        assert re.search(
            r"^Status: (accepted|replaced by \d{4})\. Date: \d{4}-\d\d-\d\d\.$", text, re.MULTILINE
        )
        for part in ("**Situation.**", "**Decision.**", "**Consequences.**"):
            assert part in text, f"{path.name} lacks {part}"


def test_evidence_is_there() -> None:
    """What the README calls a proof exists and holds tests."""
    named = set(re.findall(r"`(tests/[\w/*.]+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named
    for name in named:
        files = list((ROOT / name).glob("test_*.py")) if name.endswith("/") else list(ROOT.glob(name))
        assert files, name
        assert all("def test_" in file.read_text(encoding="utf-8") for file in files), name


def test_both_readmes_say_the_same() -> None:
    """The same commands, the same evidence, the same links."""
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )

    def shape(text: str) -> tuple[Any, ...]:
        make = re.findall(r"^make \w+", text, re.MULTILINE)
        evidence = sorted(set(re.findall(r"tests/[\w/*.]+", text)))
        targets = {target for target in LINK.findall(text) if not target.startswith("README")}
        return make, evidence, targets, len(re.findall(r"^## ", text, re.MULTILINE))

    assert shape(english) == shape(chinese)
