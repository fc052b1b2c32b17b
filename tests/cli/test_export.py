"""`export` and `describe` on a study that is really trained: the files hold the net of the record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from typer.testing import CliRunner

import vgg_ablate
from vgg_ablate.cli import app
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.study import load
from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.splits import load_splits, load_validation_images
from vgg_ablate.errors import SpecError, StorageError
from vgg_ablate.manifest import Manifest
from vgg_ablate.models import checkpoints
from vgg_ablate.models.effective_field import IMAGE_COUNT, average_field_over_images, measure_field_side
from vgg_ablate.records import Record
from vgg_ablate.training.evaluate import evaluate_split
from vgg_ablate.training.metrics import pack_correct_bits

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
    return to, run_command("export", results, "five/1", "--to", to, "--hub")


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
    assert pack_correct_bits(*test.get_classes()) == stored.tested.correct


def test_a_loaded_model_predicts_what_the_record_says(
    exported_files: tuple[Path, str], record: Path, tmp_path: Path
) -> None:
    model = vgg_ablate.load_model(exported_files[0])
    stored = Record.model_validate_json(record.read_bytes())
    assert stored.tested is not None
    split = load_splits(stored.run.data, stored.run.fingerprint, 1, torch.device("cpu")).test
    assert isinstance(split.images, torch.Tensor)
    names = model.predict(split.images)
    right = np.array([int(name) for name in names]) == split.labels.numpy()
    assert np.packbits(right).tobytes().hex() == stored.tested.correct
    array = split.images.numpy()
    pictures = [Image.fromarray(image[..., 0]) for image in array[:3]]
    assert model.predict(array[:3]) == model.predict(pictures) == names[:3]
    assert model.predict(pictures[0].resize((32, 16))) != []  # resized and cut as an image of a folder
    pictures[0].save(tmp_path / "first.png")
    assert model.predict(str(tmp_path / "first.png")) == model.predict([tmp_path / "first.png"]) == names[:1]
    proba = model.predict_proba(split.images)
    assert proba.shape == (len(names), 10)
    torch.testing.assert_close(proba.sum(1), torch.ones(len(names)))


def test_images_of_another_shape_or_file_are_refused(exported_files: tuple[Path, str], tmp_path: Path) -> None:
    model = vgg_ablate.load_model(exported_files[0] / "model.safetensors")
    with pytest.raises(ValueError, match=r"images: must be uint8, N x 8 x 8 x 1, got float32, 2 x 1 x 8 x 8"):
        model.predict(torch.zeros(2, 1, 8, 8))
    arch, net = checkpoints.load_safetensors(exported_files[0] / "model.safetensors")
    checkpoints.write_safetensors(tmp_path / "old.safetensors", arch, net.state_dict())
    with pytest.raises(SpecError, match="has no normalisation and no class names: write it again"):
        vgg_ablate.load_model(tmp_path / "old.safetensors")
    with pytest.raises(StorageError, match="gone"):
        vgg_ablate.load_model(tmp_path / "gone.safetensors")
    with pytest.raises(StorageError, match=r"README\.md: not a file of weights in the format safetensors"):
        vgg_ablate.load_model(exported_files[0] / "README.md")
    with pytest.raises(ValueError, match="images: must be PIL images, paths or a uint8 array, got int"):
        model.predict([3])  # type: ignore[list-item]
    with pytest.raises(OSError, match=r"cannot identify image file .*README\.md"):
        model.predict(exported_files[0] / "README.md")


def test_the_model_card_is_one_that_the_hub_reads(exported_files: tuple[Path, str], record: Path) -> None:
    stored = Record.model_validate_json(record.read_bytes())
    assert stored.tested is not None
    card = ModelCard.load(exported_files[0] / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", stored.tested.test_accuracy)
    assert f"Test error: {100 * (1 - stored.tested.test_accuracy):.2f} % of 359 test images." in card.text
    assert "- Stages: `4@5 | 8`" in card.text
    assert card.text.count("| ") > 10
    config = json.loads((exported_files[0] / "config.json").read_text(encoding="utf-8"))
    assert Arch.model_validate(config["arch"]) == stored.run.arch
    assert list(config["id2label"].values()) == [str(digit) for digit in range(10)]


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
