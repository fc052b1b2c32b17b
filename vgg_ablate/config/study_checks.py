"""The rules of a study that involve several of its keys: claims, duplicates, the design and tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.horizons import Horizons, paths_overlap, split_horizons
from vgg_ablate.config.overrides import PathParts, join_path, split_path
from vgg_ablate.config.study_file import Looks, StudyFile
from vgg_ablate.config.trend_quantities import collect_quantities
from vgg_ablate.config.variants import BASE_NAME, Variant, get_content
from vgg_ablate.errors import MAX_PROBLEMS, Problem, find_nearest

_WARMUP = "train.warmup_epochs"


def find_duplicates(variants: Sequence[Variant], document: yaml_loader.Document) -> list[Problem]:
    """Return the variants that have the name or the content of an earlier one."""
    problems, names, first_by_content = list[Problem](), set[str](), dict[Any, Variant]()
    for variant in variants:
        path, parts = f"variants.{variant.name}", ("variants", variant.name)
        location = document.locate(parts if parts in document.locations else ("design",))
        if variant.name in names:
            reserved = "reserved for the net of the study itself; choose another name"
            rule = reserved if variant.name == BASE_NAME else "duplicate variant name"
            problems.append(Problem(rule, path, location))
        names.add(variant.name)
        first = first_by_content.setdefault(get_content(variant), variant)
        if first is not variant:
            problems.append(Problem(f"identical to {first.name!r}: its changes have no effect", path, location))
    return problems


def find_design_problems(file: StudyFile, document: yaml_loader.Document) -> list[Problem]:
    """Return the keys that the design does not support."""
    conflicts = file.design.find_conflicts(
        has_horizons=bool(file.horizons), has_ensemble=bool(file.train.ensemble), stops=_has_stop_rule(file)
    )
    return [Problem(rule, join_path(path), document.locate(path)) for path, rule in conflicts]


def find_stop_problems(file: StudyFile, document: yaml_loader.Document) -> list[Problem]:
    """Return why the study cannot stop before its last look: it has no claims that could decide it."""
    if file.claims or not _has_stop_rule(file):
        return []
    return [Problem("needs claims: they decide when the study stops", "seeds.stop", document.locate(("seeds", "stop")))]


def _has_stop_rule(file: StudyFile) -> bool:
    return isinstance(file.seeds, Looks) and file.seeds.stop is not None


def find_claim_problems(
    file: StudyFile, variants: Sequence[Variant], lower: Sequence[Variant], document: yaml_loader.Document
) -> list[Problem]:
    """Return the claims with the id of an earlier one, and those whose sides or levels the study does not have.

    `lower` are the variants at lower levels of the horizons.
    """
    levels: dict[str, Mapping[str, str]] = {variant.name: variant.levels for variant in variants}
    levels |= {variant.name: {} for variant in lower}
    levels |= {name: {} for name in file.design.winner_names}
    quantities = collect_quantities(file.claims, [*variants, *lower])
    ids, problems = set[str](), list[Problem]()
    for index, claim in enumerate(file.claims):
        if len(problems) >= MAX_PROBLEMS:
            break
        path, location = f"claims[{index}]", document.locate(("claims", index))
        if claim.id in ids:
            problems.append(Problem("duplicate claim id", f"{path}.id", location, claim.id))
        ids.add(claim.id)
        for error in claim.find_problems(levels, quantities):
            field_location = document.locate(("claims", index, *split_path(error.field)))
            problems.append(error.build_problem(f"{path}.{error.field}", field_location))
    return problems


def find_report_problems(file: StudyFile, document: yaml_loader.Document) -> list[Problem]:
    """Return the claims under `report` that the study does not have."""
    ids = {claim.id for claim in file.claims}
    return [
        Problem(
            "unknown claim",
            f"report.claims[{index}]",
            document.locate(("report", "claims", index)),
            name,
            find_nearest(name, ids),
        )
        for index, name in enumerate(file.report.claims)
        if name not in ids
    ]


def find_tuning_problems(
    variants: Sequence[Variant], horizons: Horizons | None, document: yaml_loader.Document
) -> list[Problem]:
    """Return the settings that are both tuned and set, and the variants with another budget than the base."""
    problems, base, horizon_path = list[Problem](), variants[0], split_horizons(horizons)[0]
    for variant in variants:
        name, location = f"variants.{variant.name}", document.locate(("variants", variant.name))
        if (variant.tune is None) != (base.tune is None):
            problems.append(Problem("tune must be given for all variants or for none", f"{name}: tune", location))
        if variant.tune is None or base.tune is None:
            continue
        if variant.tune.budget != base.tune.budget:
            rule = "trials, epochs, pruner and seeds must equal those of the base: all variants have the same budget"
            problems.append(Problem(rule, f"{name}: tune", location))
        has_own_space = variant is base or variant.tune != base.tune
        conflicts = [path for path in variant.tune.space if horizon_path and paths_overlap(path, horizon_path)]
        if has_own_space and conflicts:
            path = f"tune.space.{conflicts[0]}"
            location = document.locate(("tune", "space", conflicts[0]))
            problems.append(Problem("horizons set this path for every variant", path, location))
        problems += [
            Problem(f"tune.space contains {tuned_path}, which this variant sets", f"{name}.{path}", location)
            for path in variant.changes
            for tuned_path in variant.tune.space
            if path != "tune" and not path.startswith("tune.") and f"{tuned_path}.".startswith(f"{path}.")
        ]
    return problems


def find_warmup_problems(
    variants: Sequence[Variant], lower: Sequence[Variant], document: yaml_loader.Document
) -> list[Problem]:
    """Return the variants of which a run, a trial of the tuning or a pre-training is shorter than its warm-up.

    `lower` are the variants at lower levels of the horizons; of those with one problem the first is reported.
    """
    problems, base, reported = list[Problem](), variants[0], list[Problem]()
    base_problem = _find_warmup_problem(base)
    for variant, is_lower in [*((variant, False) for variant in variants), *((variant, True) for variant in lower)]:
        problem = base_problem if variant is base else _find_warmup_problem(variant)
        inherits = variant is not base and problem == base_problem
        if problem is None or inherits or (is_lower and problem in reported):
            continue
        reported.append(problem)
        path = f"variants.{variant.name}: {_WARMUP}"
        parts: PathParts = ("variants", variant.name, _WARMUP)
        if variant is base:
            path, parts = _WARMUP, tuple(_WARMUP.split("."))
        elif parts[:2] not in document.locations:
            parts = ("horizons",) if is_lower else ("design",)
        problems.append(replace(problem, path=path, location=document.locate(parts)))
    return problems


def _find_warmup_problem(variant: Variant) -> Problem | None:
    """Return the problem of the warm-up of a variant, without its place; None if no training of it is shorter."""
    train, tune = variant.train, variant.tune
    lengths = {"train.epochs": train.epochs}
    if train.pretrain is not None:
        lengths["train.pretrain.epochs"] = train.pretrain.epochs
    if tune is not None:
        lengths["the shortest of tune.epochs"] = tune.epochs[0]
    broken = [f"{name}, {epochs}" for name, epochs in lengths.items() if epochs < train.warmup_epochs]
    warmup = int(train.warmup_epochs) if train.warmup_epochs.is_integer() else train.warmup_epochs  # as it was written
    return Problem(f"must not be more than {broken[0]}", got=warmup) if broken else None
