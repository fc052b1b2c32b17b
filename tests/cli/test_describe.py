"""`describe` on the command line: its output, its files and its errors."""

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


def describe(*arguments: str) -> str:
    """Return what the command prints."""
    result = CliRunner().invoke(app, ["describe", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def describe_invalid(*arguments: str) -> str:
    """Return the error message of an invalid command."""
    with pytest.raises(SpecError) as error:
        CliRunner().invoke(app, ["describe", *arguments], catch_exceptions=False)
    return str(error.value)


def test_preset_d_has_the_costs_of_the_paper() -> None:
    document = json.loads(describe("D", "--json"))
    assert (document["params"], document["macs"], document["weight_layers"]) == (138_357_544, 15_470_264_320, 16)


def test_a_preset_takes_another_size_and_number_of_classes() -> None:
    document = json.loads(describe("D", "--image-size", "32", "--classes", "10", "--json"))
    assert (document["image_size"], document["classes"], document["layers"][-1]["out"]) == (32, 10, 10)


def test_the_tables_name_every_layer() -> None:
    text = describe("A")
    assert all(f"conv{stage}_1" in text for stage in range(1, 6))
    assert "FC-4096" in text


def test_a_study_is_its_variants_side_by_side(study: Path) -> None:
    document = json.loads(describe(str(study), "--json"))
    assert [variant["name"] for variant in document["variants"]] == ["base", "five"]
    assert "conv5-8 *" in describe(str(study))


def test_a_variant_is_one_net(study: Path) -> None:
    assert json.loads(describe(f"{study}:five", "--json"))["notation"] == "8@5 | 16@5"


def test_the_drawing_is_written(study: Path, tmp_path: Path) -> None:
    describe(str(study), "--svg", str(tmp_path / "new/two.svg"))
    assert (tmp_path / "new/two.svg").read_text(encoding="utf-8").startswith("<svg")


def test_an_unknown_preset_is_one_line_with_the_nearest() -> None:
    message = describe_invalid("vgg16_nb")
    assert "\n" not in message
    assert message.endswith("did you mean 'vgg16_bn'?")


def test_an_unknown_variant_is_one_line_with_the_nearest(study: Path) -> None:
    message = describe_invalid(f"{study}:fife")
    assert "\n" not in message
    assert message.endswith("did you mean 'five'?")


def test_an_image_that_is_too_small_is_refused_with_the_place(study: Path) -> None:
    assert "cannot be halved" in describe_invalid(str(study), "--image-size", "3")
    assert "cannot be halved" in describe_invalid("D", "--image-size", "16")


def test_describing_imports_no_torch(study: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from vgg_ablate.cli import app; "
        f"CliRunner().invoke(app, ['describe', {str(study)!r}], catch_exceptions=False); "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
