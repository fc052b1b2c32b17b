"""Claims and verdicts as sentences for report.md, report.html and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, nan, sqrt

from vgg_ablate.analysis.metrics import get_claim_unit, get_metric, get_shown_sign
from vgg_ablate.analysis.pairs import compute_shown_difference, compute_widening, flip_interval
from vgg_ablate.analysis.power import MAX_SEEDS
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import Claim, ClaimSide
from vgg_ablate.config.published import PublishedValue
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import capitalize_first, count_noun


def describe_side(given: ClaimSide | PublishedValue | None) -> str:
    """Describe one side of a claim: `D`, `the mean of D and E`, or where a published value is from."""
    if isinstance(given, PublishedValue):
        return given.source
    if given is None or isinstance(given, str):
        return given or ""
    return f"the mean of {_join_names(given)}" if len(given) > 1 else given[0]


def describe_hypothesis(claim: Claim) -> str:
    """Describe what a claim states: `base better than five by more than 0.5 points (test error)`."""
    margin, noun = _add_unit(_format_value(claim.margin, claim.metric), claim), get_metric(claim.metric).noun
    if claim.trend is not None:
        return f"{noun} {_describe_slope(claim, margin)}, over {_join_names(claim.trend.variants)}"
    b = describe_side(claim.b)
    by_margin = f" by more than {margin}" if claim.margin else ""
    relation = {
        "better": f"better than {b}{by_margin}",
        "worse": f"worse than {b}{by_margin}",
        "not_worse": f"not worse than {b} by {margin} or more",
        "equivalent": f"within {margin} of {b}",
        "different": f"different from {b}{by_margin}",
    }[claim.kind]
    where = f", within {claim.within}" if claim.within else ""
    where += f" more than within {claim.against}" if claim.against else ""
    return f"{describe_side(claim.a)} {relation}{where} ({noun})"


def describe_reason(verdict: Verdict) -> str:
    """Describe why the verdict is what it is, without the estimate's numbers: `Inconclusive: five: seed 2 diverged.`"""
    if verdict.counts is not None:
        return f"{format_trained_counts(verdict)}."
    if verdict.is_exact:
        return f"{capitalize_first(verdict.reason or 'exact, the same on every seed')}."
    if verdict.verdict == "inconclusive":
        return f"{capitalize_first(_explain_inconclusive(verdict))}."
    if verdict.verdict == "no difference":
        return f"{capitalize_first(_explain_negligible(verdict))}."
    return f"{capitalize_first(_describe_size(verdict))}."


def format_estimate(verdict: Verdict) -> str:
    """Format the difference of a minus b, of errors, with its 95 % interval: `−0.42 points [−0.74, −0.10]`."""
    metric, difference = verdict.claim.metric, compute_shown_difference(verdict)
    if isnan(difference.mean):
        return numbers.DASH
    if verdict.is_exact:
        per = "" if verdict.claim.trend is None else f" {get_claim_unit(verdict.claim)}"
        return f"{numbers.format_count(difference.mean, signed=True)} {get_metric(metric).noun}{per}"
    decimals = numbers.choose_decimals(difference.se)
    mean = _add_unit(numbers.format_number(difference.mean, decimals, signed=True), verdict.claim)
    if isnan(difference.low):
        return mean
    return f"{mean} {numbers.format_interval(difference.low, difference.high, difference.se)}"


def format_verdict(verdict: Verdict) -> str:
    """Format the verdict: `supported`, or `supported, smaller than what matters`."""
    return f"{verdict.verdict}, smaller than what matters" if verdict.is_small else verdict.verdict


def format_excluded(verdict: Verdict) -> str:
    """Format the difference beyond which every one is excluded: `1.3 points`; a dash if there is none."""
    if verdict.is_exact or isnan(verdict.excluded):
        return numbers.DASH
    decimals = numbers.choose_decimals(_compute_standard_error(verdict))
    return _add_unit(numbers.format_number(verdict.excluded, decimals), verdict.claim)


def format_seeds_needed(verdict: Verdict) -> str:
    """Format the number of seeds that find a difference of the smallest effect; a dash without one or a spread."""
    if verdict.is_exact or not verdict.claim.smallest_effect or not verdict.sd > 0:
        return numbers.DASH
    return f"> {MAX_SEEDS:,}" if verdict.seeds_needed is None else numbers.format_count(verdict.seeds_needed)


def explain_verdict(verdict: Verdict) -> list[str]:
    """Return the sentences on what a claim states, why its verdict is what it is, and the numbers behind it.

    Sentences that do not apply to the verdict are left out.
    """
    stated = f"Claimed: {describe_hypothesis(verdict.claim)}. {describe_reason(verdict)}"
    clauses = (describe_evidence(verdict), describe_sensitivity(verdict), describe_crossed_interval(verdict))
    sentences = [stated, *(f"{capitalize_first(clause)}." for clause in clauses if clause)]
    if len(verdict.looks) > 1:
        sentences.append(
            f"Judged at the look after {verdict.look} of {verdict.looks[-1]} seeds{_format_chance(verdict)}."
        )
    return sentences


def describe_evidence(verdict: Verdict) -> str:
    """Return the statistics of a verdict: n, p, q, P, wins, Hedges' g, and the differences that the data exclude."""
    claim = verdict.claim
    if verdict.is_exact or verdict.n < 2 or isnan(verdict.p):
        return ""
    p = f"p {_format_p(verdict.p)}"
    q = f"q {_format_p(verdict.q)} (Holm over {verdict.family})"
    if verdict.counts is not None:
        return f"{format_trained_counts(verdict)}; Barnard's exact test: {p}; {q}"
    if verdict.method:
        runs = " and ".join(map(str, verdict.run_counts)) if verdict.run_counts else str(verdict.n)
        chance = f"P(as claimed) {numbers.format_percentage(verdict.probability)}"
        return f"{runs} runs, {verdict.method}{_describe_published(claim)}; {p}; {q}; {chance}"
    decimals = numbers.choose_decimals(_compute_standard_error(verdict))
    detectable = _add_unit(numbers.format_number(verdict.detectable, decimals), verdict.claim)
    parts = [
        count_noun(verdict.n, "seeds"),
        p,
        q,
        f"P(as claimed) {numbers.format_percentage(verdict.probability)}",
        f"wins {verdict.wins}/{verdict.n}",
        f"Hedges' g {numbers.format_number(get_shown_sign(verdict.claim.metric) * verdict.hedges_g, 2, signed=True)}",
        f"detectable difference {detectable}",
    ]
    if (excluded := format_excluded(verdict)) != numbers.DASH:
        parts.append(f"excluded beyond {excluded}")
    if (needed := format_seeds_needed(verdict)) != numbers.DASH:
        parts.append(f"{needed} seeds find {_format_smallest(verdict)} with 80 % power")
    return "; ".join(parts)


def _describe_published(claim: Claim) -> str:
    """Describe the published value of a claim and its spread; empty without one."""
    published = claim.published
    if published is None:
        return ""
    spread = ", taken as exact because no spread is published" if published.sd is None else ""
    spread = spread or f" ± {numbers.format_compact(published.sd or 0.0)} (n = {published.n})"
    return f" against {numbers.format_compact(published.value)}{spread} ({published.source})"


def describe_sensitivity(verdict: Verdict) -> str:
    """Describe whether other t-tests give the same verdict; empty if none was computed."""
    if not verdict.sensitivity:
        return ""
    words = dict(verdict.sensitivity)
    if len(set(words.values())) == 1:
        return f"{verdict.verdict} by the paired, Welch's and the pooled t-test"
    names = {"paired": "paired t", "welch": "Welch's t", "pooled": "pooled t"}
    verdicts = ", ".join(f"{names[method]}: {word}" for method, word in words.items())
    return f"the verdict depends on the method: {verdicts}"


def describe_crossed_interval(verdict: Verdict) -> str:
    """Return the interval that treats the test examples as a sample too; empty if it was not computed."""
    if verdict.beyond is None:
        return ""
    beyond = flip_interval(verdict.beyond, get_shown_sign(verdict.claim.metric))
    interval = numbers.format_interval(*beyond, _compute_standard_error(verdict))
    sentence = f"beyond this test set (seeds and examples both sampled): {interval} {get_claim_unit(verdict.claim)}"
    if verdict.on_test_set in (None, verdict.verdict):
        return sentence
    return f"{sentence}, which decides; by the seeds alone, on this test set, the claim is {verdict.on_test_set}"


def describe_shown_interval(verdicts: Sequence[Verdict]) -> str:
    """Return which interval a table of verdicts shows and which one decides; empty where that is one interval."""
    crossed = [compute_widening(verdict) for verdict in verdicts if verdict.beyond is not None]
    if not crossed:
        return ""
    low, high = (numbers.format_number(ratio, numbers.DEFAULT_DECIMALS) for ratio in (min(crossed), max(crossed)))
    width = f"{high} times as wide" if low == high else f"{low} to {high} times as wide"
    width = "hardly wider" if high == "1.00" else width
    return f"[95 %] is over seeds alone. The interval that decides is over seeds and test examples, {width} here."


def _explain_negligible(verdict: Verdict) -> str:
    return f"no difference of {_format_smallest(verdict)} or more, the smallest that matters"


def _explain_inconclusive(verdict: Verdict) -> str:
    if verdict.reason:
        return verdict.reason
    if isnan(verdict.excluded):
        return "undecided"
    excluded = f"differences of more than {format_excluded(verdict)} are excluded"
    if (needed := format_seeds_needed(verdict)) == numbers.DASH:
        return excluded
    seeds = count_noun(needed.replace("> ", "more than "), "seeds")
    return f"{excluded}; {seeds} find a difference of {_format_smallest(verdict)} with 80 % power"


def _describe_size(verdict: Verdict) -> str:
    """Describe where the interval of a decided claim lies, and whether the difference is too small to matter."""
    small = f"; smaller than what matters, {_format_smallest(verdict)}" if verdict.is_small else ""
    return f"{verdict.interval_word}{small}"


def _format_smallest(verdict: Verdict) -> str:
    return _add_unit(numbers.format_compact(verdict.claim.smallest_effect or 0.0), verdict.claim)


def _format_chance(verdict: Verdict) -> str:
    if isnan(verdict.power):
        return ""
    chance = "below 1 %" if verdict.power < 0.01 else f"{100 * verdict.power:.0f} %"
    return f"; chance of a decision by the last look, if the differences go on as they are: {chance}"


def describe_first_side(claim: Claim) -> str:
    """Describe side a with the levels within which it is compared: `kernel=five (within norm=batch)`."""
    a = describe_side(claim.a)
    if claim.against:
        return f"{a} (within {claim.within}, against {claim.against})"
    return f"{a} (within {claim.within})" if claim.within else a


def _describe_slope(claim: Claim, margin: str) -> str:
    """Describe what a trend states of its metric: `falls with weight_layers by more than 0.1 points per layer`."""
    over = claim.trend.over if claim.trend is not None else ""
    by_margin = f" by more than {margin}" if claim.margin else ""
    better, worse = ("rise", "fall") if get_metric(claim.metric).higher_is_better else ("fall", "rise")
    return {
        "better": f"{better}s with {over}{by_margin}",
        "worse": f"{worse}s with {over}{by_margin}",
        "not_worse": f"does not {worse} by {margin} or more with {over}",
        "equivalent": f"changes by less than {margin} with {over}",
        "different": f"changes with {over}{by_margin}",
    }[claim.kind]


def format_trained_counts(verdict: Verdict) -> str:
    """Format how many runs of each side trained above chance: `base trained 5/5, five 2/5`."""
    if verdict.counts is None:
        return ""
    claim, (trained_a, runs_a, trained_b, runs_b) = verdict.claim, verdict.counts
    return f"{describe_first_side(claim)} trained {trained_a}/{runs_a}, {describe_side(claim.b)} {trained_b}/{runs_b}"


def _join_names(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _compute_standard_error(verdict: Verdict) -> float:
    return verdict.sd / sqrt(verdict.n) if verdict.n > 1 else nan


def _format_value(value: float, metric: str) -> str:
    return numbers.format_count(value) if get_metric(metric).is_exact else numbers.format_compact(value)


def _format_p(value: float) -> str:
    """Format a p-value with its relation: `= 0.012`, or `< 0.001`."""
    text = numbers.format_p_value(value)
    return text if text.startswith("<") else f"= {text}"


def _add_unit(text: str, claim: Claim) -> str:
    unit = get_claim_unit(claim)
    return f"{text} {make_singular(unit) if text == '1' else unit}".strip()


def make_singular(unit: str) -> str:
    """Return `point` for `points`, and other units unchanged."""
    return unit.replace("points", "point", 1)
