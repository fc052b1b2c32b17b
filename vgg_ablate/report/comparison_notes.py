"""The notes below the comparison of variants: what its columns mean, how groups are made, which runs are left out."""

from __future__ import annotations

from itertools import pairwise

from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.study_file import ReportColumn
from vgg_ablate.formatting import numbers


def list_comparison_notes(report: Report, shown: set[ReportColumn]) -> tuple[str, ...]:
    """Return the notes on the columns that a comparison shows, one sentence or two each."""
    notes, base = list[str](), report.base
    if "error" in shown and report.is_recorded:
        notes.append("± is the standard deviation over n seeds, not the standard error.")
    if any(row.stalled for row in report.rows):
        notes.append("Runs at chance level are left out of n and of means; their variants are in no group.")
    if "difference" in shown:
        of_base = f" % of base: the difference relative to the error of {base.name}." if "percent" in shown else ""
        notes.append(f"Difference: minus {base.name}, paired by seed; negative is less error.{of_base}")
    if "group" in shown and any(row.group for row in report.rows):
        notes.append(
            "Group 1: the lowest error and all that paired t-tests (Holm, 5 %) do not distinguish from it; 2: the "
            "lowest of the rest and all that are not distinguished from that; ≈: a group of several variants."
            + _explain_order(report)
        )
    if shown & {"params_ratio", "macs_ratio"} and base.costs:
        params, macs = (numbers.format_count(base.costs[cost]) for cost in ("params", "macs"))
        notes.append(
            f"×: multiples of {base.name}, {params} params and {macs} MACs (multiply-accumulates of convolutions and "
            f"dense layers per example{_describe_audit(report)})."
        )
    if shown & {"images_per_second", "train_seconds"}:
        notes += _list_time_notes(report)
    return tuple(notes)


def _explain_order(report: Report) -> str:
    """Return how a variant can be in a better group than one with less error; empty where none is."""
    grouped = sorted((row.error.mean, row.group) for row in report.rows if row.group is not None)
    if all(one <= other for (_, one), (_, other) in pairwise(grouped)):
        return ""
    return (
        " A test weighs a difference by its spread over the seeds: where that is large, a variant stays in a better "
        "group than one with less error."
    )


def _list_time_notes(report: Report) -> list[str]:
    devices = sorted({device for row in report.rows for device in row.devices if device})
    notes = [f"images/s: in training, median and range, on {', '.join(devices) or 'an unknown device'}."]
    if disturbed := sum(row.disturbed for row in report.rows):
        finished = int((report.frame["outcome"] == "finished").sum())
        notes.append(
            f"Disturbed: {disturbed} of {finished} runs took more than 1.2 times their CPU time, or their CPU time was "
            "not recorded; their times are left out."
        )
    if len(devices) > 1:
        notes.append("Runs were trained on several devices: their times cannot be compared.")
    return notes


def _describe_audit(report: Report) -> str:
    """Describe how MACs were counted: validation rejects records in which closed form and fvcore differ."""
    finished = report.frame[report.frame["outcome"] == "finished"]
    if len(finished) and bool(finished[["params_audited", "macs_audited"]].notna().all(axis=None)):
        return ", equal by closed form and fvcore"
    return ", by closed form"
