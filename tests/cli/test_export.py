"""`export` and `describe` on a study that is really trained: the files hold the net of the record."""

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


def run_command(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "tiny.yaml").write_text(STUDY, encoding="utf-8")
    run_command("run", folder / "tiny.yaml", "--out", folder / "results", "--device", "cpu", "--workers", "1")
    return folder / "results"


@pytest.fixture(scope="module")
def exported_files(results: Path) -> tuple[Path, str]:
    to = results.parent / "five"
    return to, run_command("export", results, "five/1", "--to", to)


@pytest.fixture
def record(results: Path) -> Path:
    key = next(
        planned.key for planned in Manifest.read(results).planned if (planned.variant, planned.seed) == ("five", 1)
    )
    return results / "records" / f"{key}.json"


def test_the_exported_weights_give_the_predictions_of_the_record(
    exported_files: tuple[Path, str], record: Path
) -> None:
    arch, model = checkpoints.load_safetensors(exported_files[0] / "model.safetensors")
    stored = Record.model_validate_json(record.read_bytes())
    assert stored.tested is not None
    assert arch == stored.run.arch
    splits = load_splits(stored.run.data, stored.run.fingerprint, 1, torch.device("cpu"))
    normalize = Normalizer(splits.mean, splits.std)
    test = evaluate_split(model, splits.test, normalize, "fp32", 8, stored.run.data.evaluate)
    assert test.pack_correct_bits() == stored.tested.correct


def test_it_prints_that_the_second_training_agrees_with_the_record(exported_files: tuple[Path, str]) -> None:
    assert "five/1: bit for bit the same as its record" in exported_files[1]
    assert "no torchvision model has these layers" in exported_files[1]


def test_the_arch_beside_the_weights_can_stand_in_a_study(exported_files: tuple[Path, str], tmp_path: Path) -> None:
    written = (exported_files[0] / "arch.yaml").read_text(encoding="utf-8")
    rest = "version: 1\nname: again\nquestion: Which?\ndata: {name: digits, image_size: 8}\n"
    (tmp_path / "again.yaml").write_text(rest + written, encoding="utf-8")
    arch, _ = checkpoints.load_safetensors(exported_files[0] / "model.safetensors")
    assert load(tmp_path / "again.yaml").base.arch.to_normal_form() == arch


def test_an_unknown_run_is_one_line_with_the_nearest(results: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'five'"):
        CliRunner().invoke(app, ["export", str(results), "fife"], catch_exceptions=False)


def test_exported_weights_can_be_drawn_and_measured(exported_files: tuple[Path, str], tmp_path: Path) -> None:
    weights = exported_files[0] / "model.safetensors"
    run_command("describe", "--filters", weights, "--svg", tmp_path / "filters.svg")
    assert "4 filters of 5×5 on 1 channel<" in (tmp_path / "filters.svg").read_text(encoding="utf-8")
    output = run_command("describe", weights, "--field", "--svg", tmp_path / "field.svg")
    assert "weights as trained; mean over 16 validation images of digits" in output
    assert (tmp_path / "field.svg").stat().st_size > 0


def test_a_record_is_trained_again_and_draws_what_its_exported_weights_draw(
    results: Path, exported_files: tuple[Path, str], record: Path
) -> None:
    weights = exported_files[0] / "model.safetensors"
    of_weights, of_record = (
        json.loads(run_command("describe", "--filters", path, "--json")) for path in (weights, record)
    )
    assert of_record["filters"] == of_weights["filters"]
    _, model = checkpoints.load_safetensors(weights)
    assert torch.equal(torch.tensor(of_record["filters"]), model.state_dict()["features.0.weight"])
    fields = [json.loads(run_command("describe", path, "--field", "--json")) for path in (weights, record)]
    assert [field.pop("name") for field in fields] == ["five", "five/1"]
    assert fields[0] == fields[1]


def test_a_field_is_measured_over_the_validation_images_of_the_record(
    exported_files: tuple[Path, str], record: Path
) -> None:
    stored = Record.model_validate_json(record.read_bytes())
    _, model = checkpoints.load_safetensors(exported_files[0] / "model.safetensors")
    split = load_splits(stored.run.data, stored.run.fingerprint, 1, torch.device("cpu")).validation
    images = load_validation_images(stored.run, 1_000_000)
    assert stored.tested is not None
    with torch.inference_mode():
        right = model(images).argmax(1) == split.labels
    assert right.double().mean().item() == stored.tested.val_accuracy
    measured = json.loads(run_command("describe", exported_files[0] / "model.safetensors", "--field", "--json"))
    seen = measure_field_side(average_field_over_images(model, load_validation_images(stored.run, IMAGE_COUNT)))
    assert measured["effective_field"] == min(seen, 8)


def test_without_the_data_a_field_is_measured_over_noise_and_reported_so(
    exported_files: tuple[Path, str], record: Path, tmp_path: Path
) -> None:
    run = Record.model_validate_json(record.read_bytes()).run.model_copy(update={"fingerprint": "of other files"})
    arch, model = checkpoints.load_safetensors(exported_files[0] / "model.safetensors")
    for name, text in (("gone", run.model_dump_json()), ("unsaid", None)):
        checkpoints.write_safetensors(tmp_path / f"{name}.safetensors", arch, model.state_dict(), text)
        result = CliRunner().invoke(app, ["describe", str(tmp_path / f"{name}.safetensors"), "--field"])
        assert "weights as trained; mean over 16 images of noise" in result.stdout
        assert ("digits: files have fingerprint" in result.stderr) == (name == "gone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filters", "RESULTS/manifest.json"], "a record is records/KEY.json of a results folder"),
        (["--filters", "RESULTS/study.yaml"], "neither a weights file"),
        (["8 | 8", "--filters", "RECORD"], "--filters takes no other net and no --field, got '8 | 8'"),
        (["RECORD", "--field", "--image-size", "8"], "a trained net has its image size"),
        (["RECORD"], "a trained net needs --field, or --filters before its name"),
    ],
)
def test_an_invalid_request_is_one_line(results: Path, record: Path, arguments: list[str], message: str) -> None:
    given = [text.replace("RESULTS", str(results)).replace("RECORD", str(record)) for text in arguments]
    with pytest.raises(SpecError, match=re.escape(message)) as error:
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
