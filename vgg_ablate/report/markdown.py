"""report.md: the question, the verdicts, the tables, what to know about them, and how to run it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vgg_ablate.analysis import tuning
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, Verdict
from vgg_ablate.config.registration import build_deciding_content, find_registration_changes, hash_content
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.table import Table
from vgg_ablate.formatting.table import render_markdown as table_markdown
from vgg_ablate.report import design_tables, wording
from vgg_ablate.report import tables as report_tables
from vgg_ablate.report.figures.registry import RenderedFigure

# Said in other words, or nobody's business.
_ELSEWHERE = frozenset({"file", "history", "seeds", "looks", "host", "proposals", "registration"})


def build_markdown(report: Report, pictures: Sequence[RenderedFigure] = ()) -> str:
    """The whole file; pictures are shown from the files beside it."""
    parts = [f"# {report.study.name}", report.study.question, *_problems(report), *_verdicts(report)]
    parts += [table_markdown(table) for table in build_tables(report)]
    parts += [*_pictures(pictures), *_notes(report), *_ending(report)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def build_tables(report: Report) -> list[Table]:
    """Every table of the report, in order."""
    tuned = tuning.build_tuning_table(report)
    verdicts = [report_tables.build_verdict_table(report)] if report.verdicts else []
    return [*design_tables.build_design_tables(report), *verdicts, *([tuned] if tuned else [])]


def build_notes(report: Report) -> list[str]:
    """What a reader must know beside the tables, a sentence each."""
    return [
        *_registered(report),
        *_few(report),
        *_unfinished(report),
        *_stalled(report),
        *_untuned(report),
        *_looked(report),
        *_mixed(report),
    ]


def list_expectations(report: Report) -> list[str]:
    """What the study expected before it ran, beside what came of it, a sentence each."""
    expect, lines = report.study.expect, []
    if expect.finds:
        lines.append(f"Expected: {expect.finds}")
    if report.verdicts:
        found = ", ".join(f"{verdict.claim.id} {verdict.verdict}" for verdict in report.verdicts)
        lines.append(f"Found: {found}.")
    spent = numbers.format_seconds(sum_training_seconds(report))
    asked = f" Expected: {numbers.format_compact(expect.minutes)} minutes" if expect.minutes else ""
    asked += f" on {expect.device}" if expect.device else ""
    lines.append(f"Training took {spent}, summed over all runs.{asked + '.' if asked else ''}")
    return lines


def sum_training_seconds(report: Report) -> float:
    """Return the seconds of all trainings; one that serves several runs counts once.

    Runs of one training have its time and its start. A training that was repeated for a later evaluation has others.
    """
    training = {cell.key: cell.training_key or cell.key for cell in report.results.manifest.planned}
    runs = report.frame[["key", "started", "train_seconds"]].assign(training=report.frame["key"].map(training))
    return float(runs.drop_duplicates(["training", "started", "train_seconds"])["train_seconds"].sum())


def list_provenance(report: Report) -> list[tuple[str, str]]:
    """Where and how the study was run: name and value."""
    known: Mapping[str, Any] = report.provenance
    seeds = ", ".join(str(seed) for seed in report.study.seed_list)
    told = {name: _told(known[name]) for name in sorted(known) if name not in _ELSEWHERE}
    if "command" in told:
        told["command"] = re.sub(r"^__main__\.py\b", "python -m vgg_ablate", told["command"])
    if isinstance(git := known.get("git"), Mapping):
        changes = f", changed (diff {git['dirty']})" if git.get("dirty") else ""
        told["git"] = f"commit {git['commit']}{changes}" if "commit" in git else "no checkout"
    return [("seeds", seeds), *told.items()]


def format_rerun_command(report: Report) -> str:
    """The command that runs the study again."""
    return f"python -m vgg_ablate run results/{report.study.name}/study.yaml"


def _pictures(pictures: Sequence[RenderedFigure]) -> list[str]:
    shown = [f"![{one.title}](figures/{one.name}.svg)\n\n**{one.title}.** {one.caption}" for one in pictures]
    return ["## Figures", *shown] if shown else []


def _problems(report: Report) -> list[str]:
    if not report.problems:
        return []
    return ["## Problems", "The rest of this report leaves these out:", "\n".join(f"- {p}" for p in report.problems)]


def _verdicts(report: Report) -> list[str]:
    if not report.verdicts:
        return []
    return ["## Verdicts", "\n".join(line for verdict in report.verdicts for line in _verdict(verdict)), "## Tables"]


def _verdict(verdict: Verdict) -> Iterator[str]:
    yield f"- **{verdict.verdict}** {verdict.claim.text} (`{verdict.claim.id}`). {wording.describe_result(verdict)}"
    for sentence in wording.list_evidence(verdict):
        yield f"  - {sentence}"


def _notes(report: Report) -> list[str]:
    said = build_notes(report)
    return ["## Notes", "\n".join(f"- {note}" for note in said)] if said else []


def _registered(report: Report) -> Iterator[str]:
    """Whether what decides is what was registered before the first record; if not, what changed, and when."""
    told: Mapping[str, Any] | None = report.provenance.get("registration")
    if told is None:
        if report.study.registered is not None:
            yield f"study.yaml says registered {report.study.registered}; the manifest has no registration of it."
        return
    recorded, changed = (
        told["recorded"],
        find_registration_changes(told, report.study, build_deciding_content(report.study)),
    )
    before = "before the first record" if recorded == 0 else f"when {numbers.format_count(recorded)} runs were recorded"
    said = "what decides has changed since" if changed else "nothing that decides has changed since"
    if hash_content(told["deciding"]) != told["hash"]:
        said = "what it says was edited: it does not have this hash"
    yield f"Registered {told['date']} (hash {told['hash']}, written {told['registered_at']}), {before}; {said}."
    for at, names in _by_time(report, changed).items():
        yield f"Changed after the first record, {at}: {', '.join(names)}."


def _by_time(report: Report, changed: Sequence[str]) -> dict[str, list[str]]:
    """When each was changed: at the first start that had it so."""
    found: dict[str, list[str]] = {}
    for name in changed:
        history = report.provenance.get("history", [])
        starts = (str(entry.get("at")) for entry in history if name in entry.get("changed", []))
        found.setdefault(next(starts, "in study.yaml, not run since"), []).append(name)
    return found


def _few(report: Report) -> Iterator[str]:
    planned = len(report.study.seed_list)
    if planned < FEWEST_SEEDS:
        yield f"study.yaml: seeds: {planned} seed{'s' * (planned != 1)}; a verdict needs at least {FEWEST_SEEDS}."


def _unfinished(report: Report) -> Iterator[str]:
    for row in report.rows:
        for outcome, count in sorted(row.outcomes.items()):
            seeds = report.frame[(report.frame["variant"] == row.name) & (report.frame["outcome"] == outcome)]["seed"]
            listed = ", ".join(str(seed) for seed in seeds)
            yield f"{row.name}: {outcome.replace('_', ' ')} {count}/{row.planned} (seed {listed})."


def _stalled(report: Report) -> Iterator[str]:
    """Runs at chance level, with their seeds, and by which rule."""
    for row in report.rows:
        if row.stalled:
            seeds = ", ".join(str(seed) for seed in row.stalled)
            yield (
                f"{row.name}: {row.training_state}; stalled at chance level: seed {seeds}. Their validation "
                f"accuracy is not above 1/{row.variant.data.shape.classes} by an exact binomial test at 0.1 %; no mean "
                "has them."
            )


def _untuned(report: Report) -> Iterator[str]:
    for name in tuning.list_untuned(report):
        yield f"{name}: no trial of the tuning trained above chance; the variant keeps the study's recipe."


def _looked(report: Report) -> Iterator[str]:
    """Seeds that were added after an unplanned look make the stated error rates too low: it is said."""
    history = report.provenance.get("history", [])
    planned = len(report.study.seed_list)
    earlier = {len(entry["seeds"]) for entry in history if isinstance(entry, Mapping) and "seeds" in entry}
    unplanned = sorted(count for count in earlier if count < planned and count not in report.study.looks)
    if unplanned:
        counts = ", ".join(str(count) for count in unplanned)
        yield (
            f"Seeds were added by hand: the study was run with {counts} seeds before it had {planned}. If that was "
            f"decided after looking at the results, more than 5 % of true nulls are rejected; plan looks with "
            f"`seeds: {{looks: [{counts}, {planned}]}}`."
        )


def _mixed(report: Report) -> Iterator[str]:
    """Runs of one study that were made in different ways."""
    finished = report.frame[report.frame["outcome"] == "finished"]
    for column, what in (("precision", "in the precisions"), ("device_name", "on the devices")):
        values = sorted({str(value) for value in finished[column]} - {""})
        if len(values) > 1:
            yield (
                f"Runs were made {what} {', '.join(values)}: a difference between variants can be one between these."
            )


def _ending(report: Report) -> list[str]:
    found = "\n".join(f"- {line}" for line in list_expectations(report))
    known = "\n".join(f"- {name}: {value}" for name, value in list_provenance(report))
    command = f"```sh\n{format_rerun_command(report)}\n```"
    return [
        *("## Expected and found", found),
        *("## Provenance", known),
        *("## How to run this again", command),
    ]


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_told(inner) for inner in value)
    return str(value)
