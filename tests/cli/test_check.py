"""`check` prints what it validated, the mismatch of matched nets, and warnings of costly or fragile settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.cli.check import check
from vgg_ablate.cli.plan import plan
from vgg_ablate.errors import SpecError

STUDY = """\
version: 1
name: large
question: how large?
data: {name: cifar10}
arch: {stages: "64 64 | 128 128 | 256 256", norm: batch}
variants:
  wide: {arch.width: 32}
  five: {arch.kernel: 5, arch.match: {macs: base, tolerance: 2%}}
"""


DEEP = """\
version: 1
name: deep
question: does it warm up?
data: {name: cifar10}
arch: {stages: "8 8 8 | 8", norm: batch}
train: {lr: 0.05}
variants:
  warm: {train.warmup_epochs: 1}
  cycle: {train.schedule: one_cycle}
  slow: {train.lr: 0.02}
  shallow: {arch.stages: "8 8 | 8 8"}
  deeper: {arch.stages: "8 | 8 8 8 8"}
  wholly: {train.ensemble: [{stages: "8 8 8"}], arch.stages: "8 8 | 8"}
"""


def test_deep_nets_that_start_at_a_high_learning_rate_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(DEEP)
    check(path, None)
    assert capsys.readouterr().err == (
        "warning: base, deeper, wholly: more than two convolutions in a stage, trained at a learning rate above 0.02 "
        "without warm-up: such runs often stall; set train.warmup_epochs: 1\n"
    )


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_claims_that_too_few_seeds_cannot_decide_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    path = tmp_path / "few.yaml"
    path.write_text(
        "version: 1\nname: few\nquestion: is it decided?\ndata: {name: digits, image_size: 8}\n"
        f"seeds: {seeds}\narch: {{stages: '4 | 4'}}\nvariants: {{wide: {{arch.width: 2}}}}\nclaims:\n"
        "  - {id: helps, text: t, kind: better, a: wide, b: base}\n"
        "  - {id: larger, text: t, kind: worse, a: wide, b: base, metric: params}\n"
    )
    rule = f"{seeds} seed{'s' * (seeds > 1)}; a verdict on helps needs at least 3"
    expected = f"warning: {path}:5:1: seeds: {rule}\n" if seeds < 3 else ""
    check(path, None)
    assert capsys.readouterr().err == expected
    plan(path, None, out=tmp_path / "results", probe=False)
    assert capsys.readouterr().err == expected


def test_the_registration_is_printed_and_a_trend_needs_costs_that_vary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.yaml"
    claim = "{id: c, text: t, kind: better, trend: {over: OVER, variants: [base, slow]}}"
    header = DEEP + "registered: 2026-11-25\nsmallest_effect: 0.5\nhorizons: {train.epochs: [5, 10]}\nclaims:\n"
    path.write_text(f"{header}  - {claim.replace('OVER', 'train.lr')}\n")
    check(path, None)
    assert capsys.readouterr().out == (
        "deep: ok (7 variants x 5 seeds x 2 horizons = 70 runs; claims: 1; smallest effect: 0.5 points; "
        "registered 2026-11-25)\n"
    )
    path.write_text(f"{header}  - {claim.replace('OVER', 'weight_layers')}\n")
    with pytest.raises(SpecError) as caught:
        check(path, None)
    (line,) = str(caught.value).splitlines()
    rule = "claims[0].trend.over: is 5 in every variant, so that no slope is defined, got 'weight_layers'"
    assert line == f"{path}:18:44: {rule}"


def test_mismatches_are_printed_and_a_billion_parameters_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(STUDY)
    check(path, None)
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "large: ok (3 variants x 5 seeds = 15 runs; claims: 0)",
        "five: matched, −0.18 % of 152.8 M MACs",
    ]
    assert printed.err == (
        "warning: wide: 1,171,662,858 parameters: weights, gradients and momentum alone take 13 GiB in fp32\n"
    )


DENSE = """\
version: 1
name: scales
question: at which scale?
data:
  name: cifar10
  evaluate: {view: dense, scales: [32, 55]}
arch: {preset: B, head: {hidden: []}}
variants:
  whole: {data.evaluate.scales: [32, 64]}
  shallow: {arch.stages: "16 16 | 32 32 | 64 64 /", data.evaluate.scales: [32, 33, 48]}
  shallow-far:
    arch.stages: "16 16 | 32 32 | 64 64 /"
    data.evaluate.scales: 35
  both: {train.ensemble: [{stages: "16 | 32 /"}]}  # has the problem of the base, which is reported once
"""


def test_a_scale_that_dense_evaluation_does_not_cover_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "scales.yaml"
    path.write_text(DENSE)
    with pytest.raises(SpecError) as caught:
        check(path, None)
    message = "dense evaluation at 55 pixels covers 33 % of the image; nearest scales that cover at least 90 %: 33, 64"
    assert str(caught.value).splitlines() == [
        f"{path}:6:27: data.evaluate.scales: {message}",
        f"{path}:11:3: variants.shallow-far: data.evaluate.scales: dense evaluation at 35 pixels covers 83 % of the "
        "image; nearest scales that cover at least 90 %: 33, 36",
    ]


def test_a_learning_rate_of_100_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fast.yaml"
    path.write_text(
        "version: 1\nname: fast\nquestion: q?\ndata: {name: digits, image_size: 16}\n"
        'arch: {stages: "8 | 16"}\ntrain: {epochs: 2, lr: 0.01}\n'
        "variants:\n  one: {train.lr: 1}\n  hundred: {train.lr: 100}\n"
    )
    check(path)
    assert capsys.readouterr().err == (
        "warning: hundred: a learning rate above 1 is unusual; common rates are 0.001 to 0.1\n"
    )
