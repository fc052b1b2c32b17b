"""A hostile study file ends with one problem or few, in short lines, before it has used much time or memory."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from vgg_ablate.cli.check import check
from vgg_ablate.config import limits
from vgg_ablate.errors import MAX_PROBLEMS, SpecError

STUDY = """\
version: 1
name: hostile
question: does it end?
seeds: 2
data: {name: digits, image_size: 16}
arch: {stages: "8 | 16", head: {hidden: [8]}}
"""
SEARCH = (
    "design: {kind: search, budget: 5 variants, sampler: grid, space: {train.lr: {low: 0.1, high: 1.0, step: STEP}}}"
)
VARIANT, CLAIM = "  v{0}: {{train.lr: 0.1}}\n", "  - {{id: c{0}, text: t, kind: better, a: v, b: base}}\n"


def repeat(line: str, count: int) -> str:
    return "".join(line.format(number) for number in range(count))


ALIASES = "a0: &a0 [x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]\n" for i in range(1, 10))
FACTORS = "design:\n  kind: factorial\n  factors:\n" + "".join(
    f"    f{i}: {{{', '.join(f'l{j}: {{train.lr: 0.{j}1}}' for j in range(10))}}}\n" for i in range(7)
)
HOSTILE = {  # name of the case: the text of the file, and a part of the message
    "nul": (STUDY + "answer: a\0b\n", "7:10: the character U+0000 is not allowed"),
    "escape": (STUDY + "answer: a\x1b[31mb\n", "7:10: the character U+001B is not allowed"),
    "written escape": (STUDY + 'answer: "a\\e[31mb"\n', "7:9: the character U+001B is not allowed"),
    "surrogate": (STUDY + 'answer: "\\ud800"\n', "7:9: the character U+D800 is not allowed"),
    "digits": (STUDY.replace("seeds: 2", "seeds: " + 5000 * "9"), "4:8: not a valid int"),
    "hexadecimal": (STUDY.replace("seeds: 2", "seeds: 0x" + 5000 * "f"), "4:8: an integer must be at most"),
    "brackets": (STUDY + "answer: " + 10_000 * "[", "7:48: must be nested at most 40 levels deep"),
    "blocks": (STUDY + "answer:\n" + "".join(f"{' ' * i}-\n" for i in range(1, 400)), "must be nested at most 40"),
    "!!omap": (STUDY + "answer: !!omap x\n", "7:9: this tag is not supported"),
    "!!set": (STUDY + "variants: !!set {a, b}\n", "7:11: this tag is not supported"),
    "recipe": (STUDY + "train: {preset: [a]}\n", "train.preset: unknown recipe"),
    "budget": (STUDY + SEARCH.replace("5", str(10**12)).replace("STEP", "0.1"), "less than or equal to 10000"),
    "grid": (STUDY + SEARCH.replace("STEP", "1.0e-12"), "must be at most 9,999 steps"),
    "aliases": (STUDY + ALIASES, "must have at most 50,000 keys and values, those of aliases included"),
    "own alias": (STUDY + "answer: &a [*a]\n", "the alias 'a' contains itself"),
    "factorial": (
        STUDY + FACTORS,
        "must be at most 10,000 combinations",
    ),
    "seeds": (STUDY.replace("seeds: 2", f"seeds: {list(range(1001))}"), "must have a length of at most 1000"),
    "number of seeds": (STUDY.replace("seeds: 2", "seeds: 999999"), "seeds: must be from 1 to 1,000"),
    "runs": (
        STUDY.replace("seeds: 2", "seeds: 1000") + "variants:\n" + repeat("  v{0}: {{train.lr: 0.1{0}}}\n", 60),
        "must give at most 50,000 runs: variants x seeds x levels of horizons, got 61000",
    ),
    "all convolutions": (
        STUDY + "variants:\n" + repeat("  v{0}: {{arch.depth: 500, train.lr: 0.1{0}}}\n", 300),
        "must give nets with at most 200,000 convolutions together",
    ),
    "claims": (STUDY + "claims:\n" + repeat(CLAIM, 1001), "claims: must have a length of at most 1000"),
    "variants": (STUDY + "variants:\n" + repeat(VARIANT, 10_001), "variants: must give at most 10,000 variants"),
    "bad variants": (STUDY + "variants:\n" + repeat(VARIANT, 500).replace("lr", "rl"), "train.rl: unknown key"),
    "stages": (STUDY.replace("8 | 16", 300_000 * "64 "), "a net must have at most 1,000 convolutions"),
    "depths": (STUDY.replace('"8 | 16"', '"8 | 16", depth: 1000'), "must be at most 1,000 convolutions in a net"),
    "token": (STUDY.replace("8 | 16", 900_000 * "y"), "is not a convolution such as 64"),
    "key": (STUDY + 900 * "x" + ": 1\n", "unknown key"),
    "mapping as key": (STUDY + "? {a: b}\n: 1\n", "7:3: a key must be text or a number"),
    "device": ("extends: /dev/zero\n", "/dev/zero: extends reads regular files only"),
    "pipe": ("extends: pipe\n", "pipe: extends reads regular files only"),
    "itself": ("extends: ././study.yaml\n", "the file extends itself"),
    "empty": ("", "a study file must be a mapping"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_short_lines(tmp_path: Path, name: str) -> None:
    text, message = HOSTILE[name]
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode())
    os.mkfifo(tmp_path / "pipe")
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        check(path, None)
    lines = str(caught.value).replace(str(tmp_path), "").splitlines()
    assert message in lines[0]
    assert len(lines) <= MAX_PROBLEMS + 1
    assert max(map(len, lines)) < 600
    assert time.process_time() - start < 5


def test_a_file_of_aliases_needs_little_memory(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY + ALIASES)
    tracemalloc.start()
    with pytest.raises(SpecError):
        check(tmp_path / "study.yaml", None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_a_file_beyond_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY + "#" * limits.MAX_FILE_BYTES)
    with pytest.raises(SpecError, match=r"must have at most 4,000,000 bytes"):
        check(path, None)


def test_a_key_may_override_what_it_merges_but_not_itself(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    shared = "train: &t {epochs: 2, lr: 0.1}\n"
    path.write_text(STUDY + shared + "variants: {v: {train: {<<: *t, lr: 0.2}}}\n")
    check(path, None)
    path.write_text(STUDY + shared + "variants: {v: {train: {<<: *t, lr: 0.2, lr: 0.3}}}\n")
    with pytest.raises(SpecError, match="duplicate key"):
        check(path, None)
