"""`check STUDY`: validate a study, down to the shapes of every variant."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vgg_ablate.cli.arguments import OVERRIDES, STUDY, load_study
from vgg_ablate.cli.targets import (
    print_mismatches,
    warn_about_rate,
    warn_about_seeds,
    warn_about_size,
    warn_about_warmup,
)
from vgg_ablate.errors import SpecError
from vgg_ablate.formatting.text import count_noun

if TYPE_CHECKING:
    from vgg_ablate.config.study import Study


def check(study: STUDY, overrides: OVERRIDES = None) -> None:
    """Validate a study; print every problem with its file, line and column."""
    from vgg_ablate.models.width_matching import resolve_variants

    checked = load_study(study, overrides)
    try:
        nets = resolve_variants(checked.all_variants)
    except SpecError as error:
        raise checked.with_locations(error) from error
    costs = {net.variant.name: net.costs.as_dict() for net in nets}
    # Trends over a cost need variants that differ in it, which is known only after the nets are resolved.
    if problems := checked.find_trend_problems(costs):
        raise SpecError(problems)
    # Variants at lower levels of the horizons follow; they have the nets of the compared variants.
    compared = nets[: len(checked.variants)]
    warn_about_size(compared)
    warn_about_warmup(compared)
    warn_about_rate(compared)
    warn_about_seeds(checked)
    variants, seeds, levels = len(checked.variants), len(checked.seed_list), len(checked.variants_by_horizon)
    horizons = f" x {levels} horizons" if checked.horizons else ""
    runs = f"{count_noun(variants, 'variants')} x {count_noun(seeds, 'seeds')}{horizons}"
    runs += f" = {count_noun(variants * seeds * levels, 'runs')}"
    smallest = "" if checked.smallest_effect is None else count_noun(f"{checked.smallest_effect:g}", "points")
    effect = f"; smallest effect: {smallest}" if smallest else ""
    registered = "" if checked.registered is None else f"; registered {checked.registered}"
    print(f"{checked.name}: ok ({runs}; claims: {len(checked.claims)}{effect}{registered})")
    print_mismatches(compared)
    if checked.search is not None:
        _warn_about_space(checked)


def _warn_about_space(study: Study) -> None:
    """Warn of a space with hardly any net that a search could train, with the rules that refuse the others."""
    from vgg_ablate.space.refusals import SPARSE_SHARE, find_refusals, is_sparse
    from vgg_ablate.space.survey import build_space

    space = build_space(study)
    if is_sparse(space):
        rule = f"less than {100 * SPARSE_SHARE:g} % of the space exists and meets the constraints"
        print(f"warning: design.space: {rule}; {find_refusals(space, study)}", file=sys.stderr)
