"""The judgement of claims about runs that other programs trained, by the statistics of studies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pandas as pd

from vgg_ablate.analysis.family import judge_family
from vgg_ablate.analysis.metrics import Metric, use_metrics
from vgg_ablate.analysis.sequential import Look
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import Claim, list_side_names
from vgg_ablate.config.types import InvalidValueError
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.external.claims_file import ClaimsFile
from vgg_ablate.external.run_table import Runs, build_run_table


@dataclass(frozen=True)
class Judgement:
    """The verdicts on the claims of a file, with the runs that they rest on."""

    claims_file: ClaimsFile
    verdicts: tuple[Verdict, ...]
    frame: pd.DataFrame  # one row per run of a compared variant
    notes: tuple[str, ...]
    source: str

    @contextmanager
    def use_metrics(self) -> Iterator[None]:
        """Add the metrics of the claims to the registry within a `with` block; tables and figures need them."""
        with use_metrics(self.claims_file.metrics):
            yield


def judge_runs(runs: Runs, claims_file: ClaimsFile) -> Judgement:
    """Judge the claims. Raises SpecError for a claim about a variant without runs, and for faults of the runs."""
    claims, metrics = claims_file.build_claims(), claims_file.metrics
    sides = {claim.id: [name for side in ("a", "b") for _, name in list_side_names(claim, side)] for claim in claims}
    table = build_run_table(runs, claims_file, {name for names in sides.values() for name in names})
    levels: dict[str, dict[str, str]] = {name: {} for name in table.variants}
    contrasts, problems = dict[str, dict[str, float]](), list[Problem]()
    for index, claim in enumerate(claims):
        try:
            contrasts[claim.id] = claim.compute_contrast(levels)
        except InvalidValueError as error:
            path = f"claims[{index}].{error.field}"
            problems.append(error.build_problem(path, claims_file.locate_path(path)))
    if problems:
        raise SpecError(problems)
    verdicts, notes = dict[str, Verdict](), list(table.notes)
    with use_metrics(metrics):
        for metric in metrics.values():
            family = [claim for claim in claims if claim.metric == metric.name]
            frame = _check_exact(table.frame, metric, runs) if metric.is_exact else table.frame
            unpaired = not metric.is_exact and not _is_paired(family, contrasts, frame, claims_file)
            if unpaired:
                notes.append(f"{metric.name}: the sides share no seeds; judged by Welch's t-test, which does not pair.")
            elif not metric.is_exact:
                notes += _note_missing_seeds(family, contrasts, frame, table.seeds)
            seeds = _choose_seeds(family, contrasts, frame, claims_file)
            look = Look((max(len(frame), 1),), 0, len(family), len(family))
            verdicts |= judge_family(
                family, frame, sorted(frame["seed"].unique()), contrasts, look, unpaired=unpaired, own_seeds=seeds
            )
    ordered = tuple(_restore_seed_names(verdicts[claim.id], table.seeds) for claim in claims)
    return Judgement(claims_file, ordered, table.frame, tuple(notes), runs.name)


def _is_paired(
    family: Sequence[Claim], contrasts: Mapping[str, Mapping[str, float]], frame: pd.DataFrame, claims_file: ClaimsFile
) -> bool:
    """Return whether runs are paired: the variants of every claim that compares several share a seed."""
    if claims_file.pairing == "none" or claims_file.columns.seed is None:
        return False
    by_variant = _collect_seeds(frame)
    unshared = [claim for claim in family if not set.intersection(*(by_variant[name] for name in contrasts[claim.id]))]
    if unshared and claims_file.pairing == "seed":
        raise SpecError(Problem(f"{unshared[0].id}: the variants share no seed, as pairing: seed requires", "pairing"))
    return not unshared


def _choose_seeds(
    family: Sequence[Claim], contrasts: Mapping[str, Mapping[str, float]], frame: pd.DataFrame, claims_file: ClaimsFile
) -> dict[str, list[int]]:
    """Return the seeds of every claim: those of any of its variants, or with `leave_out` those that all have."""
    by_variant = _collect_seeds(frame)
    combine = set.intersection if claims_file.missing_seeds == "leave_out" else set.union
    return {claim.id: sorted(combine(*(by_variant[name] for name in contrasts[claim.id]))) for claim in family}


def _note_missing_seeds(
    family: Sequence[Claim],
    contrasts: Mapping[str, Mapping[str, float]],
    frame: pd.DataFrame,
    seed_names: Mapping[int, str],
) -> list[str]:
    """Return a note per variant that lacks a seed which another variant of a claim has."""
    by_variant, missing = _collect_seeds(frame), dict[str, set[int]]()
    for claim in family:
        every = set.union(*(by_variant[name] for name in contrasts[claim.id]))
        for name in contrasts[claim.id]:
            missing.setdefault(name, set()).update(every - by_variant[name])
    return [
        f"{name}: no run of seed {', '.join(seed_names[seed] for seed in sorted(seeds))}"
        for name, seeds in missing.items()
        if seeds
    ]


def _collect_seeds(frame: pd.DataFrame) -> dict[str, set[int]]:
    return {str(name): {int(seed) for seed in seeds} for name, seeds in frame.groupby("variant")["seed"]}


def _check_exact(frame: pd.DataFrame, metric: Metric, runs: Runs) -> pd.DataFrame:
    """Return the frame. Raises SpecError where an exact metric differs between runs of one variant."""
    values = frame.dropna(subset=[metric.name]).groupby("variant")[metric.name].unique()
    problems = [
        Problem(f"{name}: {metric.name} is exact, but its runs have {values[name][0]:g} and {values[name][1]:g}",
                location=runs.name)
        for name in values.index
        if len(values[name]) > 1
    ]  # fmt: skip
    if problems:
        raise SpecError(problems)
    return frame


def _restore_seed_names(verdict: Verdict, seeds: Mapping[int, str]) -> Verdict:
    """Return the verdict with the seeds of its reason as the runs spell them."""
    if not verdict.reason or all(str(code) == seed for code, seed in seeds.items()):
        return verdict
    reason = re.sub(r"\bseed (\d+)", lambda match: f"seed {seeds.get(int(match[1]), match[1])}", verdict.reason)
    return replace(verdict, reason=reason)
