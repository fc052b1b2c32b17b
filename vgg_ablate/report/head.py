"""The head of a report: question, answer, state of training and the table of claims, for every format."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting.table import Table
from vgg_ablate.report.answer import describe_answer, describe_author_answer
from vgg_ablate.report.claims_table import build_claims_table
from vgg_ablate.report.state import describe_training, describe_under_training


@dataclass(frozen=True)
class ReportHead:
    """The first part of a report; texts that do not apply are empty."""

    question: str
    answer: str
    author_answer: str
    author_warning: str  # a verdict has changed since the author's answer was written
    training: str
    under_trained: str  # why longer training could change the results
    claims: Table | None


def build_head(report: Report) -> ReportHead:
    """Build the head of a report."""
    author_answer, author_warning = describe_author_answer(report)
    return ReportHead(
        question=report.study.question,
        answer=describe_answer(report),
        author_answer=author_answer,
        author_warning=author_warning,
        training=describe_training(report) if report.is_recorded else "",
        under_trained=describe_under_training(report) if report.is_recorded else "",
        claims=build_claims_table(report),
    )


def render_training_markdown(head: ReportHead) -> str:
    """Return the line on the state of training in Markdown; empty before the first run."""
    return head.training + (f" **Under-trained:** {head.under_trained}." if head.under_trained else "")


def render_head_text(head: ReportHead, width: int) -> str:
    """Render the head without its table for a terminal, wrapped to a width in characters."""
    parts = [head.question, head.answer]
    if head.author_answer:
        parts.append(f"Author: {head.author_answer}")
    parts += [head.author_warning, head.training]
    if head.under_trained:
        parts.append(f"Under-trained: {head.under_trained}.")
    return "\n".join(textwrap.fill(" ".join(part.split()), width) for part in parts if part)
