"""`train.ensemble` lists further nets by their differences from the arch; its costs are those of all nets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.factories import make_results_folder
from vgg_ablate.analysis import summary
from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError
from vgg_ablate.models.costs import Costs, compute_costs
from vgg_ablate.models.width_matching import ResolvedVariant, resolve_variants
from vgg_ablate.records import Record

STUDY = """\
version: 1
name: together
question: Are two nets better than one?
seeds: 3
data: {name: digits, image_size: 32}
arch: {preset: D, width: 0.125, norm: batch, head: {hidden: []}}
train: {epochs: 2}
variants:
  E: {arch.preset: E, train.replicate: 1}
  both: {train.ensemble: [E]}
"""
ReadStudy = Callable[[str], Study]


@pytest.fixture
def read(tmp_path: Path) -> ReadStudy:
    def read_text(text: str) -> Study:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path / "study.yaml")

    return read_text


def resolve_by_name(study: Study) -> dict[str, ResolvedVariant]:
    return {net.variant.name: net for net in resolve_variants(study.variants)}


def test_a_net_of_an_ensemble_is_the_arch_with_its_differences(read: ReadStudy) -> None:
    resolved = resolve_by_name(read(STUDY))
    assert resolved["both"].arch == resolved["base"].arch
    assert resolved["both"].ensemble == (resolved["E"].arch,)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("{}", "{train.replicate: 3}"),
        ("D", "{train.replicate: 3}"),
        ("{preset: E}", "{arch.preset: E}"),
        ("{preset: E, width: 0.25}", "{arch.preset: E, arch.width: 0.25}"),
        ("{kernel: 5}", "{arch.kernel: 5}"),
        ("{head.hidden: [64]}", "{arch.head.hidden: [64]}"),
        ("{'stages[0].depth': 3}", "{'arch.stages[0].depth': 3}"),
        ('{stages: "8 | 16"}', '{arch.stages: "8 | 16"}'),
    ],
)
def test_a_net_is_written_like_the_changes_of_a_variant(read: ReadStudy, written: str, same: str) -> None:
    text = STUDY.replace("[E]", f"[E, {written}]").replace(
        "  E: {arch.preset: E, train.replicate: 1}", f"  other: {same}"
    )
    resolved = resolve_by_name(read(text))
    assert resolved["both"].ensemble[1] == resolved["other"].arch


def test_costs_are_sums_and_depth_and_receptive_field_are_maxima(read: ReadStudy) -> None:
    resolved = resolve_by_name(read(STUDY))
    base, further = compute_costs(resolved["base"].arch), compute_costs(resolved["E"].arch)
    assert resolved["both"].costs == Costs(
        params=base.params + further.params,
        macs=base.macs + further.macs,
        activations=base.activations + further.activations,
        receptive_field=further.receptive_field,
        weight_layers=further.weight_layers,
        activation_layers=further.activation_layers,
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "[E]",
            "[{presett: E}]",
            ":10:10: variants.both: train.ensemble[0].presett: unknown key, got 'presett'; did y",
        ),
        ("[E]", "[E, F]", ":10:10: variants.both: train.ensemble[1].preset: unknown preset; available: A, A-LRN, B"),
        (
            "[E]",
            "[{width: wide}]",
            ":10:10: variants.both: train.ensemble[0].width: must be a valid number, got 'wide'",
        ),
        ("[E]", "[7]", ":10:10: variants.both: train.ensemble[0]: must be a"),
        ("[E]", "E", ":10:10: variants.both: train.ensemble: must be a"),
        ("[E]", "[{head.hiden: [3]}]", ":10:10: variants.both: train.ensemble[0].hiden: unknown key, got 'hiden'; did"),
        (
            "{epochs: 2}",
            "{ensemble: [{widht: 1}]}",
            ":7:21: train.ensemble[0].widht: unknown key, got 'widht'; did you",
        ),
        ("[E]", "[{kernel: 9}]", ":10:10: variants.both: train.ensemble[0].kernel"),
    ],
)
def test_an_invalid_net_is_one_line_with_its_location(
    read: ReadStudy, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    with pytest.raises(SpecError) as caught:
        read(STUDY.replace(old, new))
    line, *more = dict.fromkeys(str(caught.value).splitlines())
    assert line.startswith(f"{tmp_path}/study.yaml{expected}")
    assert not [other for other in more if "variants.both" in other]


def test_an_error_of_the_arch_is_not_repeated_for_every_net(read: ReadStudy) -> None:
    text = STUDY.replace("variants:\n", "").split("  E:")[0].replace("{epochs: 2}", "{ensemble: [E, D]}")
    with pytest.raises(SpecError) as caught:
        read(text.replace("norm", "nrom"))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("net", "rule"),
    [
        ("{kernel: 7, stages: '8 | 8'}", "no convolution to rewrite in '8 | 8': kernel 7 means"),
        ("{stages: '8 | 8 | 8 | 8 | 8 | 8 | 8'}", "image"),
        ("{match: {macs: 1e6}}", "a match scales one net"),
    ],
)
def test_an_impossible_net_is_named_by_its_position_in_the_ensemble(read: ReadStudy, net: str, rule: str) -> None:
    study = read(STUDY.replace("[E]", f"[E, {net}]"))
    with pytest.raises(SpecError) as caught:
        resolve_variants(study.variants)
    (problem,) = caught.value.problems
    assert problem.path == "variants.both: train.ensemble[1]"
    assert rule in problem.rule


def test_a_search_proposes_single_nets(read: ReadStudy) -> None:
    design = "design: {kind: search, space: {arch.width: [0.25, 0.5]}, budget: {variants: 2}}\n"
    assert read(STUDY + design).variants[-1].train.ensemble, "an ensemble may stand beside a search"
    for text in (
        (STUDY + design).replace("{epochs: 2}", "{ensemble: [E]}"),
        STUDY + design.replace("arch.width: [0.25, 0.5]", "train.ensemble: [[E], []]"),
        STUDY + design.replace("arch.width: [0.25, 0.5]", "more: {one: {train.ensemble: [E]}, none: {}}"),
    ):
        with pytest.raises(SpecError, match="a search proposes single nets"):
            read(text)


def test_a_record_of_an_ensemble_must_have_the_costs_of_all_its_nets(tmp_path: Path) -> None:
    def use_costs_of_one_net(record: Record, variant: str) -> Record:
        alone: dict[str, Any] = {"costs": compute_costs(record.run.arch).as_dict(), "audited": {}}
        return record.model_copy(update=alone if variant == "both" else {})

    assert summary.load_report(make_results_folder(tmp_path / "right", text=STUDY)).problems == ()
    problems = summary.load_report(
        make_results_folder(tmp_path / "wrong", text=STUDY, change=use_costs_of_one_net)
    ).problems
    assert len(problems) == 3
    assert all(": costs.params: the arch has " in problem for problem in problems)


def test_a_record_of_other_nets_than_the_study_has_is_a_problem(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "other", text=STUDY)
    text = (folder / "study.yaml").read_text(encoding="utf-8")
    (folder / "study.yaml").write_text(text.replace("[E]", "[A]"), encoding="utf-8")
    problems = summary.load_report(folder).problems
    assert len(problems) == 3
    assert all(": run.train.ensemble[0].stages" in problem for problem in problems)
