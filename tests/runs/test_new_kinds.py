"""A design and a schedule are added by one entry each: a study with them is checked, planned, trained and reported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.runs.harness import OPTIONS, InProcessPool
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.config.base_design import BaseDesign, DesignCell
from vgg_ablate.config.designs import DESIGNS
from vgg_ablate.config.json_schema import build_schema
from vgg_ablate.config.schedules import SCHEDULES, BaseSchedule
from vgg_ablate.config.study import Study, load
from vgg_ablate.config.study_file import StudyFile
from vgg_ablate.config.training import Train
from vgg_ablate.config.variants import Variant
from vgg_ablate.data.sources import compute_data_fingerprint
from vgg_ablate.errors import SpecError
from vgg_ablate.records import Record, RecordStore, Run
from vgg_ablate.report.write import write_report
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.workers import training

STUDY = """\
version: 1
name: added
question: does it run?
seeds: 1
data: {name: digits, limit: 60}
arch: {stages: "4 | 4", head: {hidden: []}}
train: {epochs: 3, batch_size: 16, lr: 0.1, precision: fp32, schedule: {kind: square_root, scale: 2}}
design:
  kind: pairs
  parts:
    wide: {arch.width: 2}
    plain: {arch.norm: none}
    smooth: {train.label_smoothing: 0.1}
"""


class SquareRootSchedule(BaseSchedule):
    """Decay with the square root of the epochs."""

    kind: Literal["square_root"]
    scale: int
    """Epochs after which the decay sets in. Unit: epochs. Example: 2"""

    def compute_factor(self, epochs_done: float, epochs: int, accuracies: Sequence[float]) -> float:
        """Return 1 at the start, and half of that after three times `scale` epochs."""
        return 1 / math.sqrt(1 + epochs_done / self.scale)


class PairsDesign(BaseDesign):
    """Every pair of parts."""

    kind: Literal["pairs"]
    parts: dict[str, dict[str, Any]]
    """Part -> changes that remove it. Example: {wide: {arch.width: 2}}"""

    def list_cells(self) -> list[DesignCell]:
        """Return one cell per pair."""
        return [
            DesignCell(f"{first}-{second}", {**self.parts[first], **self.parts[second]}, {})
            for first, second in combinations(self.parts, 2)
        ]


def compile_models() -> None:
    """Compile the models that hold a schedule or a design again: pydantic reads the registries when it does."""
    for model in (Train, Variant, StudyFile, Study, Run, Record):
        model.model_rebuild(force=True)


@pytest.fixture
def added_kinds() -> Iterator[None]:
    SCHEDULES.append(SquareRootSchedule)
    DESIGNS.append(PairsDesign)
    compile_models()
    yield
    SCHEDULES.remove(SquareRootSchedule)
    DESIGNS.remove(PairsDesign)
    compile_models()


@pytest.mark.usefixtures("added_kinds")
def test_a_design_and_a_schedule_are_added_by_one_entry_each(tmp_path: Path) -> None:
    file, results = tmp_path / "added.yaml", tmp_path / "results"
    file.write_text(STUDY, encoding="utf-8")
    plan = build_plan(load(file), compute_data_fingerprint)
    assert [variant.name for variant in plan.study.variants] == ["base", "wide-plain", "wide-smooth", "plain-smooth"]
    assert run_plan(plan, results, OPTIONS, InProcessPool(results, training)).is_complete
    records = list(RecordStore(results / "records"))
    assert len(records) == 4
    for record in records:
        # The rate of an epoch is that of its last step, of the three that 54 training images make.
        expected = [0.1 / math.sqrt(1 + (epoch + 2 / 3) / 2) for epoch in range(3)]
        assert [epoch.lr for epoch in record.epochs] == pytest.approx(expected)
    write_report(results)
    report = load_report(results)
    assert report.problems == ()
    assert [row.name for row in report.rows] == [variant.name for variant in plan.study.variants]
    assert {"PairsDesign", "SquareRootSchedule"} <= build_schema()["$defs"].keys()


def test_a_kind_that_is_not_registered_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "added.yaml"
    file.write_text(STUDY, encoding="utf-8")
    with pytest.raises(SpecError) as error:
        load(file)
    assert {problem.path for problem in error.value.problems} == {"design", "train.schedule"}
