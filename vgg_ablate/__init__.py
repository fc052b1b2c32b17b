"""Architecture search and ablation studies over a parametric VGG.

`load(path)` reads a study, `run(study)` trains what is missing of it, `frame(folder)` is its records as a DataFrame.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import SpecError, VggAblateError

if TYPE_CHECKING:
    import pandas as pd

    from vgg_ablate.config.study import Study

__all__ = ["SpecError", "VggAblateError", "frame", "load", "run"]


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> Study:
    """Read a study file, with `path=value` overrides. Raises SpecError with every problem in it."""
    from vgg_ablate.config.study import load as read

    return read(path, overrides)


def run(study: Study, folder: str | Path | None = None, *, device: str = "auto", workers: int | None = None) -> Path:
    """Train every run of `study` that has no record in `folder` (default: results/<study>), then write the report.

    Returns the folder. Raises RunsFailed where runs ended without a result.
    """
    from vgg_ablate.report import write
    from vgg_ablate.runs import driver

    where = Path(folder) if folder is not None else Path("results") / study.name
    finished = driver.run(study, where, driver.RunOptions(device=device, workers=workers))
    write.write_report(where)
    finished.raise_for_failures()
    return where


def frame(folder: str | Path) -> pd.DataFrame:
    """The records of a results folder, one row a run."""
    from vgg_ablate.analysis.frame import frame as read

    return read(Path(folder))
