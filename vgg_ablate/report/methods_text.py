"""The methods of a study for a paper, filled from its records: a paragraph and a checklist.

The checklist has the items of the NeurIPS paper checklist (https://neurips.cc/public/guides/PaperChecklist) that a
study's records can answer: reproducibility, settings, statistical significance and compute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.claims import Claim
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.report.markdown import (
    collect_precisions,
    format_rerun_command,
    get_run_folder,
    list_provenance,
    sum_training_seconds,
)
from vgg_ablate.report.state import describe_training, list_data_facts

_TESTS = {
    "better": "a paired t-test",
    "worse": "a paired t-test",
    "different": "a paired t-test",
    "not_worse": "a paired t-test against the margin (non-inferiority)",
    "equivalent": "two one-sided paired t-tests (equivalence)",
}


def render_methods(report: Report) -> str:
    """Return the paragraph and the checklist as Markdown."""
    items = [f"- **{name}.** {' '.join(sentences)}" for name, sentences in _list_items(report)]
    parts = ["## Methods", " ".join(_list_method_sentences(report)), "## Checklist", "\n".join(items)]
    return "\n\n".join(parts) + "\n"


def _list_method_sentences(report: Report) -> Iterator[str]:
    study, base = report.study, report.study.base
    others = len(report.rows) - 1
    net = base.arch if base.arch.match is not None else base.arch.to_normal_form()
    yield f"The base net is `{net.to_notation()}`; {others} other variant{'s' * (others != 1)} change parts of it."
    yield " ".join(list_data_facts(report))
    yield describe_training(report)
    yield (
        f"All variants use {base.train.optimizer.kind} with batches of {base.train.batch_size} and a "
        f"{base.train.schedule.kind} schedule, unless a variant changes it."
    )
    if precisions := collect_precisions(report):
        yield f"Runs were trained in {' and '.join(precisions)}."
    if study.tune is not None:
        paths = " and ".join(f"`{path}`" for path in study.tune.space)
        trials = count_noun(study.tune.trials, "trials")
        yield (
            f"The values of {paths} were tuned for every variant alike, by {trials} on seeds that "
            "the comparison does not use."
        )
    yield (
        f"Every variant was trained on the seeds {_format_seeds(study.seed_list)}. A seed draws the split, the order, "
        "the augmentation and the initialisation, alike for all variants, so that differences are paired by seed. The "
        "test error is that of the last epoch: no epoch was chosen by its error."
    )
    yield from _list_test_sentences(report)
    yield "Parameters and MACs are those that fvcore counts."


def _list_test_sentences(report: Report) -> Iterator[str]:
    study = report.study
    if not study.claims:
        return
    tests = list(dict.fromkeys(map(_describe_test, study.claims)))
    count = len(study.claims)
    yield (
        f"{count} claim{'s were' if count > 1 else ' was'} tested by {' and '.join(tests)} at the 5 % level"
        + (", with Holm's correction over the claims on a metric." if count > 1 else ".")
    )
    if len(study.looks) > 1:
        looks = ", ".join(map(str, study.looks))
        yield f"They were judged after {looks} seeds, with levels that account for all looks."
    if study.smallest_effect is not None:
        yield f"Differences below {study.smallest_effect:g} percentage points were declared not to matter."
    registration: Mapping[str, Any] | None = report.provenance.get("registration")
    if registration is not None:
        runs = registration["recorded"]
        when = "before the first run" if runs == 0 else f"after {count_noun(numbers.format_count(runs), 'runs')}"
        yield f"Claims, seeds and settings were registered on {registration['date']}, {when}."


def _describe_test(claim: Claim) -> str:
    return "a t-test of the slope" if claim.trend is not None else _TESTS[claim.kind]


def _list_items(report: Report) -> Iterator[tuple[str, list[str]]]:
    rows = report.rows
    planned, finished = sum(row.planned for row in rows), sum(row.n + len(row.stalled) for row in rows)
    provenance = dict(list_provenance(report))
    yield (
        "Experimental result reproducibility",
        [
            f"`{format_rerun_command(report)}` trains every run again. `python -m vgg_ablate verify "
            f"{get_run_folder(report)}` trains one again and compares it with its record, bit for bit on such a "
            "machine with these versions.",
        ],
    )
    yield (
        "Open access to data and code",
        [f"The study file and every record come with the report. Code: {provenance.get('git', 'no commit known')}."],
    )
    yield (
        "Experimental setting",
        [f"study.yaml holds every setting. Versions: {provenance.get('versions', 'unknown')}."],
    )
    missing = f"; {planned - finished} are missing or failed, and are listed" if planned > finished else ""
    yield (
        "Experiment statistical significance",
        [
            f"{finished} of {planned} planned runs finished{missing}. Errors are means ± standard deviations over "
            "seeds; intervals of differences are 95 % t intervals over seeds. They cover split, order, augmentation "
            "and initialisation, not the choice of the data set.",
        ],
    )
    yield "Experiments compute resources", [*_list_compute(report)]


def _list_compute(report: Report) -> Iterator[str]:
    seconds = sum_training_seconds(report)
    devices = sorted({device for row in report.rows for device in row.devices})
    where = " and ".join(devices) or "an unknown device"
    yield f"Training took {numbers.format_seconds(seconds)}, summed over runs, on {where}."
    if tuning := report.results.tuning:
        spent = sum(record.train_seconds for record in tuning.values())
        yield f"The tuning, {count_noun(len(tuning), 'trials')}, took {numbers.format_seconds(spent)} more."
    peaks = [record.environment.get("peak_bytes") for record in report.results.records.values()]
    if known := [peak for peak in peaks if isinstance(peak, int)]:
        yield f"A run needed at most {numbers.format_bytes(max(known))} of memory."


def _format_seeds(seeds: tuple[int, ...]) -> str:
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
