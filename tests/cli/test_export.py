"""`export` on a study that was run for real: the files hold the net of the record, and nothing else can be had."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vgg_ablate.cli import app
from vgg_ablate.config.study import load
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.splits import load_splits, load_validation_images
from vgg_ablate.errors import SpecError
from vgg_ablate.models import checkpoints
from vgg_ablate.models.effective_field import IMAGE_COUNT, average_field_over_images, measure_field_side
from vgg_ablate.records import Manifest, Record
from vgg_ablate.training.evaluate import evaluate_split

STUDY = """\
version: 1
name: tiny
question: Does a 5x5 do as well?
seeds: [1]
data: {name: digits, image_size: 8, limit: 300}
arch: {stages: "4 4 | 8", norm: batch}
train: {epochs: 2, lr: 0.05, precision: fp32}
variants:
  five: {arch.kernel: 5}
"""


def said(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "tiny.yaml").write_text(STUDY, encoding="utf-8")
    said("run", folder / "tiny.yaml", "--out", folder / "results", "--device", "cpu", "--workers", "1")
    return folder / "results"


@pytest.fixture(scope="module")
def exported(results: Path) -> tuple[Path, str]:
    to = results.parent / "five"
    return to, said("export", results, "five/1", "--to", to)


@pytest.fixture
def record(results: Path) -> Path:
    key = next(one.key for one in Manifest.read(results).planned if (one.variant, one.seed) == ("five", 1))
    return results / "records" / f"{key}.json"


def test_the_exported_weights_answer_as_the_record_says(exported: tuple[Path, str], record: Path) -> None:
    arch, model = checkpoints.load_safetensors(exported[0] / "model.safetensors")
    stored = Record.model_validate_json(record.read_bytes())
    assert stored.tested is not None
    assert arch == stored.run.arch
    found = load_splits(stored.run.data, stored.run.fingerprint, 1, torch.device("cpu"))
    normalise = Normalizer(found.mean, found.std)
    test = evaluate_split(model, found.test, normalise, "fp32", 8, stored.run.data.evaluate)
    assert test.correct_bits() == stored.tested.correct


def test_it_says_that_the_training_was_had_again(exported: tuple[Path, str]) -> None:
    assert "five/1: bit for bit the same as its record" in exported[1]
    assert "no torchvision model has these layers" in exported[1]


def test_the_arch_beside_the_weights_can_stand_in_a_study(exported: tuple[Path, str], tmp_path: Path) -> None:
    written = (exported[0] / "arch.yaml").read_text(encoding="utf-8")
    rest = "version: 1\nname: again\nquestion: Which?\ndata: {name: digits, image_size: 8}\n"
    (tmp_path / "again.yaml").write_text(rest + written, encoding="utf-8")
    arch, _ = checkpoints.load_safetensors(exported[0] / "model.safetensors")
    assert load(tmp_path / "again.yaml").base.arch.to_normal_form() == arch


def test_an_unknown_run_is_one_line_with_the_nearest(results: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'five'"):
        CliRunner().invoke(app, ["export", str(results), "fife"], catch_exceptions=False)


def test_exported_weights_can_be_looked_at(exported: tuple[Path, str], tmp_path: Path) -> None:
    weights = exported[0] / "model.safetensors"
    said("describe", "--filters", weights, "--svg", tmp_path / "filters.svg")
    assert "4 filters of 5×5 on 1 channel<" in (tmp_path / "filters.svg").read_text(encoding="utf-8")
    told = said("describe", weights, "--field", "--svg", tmp_path / "field.svg")
    assert "weights as trained; mean over 16 validation images of digits" in told
    assert (tmp_path / "field.svg").stat().st_size > 0


def test_a_record_is_trained_again_and_shows_what_its_exported_weights_show(
    results: Path, exported: tuple[Path, str], record: Path
) -> None:
    weights = exported[0] / "model.safetensors"
    of_weights, of_record = (json.loads(said("describe", "--filters", one, "--json")) for one in (weights, record))
    assert of_record["filters"] == of_weights["filters"]
    _, model = checkpoints.load_safetensors(weights)
    assert torch.equal(torch.tensor(of_record["filters"]), model.state_dict()["features.0.weight"])
    fields = [json.loads(said("describe", one, "--field", "--json")) for one in (weights, record)]
    assert [field.pop("name") for field in fields] == ["five", "five/1"]
    assert fields[0] == fields[1]


def test_the_images_of_a_field_are_those_that_the_records_validation_scored(
    exported: tuple[Path, str], record: Path
) -> None:
    stored = Record.model_validate_json(record.read_bytes())
    _, model = checkpoints.load_safetensors(exported[0] / "model.safetensors")
    split = load_splits(stored.run.data, stored.run.fingerprint, 1, torch.device("cpu")).validation
    images = load_validation_images(stored.run, 1_000_000)
    assert stored.tested is not None
    with torch.inference_mode():
        right = model(images).argmax(1) == split.labels
    assert right.double().mean().item() == stored.tested.val_accuracy
    found = json.loads(said("describe", exported[0] / "model.safetensors", "--field", "--json"))
    seen = measure_field_side(average_field_over_images(model, load_validation_images(stored.run, IMAGE_COUNT)))
    assert found["effective_field"] == min(seen, 8)


def test_without_the_data_a_field_is_measured_over_noise_and_says_so(
    exported: tuple[Path, str], record: Path, tmp_path: Path
) -> None:
    run = Record.model_validate_json(record.read_bytes()).run.model_copy(update={"fingerprint": "of other files"})
    arch, model = checkpoints.load_safetensors(exported[0] / "model.safetensors")
    for name, text in (("gone", run.model_dump_json()), ("unsaid", None)):
        checkpoints.write_safetensors(tmp_path / f"{name}.safetensors", arch, model.state_dict(), text)
        done = CliRunner().invoke(app, ["describe", str(tmp_path / f"{name}.safetensors"), "--field"])
        assert "weights as trained; mean over 16 images of noise" in done.stdout
        assert ("digits: files have fingerprint" in done.stderr) == (name == "gone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--filters", "RESULTS/manifest.json"], "a record is records/KEY.json of a results folder"),
        (["--filters", "RESULTS/study.yaml"], "neither a weights file"),
        (["8 | 8", "--filters", "RECORD"], "nothing beside it, got '8 | 8'"),
        (["RECORD", "--field", "--image-size", "8"], "a trained net has its image size"),
        (["RECORD"], "a trained net is shown by `--field`"),
    ],
)
def test_what_cannot_be_shown_is_one_line(results: Path, record: Path, arguments: list[str], said: str) -> None:
    given = [one.replace("RESULTS", str(results)).replace("RECORD", str(record)) for one in arguments]
    with pytest.raises(SpecError, match=re.escape(said)) as error:
        CliRunner().invoke(app, ["describe", *given], catch_exceptions=False)
    assert "\n" not in str(error.value)


def test_a_record_of_no_run_that_its_study_plans_is_refused(results: Path, record: Path) -> None:
    stray = record.with_name("0123456789abcdef.json")
    stray.write_bytes(record.read_bytes())
    try:
        with pytest.raises(SpecError, match="the record of no run that its study plans"):
            CliRunner().invoke(app, ["describe", "--filters", str(stray)], catch_exceptions=False)
    finally:
        stray.unlink()
