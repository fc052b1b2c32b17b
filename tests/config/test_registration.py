"""Every change of the registered content is listed by its path; other changes of a study do not alter its hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.config.content_hash import hash_content
from vgg_ablate.config.registration import build_deciding_content, list_changed_parts
from vgg_ablate.config.study import load

STUDY = """\
version: 1
name: asked
question: q?
registered: 2026-11-25
smallest_effect: 0.5
seeds: 3
horizons: {train.epochs: [2, 4]}
data: {name: digits, image_size: 16}
arch: {stages: "4 4 | 8"}
variants:
  five: {arch.kernel: 5}
  wide: {arch.width: 2}
claims:
  - {id: small, text: t, kind: better, a: base, b: five, metric: test_error, margin: 1}
  - {id: deep, text: t, kind: better, trend: {over: macs, variants: [five, base, wide]}}
"""


def list_changes(folder: Path, old: str, new: str) -> list[str]:
    assert old in STUDY
    contents = []
    for text in (STUDY, STUDY.replace(old, new, 1)):
        (folder / "study.yaml").write_text(text, encoding="utf-8")
        contents.append(build_deciding_content(load(folder / "study.yaml")))
    before, after = contents
    assert (hash_content(before) == hash_content(after)) == (before == after)
    return list_changed_parts(before, after)


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("margin: 1", "margin: 2", ["claims[small].margin"]),
        ("kind: better, a: base", "kind: worse, a: base", ["claims[small].kind"]),
        ("a: base, b: five", "a: [base, wide], b: five", ["claims[small].a"]),
        ("over: macs", "over: params", ["claims[deep].trend"]),
        ("id: small", "id: other", ["claims[other]", "claims[small]"]),
        ("smallest_effect: 0.5", "smallest_effect: 1", ["claims[small].smallest_effect", "smallest_effect"]),
        ("seeds: 3", "seeds: 4", ["seeds"]),
        ("seeds: 3", "seeds: {looks: [2, 3]}", ["seeds"]),
        ("[2, 4]", "[2, 5]", ["train.epochs", "horizons"]),
        ("arch.kernel: 5", "arch.kernel: 7", ["variants[five].arch.kernel"]),
        ("  wide: {arch.width: 2}\n", "  wide: {arch.width: 2}\n  more: {arch.width: 3}\n", ["variants[more]"]),
        ("4 4 | 8", "4 4 | 9", ["arch.stages"]),
        ("variants:", "train: {lr: 0.2}\nvariants:", ["train.lr"]),
        ("name: digits, ", "name: digits, limit: 99, ", ["data.limit"]),
        (
            "variants:",
            "tune: {space: {train.lr: {low: 0.01, high: 0.4}}, trials: 2, epochs: 1}\nvariants:",
            ["tune"],
        ),
    ],
)
def test_a_change_of_the_registered_content_is_listed(tmp_path: Path, old: str, new: str, paths: list[str]) -> None:
    assert sorted(list_changes(tmp_path, old, new)) == sorted(paths)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("question: q?", "question: r?"),
        ("text: t", "text: other"),
        ("margin: 1", "margin: 1.0"),
        ("seeds: 3", "seeds: [0, 1, 2]"),
        ("name: digits, ", "name: digits, root: elsewhere, "),
        ("variants:", "train: {keep: predictions}\nvariants:"),
        ("seeds: 3", "seeds: 3\nexpect: {minutes: 3}\non_error: stop"),
        ("variants:", "tuned: {base: {trial: 1, values: {train.lr: 0.2}}}\nvariants:"),
    ],
)
def test_other_changes_are_not_listed(tmp_path: Path, old: str, new: str) -> None:
    assert list_changes(tmp_path, old, new) == []


def test_the_hash_is_sixteen_hex_digits_and_independent_of_key_order() -> None:
    assert hash_content({"b": [1, 2], "a": None}) == hash_content({"a": None, "b": [1, 2]}) == "ee743f2fa2570a1b"
