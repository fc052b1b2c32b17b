"""The statements: A01 to A18 and E01 to E20 of the paper (arXiv:1409.1556v6), N1 to N7 of the study note."""

from __future__ import annotations

from vgg_ablate.paper.catalogue.analytic import ANALYTIC
from vgg_ablate.paper.catalogue.empirical import EMPIRICAL
from vgg_ablate.paper.catalogue.note import NOTE
from vgg_ablate.paper.statement import Statement

CATALOGUE: tuple[Statement, ...] = (*ANALYTIC, *EMPIRICAL, *NOTE)
