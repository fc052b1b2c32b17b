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

from vgg_ablate.config.limits import MAX_CONVS
from vgg_ablate.formatting.text import truncate

_TOKEN = re.compile(
    r"(?P<channels>\d+)(?:@(?P<rows>\d+)(?:x(?P<columns>\d+))?)?(?P<then>~norm|~)?(?:\*(?P<times>\d+))?",
    re.ASCII,  # \d alone also matches digits of other scripts
)
_MAX_TOKEN = 60  # characters; a longer one is no convolution, and is quoted cut off
_THEN_BY_SUFFIX = {None: "activation", "~norm": "norm", "~": "nothing"}
_SUFFIX_BY_THEN = {then: suffix or "" for suffix, then in _THEN_BY_SUFFIX.items()}


def parse_stages(text: str) -> list[dict[str, Any]]:
    """Parse the notation into stages as plain data, the input of `Arch.stages`.

    Raises ValueError, which names the token and its column (from 1).
    """
    stages: list[dict[str, Any]] = []
    convs: list[dict[str, Any]] = []
    count, ends_with_separator = 0, False
    for match in re.finditer(r"[|/]|[^\s|/]+", text):
        token, column = match.group(), match.start() + 1
        if token in "|/":
            if not convs:
                raise ValueError(f"column {column}: expected a convolution before {token!r}")
            stages.append({"convs": convs, "pool": token == "|"})
            convs, ends_with_separator = [], True
        else:
            added = _parse_convs(token, column)
            convs.extend(added)
            count, ends_with_separator = count + len(added), False
            if count > MAX_CONVS:
                raise ValueError(f"column {column}: a net must have at most {MAX_CONVS:,} convolutions")
    if convs:
        stages.append({"convs": convs, "pool": True})
    # A final "/" is part of the last stage; a final "|" would only repeat that the last stage pools.
    if not stages or (ends_with_separator and text.rstrip().endswith("|")):
        raise ValueError(f"column {len(text.rstrip()) + 1}: expected a convolution such as 64 or 64@5")
    return stages


def _parse_convs(token: str, column: int) -> list[dict[str, Any]]:
    token = truncate(token, _MAX_TOKEN)
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"column {column}: {token!r} is not a convolution such as 64, 64@5, 64@1x3, 64~ or 64*3")
    channels = int(match["channels"])
    rows = int(match["rows"] or 3)
    columns = int(match["columns"] or rows)
    times = int(match["times"] or 1)
    if channels < 1:
        raise ValueError(f"column {column}: the channels of {token!r} must be at least 1")
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(
            f"column {column}: the kernel sides of {token!r} must be odd, so that padding keeps the map size"
        )
    if not 1 <= times <= MAX_CONVS:  # checked before a billion dictionaries are built
        raise ValueError(f"column {column}: the repeat count of {token!r} must be from 1 to {MAX_CONVS:,}")
    conv = {"channels": channels, "kernel": [rows, columns], "then": _THEN_BY_SUFFIX[match["then"]]}
    return [dict(conv) for _ in range(times)]


def format_stages(stages: Iterable[Mapping[str, Any]]) -> str:
    """Format stages, given as plain data, in the notation; `parse_stages(format_stages(stages)) == stages`."""
    parts: list[str] = []
    pools = True
    for stage in stages:
        if parts:
            parts.append("|" if pools else "/")
        parts.extend(_format_conv(conv) for conv in stage["convs"])
        pools = bool(stage["pool"])
    return " ".join(parts if pools else [*parts, "/"])


def _format_conv(conv: Mapping[str, Any]) -> str:
    rows, columns = conv["kernel"]
    kernel = "" if rows == columns == 3 else f"@{rows}" if rows == columns else f"@{rows}x{columns}"
    return f"{conv['channels']}{kernel}{_SUFFIX_BY_THEN[conv['then']]}"
