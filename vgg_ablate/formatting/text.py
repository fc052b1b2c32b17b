"""Counted nouns, lists of names, capitals, and the truncation of text to a number of characters or a width on paper."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence


def capitalize_first(text: str) -> str:
    """Make the first letter a capital; str.capitalize would make the other letters small."""
    return text[:1].upper() + text[1:]


def count_noun(count: int | str, plural: str) -> str:
    """Return a count with its noun: `1 seed` or `5 seeds`. Only nouns whose plural adds an s to the first word."""
    noun = re.sub(r"s\b", "", plural, count=1) if str(count) == "1" else plural
    return f"{count} {noun}"


def join_first(names: Sequence[str], limit: int, separator: str = ", ") -> str:
    """Return the first `limit` names, and how many there are besides: `a, b and 3 more`."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return separator.join(names[:limit]) + more


def truncate(text: str, length: int) -> str:
    """Return the text, or its beginning with `...`, in at most `length` characters."""
    return text if len(text) <= length else text[: length - 3] + "..."


def truncate_to_fit(text: str, fits: Callable[[str], bool], *, ellipsis: str = "...", strip: str = " ") -> str:
    """Return the text, or the longest beginning that `fits` with the ellipsis; `strip` is removed before that.

    The ellipsis alone is returned where nothing else fits.
    """
    if fits(text):
        return text
    # By bisection: a longer beginning is never narrower.
    length = bisect_left(range(1, len(text) + 1), True, key=lambda count: not fits(text[:count] + ellipsis))
    return text[:length].rstrip(strip) + ellipsis
