"""Mutations that keep most of a document's structure, so that a damaged value reaches the code behind the parser."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.0, -0.0, 0.5, 1e-308, 1e308, -1e308, math.nan,
    math.inf, "", " ", "a", "0", "-1", "1e999", "nan", "null", "base", "@", "base@2", "=1+1", "../..", "/dev/zero",
    "<script>alert(1)</script>", "a" * 5000, "\x00", "\x1b[31m", "\ud800", "ä🙂", "a\nb", "[", "{", "*a", "&a", "<<",
    [], {}, [[]], [{}], [None], {"": None}, {"kind": "x"}, [1, "a", None], {"a": {"b": {"c": []}}},
)  # fmt: skip


def mutate_tree(document: Any, random: Random) -> Any:
    """Return a copy of plain data with one to four mutations of its values, keys and items."""
    mutated = copy.deepcopy(document)
    for _ in range(random.randint(1, 4)):
        places = list(_list_places(mutated))
        if not places:
            return random.choice(HOSTILE)
        parent, key = random.choice(places)
        _mutate_place(parent, key, [other[0][other[1]] for other in places], random)
    return mutated


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Return bytes with one to six of them changed, removed or repeated, or without their end."""
    data = bytearray(content)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data) + 1)
        match random.randrange(5):
            case 0 if data:
                data[at % len(data)] = random.randrange(256)
            case 1:
                del data[at : at + random.randint(1, 20)]
            case 2:
                data[at:at] = bytes(random.randrange(256) for _ in range(random.randint(1, 8)))
            case 3:
                data[at:at] = data[at : at + random.randint(1, 200)]
            case _ if random.random() < 0.2:
                del data[at:]
    return bytes(data)


def _list_places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of a tree with each of its keys or indices."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _list_places(node[key])


def _mutate_place(parent: Any, key: Any, values: list[Any], random: Random) -> None:
    match random.randrange(7):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[random.choice(["", "kind", "name", f"{key}s", str(key)[:-1], "a" * 300])] = parent.pop(key)
        case 2:
            parent[key] = copy.deepcopy(random.choice(values))
        case 3 if isinstance(parent, list):
            parent.extend(copy.deepcopy(parent) * random.choice([1, 50]))
        case 4 if isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] = parent[key] * random.choice([-1, 0, 2, 10**6, 1e300, 0.5])
        case 5 if isinstance(parent[key], str):
            at = random.randrange(len(parent[key]) + 1)
            parent[key] = parent[key][:at] + str(random.choice(HOSTILE)) + parent[key][at:]
        case _:
            parent[key] = copy.deepcopy(random.choice(HOSTILE))
