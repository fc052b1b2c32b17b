"""`check STUDY`: is it valid, down to every variant's shapes? Every error with file:line:col."""

from __future__ import annotations

from vgg_ablate.cli.arguments import OVERRIDES, STUDY, loaded
from vgg_ablate.cli.nets import print_mismatches, remark
from vgg_ablate.errors import SpecError


def check(study: STUDY, overrides: OVERRIDES = None) -> None:
    """Say whether a study is valid; name everything that is wrong with it, and where."""
    from vgg_ablate.net.match import resolve

    read = loaded(study, overrides)
    try:
        nets = resolve(read.variants)
    except SpecError as error:
        raise read.located(error) from error
    remark(nets)
    variants, seeds = len(read.variants), len(read.seed_list)
    print(
        f"{read.name}: ok ({variants} variants x {seeds} seeds = {variants * seeds} runs; claims: {len(read.claims)})"
    )
    print_mismatches(nets)
