"""The standings as a table for terminals, as a page (results/paper/claims.md), as JSON, and as README's table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Column, Table, TableRow, TextCell, render_markdown
from vgg_ablate.paper.computed import Check, Computation
from vgg_ablate.paper.standing import ClaimAnswer, Standing
from vgg_ablate.report import wording

_KINDS = {"analytic": "Computed", "empirical": "Trained", "note": "The note"}


def build_scoreboard_table(standings: Sequence[Standing]) -> Table:
    """One row a statement, a heading a kind."""
    rows: list[TableRow] = []
    for kind, heading in _KINDS.items():
        rows.append(TableRow((TextCell(heading),), style="block"))
        rows.extend(TableRow(_cells(one)) for one in standings if one.statement.kind == kind)
    columns = (
        Column("id", "id", "left"),
        Column("statement", "statement", "left"),
        Column("paper", "paper", "left"),
        Column("verdict", "verdict", "left"),
        Column("evidence", "evidence", "left"),
    )
    return Table("paper", "Where the paper's claims stand", columns, tuple(rows), (describe_counts(standings),))


def describe_counts(standings: Sequence[Standing]) -> str:
    """How many statements stand how."""
    counts = Counter(one.word for one in standings)
    return f"{len(standings)} statements: " + ", ".join(f"{count} {word}" for word, count in counts.most_common()) + "."


def render_page(standings: Sequence[Standing]) -> str:
    """The whole scoreboard in Markdown."""
    lines = [
        "# Where the paper's claims stand",
        "",
        "K. Simonyan and A. Zisserman, arXiv:1409.1556v6, and the study note that this project started from.",
        "Written by `python -m vgg_ablate claims` from arithmetic and from the records under results/; do not edit.",
        "",
        describe_counts(standings),
        "Verdicts of trained studies hold at the scale that stands beside them, and say nothing about ImageNet.",
        "A statement is supported where every claim that decides it is, and refuted where one is refuted.",
        "",
        *_short(standings),
    ]
    for kind, heading in _KINDS.items():
        lines += ["", f"## {heading}"]
        for one in standings:
            if one.statement.kind == kind:
                lines += ["", f"### {one.statement.id}", "", render_statement(one).rstrip("\n")]
    return "\n".join(lines) + "\n"


def render_readme_table(standings: Sequence[Standing]) -> str:
    """Paper | here | verdict: what was trained, and one line for what was computed."""
    analytic = [one for one in standings if one.statement.kind == "analytic"]
    agree = sum(one.word == "supported" for one in analytic)
    rows = [
        TableRow(
            (
                TextCell(f"A01 to A{len(analytic)}: what arithmetic settles"),
                TextCell("computed exactly"),
                TextCell(f"{agree} hold"),
            )
        )
    ]
    rows += [
        TableRow((TextCell(_paper(one)), TextCell(_here(one)), TextCell(_verdict(one))))
        for one in standings
        if any(answer.verdict for answer in one.deciding)
    ]
    columns = tuple(Column(name, name, "left") for name in ("paper", "here", "verdict"))
    return render_markdown(
        Table("claims", "The paper's claims, here", columns, tuple(rows), (describe_counts(standings),))
    )


def render_statement(one: Standing) -> str:
    """One statement in Markdown, with all that bears on it."""
    return "\n".join([f"{one.statement.text} **{_verdict(one)}**", "", *_points(one)]) + "\n"


def serialize_standings(standings: Sequence[Standing]) -> str:
    """A list, one object a statement."""
    return json.dumps([_object(one) for one in standings], indent=1, ensure_ascii=False, allow_nan=False)


def describe_evidence(standing: Standing) -> str:
    """What fits one cell of a table: the first checks, and what the claims say that decide."""
    parts = [_computed(standing.computed, most=3)] if standing.computed else []
    parts += [_answer(answer) for answer in standing.deciding]
    return standing.statement.out_of_reach or "; ".join(parts)


def _short(standings: Sequence[Standing]) -> Iterator[str]:
    yield "| | statement | verdict |"
    yield "|:---|:---|:---|"
    for one in standings:
        link = f"[{one.statement.id}](#{one.statement.id.lower()})"
        yield f"| {link} | {one.statement.text} | {_verdict(one)} |"


def _points(one: Standing) -> Iterator[str]:
    statement = one.statement
    where = "the note" if statement.section == "note" else f"section {statement.section}"
    yield f"- where: {where}" + (f"; as printed: {statement.numbers}" if statement.numbers else "")
    if statement.comparison:
        yield f"- compared: {statement.comparison}; by {statement.metric}"
    if one.computed:
        yield f"- computed: {_computed(one.computed)}"
    for answer in one.answers:
        yield f"- {_answer(answer)}"
    for scale, names in _scales(one).items():
        yield f"- scale of {', '.join(names)}: {scale}"
    if statement.out_of_reach:
        yield f"- out of reach here: {statement.out_of_reach}"
    for caveat in statement.caveats:
        yield f"- caveat: {caveat}"


def _scales(one: Standing) -> dict[str, list[str]]:
    """scale -> the studies that were run at it."""
    found: dict[str, list[str]] = {}
    for answer in one.answers:
        if answer.verdict and answer.asked.study not in found.setdefault(answer.scale, []):
            found[answer.scale].append(answer.asked.study)
    return found


def _cells(one: Standing) -> tuple[TextCell, ...]:
    statement = one.statement
    return tuple(
        TextCell(text)
        for text in (statement.id, statement.text, statement.numbers, _verdict(one), describe_evidence(one))
    )


def _verdict(one: Standing) -> str:
    return f"{one.word} at this scale" if one.scale and one.word in ("supported", "refuted") else one.word


def _computed(computed: Computation, most: int = 99) -> str:
    first = sorted(computed.checks, key=lambda check: check.agrees)[:most]  # what is wrong before what is right
    rest = len(computed.checks) - len(first)
    return "; ".join(_check(check) for check in first) + (f"; and {rest} more" if rest else "")


def _check(check: Check) -> str:
    if check.found is True and check.claimed is True:
        return check.what
    said = "" if check.agrees else f" (claimed: {_shown(check.claimed)})"
    return f"{check.what}: {_shown(check.found)}{f' {check.unit}' if check.unit else ''}{said}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return numbers.format_number(value, 0) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _answer(answer: ClaimAnswer) -> str:
    beside = "" if answer.asked.decides else " (beside)"
    name = f"{answer.asked.study}/{answer.asked.claim}{beside}"
    if answer.verdict is None:
        return f"{name}: not run yet"
    return f"{name}: {answer.word}; {_found(answer.verdict)}"


def _found(verdict: Verdict) -> str:
    """`two 3x3 beat one 5x5: gain +0.42 pp [0.10, 0.74], n = 5`, and what is in the way of a verdict."""
    if not isfinite(verdict.mean):
        return f"{verdict.claim.text}: {verdict.reason}"
    found = f"{verdict.claim.text}: gain {wording.format_estimate(verdict)}, n = {verdict.n}"
    needed = wording.format_seeds_needed(verdict)
    more = f"{needed} seeds would decide it" if needed != numbers.DASH else ""
    return "; ".join(part for part in (found, verdict.reason, more) if part)


def _paper(one: Standing) -> str:
    printed = f" ({one.statement.numbers})" if one.statement.numbers else ""
    return f"{one.statement.id}: {one.statement.text}{printed}"


def _here(one: Standing) -> str:
    found = [answer.verdict for answer in one.deciding if answer.verdict and isfinite(answer.verdict.mean)]
    return "; ".join(_found(one) for one in found)


def _object(one: Standing) -> dict[str, Any]:
    statement = one.statement
    return {
        "id": statement.id,
        "statement": statement.text,
        "section": statement.section,
        "numbers": statement.numbers,
        "kind": statement.kind,
        "comparison": statement.comparison,
        "metric": statement.metric,
        "verdict": one.word,
        "scale": one.scale,
        "evidence": [*_checks(one.computed), *(_claim(answer) for answer in one.answers)],
        "out_of_reach": statement.out_of_reach,
        "caveats": list(statement.caveats),
    }


def _checks(computed: Computation | None) -> list[dict[str, Any]]:
    return [
        {"computed": check.what, "claimed": check.claimed, "found": check.found, "agrees": check.agrees}
        for check in (computed.checks if computed else ())
    ]


def _claim(answer: ClaimAnswer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "study": answer.asked.study,
        "claim": answer.asked.claim,
        "decides": answer.asked.decides,
        "verdict": answer.word,
        "scale": answer.scale,
    }
    if answer.verdict is None:
        return found
    verdict = answer.verdict
    values = {"mean": verdict.mean, "ci_low": verdict.ci_low, "ci_high": verdict.ci_high, "q": verdict.q}
    return {
        **found,
        "n": verdict.n,
        **{name: value if isfinite(value) else None for name, value in values.items()},
        "text": _found(verdict),
    }
