"""The content of a report as a value, before anything is formatted or drawn.

`load_report(folder)` reads a results folder; tables, figures and pages are functions of the Report that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vgg_ablate.analysis.frame import build_epoch_frame, build_run_frame
from vgg_ablate.analysis.horizons import find_shown_level, judge_horizons, judge_level
from vgg_ablate.analysis.results import Results, read_results
from vgg_ablate.analysis.training_state import TrainingState, compute_training_state
from vgg_ablate.analysis.variant_rows import VariantRow, build_variant_rows
from vgg_ablate.analysis.verdicts import CorrectExamples, Verdict, find_unseeded_variants, judge_claims
from vgg_ablate.config.claims import Claim, FactorLevels, TrendQuantities
from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.config.horizons import HorizonLevel
from vgg_ablate.config.study import Study
from vgg_ablate.config.variants import Variant


@dataclass(frozen=True)
class Report:
    """Everything that a results folder says."""

    results: Results
    frame: pd.DataFrame  # one row per run
    epochs: pd.DataFrame  # one row per epoch
    # The base, the study's other variants in order, the winners of a search; of horizons, the variants of `level`.
    rows: tuple[VariantRow, ...]
    proposed: tuple[VariantRow, ...]  # the proposals of a search in order, on seeds of their own
    verdicts: tuple[Verdict, ...]  # at the last level of the horizons, which decides
    shown_verdicts: tuple[Verdict, ...]  # at `level`; of a claim that compares levels itself, the one in `verdicts`
    problems: tuple[str, ...]  # a sentence per problem: file, field, rule and what was found
    level: HorizonLevel | None = None  # the highest level of the horizons that is recorded; None without horizons

    @property
    def study(self) -> Study:
        """The study as it was run."""
        return self.results.study

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.results.folder

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where and how the study was run."""
        return self.results.manifest.provenance

    @property
    def base(self) -> VariantRow:
        """The row of the base."""
        return self.rows[0]

    @property
    def levels(self) -> FactorLevels:
        """Variant -> factor -> level."""
        return {row.name: row.variant.levels for row in self.rows}

    @property
    def is_last_level(self) -> bool:
        """Whether `rows` and `shown_verdicts` are those of the last level, which decides; True without horizons."""
        return self.level is None or self.level == self.study.horizon_levels[-1]

    @cached_property
    def training_state(self) -> TrainingState:
        """How far the nets of `rows` were trained."""
        return compute_training_state(self.rows, self.epochs, self.verdicts)

    @cached_property
    def missing(self) -> int:
        """Number of planned runs without a record."""
        return int((self.frame["outcome"] == "missing").sum())

    @property
    def is_recorded(self) -> bool:
        """Whether any planned run has a record."""
        return self.missing < len(self.frame)


def load_report(folder: str | Path) -> Report:
    """Read a results folder and judge its claims. Raises StorageError where the folder holds no study."""
    return build_report(read_results(folder))


def build_report(results: Results) -> Report:
    """Build the report of a results folder that has been read."""
    frame, epochs, study = build_run_frame(results), build_epoch_frame(results), results.study
    winner_names = study.design.winner_names
    proposals = _collect_proposals(results)
    variants = [*study.variants, *(proposals[name] for name in winner_names if name in proposals)]
    losers = [variant for name, variant in proposals.items() if name not in winner_names]
    problems = [*results.problems, *find_unseeded_variants(frame).values()]
    # Claims may name a winner before the search has found it: it has no runs and no levels yet.
    levels = study.levels | {name: {} for name in winner_names} | {variant.name: variant.levels for variant in variants}
    quantities = study.quantities(results.costs)
    claims = _drop_bad_trends(study, levels, quantities, problems)
    # Where every seed draws its own test examples, the interval over the seeds covers new examples already, and there
    # is no second interval.
    examples = _collect_correct_examples(results) if has_shared_test_split(results) else None
    verdicts = judge_claims(
        claims,
        frame,
        study.seed_list,
        levels=levels,
        looks=study.looks,
        examples=examples,
        quantities=quantities,
    )
    verdicts = judge_horizons(study, verdicts, frame, quantities, examples)
    level = find_shown_level(study, frame)
    shown_verdicts, shown = verdicts, variants
    if level is not None and level != study.horizon_levels[-1]:
        at_level = [verdict.claim for verdict in verdicts if verdict.horizons]
        judged = {
            verdict.claim.id: verdict for verdict in judge_level(study, level, at_level, frame, quantities, examples)
        }
        shown_verdicts = tuple(judged.get(verdict.claim.id, verdict) for verdict in verdicts)
        shown = _get_variants_at(study, level)
    return Report(
        results=results,
        frame=frame,
        epochs=epochs,
        rows=build_variant_rows(frame, shown, results.costs),
        proposed=build_variant_rows(frame, losers, results.costs, variants[0]),
        verdicts=verdicts,
        shown_verdicts=shown_verdicts,
        problems=tuple(problems),
        level=level,
    )


def _get_variants_at(study: Study, level: HorizonLevel) -> list[Variant]:
    """Return the variants of a lower level of the horizons with the levels of their factors."""
    variants = study.variants_by_horizon[study.horizon_levels.index(level)]
    return [
        variant.model_copy(update={"levels": last.levels, "changes": last.changes})
        for variant, last in zip(variants, study.variants, strict=True)
    ]


def _drop_bad_trends(
    study: Study, levels: FactorLevels, quantities: TrendQuantities, problems: list[str]
) -> list[Claim]:
    """Return the claims without trends that have no slope, and add a problem for each of those.

    A trend over a cost can be checked only here, where the costs of the nets are known; `check` refuses such a study,
    so this one was edited after its runs.
    """
    kept = []
    for index, claim in enumerate(study.claims):
        errors = claim.problems(levels, quantities) if claim.trend is not None else []
        problems += [f"study.yaml: claims[{index}].{error.field}: {error}; this claim is left out" for error in errors]
        if not errors:
            kept.append(claim)
    return kept


def _collect_proposals(results: Results) -> dict[str, Variant]:
    """Return the variants that a search has proposed, by name, as their records and the manifest describe them."""
    in_study = {variant.name for variant in results.study.all_variants}
    points = results.manifest.provenance.get("proposals", [])
    proposals: dict[str, Variant] = {}
    for planned in results.manifest.planned:
        name, record = planned.variant, results.records.get(planned.key)
        if record is not None and name not in in_study and name not in proposals:
            run, number = record.run, name[1:]  # proposal 12 is called p12
            changes = points[int(number)] if number.isdecimal() and int(number) < len(points) else {}
            proposals[name] = Variant(name=name, arch=run.arch, data=run.data, train=run.train, changes=changes)
    return proposals


def has_shared_test_split(results: Results) -> bool:
    """Return whether all seeds are tested on the same examples.

    An image folder without test/ draws its test split from the seed. A report reads records and no images, so the
    records must show which it was: two draws differ in the number of examples per class, one test folder never does.
    Where a record has no confusion matrix (more than 100 classes), the split counts as drawn.
    """
    match DATASETS[results.study.base.data.name].test_split:
        case "fixed":
            return True
        case "drawn":
            return False
    confusions = [
        record.tested.details.get("confusion") for record in results.records.values() if record.tested is not None
    ]
    class_counts = {tuple(map(sum, confusion)) if confusion else None for confusion in confusions}
    return len(class_counts) == 1 and None not in class_counts


def _collect_correct_examples(results: Results) -> CorrectExamples:
    examples: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for planned in results.manifest.planned:
        record = results.records.get(planned.key)
        if record is not None and record.tested is not None and record.tested.correct:
            examples[planned.variant, planned.seed] = unpack_correct_bits(
                record.tested.correct, record.tested.test_accuracy, record.tested.details.get("test_examples")
            )
    return examples


def unpack_correct_bits(packed: str, accuracy: float, count: object = None) -> NDArray[np.bool_]:
    """Return `FinalMetrics.correct` as one boolean per test example: was it classified correctly?

    `packed` is hexadecimal, eight examples per byte, with padding in the last byte. `count` is the number of examples;
    records of older versions lack it, and it follows from the accuracy.
    """
    unpacked = np.unpackbits(np.frombuffer(bytes.fromhex(packed), dtype=np.uint8)).astype(np.bool_)
    if isinstance(count, int):
        return unpacked[:count]
    correct = int(unpacked.sum())
    return unpacked[: round(correct / accuracy)] if correct and accuracy > 0 else unpacked
