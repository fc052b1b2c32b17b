"""A study: one question, written as one YAML file. `load(path)` reads it; `study.variants` are what it compares.

A study is built in stages: the file is validated as written, the horizons' last level is set, the changes of each
variant are applied and validated again, and the winners of a tuning are added. Every stage reports all of its problems,
with locations, as one SpecError.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PrivateAttr, ValidationError

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.base_design import DesignCell
from vgg_ablate.config.claims import PER_MILLION_METRICS, PERCENTAGE_SUFFIXES, Claim, TrendQuantities
from vgg_ablate.config.constraints import COSTS
from vgg_ablate.config.designs import Design
from vgg_ablate.config.horizons import HorizonLevel, Horizons, split_horizons
from vgg_ablate.config.overrides import set_at_path, split_path
from vgg_ablate.config.remaining_problems import find_remaining_problems
from vgg_ablate.config.search import Search
from vgg_ablate.config.study_checks import (
    find_claim_problems,
    find_design_problems,
    find_duplicates,
    find_report_problems,
    find_stop_problems,
    find_tuning_problems,
    find_warmup_problems,
)
from vgg_ablate.config.study_file import Expectation, Looks, RegistrationDate, ReportSettings, Seeds, Stop, StudyFile
from vgg_ablate.config.trend_quantities import collect_quantities
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.types import FrozenModel, InvalidValueError, Name, NonNegative
from vgg_ablate.config.validation_problems import build_problems
from vgg_ablate.config.variants import (
    Variant,
    apply_winners,
    build_lower_levels,
    build_variant,
    build_variants,
    find_full_path,
    select_shared_keys,
    set_last_level,
)
from vgg_ablate.errors import Problem, SpecError, find_nearest


class Study(FrozenModel):
    """A validated study: its variants, seeds and claims.

    Two studies are equal if their values are; the document that they were read from is not compared.
    """

    name: Name
    question: str
    expect: Expectation
    registered: RegistrationDate | None = None
    smallest_effect: NonNegative | None = None
    seeds: Seeds
    horizons: Horizons | None = None
    design: Design
    variants: tuple[Variant, ...]  # the base first; at the last level of the horizons
    horizon_variants: tuple[Variant, ...] = ()  # the same variants at each lower level, the lowest first
    claims: tuple[Claim, ...]
    answer: str | None = None
    report: ReportSettings = ReportSettings()
    on_error: Literal["continue", "stop"]
    tune: Tune | None
    tuned: dict[Name, TuningWinner]
    _document: yaml_loader.Document = PrivateAttr(default_factory=lambda: yaml_loader.Document({}))

    @property
    def seed_list(self) -> tuple[int, ...]:
        """All seeds of the study."""
        return tuple(range(self.seeds.looks[-1])) if isinstance(self.seeds, Looks) else self.seeds

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds after which the claims are judged; one number for a study without looks."""
        return self.seeds.looks if isinstance(self.seeds, Looks) else (len(self.seeds),)

    @property
    def stop(self) -> Stop | None:
        """The rule by which the study ends before its last look; None where every seed is trained."""
        return self.seeds.stop if isinstance(self.seeds, Looks) else None

    @property
    def search(self) -> Search | None:
        """The design if it is a search; None for designs whose variants are known before the first run."""
        return self.design if isinstance(self.design, Search) else None

    @property
    def base(self) -> Variant:
        """The variant that the changes of the others apply to."""
        return self.variants[0]

    @property
    def all_variants(self) -> tuple[Variant, ...]:
        """The variants, followed by those at the lower levels of the horizons."""
        return self.variants + self.horizon_variants

    @property
    def variants_by_horizon(self) -> tuple[tuple[Variant, ...], ...]:
        """The variants of each level of the horizons, the lowest first; one group without horizons."""
        count = len(self.variants)
        starts = range(0, len(self.horizon_variants), count)
        return (*(self.horizon_variants[start : start + count] for start in starts), self.variants)

    @property
    def horizon_path(self) -> str:
        """The path that the horizons change, such as `train.epochs`; empty without horizons."""
        return split_horizons(self.horizons)[0]

    @property
    def horizon_levels(self) -> tuple[HorizonLevel, ...]:
        """The levels of the horizons, the lowest first; empty without horizons."""
        return split_horizons(self.horizons)[1]

    @property
    def levels(self) -> dict[str, Mapping[str, str]]:
        """The level of every factor, by variant; no levels for variants at lower levels of the horizons."""
        levels: dict[str, Mapping[str, str]] = {variant.name: variant.levels for variant in self.variants}
        return levels | {variant.name: {} for variant in self.horizon_variants}

    def collect_quantities(self, costs: Mapping[str, Mapping[str, int]] | None = None) -> TrendQuantities:
        """Return the number of every variant, by quantity and variant, for the trends of all claims.

        Costs are included if `costs` (by variant and name of the cost) is given; params, MACs and activations in
        millions.
        """
        quantities = collect_quantities(self.claims, self.all_variants)
        trend_costs = {claim.trend.over for claim in self.claims if claim.trend is not None} & set(COSTS)
        if costs is not None:
            for cost in trend_costs:
                unit = 1e6 if cost in PER_MILLION_METRICS else 1.0  # a slope per parameter would be lost in rounding
                quantities[cost] = {name: numbers[cost] / unit for name, numbers in costs.items()}
        return quantities

    def find_trend_problems(self, costs: Mapping[str, Mapping[str, int]]) -> list[Problem]:
        """Return the problems of trends over costs, such as a cost that is equal in all variants.

        `costs` are by variant and name of the cost.
        """
        quantities, problems = self.collect_quantities(costs), list[Problem]()
        for index, claim in enumerate(self.claims):
            if claim.trend is not None:
                problems += [
                    error.build_problem(path, self.locate_path(path))
                    for error in claim.find_problems(self.levels, quantities)
                    for path in [f"claims[{index}].{error.field}"]
                ]
        return problems

    def get_written_value(self, key: str) -> Any:
        """Return the value of a top-level key of the study file, as plain data; None if the key is missing."""
        return self._document.data.get(key)

    def build_variant(self, name: str, changes: dict[str, Any]) -> Variant:
        """Return the base with the changes that a search proposes. Raises SpecError if they are invalid."""
        problems: list[Problem] = []
        cell, shared = DesignCell(name, changes, {}), select_shared_keys(self._document)
        variant = build_variant(cell, self._document, shared, ("design",), problems)
        if variant is None:
            raise SpecError(problems)
        return variant

    def with_winners(self, tuned: Mapping[str, TuningWinner]) -> Self:
        """Return the study with these winners of the tuning applied to their variants."""
        data = {name: winner.model_dump(mode="json", exclude_none=True) for name, winner in tuned.items()}
        return type(self).from_document(
            yaml_loader.Document({**self._document.data, "tuned": data}, self._document.locations)
        )

    def with_name(self, name: str) -> Self:
        """Return the study under another name, and so with another results folder."""
        renamed = self.model_copy(update={"name": name})
        renamed._document = yaml_loader.Document({**self._document.data, "name": name}, self._document.locations)
        return renamed

    def without_winners(self) -> Self:
        """Return the study as it was before its tuning."""
        return self.with_winners({}) if self.tuned else self

    def as_yaml(self) -> str:
        """Return the study as YAML, with `extends` merged and overrides applied. `load` reads back an equal study."""
        text = io.StringIO()
        yaml_loader.write_yaml(self._document.data, text)
        return text.getvalue()

    @property
    def source(self) -> Path | None:
        """The file of the study; None if it was built in memory."""
        location = self._document.locate(())
        return Path(location) if location else None

    def locate_path(self, path: str) -> str:
        """Return `file:line:column` of a path such as `variants.five: arch.kernel`, or of what contains it."""
        return self._document.locate(split_path(path.partition(":")[0])) if path else ""

    def with_locations(self, error: SpecError) -> SpecError:
        """Return the error with a location for every problem that has none."""
        return SpecError(
            replace(problem, location=problem.location or self.locate_path(problem.path)) for problem in error.problems
        )

    def __repr__(self) -> str:
        variants, seeds = len(self.all_variants), len(self.seed_list)
        return f"<Study {self.name}: {variants} variants x {seeds} seeds, {len(self.claims)} claims>"

    def _repr_html_(self) -> str:
        """Return the question, the variants and the claims as HTML, which Jupyter shows."""
        variants = [[variant.name, format_changes(variant.changes)] for variant in self.all_variants]
        claims = [[claim.id, claim.text, claim.kind] for claim in self.claims]
        seeds = f"{len(self.seed_list)} seeds, {self.base.data.name}, {self.base.train.epochs} epochs"
        return "\n".join(
            [
                f"<p><b>{escape(self.name)}</b>: {escape(self.question)}<br>{escape(seeds)}</p>",
                format_rows(["variant", "changes of the base"], variants),
                *([format_rows(["claim", "text", "kind"], claims)] if claims else []),
            ]
        )

    @classmethod
    def from_document(cls, document: yaml_loader.Document) -> Self:
        """Build the study that a document describes. Raises SpecError with all problems of the document."""
        try:
            file = StudyFile.model_validate(document.data)
        except ValidationError as error:
            invalid = build_problems(error, StudyFile, document)
            raise SpecError([*invalid, *find_remaining_problems(invalid, document)]) from error
        # In this order: a variant needs the last level to be valid, and a lower level needs the winner of its variant.
        last_file, last_document = set_last_level(file, document)
        variants = build_variants(last_file, last_document)
        tuned = apply_winners(last_file, variants, last_document)
        lower = build_lower_levels(last_file, last_document, tuned)
        # Duplicates are searched before the winners are applied: a tuning may give two variants the same settings.
        problems = [
            *find_claim_problems(file, variants, lower, document),
            *find_duplicates(variants, document),
            *find_report_problems(file, document),
            *find_design_problems(file, document),
            *find_stop_problems(file, document),
            *find_tuning_problems(variants, file.horizons, document),
            *find_warmup_problems(variants, lower, document),
        ]
        if problems:
            raise SpecError(problems)
        fields = {name: getattr(file, name) for name in cls.model_fields if name in StudyFile.model_fields}
        claims = tuple(_set_smallest_effect(claim, file.smallest_effect) for claim in file.claims)
        study = cls(**{**fields, "variants": tuned, "horizon_variants": lower, "claims": claims})
        study._document = document  # not compared by ==, see Document
        return study


def format_changes(changes: Mapping[str, Any]) -> str:
    """Return changes as in a study file: `arch.norm: batch, arch.depth: 3`. JSON is YAML, too."""
    texts = {path: value if isinstance(value, str) else json.dumps(value) for path, value in changes.items()}
    return ", ".join(f"{path}: {text}" for path, text in texts.items())


def format_rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table of text."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def load(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and apply `path=value` overrides. Raises SpecError with all problems of file and overrides."""
    document = yaml_loader.read_document(Path(path))
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _apply_override(document, override)
        except InvalidValueError as error:
            problems.append(Problem(str(error), override.split("=")[0], "command line", error.got, error.nearest))
    try:
        study = Study.from_document(document)
    except SpecError as error:
        raise SpecError([*problems, *error.problems]) from error
    if problems:
        raise SpecError(problems)
    return study


def _apply_override(document: yaml_loader.Document, override: str) -> yaml_loader.Document:
    path, equals, text = override.partition("=")
    if not equals:
        raise InvalidValueError("must have the form path=value", got=override)
    key = str(split_path(path)[0])
    if key not in StudyFile.model_fields:
        nearest = find_nearest(key, StudyFile.model_fields) or find_full_path(path)
        raise InvalidValueError("unknown key", got=path, nearest=nearest)
    data = set_at_path(document.data, path, yaml_loader.parse_scalar(text))
    return yaml_loader.Document(data, {**document.locations, split_path(path): "command line"})


def _set_smallest_effect(claim: Claim, default: float | None) -> Claim:
    """Return the claim with the smallest effect of the study if it has none of its own and is in percentage points."""
    in_points = claim.metric.endswith(PERCENTAGE_SUFFIXES) and claim.trend is None
    if claim.smallest_effect is not None or default is None or not in_points:
        return claim
    return claim.model_copy(update={"smallest_effect": default})
