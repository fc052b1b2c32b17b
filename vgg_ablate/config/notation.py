"""The compact notation for stages: `64 64 | 128 128 | 256 256 256@1`.

64        a 3x3 convolution with 64 output channels, then norm and activation
64@5      5x5;  64@1x3: one row, three columns
64~       nothing after it: neither norm nor activation;  64~norm: the norm alone
64*3      three times 64
|         the stage ends with a pooling;   /   it ends without one
(end)     the last stage pools too, unless the text ends with /
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_TOKEN = re.compile(
    r"(?P<channels>\d+)(?:@(?P<rows>\d+)(?:x(?P<columns>\d+))?)?(?P<bare>~norm|~)?(?:\*(?P<times>\d+))?",
    re.ASCII,
)
_MOST_TIMES = 1_000
_THEN = {None: "activation", "~norm": "norm", "~": "nothing"}
_MARK = {then: mark or "" for mark, then in _THEN.items()}


def parse_stages(text: str) -> list[dict[str, Any]]:
    """Text -> stages as plain data. Raises ValueError that names the token and its column (from 1)."""
    stages: list[dict[str, Any]] = []
    convs: list[dict[str, Any]] = []
    closed = False  # does the text end with a separator?
    for match in re.finditer(r"[|/]|[^\s|/]+", text):
        token, column = match.group(), match.start() + 1
        if token in "|/":
            if not convs:
                raise ValueError(f"column {column}: a stage needs a convolution before {token!r}")
            stages.append({"convs": convs, "pool": token == "|"})
            convs, closed = [], True
        else:
            convs, closed = convs + _convolutions(token, column), False
    if convs:
        stages.append({"convs": convs, "pool": True})
    if not stages or (closed and text.rstrip().endswith("|")):
        raise ValueError(f"column {len(text.rstrip()) + 1}: a convolution such as 64 or 64@5 must follow")
    return stages


def _convolutions(token: str, column: int) -> list[dict[str, Any]]:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"column {column}: {token!r} is not a convolution such as 64, 64@5, 64@1x3, 64~ or 64*3")
    rows = int(match["rows"] or 3)
    columns = int(match["columns"] or rows)
    if int(match["channels"]) < 1:
        raise ValueError(f"column {column}: {token!r} has no channels")
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(
            f"column {column}: the kernel of {token!r} must have odd sides, so that padding keeps the map's size"
        )
    conv = {
        "channels": int(match["channels"]),
        "kernel": [rows, columns],
        "then": _THEN[match["bare"]],
    }
    times = int(match["times"] or 1)
    if times < 1:
        raise ValueError(f"column {column}: {token!r} repeats a convolution no times")
    if times > _MOST_TIMES:
        raise ValueError(f"column {column}: {token!r} repeats a convolution more than {_MOST_TIMES:,} times")
    return [dict(conv) for _ in range(times)]


def format_stages(stages: Iterable[Mapping[str, Any]]) -> str:
    """Stages as plain data -> text; `parse(written(stages)) == stages`."""
    parts: list[str] = []
    pooled = True
    for stage in stages:
        if parts:
            parts.append("|" if pooled else "/")
        parts.extend(_token(conv) for conv in stage["convs"])
        pooled = bool(stage["pool"])
    return " ".join(parts if pooled else [*parts, "/"])


def _token(conv: Mapping[str, Any]) -> str:
    rows, columns = conv["kernel"]
    kernel = "" if rows == columns == 3 else f"@{rows}" if rows == columns else f"@{rows}x{columns}"
    return f"{conv['channels']}{kernel}{_MARK[conv['then']]}"
