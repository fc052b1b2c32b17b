"""Kernel factorisation: rewrite the convolutions of a stage, most rules without changing its receptive field.

The rules are those of section 2.3 of the paper, and those that change the kernel while they keep the depth.

5         merge every two consecutive 3x3 into one 5x5
7         merge every three consecutive 3x3 into one 7x7
3         split every 5x5 into two 3x3, every 7x7 into three
1x1-last  replace the last 3x3 of a stage of three or more by 1x1 (config C from D); the only rule that shrinks it
1xn       split every n x n into 1 x n, then n x 1
every-3   give every convolution a 3x3 kernel and keep their number: the receptive field changes, the depth does not
every-5   the same with 5x5
every-7   the same with 7x7
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

RULE_DESCRIPTIONS = {
    5: "pairs of 3x3 merged into one 5x5",
    7: "triples of 3x3 merged into one 7x7",
    3: "5x5 and 7x7 split into stacks of 3x3",
    "1x1-last": "the last 3x3 of a stage replaced by 1x1",
    "1xn": "n x n split into 1 x n and n x 1",
    "every-3": "every kernel set to 3x3",
    "every-5": "every kernel set to 5x5",
    "every-7": "every kernel set to 7x7",
}
_KERNEL_SIDES = {"every-3": 3, "every-5": 5, "every-7": 7}
_STACK_SIZES = {5: 2, 7: 3}  # kernel side -> number of 3x3 convolutions with the same receptive field


class PlainConv(NamedTuple):
    """One convolution without its pydantic model: rewriting builds many, and validates only the last."""

    channels: int
    kernel: tuple[int, int]  # rows, columns
    then: str


class HasKernel(Protocol):
    """Anything with a kernel: PlainConv and the validated ConvConfig."""

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns."""


def describe_rule(rule: int | str) -> str:
    """Return what a rule does, and which rule sets every kernel instead: `kernel 7 means triples of 3x3 merged ...`."""
    text = f"kernel {rule} means {RULE_DESCRIPTIONS[rule]}"
    return f"{text} (every-{rule} sets every kernel)" if f"every-{rule}" in RULE_DESCRIPTIONS else text


def rewrite_stage(convs: Sequence[PlainConv], rule: int | str) -> list[PlainConv]:
    """Return the convolutions of a stage after one rule; the same convolutions if the rule does not apply."""
    if rule == 3:
        return [part for conv in convs for part in _split_square(conv)]
    if rule == "1x1-last":
        return _replace_last_by_1x1(convs)
    if rule == "1xn":
        return [part for conv in convs for part in _split_rows_and_columns(conv)]
    if rule in _KERNEL_SIDES:
        side = _KERNEL_SIDES[str(rule)]
        return [conv._replace(kernel=(side, side)) for conv in convs]
    return _merge_3x3(convs, int(rule))


def is_rewritten(convs: Iterable[HasKernel], rule: int | str) -> bool:
    """Return whether every convolution already has the form that the rule produces."""
    if rule == "1xn":
        return all(min(conv.kernel) == 1 < max(conv.kernel) for conv in convs)
    side = _KERNEL_SIDES.get(str(rule), rule)
    return all(conv.kernel == (side, side) for conv in convs)


def apply_between(convs: Sequence[PlainConv], between: str, stack: int | None) -> list[PlainConv]:
    """Return the convolutions with `between` after each but the last of a stack.

    A stack is `stack` consecutive convolutions, or the whole stage if it is None. With `between` "none" a stack of two
    3x3 is a linear map and exactly one factorised 5x5.
    """
    if between == "activation":
        return list(convs)
    size = stack or len(convs)
    then = "norm" if between == "norm" else "nothing"
    last = len(convs) - 1
    return [
        conv if index == last or index % size == size - 1 else conv._replace(then=then)
        for index, conv in enumerate(convs)
    ]


def _merge_3x3(convs: Sequence[PlainConv], side: int) -> list[PlainConv]:
    """Merge groups of 3x3 from the first convolution on; an incomplete group at the end stays as it is."""
    count = _STACK_SIZES[side]
    merged, rest = list[PlainConv](), list(convs)
    while rest:
        group = rest[:count]
        if len(group) == count and all(conv.kernel == (3, 3) for conv in group):
            merged.append(group[-1]._replace(kernel=(side, side)))  # what follows the group follows its last one
            rest = rest[count:]
        else:
            merged.append(rest.pop(0))
    return merged


def _split_square(conv: PlainConv) -> list[PlainConv]:
    rows, columns = conv.kernel
    if rows != columns or rows not in _STACK_SIZES:
        return [conv]
    inner = conv._replace(kernel=(3, 3), then="activation")
    return [inner] * (_STACK_SIZES[rows] - 1) + [conv._replace(kernel=(3, 3))]


def _replace_last_by_1x1(convs: Sequence[PlainConv]) -> list[PlainConv]:
    # Configuration C of the paper has its 1x1 only where a stage has a third convolution.
    if len(convs) < 3 or convs[-1].kernel != (3, 3):
        return list(convs)
    return [*convs[:-1], convs[-1]._replace(kernel=(1, 1))]


def _split_rows_and_columns(conv: PlainConv) -> list[PlainConv]:
    rows, columns = conv.kernel
    if rows == 1 or columns == 1:
        return [conv]
    # An activation between the two, as between the convolutions of any other factorisation; `between` may remove it.
    return [conv._replace(kernel=(1, columns), then="activation"), conv._replace(kernel=(rows, 1))]
