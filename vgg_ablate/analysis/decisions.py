"""The verdicts on all claims of a study, look by look, and the seeds that its variants need for them.

At every look the claims that are still open are judged by the seeds of that look alone; the first look that decides a
claim stands. In a study with `stop: decided`, a look needs only the variants of open claims, and the study ends when no
claim is open, or none of them is likely to be decided. Everything here is a function of the study and its records, so
that every driver, and every report, finds the same sequence of decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd

from vgg_ablate.analysis.counts import compute_counts_power
from vgg_ablate.analysis.examples import CorrectExamples, collect_correct_examples, has_shared_test_split
from vgg_ablate.analysis.family import Contrasts, judge_family
from vgg_ablate.analysis.frame import MISSING, NOT_NEEDED, build_run_frame
from vgg_ablate.analysis.pairs import compute_gains
from vgg_ablate.analysis.results import Results, read_planned_results
from vgg_ablate.analysis.sequential import Look, compute_conditional_power
from vgg_ablate.analysis.stats import CrossedEstimate
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, Verdict
from vgg_ablate.config.claims import Claim, FactorLevels, TrendQuantities
from vgg_ablate.config.horizons import get_full_name
from vgg_ablate.config.study import Study
from vgg_ablate.manifest import PlannedRun

LEAST_POWER = 0.1  # a study with `stop: decided` ends where no open claim has this chance of being decided


@dataclass(frozen=True)
class Decisions:
    """The verdicts on the claims of a study so far, and the seeds that its variants need for them."""

    verdicts: tuple[Verdict, ...]
    looks: tuple[int, ...]  # numbers of seeds
    followed: tuple[frozenset[str], ...] = ()  # per look that was judged, the ids of the claims that were open before
    seeds: Mapping[str, int] | None = None  # variant -> number of its first seeds that are needed now; None: all seeds
    stopped: str = ""  # why no further look is needed, before the last one
    problems: tuple[str, ...] = ()  # claims that were left out

    @property
    def judged_looks(self) -> int:
        """The number of looks whose runs are all recorded."""
        return len(self.followed)

    @property
    def open_claims(self) -> tuple[str, ...]:
        """The ids of the claims that are not decided."""
        return tuple(verdict.claim.id for verdict in self.verdicts if not verdict.is_decided)

    @property
    def is_finished(self) -> bool:
        """Whether no run is needed for a further look."""
        return bool(self.stopped) or self.judged_looks == len(self.looks)

    def count_seeds(self, variant: str) -> int:
        """Return how many of the first seeds a variant needs by now, at every level of the horizons."""
        return self.looks[-1] if self.seeds is None else self.seeds.get(get_full_name(variant), self.looks[0])

    def describe(self) -> str:
        """Describe the look that the study has reached, or why it has stopped."""
        if self.stopped:
            return f"stopped at look {self.judged_looks} of {len(self.looks)}: {self.stopped}"
        count = self.looks[self.judged_looks - 1] if self.judged_looks else 0
        return f"look {self.judged_looks} of {len(self.looks)}, after {count} of {self.looks[-1]} seeds"


def judge_looks(
    claims: Sequence[Claim],
    frame: pd.DataFrame,
    seeds: Sequence[int],
    *,
    levels: FactorLevels | None = None,
    looks: Sequence[int] | None = None,
    examples: CorrectExamples | None = None,
    quantities: TrendQuantities | None = None,
    stop: bool = False,
    followed: Sequence[Collection[str]] | None = None,
) -> Decisions:
    """Judge claims from the rows of a run frame (`vgg_ablate.frame`).

    `seeds` are the planned ones; `looks` are the numbers of seeds at which the study is judged (all of them, once, by
    default). Claims over factors need the `levels` of the variants, trends their `quantities`, and the interval over
    the test examples the `examples`. With `stop`, decided claims need no more seeds. `followed` lists the claims that
    may be judged at each look, where another level of the horizons has decided that. Raises InvalidValueError where a
    claim names no variant or a trend has no slope.
    """
    variants = [str(name) for name in frame["variant"].unique()]
    looks = tuple(looks or (len(seeds),))
    levels = levels if levels is not None else {name: {} for name in variants}
    contrasts = {claim.id: claim.compute_contrast(levels, quantities) for claim in claims}
    verdicts, needed, judged, stopped = dict[str, Verdict](), dict[str, int](), list[frozenset[str]](), ""
    for index, count in enumerate(looks if followed is None else looks[: max(1, len(followed))]):
        opened = {claim.id for claim in claims} - {name for name, verdict in verdicts.items() if verdict.is_decided}
        if followed:
            opened &= set(followed[index])
        compared = {name for identity in opened for name in contrasts[identity]}
        is_complete = _has_all_records(frame, compared if stop or followed is not None else variants, seeds[:count])
        # Between two looks only the seeds of the earlier one are used: judging after every run would be many more
        # looks. Before the first look there is nothing else to show, and a lacking run leaves its claims inconclusive.
        if index and not is_complete:
            break
        verdicts |= _judge_look(claims, opened, verdicts, frame, seeds, contrasts, looks, index, examples)
        if not is_complete:
            break
        judged.append(frozenset(opened))
        still_open = [verdict for verdict in verdicts.values() if not verdict.is_decided]
        if stop and index + 1 < len(looks):
            still_open = _add_powers(still_open, frame, looks, index, verdicts)
            verdicts |= {verdict.claim.id: verdict for verdict in still_open}
            if stopped := _explain_stop(still_open, looks):
                break
            needed |= {get_full_name(name): looks[index + 1] for verdict in still_open for name in verdict.weights}
    ordered = tuple(verdicts[claim.id] for claim in claims)
    return Decisions(ordered, looks, tuple(judged), needed if stop else None, stopped)


def _judge_look(
    claims: Sequence[Claim],
    opened: Collection[str],
    verdicts: Mapping[str, Verdict],
    frame: pd.DataFrame,
    seeds: Sequence[int],
    contrasts: Contrasts,
    looks: tuple[int, ...],
    index: int,
    examples: CorrectExamples | None,
) -> dict[str, Verdict]:
    """Return the verdicts on the open claims at a look, by the seeds of that look."""
    judged: dict[str, Verdict] = {}
    # Holm's correction is per metric: claims on the costs of nets need none, and would make the others harder.
    for metric in dict.fromkeys(claim.metric for claim in claims if claim.id in opened):
        family = [claim for claim in claims if claim.metric == metric]
        rejected = [
            claim for claim in family if claim.id in verdicts and verdicts[claim.id].verdict in ("supported", "refuted")
        ]
        # A claim without a difference keeps its share of the error rate: its own test against 0 rejected nothing.
        look = Look(looks, index, len(family), len(family) - len(rejected))
        members = [claim for claim in family if claim.id in opened]
        judged |= judge_family(members, frame, seeds[: look.seeds], contrasts, look, examples)
    return {
        name: verdict if verdict.is_exact else replace(verdict, look=looks[index], looks=looks, is_complete=is_complete)
        for name, verdict in judged.items()
        for is_complete in [_has_all_records(frame, contrasts[name], seeds[: looks[index]], any_run=True)]
    }


def _has_all_records(
    frame: pd.DataFrame, variants: Collection[str], seeds: Sequence[int], *, any_run: bool = False
) -> bool:
    """Return whether no run of these variants and seeds is missing; with `any_run`, some must be planned, too."""
    own = frame[frame["variant"].isin(list(variants))]
    is_missing = (own["outcome"] == MISSING) & own["seed"].isin(list(seeds))
    return (bool(len(own)) or not any_run) and not bool(is_missing.any())


def _add_powers(
    still_open: Sequence[Verdict],
    frame: pd.DataFrame,
    looks: tuple[int, ...],
    index: int,
    verdicts: Mapping[str, Verdict],
) -> list[Verdict]:
    return [replace(verdict, power=_compute_power(verdict, frame, looks, index, verdicts)) for verdict in still_open]


def _compute_power(
    verdict: Verdict, frame: pd.DataFrame, looks: tuple[int, ...], index: int, verdicts: Mapping[str, Verdict]
) -> float:
    """Return the probability that an open claim is decided by the last look; NaN with too few seeds."""
    family = [other for other in verdicts.values() if other.claim.metric == verdict.claim.metric]
    remaining = sum(other.verdict not in ("supported", "refuted") for other in family)
    look = Look(looks, index, len(family), remaining)
    if look.seeds < FEWEST_SEEDS:
        return nan
    # A lacking run, seeds that had no effect, or several devices: more seeds do not change that.
    if verdict.reason:
        return 0.0
    if verdict.counts is not None:
        return compute_counts_power(verdict.counts, look)
    estimate = verdict.estimate
    return compute_conditional_power(
        list(compute_gains(verdict, frame).values()),
        look,
        verdict.claim.region,
        verdict.claim.smallest_effect,
        estimate.examples_se if isinstance(estimate, CrossedEstimate) else 0.0,
    )


def _explain_stop(still_open: Sequence[Verdict], looks: Sequence[int]) -> str:
    """Return why the study needs no further look; empty where it does."""
    if not still_open:
        return "every claim is decided"
    if any(isnan(verdict.power) or verdict.power >= LEAST_POWER for verdict in still_open):
        return ""
    chances = ", ".join(f"{verdict.claim.id} {100 * verdict.power:.0f} %" for verdict in still_open)
    return (
        f"no open claim has a chance of {100 * LEAST_POWER:.0f} % of being decided by {looks[-1]} seeds, "
        f"if the differences go on as they are ({chances})"
    )


def judge_results(results: Results, frame: pd.DataFrame, levels: FactorLevels | None = None) -> Decisions:
    """Judge the claims of a study from its results; `levels` are those of its variants and of a search's winners.

    Claims are judged at the last level of the horizons; horizons.py adds the verdicts at the others.
    """
    study, quantities = results.study, results.study.collect_quantities(results.costs)
    levels = study.levels if levels is None else levels
    claims, problems = _drop_bad_trends(study, levels, quantities)
    decisions = judge_looks(
        claims,
        frame,
        study.seed_list,
        levels=levels,
        looks=study.looks,
        examples=collect_shared_examples(results),
        quantities=quantities,
        stop=study.stop is not None,
    )
    return replace(decisions, problems=tuple(problems))


def read_decisions(study: Study, planned: Sequence[PlannedRun], folder: Path) -> Decisions:
    """Judge the claims of a study from the records that its planned runs have in a results folder."""
    results = read_planned_results(study, planned, folder)
    return judge_results(results, build_run_frame(results))


def collect_shared_examples(results: Results) -> CorrectExamples | None:
    """Return the correct answers of every run where all seeds are tested on the same examples, else None.

    Where every seed draws its own test examples, the interval over the seeds covers new examples already.
    """
    return collect_correct_examples(results) if has_shared_test_split(results) else None


def mark_unneeded_runs(frame: pd.DataFrame, study: Study, decisions: Decisions) -> pd.DataFrame:
    """Return the frame in which the missing runs that no open claim needs have the outcome `not needed`."""
    if decisions.seeds is None:
        return frame
    ranks = {seed: rank for rank, seed in enumerate(study.seed_list)}
    is_unneeded = [
        ranks.get(int(seed), 0) >= decisions.count_seeds(str(variant))
        for variant, seed in zip(frame["variant"], frame["seed"], strict=True)
    ]
    is_spared = (frame["outcome"] == MISSING) & np.array(is_unneeded, dtype=bool)
    outcomes = frame["outcome"].mask(is_spared, NOT_NEEDED)
    reasons = frame["reason"].mask(is_spared, "its claims are decided, or a later look")
    return frame.assign(outcome=outcomes, reason=reasons)


def _drop_bad_trends(study: Study, levels: FactorLevels, quantities: TrendQuantities) -> tuple[list[Claim], list[str]]:
    """Return the claims without trends that have no slope, and a problem for each of those.

    A trend over a cost can be checked only here, where the costs of the nets are known; `check` refuses such a study,
    so this one was edited after its runs.
    """
    kept, problems = list[Claim](), list[str]()
    for index, claim in enumerate(study.claims):
        errors = claim.find_problems(levels, quantities) if claim.trend is not None else []
        problems += [f"study.yaml: claims[{index}].{error.field}: {error}; this claim is left out" for error in errors]
        if not errors:
            kept.append(claim)
    return kept, problems


def select_needed_runs(study: Study, planned: Sequence[PlannedRun], decisions: Decisions) -> set[str]:
    """Return the keys of the planned runs that are needed by now, recorded ones included."""
    ranks = {seed: rank for rank, seed in enumerate(study.seed_list)}
    return {run.key for run in planned if ranks[run.seed] < decisions.count_seeds(run.variant)}


def select_possible_runs(study: Study, planned: Sequence[PlannedRun], decisions: Decisions) -> set[str]:
    """Return the keys of the planned runs that are needed by now, or will be if no further claim is decided."""
    followed = {
        get_full_name(name)
        for verdict in decisions.verdicts
        if not verdict.is_decided and not decisions.is_finished
        for name in verdict.weights
    }
    later = {run.key for run in planned if get_full_name(run.variant) in followed}
    return select_needed_runs(study, planned, decisions) | later
