"""The decisions of a study by its records. Judging claims imports pandas and scipy, which a driver seldom needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgg_ablate.analysis.decisions import Decisions, judge_results
from vgg_ablate.analysis.frame import build_run_frame
from vgg_ablate.analysis.results import read_planned_results
from vgg_ablate.config.study import Study
from vgg_ablate.records import PlannedRun


def read_decisions(study: Study, planned: Sequence[PlannedRun], folder: Path) -> Decisions:
    """Judge the claims of a study from the records that its planned runs have in a results folder."""
    results = read_planned_results(study, planned, folder)
    return judge_results(results, build_run_frame(results))
