"""Architecture search and ablation studies over a parametric VGG.

`load(path)` reads a study; `frame(folder)` is a pandas DataFrame of a results folder, one row a run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import SpecError, VggAblateError

if TYPE_CHECKING:
    import pandas as pd

    from vgg_ablate.spec.study import Study

__all__ = ["SpecError", "VggAblateError", "frame", "load"]


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> Study:
    """Read a study file, with `path=value` overrides. Raises SpecError with every problem in it."""
    from vgg_ablate.spec.study import load as read

    return read(path, overrides)


def frame(folder: str | Path) -> pd.DataFrame:
    """The runs of a results folder, one row each. Raises StorageFailed where no study was run in it."""
    from vgg_ablate.report.frame import frame as read

    return read(folder)
