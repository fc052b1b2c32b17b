"""Published numbers, such as those of a paper, with which a claim compares its own."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from vgg_ablate.config.types import Count, FrozenModel, InvalidValueError, NonNegative, Number

_LARGEST = 1e60  # the test takes its fourth power, too


class PublishedValue(FrozenModel):
    """A published number, as side b of a claim: the mean of `n` runs, with their standard deviation if it is known.

    Side a is compared with it by Welch's t-test, which does not pair seeds. Without `sd` the number is taken as exact,
    so that the test covers the spread of side a alone.
    """

    value: Annotated[Number, Field(ge=-_LARGEST, le=_LARGEST)]
    """The published mean, in the unit in which reports show the metric.

    Unit: percent for errors and accuracies. Example: 7.3
    """
    sd: Annotated[NonNegative, Field(le=_LARGEST)] | None = None
    """Standard deviation over the published runs; without it the value counts as exact. Example: 0.2"""
    n: Annotated[Count, Field(le=1_000_000_000)] | None = None
    """Number of the published runs; required with sd. Example: 3"""
    source: Annotated[str, Field(min_length=1)]
    """Where the number is published: a DOI, a URL or a citation. Example: arXiv:1608.06993"""

    @model_validator(mode="after")
    def _check_spread(self) -> Self:
        if self.sd is not None and (self.n is None or self.n < 2):
            raise InvalidValueError("must be at least 2 where sd is given", field="n", got=self.n)
        return self
