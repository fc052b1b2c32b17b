"""`check STUDY`: is it valid, down to every variant's shapes? Every error with file:line:col."""

from __future__ import annotations

from vgg_ablate.cli.arguments import OVERRIDES, STUDY, load_study
from vgg_ablate.cli.targets import print_mismatches, warn_about_size, warn_about_warmup
from vgg_ablate.errors import SpecError


def check(study: STUDY, overrides: OVERRIDES = None) -> None:
    """Say whether a study is valid; name everything that is wrong with it, and where."""
    from vgg_ablate.models.width_matching import resolve_variants

    read = load_study(study, overrides)
    try:
        nets = resolve_variants(read.all_variants)
    except SpecError as error:
        raise read.with_locations(error) from error
    if problems := read.find_trend_problems({one.variant.name: one.costs.as_dict() for one in nets}):
        raise SpecError(problems)
    compared = nets[: len(read.variants)]
    warn_about_size(compared)
    warn_about_warmup(compared)
    variants, seeds, levels = len(read.variants), len(read.seed_list), len(read.variants_by_horizon)
    horizons = f" x {levels} horizons" if read.horizons else ""
    runs = f"{variants} variants x {seeds} seeds{horizons} = {variants * seeds * levels} runs"
    effect = "" if read.smallest_effect is None else f"; smallest effect: {read.smallest_effect:g} pp"
    day = "" if read.registered is None else f"; registered {read.registered}"
    print(f"{read.name}: ok ({runs}; claims: {len(read.claims)}{effect}{day})")
    print_mismatches(compared)
