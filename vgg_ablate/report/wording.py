"""Verdicts in sentences."""

from __future__ import annotations

from math import isnan, sqrt

from vgg_ablate.report import numbers
from vgg_ablate.report.metrics import scale
from vgg_ablate.report.verdicts import Verdict
from vgg_ablate.spec.claims import EXACT, Claim

NOUNS = {
    "test_error": "test error",
    "test_accuracy": "test accuracy",
    "val_error": "validation error",
    "val_accuracy": "validation accuracy",
    "test_top5_error": "top-5 test error",
    "params": "params",
    "macs": "MACs",
    "activations": "activations",
    "train_seconds": "training seconds",
    "images_per_second": "images per second",
}
MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}


def unit(metric: str) -> str:
    """Of a difference: points for errors and accuracies."""
    if scale(metric) != 1:
        return "pp"
    return {"train_seconds": "s", "images_per_second": "images/s"}.get(metric, "")


def hypothesis(claim: Claim) -> str:
    """`base better than five by more than 0.5 pp (test error)`."""
    margin = _with_unit(_plain(claim.margin, claim.metric), claim.metric)
    relation = {
        "better": f"better than {claim.b}" + (f" by more than {margin}" if claim.margin else ""),
        "worse": f"worse than {claim.b}" + (f" by more than {margin}" if claim.margin else ""),
        "not_worse": f"not worse than {claim.b} by {margin} or more",
        "equivalent": f"within {margin} of {claim.b}",
        "different": f"different from {claim.b}" + (f" by more than {margin}" if claim.margin else ""),
    }[claim.kind]
    where = f", within {claim.within}" if claim.within else ""
    where += f" more than within {claim.against}" if claim.against else ""
    return f"{claim.a} {relation}{where} ({NOUNS[claim.metric]})"


def reading(verdict: Verdict) -> str:
    """What was found, in one sentence."""
    claim = verdict.claim
    if isnan(verdict.mean):
        return f"Nothing can be said: {verdict.reason}."
    if verdict.exact:
        relation = "better" if verdict.mean > 0 else "worse" if verdict.mean < 0 else "equal"
        by = f" by {numbers.count(abs(verdict.mean))} {NOUNS[claim.metric]}" if verdict.mean else ""
        return f"{_side(claim)} is {relation}{by}; exact, the same on every seed."
    found = f"{_side(claim)} gains {estimated(verdict)} over {claim.b} in {NOUNS[claim.metric]}"
    if verdict.verdict == "inconclusive":
        return f"{found}; inconclusive: {_why(verdict)}."
    return f"{found} ({verdict.finer})."


def beside(verdict: Verdict) -> str:
    """The same where the estimate stands beside it: of what over what, and how it is to be taken."""
    claim = verdict.claim
    if isnan(verdict.mean) or verdict.exact:
        return reading(verdict)
    found = f"Gain of {_side(claim)} over {claim.b} in {NOUNS[claim.metric]}"
    taken = _why(verdict) if verdict.verdict == "inconclusive" else verdict.finer
    return f"{found}. {taken[0].upper()}{taken[1:]}."


def estimated(verdict: Verdict) -> str:
    """`+0.42 pp [0.10, 0.74]`."""
    metric = verdict.claim.metric
    if isnan(verdict.mean):
        return numbers.DASH
    if verdict.exact:
        return f"{numbers.count(verdict.mean, signed=True)} {NOUNS[metric]}"
    se = _se(verdict)
    found = _with_unit(numbers.number(verdict.mean, numbers.decimals(se), signed=True), metric)
    if isnan(verdict.ci_low):
        return found
    return f"{found} {numbers.interval(verdict.ci_low, verdict.ci_high, se)}"


def seeds_needed(verdict: Verdict) -> str:
    """How many seeds would decide, or that none of a feasible number would."""
    if verdict.exact or verdict.verdict != "inconclusive":
        return numbers.DASH
    if verdict.seeds_to_decide is None:
        return numbers.DASH if verdict.reason else "> 1,000"
    return numbers.count(verdict.seeds_to_decide)


def evidence(verdict: Verdict) -> str:
    """The numbers behind a verdict: n, p, q, P, wins, g, what could have been seen."""
    if verdict.exact or verdict.n < 2 or isnan(verdict.p):
        return ""
    metric = verdict.claim.metric
    detectable = _with_unit(numbers.number(verdict.detectable, numbers.decimals(_se(verdict))), metric)
    parts = [
        f"{verdict.n} seeds",
        f"p = {numbers.p_value(verdict.p)}".replace("= <", "<"),
        f"q = {numbers.p_value(verdict.q)} (Holm over {verdict.family})".replace("= <", "<"),
        f"P(as claimed) {numbers.percentage(verdict.probability)}",
        f"wins {verdict.wins}/{verdict.n}",
        f"Hedges g {numbers.number(verdict.hedges_g, 2, signed=True)}",
        f"could have seen {detectable}",
    ]
    return "; ".join(parts)


def sensitivity(verdict: Verdict) -> str:
    """Does the verdict hang on the method?"""
    if not verdict.sensitivity:
        return ""
    words = dict(verdict.sensitivity)
    if len(set(words.values())) == 1:
        return f"{verdict.verdict} by the paired, Welch's and the pooled t"
    names = {"paired": "paired t", "welch": "Welch's t", "pooled": "pooled t"}
    told = ", ".join(f"{names[method]}: {word}" for method, word in words.items())
    return f"the verdict hangs on the method: {told}"


def beyond(verdict: Verdict) -> str:
    """The second interval, where the test set's examples are a sample too."""
    if verdict.beyond is None:
        return ""
    shown = numbers.interval(*verdict.beyond, _se(verdict))
    return f"beyond this test set (seeds and examples both sampled): {shown} {unit(verdict.claim.metric)}"


def _why(verdict: Verdict) -> str:
    if verdict.reason:
        return verdict.reason
    needed = seeds_needed(verdict)
    needed = needed.replace("> ", "more than ")
    return f"{needed} seeds would decide it at this mean and spread" if needed != numbers.DASH else "undecided"


def _side(claim: Claim) -> str:
    if claim.against:
        return f"{claim.a} (within {claim.within}, against {claim.against})"
    return f"{claim.a} (within {claim.within})" if claim.within else claim.a


def _se(verdict: Verdict) -> float:
    return verdict.sd / sqrt(verdict.n) if verdict.n > 1 else float("nan")


def _plain(value: float, metric: str) -> str:
    return numbers.count(value) if metric in EXACT else numbers.plain(value)


def _with_unit(text: str, metric: str) -> str:
    return f"{text} {unit(metric)}".strip()
