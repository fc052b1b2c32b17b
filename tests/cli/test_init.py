"""`init` writes an example of every design; the same studies are in studies/examples, and each one trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML

import vgg_ablate
from vgg_ablate.cli.init import DesignName, init
from vgg_ablate.config.designs import DESIGNS
from vgg_ablate.config.json_schema import build_schema
from vgg_ablate.errors import StorageError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "studies/examples"
NAMES: tuple[DesignName, ...] = get_args(DesignName)


def get_example(design: DesignName) -> Path:
    return EXAMPLES / f"{design.replace('_', '-')}-digits.yaml"


def test_every_design_has_an_example() -> None:
    annotations: list[Any] = [design.model_fields["kind"].annotation for design in DESIGNS]
    assert {kind for annotation in annotations for kind in get_args(annotation)} == set(NAMES) - {"horizons"}
    assert sorted(map(get_example, NAMES)) == sorted(EXAMPLES.iterdir())


@pytest.mark.parametrize("design", NAMES)
def test_the_example_in_the_clone_is_what_init_writes(design: DesignName, tmp_path: Path) -> None:
    init(tmp_path / f"studies/examples/{get_example(design).name}", design)
    written = (tmp_path / "studies/examples" / get_example(design).name).read_text(encoding="utf-8")
    committed = get_example(design).read_text(encoding="utf-8")
    assert written.partition("\n")[2] == committed.partition("\n")[2], "write studies/examples again with init"
    assert committed.startswith("# yaml-language-server: $schema=../../schemas/study.schema.json\n")


def test_outside_of_a_clone_the_schema_is_written_beside_the_study(tmp_path: Path) -> None:
    init(tmp_path / "mine/norm.yaml")
    text = (tmp_path / "mine/norm.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=study.schema.json\nversion: 1\nname: norm\n")
    schema: Any = YAML(typ="safe", pure=True).load(tmp_path / "mine/study.schema.json")
    assert schema == build_schema()


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("kept")
    with pytest.raises(StorageError, match=r"mine\.yaml: exists, and is not replaced; give another path"):
        init(tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "kept"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("design", NAMES)
def test_every_example_trains_and_judges_its_claims(design: DesignName, results: Path) -> None:
    # One folder for all: the examples share a base, whose records are reused.
    study = vgg_ablate.load(get_example(design))
    folder = vgg_ablate.run(study, results / study.name, device="cpu", workers=1)
    report = (folder / "report.md").read_text(encoding="utf-8")
    verdicts = re.findall(r"\b(supported|refuted|inconclusive|no difference)\b", report)
    assert len(verdicts) >= len(study.claims)
    runs = vgg_ablate.frame(folder)
    assert (runs.outcome == "finished").all()
    assert set(study.seed_list) <= set(runs.seed)
