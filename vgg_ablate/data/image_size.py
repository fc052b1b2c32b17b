"""Whether a net and its data fit together: what the study's two halves can each say alone."""

from __future__ import annotations

from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.dense_coverage import find_scale_problems
from vgg_ablate.records import Run


def check_image_size(run: Run) -> int:
    """Pixels a side that the net is shown. Raises SpecError where its shape and the data's do not fit."""
    size, channels, classes = run.data.shape
    shown = run.arch.image_size or size
    assert shown is not None  # Data checks it
    problems = []
    if run.arch.in_channels not in (None, channels):
        problems.append(
            Problem(f"{run.data.name} has {channels} channels", "arch.in_channels", got=run.arch.in_channels)
        )
    if run.arch.classes is not None and classes is not None and run.arch.classes < classes:
        problems.append(Problem(f"{run.data.name} has {classes} classes", "arch.classes", got=run.arch.classes))
    jitter = run.data.augment.scale_jitter
    if jitter is not None and jitter.low < shown:
        rule, path = f"must not be less than the net's image size {shown}", "data.augment.scale_jitter.low"
        problems.append(Problem(rule, path, got=jitter.low))
    problems += find_scale_problems(run.arch, run.data.evaluate)
    if problems:
        raise SpecError(problems)
    return shown
