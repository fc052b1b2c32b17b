"""Verdicts in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, sqrt

from vgg_ablate.analysis.metrics import NOUNS, unit_of
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import EXACT_METRICS, Claim, ClaimSide
from vgg_ablate.formatting import numbers

VERDICT_MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}


def describe_side(given: ClaimSide | None) -> str:
    """A side in words: `D`, or `the mean of D and E`."""
    if given is None or isinstance(given, str):
        return given or ""
    return f"the mean of {_listed(given)}" if len(given) > 1 else given[0]


def describe_hypothesis(claim: Claim) -> str:
    """`base better than five by more than 0.5 pp (test error)`."""
    margin = _with_unit(_plain(claim.margin, claim.metric), claim)
    if claim.trend is not None:
        return f"{_slope(claim, margin)} over {_listed(claim.trend.variants)} ({NOUNS[claim.metric]})"
    b = describe_side(claim.b)
    relation = {
        "better": f"better than {b}" + (f" by more than {margin}" if claim.margin else ""),
        "worse": f"worse than {b}" + (f" by more than {margin}" if claim.margin else ""),
        "not_worse": f"not worse than {b} by {margin} or more",
        "equivalent": f"within {margin} of {b}",
        "different": f"different from {b}" + (f" by more than {margin}" if claim.margin else ""),
    }[claim.kind]
    where = f", within {claim.within}" if claim.within else ""
    where += f" more than within {claim.against}" if claim.against else ""
    return f"{describe_side(claim.a)} {relation}{where} ({NOUNS[claim.metric]})"


def describe_result(verdict: Verdict) -> str:
    """What was found, in one sentence."""
    claim = verdict.claim
    if isnan(verdict.mean):
        return f"Nothing can be said: {verdict.reason}."
    if verdict.exact:
        if claim.trend is not None:
            return f"{_gain(claim)}: {format_estimate(verdict)}; exact, the same on every seed."
        relation = "better" if verdict.mean > 0 else "worse" if verdict.mean < 0 else "equal"
        by = f" by {numbers.format_count(abs(verdict.mean))} {NOUNS[claim.metric]}" if verdict.mean else ""
        return f"{_side(claim)} is {relation}{by}; exact, the same on every seed."
    if verdict.counts is not None:
        found = f"{_counted(verdict)}: {format_estimate(verdict)}"
    elif claim.trend is not None:
        found = f"{_gain(claim)}: {format_estimate(verdict)}"
    else:
        found = (
            f"{_side(claim)} gains {format_estimate(verdict)} over {describe_side(claim.b)} in {NOUNS[claim.metric]}"
        )
    if verdict.verdict == "inconclusive":
        return f"{found}; inconclusive: {_why(verdict)}."
    return f"{found} ({verdict.interval_word})."


def describe_method(verdict: Verdict) -> str:
    """The same where the estimate stands beside it: of what over what, and how it is to be taken."""
    claim = verdict.claim
    if isnan(verdict.mean) or verdict.exact:
        return describe_result(verdict)
    if verdict.counts is not None:
        found = _counted(verdict)
    elif claim.trend is not None:
        found = _gain(claim)
    else:
        found = f"Gain of {_side(claim)} over {describe_side(claim.b)} in {NOUNS[claim.metric]}"
    taken = _why(verdict) if verdict.verdict == "inconclusive" else verdict.interval_word
    return f"{found}. {taken[0].upper()}{taken[1:]}."


def format_estimate(verdict: Verdict) -> str:
    """`+0.42 pp [0.10, 0.74]`."""
    metric = verdict.claim.metric
    if isnan(verdict.mean):
        return numbers.DASH
    if verdict.exact:
        per = "" if verdict.claim.trend is None else f" {unit_of(verdict.claim)}"
        return f"{numbers.format_count(verdict.mean, signed=True)} {NOUNS[metric]}{per}"
    se = _se(verdict)
    found = _with_unit(numbers.format_number(verdict.mean, numbers.choose_decimals(se), signed=True), verdict.claim)
    if isnan(verdict.ci_low):
        return found
    return f"{found} {numbers.format_interval(verdict.ci_low, verdict.ci_high, se)}"


def format_seeds_needed(verdict: Verdict) -> str:
    """How many seeds would decide, or that none of a feasible number would."""
    if verdict.exact or verdict.verdict != "inconclusive":
        return numbers.DASH
    if verdict.seeds_to_decide is None:
        return numbers.DASH if verdict.reason or verdict.counts is not None else "> 1,000"
    return numbers.format_count(verdict.seeds_to_decide)


def describe_evidence(verdict: Verdict) -> str:
    """The numbers behind a verdict: n, p, q, P, wins, g, what could have been seen."""
    if verdict.exact or verdict.n < 2 or isnan(verdict.p):
        return ""
    if verdict.counts is not None:
        q = f"q = {numbers.format_p_value(verdict.q)} (Holm over {verdict.family})".replace("= <", "<")
        return f"{_counted(verdict)}; Barnard's exact test: p = {numbers.format_p_value(verdict.p)}; {q}".replace(
            "= <", "<"
        )
    detectable = _with_unit(
        numbers.format_number(verdict.detectable, numbers.choose_decimals(_se(verdict))), verdict.claim
    )
    parts = [
        f"{verdict.n} seeds",
        f"p = {numbers.format_p_value(verdict.p)}".replace("= <", "<"),
        f"q = {numbers.format_p_value(verdict.q)} (Holm over {verdict.family})".replace("= <", "<"),
        f"P(as claimed) {numbers.format_percentage(verdict.probability)}",
        f"wins {verdict.wins}/{verdict.n}",
        f"Hedges g {numbers.format_number(verdict.hedges_g, 2, signed=True)}",
        f"could have seen {detectable}",
    ]
    return "; ".join(parts)


def describe_sensitivity(verdict: Verdict) -> str:
    """Does the verdict hang on the method?"""
    if not verdict.sensitivity:
        return ""
    words = dict(verdict.sensitivity)
    if len(set(words.values())) == 1:
        return f"{verdict.verdict} by the paired, Welch's and the pooled t"
    names = {"paired": "paired t", "welch": "Welch's t", "pooled": "pooled t"}
    told = ", ".join(f"{names[method]}: {word}" for method, word in words.items())
    return f"the verdict hangs on the method: {told}"


def describe_crossed_interval(verdict: Verdict) -> str:
    """The second interval, where the test set's examples are a sample too."""
    if verdict.beyond is None:
        return ""
    shown = numbers.format_interval(*verdict.beyond, _se(verdict))
    return f"beyond this test set (seeds and examples both sampled): {shown} {unit_of(verdict.claim)}"


def list_evidence(verdict: Verdict) -> list[str]:
    """Return the sentences about the numbers behind a verdict, without those that do not apply to it."""
    clauses = (describe_evidence(verdict), describe_sensitivity(verdict), describe_crossed_interval(verdict))
    sentences = [f"{clause[0].upper()}{clause[1:]}." for clause in clauses if clause]
    if len(verdict.looks) > 1:
        sentences.append(f"At the look after {verdict.look} of {verdict.looks[-1]} seeds.")
    return sentences


def _why(verdict: Verdict) -> str:
    if verdict.reason:
        return verdict.reason
    needed = format_seeds_needed(verdict)
    needed = needed.replace("> ", "more than ")
    return f"{needed} seeds would decide it at this mean and spread" if needed != numbers.DASH else "undecided"


def _side(claim: Claim) -> str:
    a = describe_side(claim.a)
    if claim.against:
        return f"{a} (within {claim.within}, against {claim.against})"
    return f"{a} (within {claim.within})" if claim.within else a


def _slope(claim: Claim, margin: str) -> str:
    """What a trend claims of the gain: `gains over weight_layers by more than 0.1 pp per layer`."""
    over = claim.trend.over if claim.trend is not None else ""
    more = f" by more than {margin}" if claim.margin else ""
    return {
        "better": f"gains with {over}{more}",
        "worse": f"loses with {over}{more}",
        "not_worse": f"does not lose {margin} or more with {over}",
        "equivalent": f"changes by less than {margin} with {over}",
        "different": f"changes with {over}{more}",
    }[claim.kind]


def _gain(claim: Claim) -> str:
    """`Slope of the gain in test error over weight_layers`."""
    return f"Slope of the gain in {NOUNS[claim.metric]} over {claim.trend.over if claim.trend is not None else ''}"


def _counted(verdict: Verdict) -> str:
    """`base trained 5/5, five 2/5`."""
    if verdict.counts is None:
        return ""
    claim, (trained_a, runs_a, trained_b, runs_b) = verdict.claim, verdict.counts
    return f"{_side(claim)} trained {trained_a}/{runs_a}, {describe_side(claim.b)} {trained_b}/{runs_b}"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _se(verdict: Verdict) -> float:
    return verdict.sd / sqrt(verdict.n) if verdict.n > 1 else float("nan")


def _plain(value: float, metric: str) -> str:
    return numbers.format_count(value) if metric in EXACT_METRICS else numbers.format_compact(value)


def _with_unit(text: str, claim: Claim) -> str:
    return f"{text} {unit_of(claim)}".strip()
