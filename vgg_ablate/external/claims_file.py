"""The file of claims about runs that other programs trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from vgg_ablate.analysis.metrics import Metric
from vgg_ablate.config import yaml_loader
from vgg_ablate.config.claims import Claim, ClaimKind, ClaimSide, ExpectedVerdict
from vgg_ablate.config.limits import MAX_CLAIMS
from vgg_ablate.config.overrides import split_path
from vgg_ablate.config.published import PublishedValue
from vgg_ablate.config.types import Flag, FrozenModel, InvalidValueError, Name, NonNegative, find_repeated
from vgg_ablate.config.validation_problems import build_problems
from vgg_ablate.errors import SpecError


class MetricColumn(FrozenModel):
    """A column of the runs that claims compare."""

    name: str
    """Name of the column. Example: val_loss"""
    direction: Literal["lower", "higher"]
    """Which values are better. Example: lower"""
    unit: str = ""
    """Unit of the values, printed with differences. Example: nats"""
    exact: Flag = False
    """Whether the value is the same in every run of a variant, such as a number of parameters. Example: false"""

    def build_metric(self) -> Metric:
        """Return the column as a metric of the analysis."""
        higher = self.direction == "higher"
        return Metric(self.name, self.name, self.unit, higher_is_better=higher, is_exact=self.exact)


class RunColumns(FrozenModel):
    """The columns of the runs that name the variant and the seed."""

    variant: str = "variant"
    """Column that names the variant of a run. Example: model"""
    seed: str | None = "seed"
    """Column of the seed; null where runs have none. Example: seed"""


class RunsClaim(FrozenModel):
    """The statement that `a` is `kind` than `b` on a metric by `margin`, in the unit of the metric."""

    id: Name
    """Short name of the claim, unique in the file. Example: dropout-helps"""
    text: str
    """The statement in words. Example: dropout lowers the validation loss"""
    kind: ClaimKind
    """What is claimed of a against b. Example: better"""
    a: ClaimSide
    """Side of the claim: a variant, or a list of variants (their mean). Example: dropout"""
    b: ClaimSide | PublishedValue
    """Side that a is compared with, written like a; or a published number with its source. Example: baseline"""
    metric: MetricColumn | None = None
    """What is compared; without it, the metric of the file. Example: {name: val_loss, direction: lower}"""
    margin: NonNegative = 0.0
    """Difference that a must exceed (better, worse, different) or stay within (not_worse, equivalent). Example: 0.01"""
    smallest_effect: NonNegative | None = None
    """Smallest difference that matters; without it, that of the file. Example: 0.01"""

    expect: ExpectedVerdict | None = None
    """Verdict that `test` requires. Example: supported"""

    @model_validator(mode="after")
    def _check_claim(self) -> Self:
        self.build_claim("test_error", None)
        return self

    def build_claim(self, metric: str, smallest_effect: float | None) -> Claim:
        """Return the claim in the form of the analysis, on a metric of any name."""
        own = self.smallest_effect if self.smallest_effect is not None else smallest_effect
        shared = {name: getattr(self, name) for name in ("id", "text", "kind", "a", "b", "margin", "expect")}
        claim = Claim(**shared, smallest_effect=own)
        return claim.model_copy(update={"metric": metric})  # not validated: the names of a study's metrics are fixed


class ClaimsFile(FrozenModel):
    """The keys of a file of claims."""

    version: Literal[1]
    """Version of the file format. Example: 1"""
    question: str = ""
    """The question that the claims answer. Example: Does dropout help?"""
    metric: MetricColumn | None = None
    """What claims compare that have no metric of their own. Example: {name: val_loss, direction: lower, unit: nats}"""
    columns: RunColumns = RunColumns()
    """The columns that name variant and seed. Example: {variant: model, seed: seed}"""
    smallest_effect: NonNegative | None = None
    """Smallest difference that matters, for all claims, in the unit of their metrics. Example: 0.01"""
    pairing: Literal["auto", "seed", "none"] = "auto"
    """Whether runs of one seed are pairs; auto: where the sides of every claim on the metric share a seed.

    Example: none
    """
    missing_seeds: Literal["inconclusive", "leave_out"] = "inconclusive"
    """What becomes of a paired claim of which a side lacks a seed: no verdict, or one by the shared seeds.

    Example: leave_out
    """
    claims: Annotated[tuple[RunsClaim, ...], Field(min_length=1, max_length=MAX_CLAIMS)]
    """The statements to judge.

    Example: [{id: dropout-helps, text: dropout helps, kind: better, a: dropout, b: baseline}]
    """

    _document: yaml_loader.Document = PrivateAttr(default_factory=lambda: yaml_loader.Document({}))

    @model_validator(mode="after")
    def _check_claims(self) -> Self:
        if repeated := find_repeated(claim.id for claim in self.claims):
            raise InvalidValueError("must be unique", field="claims", got=repeated[0])
        metrics: dict[str, MetricColumn] = {}
        for index, claim in enumerate(self.claims):
            metric = self.get_metric(claim)
            if metric is None:
                raise InvalidValueError("must be given, here or for all claims", field=f"claims[{index}].metric")
            if metrics.setdefault(metric.name, metric) != metric:
                rule = f"{metric.name} is described in two ways"
                raise InvalidValueError(rule, field=f"claims[{index}].metric")
        return self

    def get_metric(self, claim: RunsClaim) -> MetricColumn | None:
        """Return the metric of a claim."""
        return claim.metric or self.metric

    def locate_path(self, path: str) -> str:
        """Return `file:line:column` of a path such as `claims[0].a`, or of what contains it; empty for a mapping."""
        return self._document.locate(split_path(path))

    def find_metric_path(self, name: str) -> str:
        """Return the path of the name of a metric: `metric.name`, or `claims[2].metric.name`."""
        claims = [index for index, claim in enumerate(self.claims) if claim.metric and claim.metric.name == name]
        is_shared = self.metric is not None and self.metric.name == name
        return "metric.name" if is_shared else f"claims[{claims[0]}].metric.name"

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of all claims, by name."""
        columns = [self.get_metric(claim) for claim in self.claims]
        return {column.name: column.build_metric() for column in columns if column is not None}

    def build_claims(self) -> tuple[Claim, ...]:
        """Return the claims in the form of the analysis."""
        columns = [(claim, self.get_metric(claim)) for claim in self.claims]
        return tuple(claim.build_claim(column.name, self.smallest_effect) for claim, column in columns if column)


def load_claims(path: str | Path) -> ClaimsFile:
    """Read a file of claims. Raises SpecError with every problem and its location."""
    document = yaml_loader.read_document(Path(path))
    return _validate(document.data, document)


def parse_claims(data: Mapping[str, Any]) -> ClaimsFile:
    """Return the claims of a mapping with the keys of a file of claims. Raises SpecError."""
    return _validate(data, yaml_loader.Document(dict(data)))


def _validate(data: Mapping[str, Any], document: yaml_loader.Document) -> ClaimsFile:
    try:
        claims_file = ClaimsFile.model_validate(data)
    except ValidationError as error:
        raise SpecError(build_problems(error, ClaimsFile, document)) from error
    claims_file._document = document
    return claims_file
