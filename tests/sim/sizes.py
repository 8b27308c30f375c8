"""How many things lie in every container that can be reached from an object of the gateway."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

OURS = ("gateway", "drivers")
TYPES = (list, dict, set, deque, bytearray)  # those that can grow
KEYED_MAX = 100  # an object in a container is looked into only as far as this many of its kind


def sizes(root: object) -> dict[str, int]:
    """Return path -> items, summed over all objects at that path; the keys of a dict are one path.

    Looked into: objects of classes of this project, and containers of them. So nobody has to list what might grow.
    """
    found: Counter[str] = Counter()
    seen: set[int] = set()
    queue: deque[tuple[str, object]] = deque([(type(root).__name__, root)])
    while queue:
        path, thing = queue.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, TYPES):
            found[path] += len(thing)
        queue.extend(_inside(path, thing))
    return {sys.intern(path): items for path, items in found.items()}  # kept for every hour of a run


def _inside(path: str, thing: object) -> list[tuple[str, object]]:
    if isinstance(thing, Mapping):
        inner = [(f"{path}[]", item) for item in list(thing.values())[:KEYED_MAX]]
        return inner + [(f"{path}[key]", key) for key in list(thing)[:KEYED_MAX]]
    if isinstance(thing, list | set | frozenset | deque | tuple):
        return [(f"{path}[]", item) for item in list(thing)[:KEYED_MAX]]
    if type(thing).__module__.partition(".")[0] in OURS:
        return [(f"{path}.{name}", value) for name, value in _attributes(thing)]
    owner = getattr(thing, "__self__", None)  # a bound method
    return [] if owner is None or isinstance(owner, type) else [(path, owner)]


def _attributes(thing: object) -> list[tuple[str, Any]]:
    own = getattr(thing, "__dict__", {})
    found = list(own.items()) if isinstance(own, dict) else []
    for kind in type(thing).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(thing, name):
                found.append((name, getattr(thing, name)))
    return found
