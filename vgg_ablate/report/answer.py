"""The answer of a study in plain sentences: generated from the verdicts, with the author's own answer below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan

import pandas as pd

from vgg_ablate.analysis.metrics import find_stalled_runs, get_claim_unit, get_metric, get_shown_metric
from vgg_ablate.analysis.pairs import ShownDifference, compute_shown_difference, compute_sides
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.variant_rows import PairedDifference, VariantRow
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import capitalize_first, count_noun
from vgg_ablate.report import wording

_MAX_STATEMENTS = 2  # decided claims that are stated with their numbers; the others are counted


def describe_answer(report: Report) -> str:
    """Return the answer that the verdicts, or without claims the means, give to the study's question."""
    if not report.is_recorded:
        return f"Not run yet.{_describe_tuning_progress(report)}"
    verdicts = report.shown_verdicts
    clauses = "; ".join(_list_clauses(verdicts, report.frame)) if verdicts else _describe_design(report)
    return f"{capitalize_first(_describe_level(report) + clauses)}."


def describe_verdicts(verdicts: Sequence[Verdict], frame: pd.DataFrame) -> str:
    """Describe verdicts in one sentence; `frame` has one row per run."""
    return f"{capitalize_first('; '.join(_list_clauses(verdicts, frame)))}."


def describe_author_answer(report: Report) -> tuple[str, str]:
    """Return the author's answer and, where a verdict has changed since it was written, a warning; both can be empty.

    `run` and `report` store the verdicts with which an answer was first saved in the manifest.
    """
    answer = (report.study.answer or "").strip()
    saved = report.provenance.get("answer", {})
    if not answer or saved.get("text") != report.study.answer:
        return answer, ""
    changed = [
        f"{verdict.claim.id} was {saved['verdicts'][verdict.claim.id]} and is {verdict.verdict}"
        for verdict in report.verdicts
        if saved["verdicts"].get(verdict.claim.id, verdict.verdict) != verdict.verdict
    ]
    return answer, f"Verdicts have changed since this answer was written: {'; '.join(changed)}." if changed else ""


def collect_verdict_words(report: Report) -> dict[str, str]:
    """Return the verdict of every claim by its id, as it is stored beside the author's answer."""
    return {verdict.claim.id: verdict.verdict for verdict in report.verdicts}


def format_level(report: Report, level: float) -> str:
    """Format a level of the horizons: `12 epochs`, or `data.limit 900` for another path."""
    path = report.study.horizon_path
    shown = numbers.format_compact(level)
    return count_noun(shown, "epochs") if path == "train.epochs" else f"{path} {shown}"


def _describe_level(report: Report) -> str:
    if report.is_last_level or report.level is None:
        return ""
    last = format_level(report, report.study.horizon_levels[-1])
    return f"So far, at {format_level(report, report.level)} ({last} decide): "


def _describe_tuning_progress(report: Report) -> str:
    planned = len(report.results.manifest.tuning)
    if not planned:
        return ""
    return (
        f" {numbers.format_count(len(report.results.tuning))} of {numbers.format_count(planned)} trainings of the "
        "tuning are recorded."
    )


def _list_clauses(verdicts: Sequence[Verdict], frame: pd.DataFrame) -> Iterator[str]:
    varying = [verdict for verdict in verdicts if not verdict.is_exact]
    exact = [verdict for verdict in verdicts if verdict.is_exact]
    decided = [verdict for verdict in varying if verdict.verdict in ("supported", "refuted")]
    stated, counted = decided[:_MAX_STATEMENTS], decided[_MAX_STATEMENTS:]
    yield from (_state_claim(verdict, frame) for verdict in stated)
    for word in ("supported", "refuted"):
        if count := sum(verdict.verdict == word for verdict in counted):
            yield f"{count} more {'claim is' if count == 1 else 'claims are'} {word}"
    negligible = [verdict for verdict in varying if verdict.verdict == "no difference"]
    if negligible:
        yield _count_negligible(negligible, len(varying))
    if inconclusive := [verdict for verdict in varying if verdict.verdict == "inconclusive"]:
        why = _explain_stalled(inconclusive, frame)
        yield _count_claims(len(inconclusive), len(varying), "inconclusive") + why
    if len(exact) == 1:
        yield _state_exact_claim(exact[0])
    elif exact:
        supported = sum(verdict.verdict == "supported" for verdict in exact)
        yield f"{supported} of {len(exact)} claims on costs {'is' if supported == 1 else 'are'} supported"


def _count_claims(count: int, of: int, word: str) -> str:
    if count == of:
        return f"the claim is {word}" if of == 1 else f"all {of} claims are {word}"
    return f"{count} of {of} claims {'is' if count == 1 else 'are'} {word}"


def _explain_stalled(verdicts: Sequence[Verdict], frame: pd.DataFrame) -> str:
    """Return why claims are inconclusive for which runs stayed at chance level, and what to do; empty if none is."""
    stalled = set(frame.loc[find_stalled_runs(frame), "variant"])
    hit = [v for v in verdicts if v.claim.metric != "trained" and v.reason and stalled.intersection(v.weights)]
    if not hit:
        return ""
    count = "" if len(hit) == len(verdicts) else f"{len(hit)} of them "
    return (
        f", {count}because runs stayed at chance level (train longer, lower the learning rate, or warm up: "
        "train.epochs, train.lr, train.warmup_epochs)"
    )


def _count_negligible(verdicts: Sequence[Verdict], of: int) -> str:
    smallest = {(verdict.claim.smallest_effect, get_claim_unit(verdict.claim)) for verdict in verdicts}
    size = "that matters"
    if len(smallest) == 1:
        value, unit = smallest.pop()
        size = (
            f"of {numbers.format_compact(value or 0.0)} {wording.make_singular(unit) if value == 1 else unit} or more"
        )
    if len(verdicts) == of:
        return f"no difference {size}" + (f" in any of {of} claims" if of > 1 else "")
    return f"{len(verdicts)} of {of} claims found no difference {size}"


def _state_claim(verdict: Verdict, frame: pd.DataFrame) -> str:
    """State a decided claim with its evidence: `two 3x3 beat one 5x5: 1.3 points (6 %) less error [0.6, 2.0]`."""
    return f"{_state_verdict(verdict)}: {_describe_evidence(verdict, frame)}"


def _state_verdict(verdict: Verdict) -> str:
    """State a decided claim; a refuted one in quotation marks, since what follows says the opposite."""
    return verdict.claim.text if verdict.verdict == "supported" else f'"{verdict.claim.text}" is refuted'


def _describe_evidence(verdict: Verdict, frame: pd.DataFrame) -> str:
    if verdict.counts is not None:
        return wording.format_trained_counts(verdict)
    metric = get_shown_metric(verdict.claim.metric)
    if not metric.endswith("error"):
        return f"{get_metric(metric).noun} {wording.format_estimate(verdict)}"
    sides = compute_sides(verdict, frame)
    reference = sides[1].mean if sides is not None else 0.0
    noun = "error" if metric == "test_error" else get_metric(metric).noun
    return format_change(compute_shown_difference(verdict), reference, noun, get_claim_unit(verdict.claim))


def format_change(difference: ShownDifference, reference: float, noun: str = "error", unit: str = "points") -> str:
    """Format a difference of errors in words: `1.3 points (6 %) less error [0.6, 2.0]`; the interval has its sign."""
    sign = -1 if difference.mean < 0 else 1
    low, high = sorted((sign * difference.low, sign * difference.high))
    size = count_noun(numbers.format_number(abs(difference.mean), numbers.choose_decimals(difference.se)), "points")
    share = f" ({numbers.format_share(abs(difference.mean) / reference)})" if reference > 0 else ""
    interval = "" if isnan(low) else f" {numbers.format_interval(low, high, difference.se)}"
    # "0.3 points (6 %) less error per layer": the step of a trend comes after the noun.
    step = unit.removeprefix("points")
    return f"{size}{share} {'less' if sign < 0 else 'more'} {noun}{step}{interval}"


def _state_exact_claim(verdict: Verdict) -> str:
    if verdict.verdict == "inconclusive":
        return f"{verdict.claim.text}: {verdict.reason}"
    return f"{_state_verdict(verdict)} (by count)"


def _describe_design(report: Report) -> str:
    """Return the main result of a study without claims, by the kind of its design."""
    match report.study.design.kind:
        case "factorial":
            return _describe_main_effect(report)
        case "leave_one_out":
            return _describe_largest_loss(report)
        case "cumulative":
            return _describe_all_steps(report)
        case "search":
            return _describe_search(report)
        case _:
            return _describe_lowest_error(report)


def _describe_main_effect(report: Report) -> str:
    effects = [effect for effect in report.factorial_effects.main if effect.difference.n]
    if not effects:
        return "no seed is finished in every variant yet"
    largest = max(effects, key=lambda effect: abs(effect.difference.mean))
    change = format_change(_to_shown(largest.difference), 0.0)
    significant = sum(effect.q <= ALPHA for effect in effects)
    return (
        f"the largest main effect is {largest.label.replace(' - ', ' instead of ')}, with {change}; "
        f"{significant} of {len(effects)} main effects are significant"
    )


def _describe_largest_loss(report: Report) -> str:
    parts = [row for row in report.rows if "without" in row.variant.levels and row.to_base.n]
    if not parts:
        return "no part can be compared with the base yet"
    worst = max(parts, key=lambda row: row.to_base.mean)
    part, change = worst.variant.levels["without"], _format_change_to_base(worst, report)
    helpful = sum(row.to_base.low > 0 for row in parts)
    return (
        f"leaving out {part} costs most, with {change}; {helpful} of {len(parts)} parts lower the error by intervals "
        "that exclude 0"
    )


def _describe_all_steps(report: Report) -> str:
    steps = [row for row in report.rows if "step" in row.variant.levels]
    if not steps or not steps[-1].to_base.n:
        return "the last step has no result yet"
    together = "the step" if len(steps) == 1 else f"all {len(steps)} steps together"
    return f"{together}: {_format_change_to_base(steps[-1], report)} than {report.base.name}"


def _describe_search(report: Report) -> str:
    winners = [row for row in report.rows if row.name.startswith("winner-") and row.to_base.n]
    if not winners:
        return f"the search is not finished: {numbers.format_count(len(report.proposed))} proposals have records"
    best = min(winners, key=lambda row: row.error.mean)
    return f"the best winner, {best.name}, has {_format_change_to_base(best, report)} than {report.base.name}"


def _describe_lowest_error(report: Report) -> str:
    finished = [row for row in report.rows if row.n]
    if not finished:
        return "no run has finished above chance level"
    best = min(finished, key=lambda row: row.error.mean)
    if best.group is None and len(finished) > 1:
        tested = "too few seeds" if best.n < FEWEST_SEEDS else "paired t-tests"
        return f"the lowest mean error is that of {best.name}, but {tested} distinguish no other variant from it"
    others = [row.name for row in finished if row is not best and row.group == best.group]
    than = "" if best.is_base else f", {_format_change_to_base(best, report)} than {report.base.name}"
    shared = f"; not distinguished from it: {', '.join(others)}" if others else ""
    return f"the lowest error is that of {best.name}{than}{shared}"


def _format_change_to_base(row: VariantRow, report: Report) -> str:
    return format_change(_to_shown(row.to_base), report.base.error.mean)


def _to_shown(difference: PairedDifference) -> ShownDifference:
    se = difference.sd / difference.n**0.5 if difference.n > 1 else difference.sd
    return ShownDifference(difference.mean, difference.low, difference.high, se)
