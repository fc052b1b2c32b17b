"""Architecture search and ablation studies over a parametric VGG.

`load(path)` reads a study file, `run(study)` trains its missing runs and writes the report, and `frame(folder)`
returns the records of a results folder as a DataFrame:

    study = vgg_ablate.load("studies/kernels.yaml")
    runs = vgg_ablate.frame(vgg_ablate.run(study))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import SpecError, VggAblateError

if TYPE_CHECKING:
    import pandas as pd

    from vgg_ablate.config.study import Study

__all__ = ["SpecError", "VggAblateError", "frame", "load", "run"]

# The functions import what they need when they are called, so that `import vgg_ablate` loads neither torch nor pandas.


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> Study:
    """Read a study file and apply `path=value` overrides, such as `("train.epochs=2",)`.

    Raises SpecError, which lists every problem of the file and the overrides.
    """
    from vgg_ablate.config.study import load as load_study

    return load_study(path, overrides)


def run(study: Study, folder: str | Path | None = None, *, device: str = "auto", workers: int | None = None) -> Path:
    """Train every run of a study that has no record in `folder` yet, write the report, and return the folder.

    The folder is `results/<name of the study>` by default. Raises RunsFailedError if runs ended without a result; the
    report is written first.
    """
    from vgg_ablate.report import write
    from vgg_ablate.runs import driver

    results_folder = Path(folder) if folder is not None else Path("results") / study.name
    summary = driver.run(study, results_folder, driver.RunOptions(device=device, workers=workers))
    write.write_report(results_folder)
    summary.raise_for_failures()
    return results_folder


def frame(folder: str | Path) -> pd.DataFrame:
    """Return the records of a results folder as a DataFrame with one row per run."""
    from vgg_ablate.analysis.summary import load_report

    return load_report(folder).frame
