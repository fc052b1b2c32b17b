"""The base of all designs of a study: its methods are what the rest of the package uses, whatever the kind is."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from vgg_ablate.config.types import FrozenModel


class DesignCell(NamedTuple):
    """One variant of a design, before its changes are applied to the base."""

    name: str
    changes: dict[str, Any]  # path -> new value
    levels: dict[str, str]  # factor -> level


class DesignConflict(NamedTuple):
    """A key of the study file that a design does not support."""

    path: tuple[str, ...]
    rule: str


class BaseDesign(FrozenModel):
    """A layout of variants. The defaults are those of designs whose variants are known before the first run."""

    kind: str
    """Kind of the design. Example: factorial"""
    # Whether variants are proposed while the study runs; the manifest alone lists these.
    proposes_variants: ClassVar[bool] = False
    trial_noun: ClassVar[str] = "one variant on one seed"  # what a trial of the ledger is

    @property
    def winner_names(self) -> tuple[str, ...]:
        """The names of variants that the study finds itself, and that claims may use before it has run."""
        return ()

    def list_cells(self) -> list[DesignCell]:
        """Return the variants that the design adds to the base and the listed ones."""
        return []

    def list_objectives(self) -> tuple[str, ...]:
        """Return what the trials of the ledger are compared by."""
        return ("val_error",)

    def find_conflicts(self, *, has_horizons: bool, has_ensemble: bool, stops: bool) -> list[DesignConflict]:
        """Return the keys of the study that the design does not support."""
        return []
