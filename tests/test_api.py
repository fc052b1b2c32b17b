"""What the package exports: the examples of its docstrings run, and studies and reports show in notebooks."""

from __future__ import annotations

import doctest
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vgg_ablate
from vgg_ablate.config.arch import Arch
from vgg_ablate.errors import SpecError
from vgg_ablate.models import checkpoints
from vgg_ablate.models.vgg import build_model

ROOT = Path(__file__).parents[1]
EXPORTED = [name for name in vgg_ablate.__all__ if callable(getattr(vgg_ablate, name)) and name[0].islower()]


class TextOfHtml(HTMLParser):
    """The text of HTML, without markup."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(autouse=True)
def _in_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with the studies, one recorded study of the clone, and a small studies/first.yaml."""
    (tmp_path / "results").mkdir()
    (tmp_path / "studies").mkdir()
    for name in ("results/kernels", "studies/examples", "studies/kernels.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    arch = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 1, "classes": 10})
    inputs = checkpoints.ImageInputs((128.0,), (64.0,), tuple("0123456789"))
    weights, net = Path("exports/kernels/five-100/model.safetensors"), build_model(arch)
    checkpoints.write_safetensors(weights, arch, net.state_dict(), inputs=inputs)
    example = "studies/examples/list-digits.yaml"
    first = vgg_ablate.load(example, "name=first", "seeds=1", "train.epochs=1", "variants={}", "claims=[]")
    Path("studies/first.yaml").write_text(first.as_yaml(), encoding="utf-8")


@pytest.mark.parametrize("name", EXPORTED)
def test_the_examples_of_a_function_run(name: str) -> None:
    globals_ = {exported: getattr(vgg_ablate, exported) for exported in vgg_ablate.__all__}
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(vgg_ablate, name), name, globs=globals_)
    assert test.examples
    messages: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=messages.append)
    assert messages == []


def test_overrides_are_given_one_by_one_or_as_a_list() -> None:
    path = "studies/examples/list-digits.yaml"
    studies = [
        vgg_ablate.load(path, "train.epochs=2", "seeds=2"),
        vgg_ablate.load(path, ["train.epochs=2", "seeds=2"]),
        vgg_ablate.load(Path(path), ("train.epochs=2", "seeds=2")),
    ]
    assert {(study.base.train.epochs, len(study.seed_list)) for study in studies} == {(2, 2)}
    with pytest.raises(SpecError, match=r"train\.epoch: unknown key"):
        vgg_ablate.load(path, "train.epoch=2")


def test_a_study_shows_its_variants_and_claims_and_no_markup_of_its_own() -> None:
    study = vgg_ablate.load("studies/kernels.yaml", 'question="Is <b>3x3</b> better?"')
    html = study._repr_html_()
    text = TextOfHtml(html).text
    assert "Is <b>3x3</b> better?" in text
    assert all(variant.name in text for variant in study.variants)
    assert all(claim.text in text for claim in study.claims)


def test_a_report_is_text_html_and_data_frames() -> None:
    report = vgg_ablate.load_report("results/kernels")
    committed = (ROOT / "results/kernels/report.md").read_text(encoding="utf-8")
    assert [line for line in str(report).splitlines() if line not in committed.splitlines()] == []
    text = TextOfHtml(report._repr_html_()).text
    assert all(name in text for name in report.variants.name)
    assert all(claim in text for claim in report.claims.text)
    assert len(report.runs) == report.variants.n.sum()
    assert "7 claims" in repr(report)
