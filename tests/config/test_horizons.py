"""Horizons, registration dates and smallest effects of a study file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError
from vgg_ablate.models.width_matching import resolve_variants

STUDY = """\
version: 1
name: long
question: Does it last?
registered: 2026-11-25
smallest_effect: 0.5
horizons: {train.epochs: [2, 4, 8]}
data: {name: digits, image_size: 16}
arch: {stages: "4 4 | 8"}
train: {lr: 0.05}
variants:
  five: {arch.kernel: 5, arch.match: {macs: base, tolerance: 20%}}
claims:
  - {id: own, text: t, kind: better, a: base, b: five, smallest_effect: 2}
  - {id: theirs, text: t, kind: better, a: base, b: five}
  - {id: cost, text: t, kind: worse, a: base, b: five, metric: params}
  - {id: count, text: t, kind: better, a: base, b: five, metric: trained}
  - {id: longer, text: t, kind: better, trend: {over: train.epochs, variants: [base@2, base@4, base]}}
"""


def load_text(folder: Path, text: str = STUDY, *overrides: str) -> Study:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, overrides)


def read_error(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_text(folder, text, *overrides)
    (line,) = str(caught.value).replace(f"{folder}/", "").splitlines()
    return line


def test_every_variant_exists_at_every_level_and_the_last_is_compared(tmp_path: Path) -> None:
    study = load_text(tmp_path)
    assert [[variant.name for variant in variants] for variants in study.variants_by_horizon] == [
        ["base@2", "five@2"], ["base@4", "five@4"], ["base", "five"]
    ]  # fmt: skip
    assert [variant.train.epochs for variant in study.all_variants] == [8, 8, 2, 2, 4, 4]
    assert [variant.horizon for variant in study.all_variants] == [8, 8, 2, 2, 4, 4]
    assert study.horizon_variants[3].changes == {**study.variants[1].changes, "train.epochs": 4}
    assert study.variants[0].changes == {}
    assert load(tmp_path / "study.yaml") == study


def test_a_study_written_as_yaml_reads_back_as_an_equal_study(tmp_path: Path) -> None:
    study = load_text(tmp_path)
    read_back = load_text(tmp_path, study.as_yaml())
    assert read_back == study
    assert read_back.as_yaml() == study.as_yaml()


def test_a_match_at_a_lower_level_uses_the_budget_of_that_level(tmp_path: Path) -> None:
    text = STUDY.replace("train.epochs: [2, 4, 8]", "data.image_size: [8, 16]").replace("train.epochs, ", "macs, ")
    study = load_text(tmp_path, text.replace("[base@2, base@4, base]", "[base@8, base]"))
    costs = {net.variant.name: net.costs.macs for net in resolve_variants(study.all_variants)}
    assert costs["base@8"] < 0.3 * costs["base"]
    for name in ("five@8", "five"):
        assert costs[name] == pytest.approx(costs[name.replace("five", "base")], rel=0.2)


def test_a_value_that_equals_the_last_level_may_be_given(tmp_path: Path) -> None:
    assert load_text(tmp_path, STUDY.replace("lr: 0.05", "lr: 0.05, epochs: 8")).base.train.epochs == 8
    assert load_text(tmp_path, STUDY, "train.epochs=8").base.train.epochs == 8


def test_the_smallest_effect_of_the_study_applies_to_claims_in_percentage_points(tmp_path: Path) -> None:
    effects = {claim.id: claim.smallest_effect for claim in load_text(tmp_path).claims}
    assert effects == {"own": 2, "theirs": 0.5, "cost": None, "count": None, "longer": None}


@pytest.mark.parametrize("day", ["2026-11-25", "'2026-11-25'", '"2026-11-25"'])
def test_a_date_may_be_quoted(tmp_path: Path, day: str) -> None:
    assert load_text(tmp_path, STUDY.replace("2026-11-25", day)).registered == date(2026, 11, 25)


@pytest.mark.parametrize("day", ["2026-13-25", "2026-02-30", "2026-11-25 10:00:00", "20261125", "tomorrow", "26-11-25"])
def test_an_invalid_date_is_one_line(tmp_path: Path, day: str) -> None:
    got = repr(day) if not day.isdecimal() else day
    message = f"study.yaml:4:1: registered: must be a date such as 2026-11-25, got {got}"
    assert read_error(tmp_path, STUDY.replace("2026-11-25", day)) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[2, 4, 8]", "[4]", "6:12: horizons.train.epochs: must have a length of at least 2, got [4]"),
        (
            "[2, 4, 8]",
            "[2, 8, 4]",
            "6:12: horizons.train.epochs: must be strictly increasing, got [2, 8, 4]",
        ),
        (
            "train.epochs: [2, 4, 8]",
            "seeds: [2, 4]",
            "6:12: horizons.seeds: the path must start with arch, data or train, such as train.epochs",
        ),
        (
            "train.epochs: [2, 4, 8]",
            "",
            "6:1: horizons: must have exactly one path, such as train.epochs, got []",
        ),
        ("[2, 4, 8]}", "8}", "6:12: horizons.train.epochs: must be a list, got 8"),
        ("train.epochs: [2", "train.epoch: [2", "6:12: train.epoch: unknown key, got 'epoch'; did you mean 'epochs'?"),
        ("[2, 4, 8]", "[0, 4]", "6:12: horizons: train.epochs: must be greater than or equal to 1, got 0"),
        (
            "lr: 0.05",
            "epochs: 4",
            "9:9: train.epochs: set by horizons: remove it, or set it to their last level, 8, got 4",
        ),
        (
            "arch.kernel: 5,",
            "arch.kernel: 5, train.epochs: 3,",
            "11:26: variants.five.train.epochs: horizons set train.epochs for every variant, got 3",
        ),
        (
            "lr: 0.05",
            "warmup_epochs: 3",
            "6:1: variants.base@2: train.warmup_epochs: must not be more than train.epochs, 2, got 3",
        ),
        ("b: five, smallest", "b: five@3, smallest", "claims[0].b: unknown variant; available: base, base@2, base@4, "),
    ],
)  # fmt: skip
def test_invalid_horizons_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    text = STUDY.replace(old, new, 1)
    line = read_error(tmp_path, text[: text.index("  - {id: longer")])
    assert line.startswith(f"study.yaml:{message}") or message in line


def test_an_override_of_the_path_of_the_horizons_is_refused(tmp_path: Path) -> None:
    assert read_error(tmp_path, STUDY, "train.epochs=1").startswith("command line: train.epochs: set by horizons")


def test_a_search_has_no_horizons(tmp_path: Path) -> None:
    design = "design: {kind: search, space: {arch.width: [1, 2]}, budget: 2 variants}\n"
    text = STUDY[: STUDY.index("claims:")].replace("data: {", design + "data: {")
    assert read_error(tmp_path, text) == "study.yaml:6:1: horizons: cannot be combined with a search"


def test_winners_apply_at_every_level_and_the_path_of_the_horizons_cannot_be_tuned(tmp_path: Path) -> None:
    tune = "tune: {space: {train.lr: {low: 0.01, high: 0.4, log: true}}, trials: 2, epochs: 1}\n"
    tuned = "tuned: {base: {trial: 1, values: {train.lr: 0.2}}}\n"
    study = load_text(tmp_path, tune + tuned + STUDY)
    rates = {variant.name: variant.train.lr for variant in study.all_variants}
    assert rates == {"base": 0.2, "base@2": 0.2, "base@4": 0.2, "five": 0.05, "five@2": 0.05, "five@4": 0.05}
    assert study.horizon_variants[0].changes == {"train.epochs": 2}
    assert {variant.horizon for variant in study.variants} == {8}
    text = STUDY[: STUDY.index("  - {id: longer")].replace("train.epochs: [2, 4, 8]", "train.lr: [0.1, 0.2]")
    line = read_error(tmp_path, tune + text.replace("train: {lr: 0.05}\n", ""))
    assert line == "study.yaml:1:16: tune.space.train.lr: horizons set this path for every variant"


def test_a_change_that_is_no_path_is_one_problem_beside_horizons(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "version: 1\nname: s\nquestion: q\ndata: {name: digits}\narch: {stages: '8 | 8'}\n"
        "horizons: {train.epochs: [1, 2]}\nvariants:\n  a: {'train..lr': 1}\n"
    )
    with pytest.raises(SpecError, match=r"variants.a.train..lr: must be a path such as arch.stages\[2\].depth"):
        load(path)
