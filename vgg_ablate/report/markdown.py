"""The file report.md: question, verdicts, tables, figures, notes, provenance, and how to run the study again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vgg_ablate.analysis import tuning
from vgg_ablate.analysis.frame import NOT_NEEDED
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS
from vgg_ablate.config.content_hash import hash_content
from vgg_ablate.config.registration import build_deciding_content, find_registration_changes
from vgg_ablate.config.study_file import ReportColumn
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Table, render_markdown
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.records import Outcome
from vgg_ablate.report import design_tables, level_table, wording
from vgg_ablate.report.change_effects import list_changes
from vgg_ablate.report.claims_table import build_claims_table
from vgg_ablate.report.figures.registry import RenderedFigure
from vgg_ablate.report.head import build_head, render_training_markdown
from vgg_ablate.report.state import list_data_facts

# The report has file, folder, seeds, looks, history and registration in other words; host is left out because reports
# are published; proposals are in a table.
_OMITTED_PROVENANCE = frozenset(
    {"file", "folder", "history", "seeds", "looks", "host", "proposals", "registration", "answer"}
)


def build_markdown(report: Report, figures: Sequence[RenderedFigure] = ()) -> str:
    """Build the whole file; it links to the figures as files beside it."""
    forest = next((figure for figure in figures if figure.name == "forest"), None)
    parts = [
        *_build_head(report, forest),
        *_build_problems(report),
        "## Variants",
        *(render_markdown(table) for table in build_variant_tables(report)),
        *_build_figures([figure for figure in figures if figure is not forest]),
        *_build_section("Notes", build_notes(report)),
        *_fold("What the changes do", list_net_changes(report)),
        *_fold("Data", list_data_facts(report)),
        *_fold(name_expectations(report), list_expectations(report)),
        *_fold("Provenance", [f"{name}: {value}" for name, value in list_provenance(report)]),
        "## How to run this again",
        f"```sh\n{format_rerun_command(report)}\n```",
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def build_tables(report: Report, columns: Sequence[ReportColumn] = ()) -> list[Table]:
    """Build every table of the report, in order; `columns` select those of the comparison."""
    claims = build_claims_table(report)
    return [*([claims] if claims is not None else []), *build_variant_tables(report, columns)]


def build_variant_tables(report: Report, columns: Sequence[ReportColumn] = ()) -> list[Table]:
    """Build the tables of a report below its claims: the comparison, those of its design, the tuning."""
    below = (level_table.build_level_table(report), tuning.build_tuning_table(report))
    return [*design_tables.build_design_tables(report, columns), *(table for table in below if table is not None)]


def build_notes(report: Report) -> list[str]:
    """Return the notes on a study that its tables do not show, one sentence each."""
    return [
        *_note_registration(report),
        *_note_stop(report),
        *_note_few_seeds(report),
        *_note_unfinished(report),
        *_note_stalled(report),
        *_note_untuned(report),
        *_note_unplanned_looks(report),
        *_note_mixed_runs(report),
        *_note_stopped_proposals(report),
    ]


def list_net_changes(report: Report) -> list[str]:
    """Return what the changes of every variant do to its net, one sentence each."""
    changes = {row.name: row.variant.changes for row in report.rows}
    return list_changes(changes, report.results.costs, report.base.name)


def name_expectations(report: Report) -> str:
    """Return the heading of the expectations: of the training time alone where the study expected nothing."""
    expect = report.study.expect
    return "Expected and found" if expect.finds or expect.minutes else "Training time"


def list_expectations(report: Report) -> list[str]:
    """Return what the study expected before it ran and what it cost, one sentence each."""
    expect, lines = report.study.expect, []
    if expect.finds:
        lines.append(f"Expected: {expect.finds}")
    spent = numbers.format_seconds(sum_training_seconds(report))
    minutes = count_noun(numbers.format_compact(expect.minutes), "minutes") if expect.minutes else ""
    expected = f" Expected: {minutes}" if minutes else ""
    expected += f" on {expect.device}" if expect.device else ""
    lines.append(f"Training took {spent}, summed over all runs.{expected + '.' if expected else ''}")
    return lines


def sum_training_seconds(report: Report) -> float:
    """Return the seconds of all trainings; a training that serves several runs counts once.

    Runs that share a training have its time and its start. A training that was repeated for an evaluation added later
    has its own.
    """
    training = {cell.key: cell.training_key or cell.key for cell in report.results.manifest.planned}
    runs = report.frame[["key", "started", "train_seconds"]].assign(training=report.frame["key"].map(training))
    return float(runs.drop_duplicates(["training", "started", "train_seconds"])["train_seconds"].sum())


def list_provenance(report: Report) -> list[tuple[str, str]]:
    """Return where and how the study was run, as pairs of a name and a value."""
    provenance: Mapping[str, Any] = report.provenance
    seeds = ", ".join(str(seed) for seed in report.study.seed_list)
    values = {name: _format_value(provenance[name]) for name in sorted(provenance) if name not in _OMITTED_PROVENANCE}
    if "command" in values:
        # `python -m vgg_ablate` has __main__.py as its first argument, which is no command that can be typed.
        values["command"] = re.sub(r"^__main__\.py\b", "python -m vgg_ablate", values["command"])
    if isinstance(git := provenance.get("git"), Mapping):
        changes = f", changed (diff {git['dirty']})" if git.get("dirty") else ""
        values["git"] = f"commit {git['commit']}{changes}" if "commit" in git else "no checkout"
    if "at" in values:
        values["started"] = values.pop("at")
    if precisions := collect_precisions(report):
        values["precision"] = " and ".join(precisions)
    return [("seeds", seeds), *sorted(values.items())]


def collect_precisions(report: Report) -> list[str]:
    """Return the precisions in which the finished runs were trained, such as `bf16`; none where records lack them."""
    finished = report.frame[report.frame["outcome"] == "finished"]
    return sorted({str(value) for value in finished["precision"]} - {""})


def format_rerun_command(report: Report) -> str:
    """Return the command that runs the study again."""
    folder = get_run_folder(report)
    out = "" if folder == f"results/{report.study.name}" else f" --out {shlex.quote(folder)}"
    return f"python -m vgg_ablate run {shlex.quote(f'{folder}/study.yaml')}{out}"


def get_run_folder(report: Report) -> str:
    """Return the results folder in which the study was run, as the manifest names it.

    Not the folder that is read: a copy of the results has the same report.
    """
    folder = report.provenance.get("folder")
    return folder if isinstance(folder, str) else f"results/{report.study.name}"


def _build_head(report: Report, forest: RenderedFigure | None) -> list[str]:
    head = build_head(report)
    author = [f"> {escape_tags(head.author_answer)}"] if head.author_answer else []
    warning = [f"*{escape_tags(head.author_warning)}*"] if head.author_warning else []
    table = [render_markdown(head.claims)] if head.claims is not None else []
    picture = [f"![{forest.title}](figures/{forest.name}.svg)"] if forest is not None else []
    caption = [forest.caption] if forest is not None else []
    verdicts = report.shown_verdicts if report.is_recorded else ()
    sentences = [f"{verdict.claim.id}: {' '.join(wording.explain_verdict(verdict))}" for verdict in verdicts]
    return [
        f"# {report.study.name}",
        escape_tags(head.question),
        f"**{escape_tags(head.answer)}**",
        *author,
        *warning,
        escape_tags(render_training_markdown(head)),
        *table,
        *picture,
        *_fold("The numbers behind the claims", [*caption, *sentences]),
    ]


def _fold(heading: str, sentences: Sequence[str]) -> list[str]:
    """Return a folded list; GitHub renders Markdown in it after an empty line."""
    if not sentences:
        return []
    lines = _build_list(sentences)
    return [f"<details><summary>{heading}</summary>", lines, "</details>"]


def _build_section(heading: str, sentences: Sequence[str]) -> list[str]:
    return [f"## {heading}", _build_list(sentences)] if sentences else []


def _build_list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escape_tags(sentence)}" for sentence in sentences)


def escape_tags(text: str) -> str:
    """Escape HTML tags, which a viewer of Markdown would interpret; the author's Markdown stays."""
    return text.replace("<", "&lt;")


def _build_figures(figures: Sequence[RenderedFigure]) -> list[str]:
    images = [
        f"![{figure.title}](figures/{figure.name}.svg)\n\n{escape_tags(f'**{figure.title}.** {figure.caption}')}"
        for figure in figures
    ]
    return ["## Figures", *images] if images else []


def _build_problems(report: Report) -> list[str]:
    if not report.problems:
        return []
    return ["## Problems", "The rest of this report leaves these out:", _build_list(report.problems)]


def _note_registration(report: Report) -> Iterator[str]:
    """Compare the study with its registration; list what changed, and when."""
    registration: Mapping[str, Any] | None = report.provenance.get("registration")
    if registration is None:
        if report.study.registered is not None:
            yield f"study.yaml has registered: {report.study.registered}, but the manifest has no registration."
        return
    changed = find_registration_changes(registration, report.study, build_deciding_content(report.study))
    recorded = registration["recorded"]
    when = "before the first record" if recorded == 0 else f"after {numbers.format_count(recorded)} recorded runs"
    state = (
        "parts that decide claims have changed since" if changed else "no part that decides claims has changed since"
    )
    if hash_content(registration["deciding"]) != registration["hash"]:
        state = "the registered content was edited: its hash is another"
    yield (
        f"Registered {registration['date']} (hash {registration['hash']}, written {registration['registered_at']}), "
        f"{when}; {state}."
    )
    for time, names in _group_by_time(report, changed).items():
        yield f"Changed after the first record, {time}: {', '.join(names)}."


def _group_by_time(report: Report, changed: Sequence[str]) -> dict[str, list[str]]:
    """Group changed parts by the time of the first start of the study that had the change."""
    groups: dict[str, list[str]] = {}
    for name in changed:
        history = report.provenance.get("history", [])
        starts = (str(entry.get("at")) for entry in history if name in entry.get("changed", []))
        groups.setdefault(next(starts, "in study.yaml, not run since"), []).append(name)
    return groups


def _note_stop(report: Report) -> Iterator[str]:
    """Name the look at which a study with `stop: decided` ended, and the reason."""
    if report.study.stop is None:
        return
    spared = int((report.frame["outcome"] == NOT_NEEDED).sum())
    runs = f"; {numbers.format_count(spared)} of {numbers.format_count(len(report.frame))} runs were not needed"
    text = report.decisions.describe()
    yield f"{text[0].upper()}{text[1:]}{runs if spared else ''}."


def _note_few_seeds(report: Report) -> Iterator[str]:
    planned = len(report.study.seed_list)
    if planned < FEWEST_SEEDS:
        yield f"study.yaml: seeds: {planned} seed{'s' * (planned != 1)}; a verdict needs at least {FEWEST_SEEDS}."


def _note_unfinished(report: Report) -> Iterator[str]:
    for row in report.rows if report.is_recorded else ():
        for outcome, count in sorted(row.outcomes.items()):
            seeds = report.frame[(report.frame["variant"] == row.name) & (report.frame["outcome"] == outcome)]["seed"]
            seed_list = ", ".join(str(seed) for seed in seeds)
            yield f"{row.name}: {outcome.replace('_', ' ')} {count}/{row.planned} (seed {seed_list})."


def _note_stalled(report: Report) -> Iterator[str]:
    """List runs at chance level with their seeds, and the rule that they are judged by."""
    for row in report.rows:
        if row.stalled:
            seeds = ", ".join(str(seed) for seed in row.stalled)
            yield (
                f"{row.name}: {row.training_state}; stalled at chance level: seed {seeds}. Their validation accuracy "
                f"is not above 1/{row.variant.data.shape.classes} by an exact binomial test at 0.1 %; means leave "
                "them out."
            )


def _note_untuned(report: Report) -> Iterator[str]:
    for name in tuning.list_untuned_variants(report):
        yield f"{name}: no trial of the tuning trained above chance; the variant keeps the study's recipe."


def _note_unplanned_looks(report: Report) -> Iterator[str]:
    """Warn about seeds that were added after an unplanned look: the reported error rates are then too low."""
    history = report.provenance.get("history", [])
    planned = len(report.study.seed_list)
    earlier = {len(entry["seeds"]) for entry in history if isinstance(entry, Mapping) and "seeds" in entry}
    unplanned = sorted(count for count in earlier if count < planned and count not in report.study.looks)
    if unplanned:
        counts = ", ".join(str(count) for count in unplanned)
        yield (
            f"Seeds were added without a planned look: the study was run with {counts} seeds before it had {planned}. "
            "If that was decided after looking at the results, more than 5 % of true null hypotheses are rejected; "
            f"plan looks with `seeds: {{looks: [{counts}, {planned}]}}`."
        )


def _note_mixed_runs(report: Report) -> Iterator[str]:
    """Warn about runs that were trained in different precisions or on different devices."""
    finished = report.frame[report.frame["outcome"] == "finished"]
    for column, what in (("precision", "in the precisions"), ("device_name", "on the devices")):
        values = sorted({str(value) for value in finished[column]} - {""})
        if len(values) > 1:
            yield (
                f"Runs were trained {what} {', '.join(values)}: differences between variants can be differences "
                "between these."
            )


def _note_stopped_proposals(report: Report) -> Iterator[str]:
    """Describe which runs a repetition of a search with a pruner stops."""
    if (stopped := int((report.frame["outcome"] == Outcome.PRUNED).sum())) == 0:
        return
    runs = "1 run was" if stopped == 1 else f"{numbers.format_count(stopped)} runs were"
    yield (
        f"{runs} stopped early, by comparison with what was known at that time. With one worker a repetition stops the "
        "same runs at the same epochs; with several it depends on their order, which cannot be repeated."
    )


def _format_value(value: object) -> str:
    """Format a value of the manifest without the punctuation of JSON."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_format_value(inner) for inner in value)
    return str(value)
