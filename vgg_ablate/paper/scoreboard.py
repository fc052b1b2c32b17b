"""The standings as a terminal table, as the page results/paper/claims.md, as JSON, and as the table in README.md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow, render_markdown
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.standing import ClaimAnswer, Standing
from vgg_ablate.paper.trained_table import build_trained_table, describe_levels
from vgg_ablate.report import wording

# The rows of the README: depth, the 1x1 convolutions, factorised kernels, scale jitter, and the deepest nets.
_HEADLINES = frozenset({"E02", "E04", "E06", "E07", "E10"})
_KINDS = {"analytic": "Computed", "empirical": "Trained", "note": "The note"}


def build_scoreboard_table(standings: Sequence[Standing]) -> Table:
    """Return the scoreboard with one row per statement and one heading per kind."""
    rows: list[TableRow] = []
    for kind, heading in _KINDS.items():
        rows.append(TableRow((TextCell(heading),), style="block"))
        rows.extend(TableRow(_build_cells(standing)) for standing in standings if standing.statement.kind == kind)
    columns = (
        Column("id", "left"),
        Column("statement", "left"),
        Column("paper", "left"),
        Column("verdict", "left"),
        Column("evidence", "left"),
    )
    return Table("paper", "Where the paper's claims stand", columns, tuple(rows), (describe_counts(standings),))


def describe_counts(standings: Sequence[Standing]) -> str:
    """Return the number of statements per verdict, those decided by arithmetic apart from those that were trained."""
    computed = [standing for standing in standings if not standing.is_trained]
    trained = [standing for standing in standings if standing.is_trained]
    parts = [
        f"{len(group)} {noun}: {_count_words(group)}."
        for group, noun in ((computed, "statements decided by arithmetic"), (trained, "by training"))
        if group
    ]
    return " ".join(parts)


def _count_words(standings: Sequence[Standing]) -> str:
    counts = Counter(standing.word for standing in standings)
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def render_scoreboard(standings: Sequence[Standing]) -> str:
    """Return the whole scoreboard in Markdown."""
    lines = [
        "# Where the paper's claims stand",
        "",
        "K. Simonyan and A. Zisserman, arXiv:1409.1556v6, and the study note that this project started from.",
        "Written by `python -m vgg_ablate claims` from arithmetic and from the records under results/; do not edit.",
        "",
        describe_counts(standings),
        "Words of trained statements hold at the scale printed with them, not on ImageNet. As in the paper: every "
        "claim that decides the statement is supported. Reversed (differs) here: one of them is refuted. No "
        "difference: the "
        "interval lies within the smallest effect that the study declares. Still moving: the two longest trainings "
        "disagree. Unclear: the data decide neither way. So far: a longer training of the same nets, which decides, "
        "is registered and not recorded yet.",
        "",
        *_render_trained_table(standings),
        *_render_overview(standings),
    ]
    for kind, heading in _KINDS.items():
        lines += ["", f"## {heading}"]
        for standing in standings:
            if standing.statement.kind == kind:
                lines += ["", f"### {standing.statement.id}", "", render_statement(standing).rstrip("\n")]
    return "\n".join(lines) + "\n"


def render_readme_table(standings: Sequence[Standing]) -> str:
    """Return the rows of the headline statements in Markdown, with the number of all statements per verdict below."""
    headlines = [standing for standing in standings if standing.statement.id in _HEADLINES]
    table = build_trained_table(headlines)
    if not table.rows:
        return f"{describe_counts(standings)}\n"
    return render_markdown(replace(table, notes=(*table.notes, describe_counts(standings))))


def render_statement(standing: Standing) -> str:
    """Return one statement in Markdown with its evidence and caveats."""
    return "\n".join([f"{standing.statement.text} **{standing.word}**", "", *_render_points(standing)]) + "\n"


def serialize_standings(standings: Sequence[Standing]) -> str:
    """Return a JSON list with one object per statement."""
    return json.dumps(
        [_build_document(standing) for standing in standings], indent=1, ensure_ascii=False, allow_nan=False
    )


def describe_evidence(standing: Standing) -> str:
    """Return the evidence in the length of a table cell: the first three checks and the deciding claims."""
    parts = [_format_checks(standing.computation, most=3)] if standing.computation else []
    parts += [_format_answer(answer) for answer in standing.deciding_answers]
    return standing.statement.out_of_reach or "; ".join(parts)


def _render_trained_table(standings: Sequence[Standing]) -> list[str]:
    table = build_trained_table(standings)
    return [render_markdown(table), ""] if table.rows else []


def _render_overview(standings: Sequence[Standing]) -> Iterator[str]:
    yield "| | statement | verdict |"
    yield "|:---|:---|:---|"
    for standing in standings:
        link = f"[{standing.statement.id}](#{standing.statement.id.lower()})"
        yield f"| {link} | {standing.statement.text} | {standing.word} |"


def _render_points(standing: Standing) -> Iterator[str]:
    statement = standing.statement
    source = "the note" if statement.section == "note" else f"section {statement.section}"
    yield f"- where: {source}" + (f"; as printed: {statement.numbers}" if statement.numbers else "")
    if statement.comparison:
        yield f"- compared: {statement.comparison}; by {statement.metric}"
    if statement.elsewhere:
        yield f"- elsewhere: {statement.elsewhere}"
    if standing.computation:
        yield f"- computed: {_format_checks(standing.computation)}"
    for answer in standing.answers:
        yield f"- {_format_answer(answer)}"
    for scale, names in _group_by_scale(standing).items():
        yield f"- scale of {', '.join(names)}: {scale}"
    if statement.out_of_reach:
        yield f"- out of reach here: {statement.out_of_reach}"
    for caveat in statement.caveats:
        yield f"- caveat: {caveat}"


def _group_by_scale(standing: Standing) -> dict[str, list[str]]:
    """Return the studies that were run at each scale."""
    studies: dict[str, list[str]] = {}
    for answer in standing.answers:
        if answer.verdict and answer.reference.study not in studies.setdefault(answer.scale, []):
            studies[answer.scale].append(answer.reference.study)
    return studies


def _build_cells(standing: Standing) -> tuple[TextCell, ...]:
    statement = standing.statement
    return tuple(
        TextCell(text)
        for text in (
            statement.id,
            statement.text,
            statement.numbers,
            standing.word,
            describe_evidence(standing),
        )
    )


def _format_checks(computation: Computation, most: int = 99) -> str:
    first = sorted(computation.checks, key=lambda check: check.agrees)[:most]  # failed checks first
    rest = len(computation.checks) - len(first)
    return "; ".join(_format_check(check) for check in first) + (f"; and {rest} more" if rest else "")


def _format_check(check: Check) -> str:
    if check.computed is True and check.claimed is True:
        return check.quantity
    claimed = "" if check.agrees else f" (claimed: {_format_value(check.claimed)})"
    return f"{check.quantity}: {_format_value(check.computed)}{f' {check.unit}' if check.unit else ''}{claimed}"


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return numbers.format_number(value, 0) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _format_answer(answer: ClaimAnswer) -> str:
    role = "" if answer.reference.decides else " (does not decide)"
    name = f"{answer.reference.study}/{answer.reference.claim}{role}"
    if answer.verdict is None:
        return f"{name}: not run yet"
    if answer.word == "not run yet":
        return f"{name}: not run yet"
    so_far = f", after {answer.so_far}" if answer.so_far else ""
    return f"{name}: {answer.word}{so_far}; {_format_estimate(answer.verdict)}"


def _format_estimate(verdict: Verdict) -> str:
    """Return e.g. `two 3x3 beat one 5x5: difference −0.42 points [−0.74, −0.10], n = 5`, or why there is none."""
    if not isfinite(verdict.mean):
        return f"{verdict.claim.text}: {verdict.reason}"
    estimate = f"{verdict.claim.text}: difference {wording.format_estimate(verdict)}, n = {verdict.n}"
    if verdict.horizons:
        estimate += f" (by level: {describe_levels(verdict)})"
    is_open = verdict.verdict == "inconclusive" and not verdict.reason and isfinite(verdict.excluded)
    excluded = f"differences of more than {wording.format_excluded(verdict)} are excluded" if is_open else ""
    return "; ".join(part for part in (estimate, verdict.reason, excluded) if part)


def _build_document(standing: Standing) -> dict[str, Any]:
    statement = standing.statement
    return {
        "id": statement.id,
        "statement": statement.text,
        "section": statement.section,
        "numbers": statement.numbers,
        "kind": statement.kind,
        "comparison": statement.comparison,
        "metric": statement.metric,
        "verdict": standing.verdict,
        "word": standing.word,
        "scale": standing.scale,
        "evidence": [
            *_build_check_documents(standing.computation),
            *(_build_claim_document(answer) for answer in standing.answers),
        ],
        "out_of_reach": statement.out_of_reach,
        "caveats": list(statement.caveats),
    }


def _build_check_documents(computation: Computation | None) -> list[dict[str, Any]]:
    return [
        {"computed": check.quantity, "claimed": check.claimed, "found": check.computed, "agrees": check.agrees}
        for check in (computation.checks if computation else ())
    ]


def _build_claim_document(answer: ClaimAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {
        "study": answer.reference.study,
        "claim": answer.reference.claim,
        "decides": answer.reference.decides,
        "verdict": answer.word,
        "scale": answer.scale,
    }
    if answer.verdict is None:
        return document
    verdict = answer.verdict
    values = {"mean": verdict.mean, "ci_low": verdict.ci_low, "ci_high": verdict.ci_high, "q": verdict.q}
    return {
        **document,
        "n": verdict.n,
        **{name: value if isfinite(value) else None for name, value in values.items()},
        "text": _format_estimate(verdict),
    }
