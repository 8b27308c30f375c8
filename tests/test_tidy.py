"""The code's own shape: small functions and modules, one broad except, no forbidden words, nothing of this machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400
BROAD_EXCEPT_IN = "gateway/supervise.py"
RUNTIME = ("gateway", "drivers", "simulators")
# Words of other gateways for our link, meter, channel, reading, helper module.
FORBIDDEN_WORDS = {
    "slave",
    "slaves",
    "util",
    "utils",
    "point",
    "points",
    "tag",
    "tags",
    "node",
    "nodes",
    "data",
}
# Where they are somebody else's words: OPC UA's nodes and data values, a standard's data field (数据域), asyncio's data_received.
FOREIGN_WORDS = {
    "drivers/opcua": {"node", "nodes", "data"},
    "drivers/cjt188/": {"data"},
    "drivers/dlt645/": {"data"},
    "drivers/frames.py": {"data"},
    "drivers/lines/": {"data"},
    "drivers/modbus/rtu.py": {"data"},
}
# Modbus' exception 2, OPC UA's node id, a serial port's data bits.
FOREIGN_NAMES = {"ILLEGAL_DATA_ADDRESS", "NODE_ID", "NodeId", "_opcua_node_id", "_DATA_BITS"}
RANDOM_ALLOWED = {"Random", "SystemRandom"}
LINE_MAX_CHARS = 4_000
# Written in pieces, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|opt/(?:wheels|pypi)|home/[a-z])" + r"(?:/|\b)")
REGISTRY = re.compile(
    r"(?:files\.)?python" + r"hosted\.org|py" + r"pi\.org|registry\." + r"npmjs|--(?:extra-)?index-"
    r"url|--find-" + r"links|/sim" + r"ple/|deb\." + r"debian\.org",
    re.IGNORECASE,
)


@cache
def _tracked() -> tuple[Path, ...]:
    """Return every file of the repository: tracked, or new and not ignored; without git, all but caches."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        names: Iterable[str] = (name for name in listing.stdout.decode().split("\0") if name)
        paths = [ROOT / name for name in names]
    else:
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(p.startswith(".") for p in path.relative_to(ROOT).parts)
        ]
    return tuple(sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _modules(*folders: str) -> Iterator[tuple[str, ast.Module, list[str]]]:
    """Yield (name, tree, lines) of each Python module in `folders`."""
    for path in _tracked():
        if path.suffix == ".py" and _name(path).split("/")[0] in folders:
            text = path.read_text(encoding="utf-8")
            yield _name(path), ast.parse(text, str(path)), text.splitlines()


def _texts() -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each file that is text."""
    for path in _tracked():
        try:
            yield _name(path), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def _no(findings: list[str], rule: str) -> None:
    if findings:
        pytest.fail(rule + "\n" + "\n".join(f"  {finding}" for finding in findings), pytrace=False)


def _is_broad(handler: ast.AST) -> bool:
    """Return whether a handler catches everything: bare, Exception or BaseException, alone, in a tuple, suppressed."""
    if isinstance(handler, ast.Call):
        suppresses = ast.unparse(handler.func) in {"suppress", "contextlib.suppress"}
        return suppresses and any(
            ast.unparse(kind) in {"Exception", "BaseException"} for kind in handler.args
        )
    if not isinstance(handler, ast.ExceptHandler):
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )


def _identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of everything a module defines: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def test_there_is_something_to_look_at() -> None:
    assert {name.split("/")[0] for name, _, _ in _modules(*RUNTIME, "tests")} == {*RUNTIME, "tests"}


def test_functions_are_short() -> None:
    findings = [
        f"{name}:{node.lineno} {node.name} has {length} lines"
        for name, tree, _ in _modules(*RUNTIME, "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    _no(findings, f"A function has at most {FUNCTION_LINES_MAX} lines; split these:")


def test_modules_are_short() -> None:
    findings = [
        f"{name}:{len(lines)} has {len(lines)} lines"
        for name, _, lines in _modules(*RUNTIME, "tests")
        if len(lines) > MODULE_LINES_MAX
    ]
    _no(findings, f"A module has at most {MODULE_LINES_MAX} lines; split these:")


def test_one_broad_except_at_most() -> None:
    broad = [
        f"{name}:{node.lineno}"
        for name, tree, _ in _modules(*RUNTIME)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler | ast.Call) and _is_broad(node)
    ]
    elsewhere = [place for place in broad if not place.startswith(BROAD_EXCEPT_IN + ":")]
    _no(elsewhere, f"Name the errors you expect; the only broad except is in {BROAD_EXCEPT_IN}:")
    _no(broad[1:], f"{BROAD_EXCEPT_IN} has one broad except; these are more:")


def _forbidden(module: str) -> set[str]:
    """Return the words no name of a module may have."""
    foreign = (words for place, words in FOREIGN_WORDS.items() if module.startswith(place))
    return FORBIDDEN_WORDS.difference(*foreign)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("gateway/polling/poll.py", {"point", "tag", "node", "data"}),
        ("drivers/opcua/feed.py", {"point", "tag"}),
        ("drivers/lines/port.py", {"point", "tag", "node"}),
    ],
)
def test_other_words_are_allowed_where_they_are_at_home(module: str, words: set[str]) -> None:
    assert _forbidden(module) & {"point", "tag", "node", "data"} == words


def test_names_use_our_words() -> None:
    findings = [
        f"{name}:{line} {identifier}"
        for name, tree, _ in _modules("gateway", "drivers")
        for line, identifier in _identifiers(tree)
        if identifier not in FOREIGN_NAMES
        and _forbidden(name) & set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", identifier).lower().split("_"))
    ]
    findings += [f"{_name(path)}:1" for path in _tracked() if path.stem.lower() in FORBIDDEN_WORDS]
    _no(findings, "One word per concept (link, meter, channel …), and nothing is a util; rename these:")


def test_only_seeded_randomness() -> None:
    findings = [
        f"{name}:{node.lineno} random.{node.attr}"
        for name, tree, _ in _modules(*RUNTIME, "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
        and node.attr not in RANDOM_ALLOWED
    ]
    _no(findings, "Module-level random cannot be replayed; take a seeded random.Random:")


def test_every_test_folder_is_a_package() -> None:
    folders = {
        path.parent for path in _tracked() if path.suffix == ".py" and _name(path).startswith("tests/")
    }
    findings = [f"{_name(folder)}/" for folder in sorted(folders) if not (folder / "__init__.py").is_file()]
    _no(findings, "Two tests of one name clash unless each folder has an __init__.py; add it to:")


def test_every_module_has_its_layer() -> None:
    """A module that the contracts do not name could import anything."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}
    layers = set(re.findall(r"[\w.]+", " ".join(contracts["layers"]["layers"])))
    findings = [
        f"{name} ({module})"
        for name, _, _ in _modules("gateway", "drivers")
        if not (module := name.removesuffix(".py").replace("/", ".")).endswith("__init__")
        and layers.isdisjoint(accumulate(module.split("."), "{}.{}".format))
    ]
    _no(findings, "Add these modules to [tool.importlinter] layers in pyproject.toml:")


def test_every_document_has_one_title() -> None:
    findings = []
    for name, text in _texts():
        if name.startswith("docs/") and name.endswith(".md"):
            prose = re.sub(
                r"^(```|~~~).*?^\1", lambda m: "\n" * m[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL
            )
            titles = [n for n, line in enumerate(prose.splitlines(), 1) if line.startswith("# ")]
            if len(titles) != 1:
                findings.append(f"{name}:{titles[1] if titles else 1} has {len(titles)} titles")
    _no(findings, "A document has exactly one line that begins with '# ':")


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        pytest.param(MACHINE_PATH, "A path of one machine is wrong on every other:", id="machine-paths"),
        pytest.param(
            REGISTRY, "Where packages come from is the installer's choice, not ours:", id="registries"
        ),
    ],
)
def test_nothing_of_this_machine(pattern: re.Pattern[str], rule: str) -> None:
    findings = [
        f"{name}:{number} {match[0]}"
        for name, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) <= LINE_MAX_CHARS and (match := pattern.search(line))
    ]
    _no(findings, rule)


def test_the_checkout_is_not_named() -> None:
    """A short parent such as / or /src would match ordinary text, so only a path of two parts is looked for."""
    parent = str(ROOT)
    findings = [
        f"{name}:{number}"
        for name, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if parent.count("/") > 1 and parent in line
    ]
    _no(findings, f"{parent} is where this checkout lies; nobody else has it:")


def test_the_lock_pins_every_package_by_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    findings = [
        f"requirements.lock:{number} {line.split()[0]}"
        for number, line in enumerate(lines, 1)
        if re.match(r"[A-Za-z0-9]", line)
        and not ("==" in line and line.endswith("\\") and lines[number].strip().startswith("--hash=sha256:"))
    ]
    _no(findings, "Every package is pinned with ==, followed by its hashes:")
