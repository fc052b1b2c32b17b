"""Kernel factorisation: other ways to spell the same receptive field (paper, section 2.3). Pure.

5         every two 3x3 in a row become one 5x5
7         every three 3x3 in a row become one 7x7
3         every 5x5 becomes two 3x3, every 7x7 three
1x1-last  the last 3x3 of a stage of three or more becomes 1x1 (config C from D); the one rule that shrinks it
1xn       every n x n becomes 1 x n, then n x 1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

_STACK = {5: 2, 7: 3}  # how many 3x3 see as far as one n x n


class PlainConv(NamedTuple):
    """One convolution, without its model."""

    channels: int
    kernel: tuple[int, int]
    then: str


def rewrite_stage(convs: Sequence[PlainConv], rule: int | str) -> list[PlainConv]:
    """The convolutions of one stage after one rule; unchanged where the rule finds nothing."""
    if rule == 3:
        return [part for conv in convs for part in _split(conv)]
    if rule == "1x1-last":
        return _last_as_1x1(convs)
    if rule == "1xn":
        return [part for conv in convs for part in _separated(conv)]
    return _merged(convs, int(rule))


class HasKernel(Protocol):
    """Anything with a kernel."""

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows, columns."""


def is_rewritten(convs: Iterable[HasKernel], rule: int | str) -> bool:
    """Is every convolution already what the rule writes, so that nothing is left to do?"""
    if rule == "1xn":
        return all(min(conv.kernel) == 1 < max(conv.kernel) for conv in convs)
    return all(conv.kernel == (rule, rule) for conv in convs)


def apply_between(convs: Sequence[PlainConv], between: str, stack: int | None) -> list[PlainConv]:
    """The convolutions with `between` after all but the last of every stack of `stack` (None: of them all)."""
    if between == "activation":
        return list(convs)
    size = stack or len(convs)
    then = "norm" if between == "norm" else "nothing"
    last = len(convs) - 1
    return [
        conv if index == last or index % size == size - 1 else conv._replace(then=then)
        for index, conv in enumerate(convs)
    ]


def _merged(convs: Sequence[PlainConv], side: int) -> list[PlainConv]:
    count, done, rest = _STACK[side], list[PlainConv](), list(convs)
    while rest:
        group = rest[:count]
        if len(group) == count and all(conv.kernel == (3, 3) for conv in group):
            done.append(group[-1]._replace(kernel=(side, side)))
            rest = rest[count:]
        else:
            done.append(rest.pop(0))
    return done


def _split(conv: PlainConv) -> list[PlainConv]:
    rows, columns = conv.kernel
    if rows != columns or rows not in _STACK:
        return [conv]
    inner = conv._replace(kernel=(3, 3), then="activation")
    return [inner] * (_STACK[rows] - 1) + [conv._replace(kernel=(3, 3))]


def _last_as_1x1(convs: Sequence[PlainConv]) -> list[PlainConv]:
    if len(convs) < 3 or convs[-1].kernel != (3, 3):
        return list(convs)
    return [*convs[:-1], convs[-1]._replace(kernel=(1, 1))]


def _separated(conv: PlainConv) -> list[PlainConv]:
    rows, columns = conv.kernel
    if rows == 1 or columns == 1:
        return [conv]
    return [conv._replace(kernel=(1, columns), then="activation"), conv._replace(kernel=(rows, 1))]
