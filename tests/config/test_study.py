"""A study file is read completely or refused, with the location, the rule and the given value of every error."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError

STUDY = """\
version: 1
name: kernels
question: Do two 3x3 beat one 5x5?
seeds: 3
data: {name: digits, image_size: 32}
arch: {stages: "16 16 | 32 32 | 64 64", norm: batch, head: {hidden: [64], dropout: 0.5}}
train: {epochs: 2, lr: 1e-3}
variants:
  five:
    arch.kernel: 5
claims:
  - {id: small, text: two 3x3 beat one 5x5, kind: better, a: base, b: five}
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]  # returns a function: text -> path
    def write_file(text: str, name: str = "study.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def read_errors(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def test_a_study_is_its_base_and_its_variants(write) -> None:  # type: ignore[no-untyped-def]
    study = load(write(STUDY))
    assert [variant.name for variant in study.variants] == ["base", "five"]
    assert study.seed_list == (0, 1, 2)
    assert study.variants[1].arch.to_normal_form().to_notation() == "16@5 | 32@5 | 64@5"
    assert study.base.train.lr == 0.001


def test_a_study_written_as_yaml_reads_back_as_an_equal_study(write) -> None:  # type: ignore[no-untyped-def]
    study = load(write(STUDY), ["train.epochs=7", "arch.stages[2].depth=3", "claims.small.margin=0.5"])
    read_back = load(write(study.as_yaml(), "copy.yaml"))
    assert read_back == study
    assert read_back.base.train.epochs == 7
    assert read_back.base.arch.to_normal_form().to_notation() == "16 16 | 32 32 | 64 64 64"
    assert read_back.claims[0].margin == 0.5


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("digits", "digitz", "study.yaml:5:8: data.name: unknown data set; available:"),
        ("64 64", "64 x64", "study.yaml:6:8: arch.stages: column 20: 'x64' is not a convolution"),
        ("batch", "batchh", "study.yaml:6:41: arch.norm: must be one of none, batch, group, lrn, got 'batchh'"),
        ("dropout", "dropot", "study.yaml:6:75: arch.head.dropot: unknown key, got 'dropot'; did you mean 'dropout'?"),
        ("epochs: 2", "epochs: 2.5", "study.yaml:7:9: train.epochs: must be a valid integer, got 2.5"),
        ("lr: 1e-3", "lr: -1", "study.yaml:7:20: train.lr: must be greater than 0, got -1"),
        ("lr: 1e-3", "lr: .nan", "study.yaml:7:20: train.lr: must be"),
        (
            "lr: 1e-3",
            "warmup_epochs: 3",
            "study.yaml:7:20: train.warmup_epochs: must not be more than train.epochs, 2, got 3",
        ),
        (
            "arch.kernel: 5",
            "train.warmup_epochs: 2.5",
            "study.yaml:10:5: variants.five: train.warmup_epochs: must not be more than train.epochs, 2, got 2.5",
        ),
        (
            "epochs: 2",
            "warmup_epochs: 2, pretrain: {arch: {stages: '4'}, epochs: 1}",
            "study.yaml:7:9: train.warmup_epochs: must not be more than train.pretrain.epochs, 1, got 2",
        ),
        ("arch.kernel: 5", "arch.kernel: 6", "study.yaml:10:5: variants.five: arch.kernel[0]: must be 3, 5, 7,"),
        ("arch.kernel: 5", "arch.kernl: 5", "study.yaml:10:5: variants.five: arch.kernl: unknown key, got 'kernl'"),
        ("arch.kernel: 5", "seeds: 5", "study.yaml:10:5: variants.five.seeds: a change must start with arch, data, "),
        (
            "variants:\n",
            "variants:\n  base: {arch.width: 2}\n",
            "study.yaml:9:3: variants.base: reserved for the net of the study itself; choose another name",
        ),
        ("hidden: [64]", "hidden: 32", "study.yaml:6:61: arch.head.hidden: must be a list such as [64], or a mapping"),
        ("arch.kernel: 5", "train.epochs: 2", "study.yaml:9:3: variants.five: identical to 'base'"),
        ("arch.kernel: 5", "arch.kernel: 3", "study.yaml:9:3: variants.five: identical to 'base'"),
        ("arch.kernel: 5", "arch.depth: 2", "study.yaml:9:3: variants.five: identical to 'base'"),
        ("arch.kernel: 5", "arch.image_size: 32", "study.yaml:9:3: variants.five: identical to 'base'"),
        (
            "b: five",
            "b: fife",
            "study.yaml:12:68: claims[0].b: unknown variant; available: base, five, got 'fife'; did",
        ),
        ("better,", "equivalent,", "study.yaml:12:5: claims[0].margin: must be greater than 0 for a claim of kind equ"),
        ("train: {", "train: 3 #", "study.yaml:7:1: train: must be a mapping such as {epochs: ...}, got 3"),
        (
            "name: kernels",
            "name: my kernels",
            "study.yaml:2:1: name: must have only letters, digits and . _ + = -, and start with a letter or a digit, "
            "got 'my kernels'; did you mean 'my-kernels'?",
        ),
        ("norm: batch", "norm: true", "study.yaml:6:41: arch.norm: must be one of none, batch, group, lrn, got True"),
        (
            "image_size: 32}",
            "augment: flip}",
            "study.yaml:5:22: data.augment: must be a mapping such as {flip: ...}, got 'flip'",
        ),
        (
            "{stages: ",
            "8 8 | 16 #",
            "study.yaml:6:1: arch.preset: unknown preset; available: A, A-LRN, B, C, D, E, shallow, vgg11, vgg13, "
            "vgg16, vgg19, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn, "
            "note; stages are written {stages: '64 64 | 128'}, got",
        ),
        (
            "arch.kernel: 5",
            "kernel: 5",
            "study.yaml:10:5: variants.five.kernel: a change must start with arch, data, train or tune; "
            "did you mean 'arch.kernel'?",
        ),
        (
            "arch.kernel: 5",
            "arch: {kernel: 5}",
            "study.yaml:10:5: variants.five.arch: replaces the whole arch, without head, norm, stages; "
            "to change one part, write arch.kernel",
        ),
        ("better,", "better, metric: accuracy,", "study.yaml:12:59: claims[0].metric: must be 'test_error', "),
        (
            "seeds: 3",
            " seeds: 3",
            "study.yaml:4:7: a key cannot stand here: indented deeper than the line above it, or a text with ': ' "
            "without quotes",
        ),
        (
            "  five:",
            "   four: {arch.norm: none}\n  five:",
            "study.yaml:10:3: indented unlike the lines above it: keys of one mapping start in the same column",
        ),
        ("  five:", "\tfive:", "study.yaml:9:1: a tab cannot indent a line: use spaces"),
        ("seeds: 3", "sedes: 3", "study.yaml:4:1: sedes: unknown key, got 'sedes'; did you mean 'seeds'?"),
        ("seeds: 3", "seeds: 0", "study.yaml:4:1: seeds: must be from 1 to 1,000, got 0"),
        ("seeds: 3", "seeds: [1000000]", "study.yaml:4:9: seeds[0]: must be less than 1000000, got 1000000"),
        ("seeds: 3", 'extends: "a\\0"', "study.yaml:4:10: the character U+0000 is not allowed"),
        (
            '{stages: "',
            '{preset: {D: 1}, stages: "',
            "study.yaml:6:8: arch.preset: unknown preset; available: A, A-LRN,",
        ),
        (
            "seeds: 3",
            "seeds: two",
            "study.yaml:4:1: seeds: must be a number of seeds, a list of seeds, or looks, got 'two'",
        ),
        ("seeds: 3", "seeds: [3, 1, 3]", "study.yaml:4:1: seeds: duplicate seed 3"),
        ("seeds: 3", "seeds: [1, -1]", "study.yaml:4:12: seeds[1]: must be greater than or equal to 0, got -1"),
        ("seeds: 3", "seeds: {looks: [5, 3]}", "study.yaml:4:9: seeds.looks: must be strictly increasing, got [5, 3]"),
        ("seeds: 3", "name: 3", "study.yaml:4:1: duplicate key 'name'"),
        ("data: {", "data: [", "study.yaml:5:"),
        ("question: Do two 3x3 beat one 5x5?\n", "", "study.yaml: question: must be given"),
    ],
)
def test_an_error_is_one_line_with_its_location(write, old: str, new: str, expected: str) -> None:  # type: ignore[no-untyped-def]
    assert old in STUDY
    (line,) = read_errors(write(STUDY.replace(old, new, 1)))
    assert line.startswith(expected)


def test_all_errors_are_reported_together(write) -> None:  # type: ignore[no-untyped-def]
    bad = STUDY.replace("digits", "digitz").replace("epochs: 2", "epochs: none").replace("norm: batch", "norm: btach")
    assert len(read_errors(write(bad))) == 3


def test_problems_of_variants_are_reported_with_those_of_the_rest(write) -> None:  # type: ignore[no-untyped-def]
    bad = STUDY.replace("lr: 1e-3}", "lr: -1, warmup_epochs: 2}").replace("seeds: 3", "sedes: 3")
    bad = bad.replace("arch.kernel: 5", "arch.kernel: 4\n  longer: {train.epochs: 1}\n  lower: {train.lr: -2}")
    assert read_errors(write(bad), "epochs=2") == [
        "command line: epochs: unknown key, got 'epochs'; did you mean 'train.epochs'?",
        "study.yaml:7:20: train.lr: must be greater than 0, got -1",
        "study.yaml:4:1: sedes: unknown key, got 'sedes'; did you mean 'seeds'?",
        "study.yaml:10:5: variants.five: arch.kernel[0]: must be 3, 5, 7, '1x1-last', '1xn', 'every-3', 'every-5' or "
        "'every-7', got 4",
        "study.yaml:12:11: variants.lower: train.lr: must be greater than 0, got -2",
    ]
    missing = STUDY.replace("question: Do two 3x3 beat one 5x5?\n", "").replace("arch.kernel: 5", "arch.kernl: 5")
    assert len(read_errors(write(missing))) == 2


def test_a_rule_over_several_values_is_not_reported_where_one_of_them_is_invalid(write) -> None:  # type: ignore[no-untyped-def]
    crops = STUDY.replace("image_size: 32", "augment: {crop_padding: 4}")
    crops = crops.replace("arch.kernel: 5", "data.augment.resized_crop: {area: [0.25, 1.0]}")
    (line,) = read_errors(write(crops))
    assert "variants.five: data.augment" in line
    (line,) = read_errors(write(crops.replace("augment:", "limit: few, augment:")))
    assert line.startswith("study.yaml:5:22: data.limit: must be a valid integer")


def test_an_override_is_validated_like_the_file(write) -> None:  # type: ignore[no-untyped-def]
    path = write(STUDY)
    assert read_errors(path, "train.epochs=0") == [
        "command line: train.epochs: must be greater than or equal to 1, got 0"
    ]
    assert read_errors(path, "trian.epochs=2") == [
        "command line: trian.epochs: unknown key, got 'trian.epochs'; did you mean 'train'?"
    ]
    assert read_errors(path, "train.epochs") == [
        "command line: train.epochs: must have the form path=value, got 'train.epochs'"
    ]


def test_errors_in_an_extended_file_have_the_location_in_that_file(write) -> None:  # type: ignore[no-untyped-def]
    write(STUDY)
    path = write(
        "extends: study.yaml\nname: kernels-wide\narch: {width: 2.0}\nvariants: {six: {train.lr: 0.1}}\n", "wide.yaml"
    )
    study = load(path)
    assert (study.name, study.base.arch.width, len(study.variants)) == ("kernels-wide", 2.0, 3)
    write(STUDY.replace("batch", "bach"))
    assert read_errors(path)[0].startswith("study.yaml:6:41: arch.norm:")
    path.write_text("extends: study.yaml\narch: {wdith: 2.0}\n")
    assert any(line.startswith("wide.yaml:2:8: arch.wdith: unknown key") for line in read_errors(path))
    path.write_text("extends: wide.yaml\n")
    assert read_errors(path) == ["wide.yaml: the file extends itself"]


def test_a_missing_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    assert read_errors(tmp_path / "none.yaml") == ["none.yaml: cannot be read: No such file or directory"]


def test_a_change_of_preset_keeps_the_other_fields_of_the_base(write) -> None:  # type: ignore[no-untyped-def]
    text = STUDY.replace('stages: "16 16 | 32 32 | 64 64", norm: batch', "preset: B, width: 0.25, norm: batch")
    study = load(write(text.replace("arch.kernel: 5", "arch.preset: C")))
    assert study.variants[1].arch.to_normal_form().to_notation().startswith("16 16 | 32 32 | 64 64 64@1 |")
    assert study.variants[1].arch.head.dropout == 0.5


def load_design(write, design: str) -> Study:  # type: ignore[no-untyped-def]
    start = STUDY.index("variants:")
    return load(write(STUDY[:start] + design))


def test_one_factor_at_a_time_has_a_variant_for_every_other_level(write) -> None:  # type: ignore[no-untyped-def]
    design = (
        "design:\n  kind: one_factor_at_a_time\n  factors:\n    arch.norm: [batch, none]\n    train.lr: [0.1, 0.2]\n"
    )
    study = load_design(write, design)
    assert [variant.name for variant in study.variants] == ["base", "norm=none", "lr=0.1", "lr=0.2"]
    assert study.base.levels == {"arch.norm": "batch"}


def test_a_factorial_has_every_combination_and_the_base_is_one_of_them(write) -> None:  # type: ignore[no-untyped-def]
    design = (
        "design:\n  kind: factorial\n  factors:\n    arch.norm: [batch, none]\n"
        "    rate: {low: {train.lr: 1e-3}, high: {train.lr: 0.1, train.warmup_epochs: 1}}\n"
    )
    study = load_design(write, design)
    assert [variant.name for variant in study.variants] == [
        "base", "norm=batch+rate=high", "norm=none+rate=low", "norm=none+rate=high"
    ]  # fmt: skip
    assert study.base.levels == {"arch.norm": "batch", "rate": "low"}
    assert study.variants[3].train.warmup_epochs == 1


def test_a_level_that_equals_the_base_in_another_spelling_is_the_base(write) -> None:  # type: ignore[no-untyped-def]
    design = "design:\n  kind: factorial\n  factors:\n    arch.kernel: [3, 5]\n    arch.norm: [batch, none]\n"
    study = load_design(write, design)
    assert [variant.name for variant in study.variants] == [
        "base", "kernel=3+norm=none", "kernel=5+norm=batch", "kernel=5+norm=none"
    ]  # fmt: skip
    assert study.base.levels == {"arch.kernel": "3", "arch.norm": "batch"}


def test_two_cells_of_a_design_with_the_same_net_are_an_error(write) -> None:  # type: ignore[no-untyped-def]
    design = "design:\n  kind: factorial\n  factors:\n    arch.kernel: [3, 5]\n    arch.between: [activation, none]\n"
    with pytest.raises(SpecError) as caught:
        load_design(write, design)
    (line,) = str(caught.value).splitlines()
    assert line.split("study.yaml:")[1] == (
        "8:1: variants.kernel=5+between=none: identical to 'kernel=5+between=activation': its changes have no effect"
    )


def test_a_cumulative_design_keeps_the_changes_of_the_steps_before(write) -> None:  # type: ignore[no-untyped-def]
    study = load_design(
        write, "design:\n  kind: cumulative\n  steps: {plain: {arch.norm: none}, five: {arch.kernel: 5}}\n"
    )
    assert study.variants[2].changes == {"arch.norm": "none", "arch.kernel": 5}


def test_leave_one_out_removes_one_part_at_a_time(write) -> None:  # type: ignore[no-untyped-def]
    study = load_design(
        write, "design:\n  kind: leave_one_out\n  parts: {bn: {arch.norm: none}, dropout: {arch.head.dropout: 0}}\n"
    )
    assert [variant.name for variant in study.variants] == ["base", "no-bn", "no-dropout"]


@pytest.mark.parametrize(
    ("levels", "rule"),
    [
        ("[0.1, 0.2, 0.1]", "duplicate level name; `name: {path: value}` names a level explicitly, got '0.1'"),
        (
            "[{kind: step, step_epochs: 1}, {kind: step, step_epochs: 2}]",
            "duplicate level name; `name: {path: value}` names a",
        ),
        ("[]", "must have at least one level"),
    ],
)
def test_levels_of_one_name_are_refused(write, levels: str, rule: str) -> None:  # type: ignore[no-untyped-def]
    design = f"design: {{kind: one_factor_at_a_time, factors: {{train.schedule: {levels}}}}}\nvariants:"
    (line,) = read_errors(write(STUDY.replace("variants:", design, 1)))
    assert line.startswith(f"study.yaml:8:48: design.factors.train.schedule: {rule}")


def test_two_levels_of_one_factor_cannot_both_be_the_base(write) -> None:  # type: ignore[no-untyped-def]
    levels = "{a: {train.epochs: 2}, b: {train.lr: 1e-3}}"
    design = f"design: {{kind: one_factor_at_a_time, factors: {{how: {levels}}}}}\nvariants:"
    (line,) = read_errors(write(STUDY.replace("variants:", design, 1)))
    assert "variants.how=b: identical to 'base'" in line


def test_a_factor_whose_path_ends_in_an_index_names_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "sized.yaml"
    path.write_text(
        "version: 1\nname: sized\nquestion: q?\ndata: {name: digits, image_size: 16}\n"
        'arch: {stages: "8 | 16", head: {hidden: [8]}}\n'
        "design: {kind: factorial, factors: {'arch.head.hidden[0]': [4, 16], arch.width: [2, 3]}}\n"
    )
    names = [variant.name for variant in load(path).variants]
    assert names[-4:] == ["hidden.0=4+width=2", "hidden.0=4+width=3", "hidden.0=16+width=2", "hidden.0=16+width=3"]
