"""`describe` on the command line: what it prints, what it writes, and how it says no."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vgg_ablate.cli import app
from vgg_ablate.errors import SpecError

STUDY = """\
version: 1
name: two
question: Which?
data: {name: digits, image_size: 16}
arch: {stages: "8 8 | 16 16"}
variants:
  five: {arch.kernel: 5}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "two.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path / "two.yaml"


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["describe", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments: str) -> str:
    with pytest.raises(SpecError) as error:
        CliRunner().invoke(app, ["describe", *arguments], catch_exceptions=False)
    return str(error.value)


def test_d_has_the_papers_numbers() -> None:
    told = json.loads(said("D", "--json"))
    assert (told["params"], told["macs"], told["weight_layers"]) == (138_357_544, 15_470_264_320, 16)


def test_a_preset_takes_another_size_and_number_of_classes() -> None:
    told = json.loads(said("D", "--image-size", "32", "--classes", "10", "--json"))
    assert (told["image_size"], told["classes"], told["layers"][-1]["out"]) == (32, 10, 10)


def test_the_tables_name_every_layer() -> None:
    text = said("A")
    assert all(f"conv{stage}_1" in text for stage in range(1, 6))
    assert "FC-4096" in text


def test_a_study_is_its_variants_side_by_side(study: Path) -> None:
    told = json.loads(said(str(study), "--json"))
    assert [one["name"] for one in told["variants"]] == ["base", "five"]
    assert "conv5-8 *" in said(str(study))


def test_a_variant_is_one_net(study: Path) -> None:
    assert json.loads(said(f"{study}:five", "--json"))["notation"] == "8@5 | 16@5"


def test_the_picture_is_written(study: Path, tmp_path: Path) -> None:
    said(str(study), "--svg", str(tmp_path / "new/two.svg"))
    assert (tmp_path / "new/two.svg").read_text(encoding="utf-8").startswith("<svg")


def test_an_unknown_preset_is_one_line_with_the_nearest() -> None:
    message = refused("vgg16_nb")
    assert "\n" not in message
    assert message.endswith("did you mean 'vgg16_bn'?")


def test_an_unknown_variant_is_one_line_with_the_nearest(study: Path) -> None:
    message = refused(f"{study}:fife")
    assert "\n" not in message
    assert message.endswith("did you mean 'five'?")


def test_an_image_that_is_too_small_is_refused_with_the_place(study: Path) -> None:
    assert "cannot be halved" in refused(str(study), "--image-size", "3")
    assert "cannot be halved" in refused("D", "--image-size", "16")


def test_describing_imports_no_torch(study: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from vgg_ablate.cli import app; "
        f"CliRunner().invoke(app, ['describe', {str(study)!r}], catch_exceptions=False); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
