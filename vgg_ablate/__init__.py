"""Architecture search and ablation studies over a parametric VGG.

`load(path)` reads a study file, `run(study)` trains its missing runs and writes the report, `load_report(folder)`
returns the report, and `frame(folder)` the records as a DataFrame. `judge(runs, claims)` judges claims about runs that
other programs trained, and `load_model(path)` returns an exported net.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vgg_ablate.errors import Problem, SpecError, VggAblateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from vgg_ablate.config.study import Study
    from vgg_ablate.external.notebook import RunsReport
    from vgg_ablate.report.notebook import StudyReport
    from vgg_ablate.training.classifier import Classifier

__all__ = ["SpecError", "VggAblateError", "frame", "judge", "load", "load_model", "load_report", "run"]

# The functions import what they need when they are called, so that `import vgg_ablate` loads neither torch nor pandas.
# There is no `report`: the package of this name would replace it as soon as anything imports a module of it.


def load(path: str | Path, *overrides: str | Iterable[str]) -> Study:
    """Read a study file and apply overrides, each `path=value`.

    Overrides that change what is trained give the study a name of its own, `<name>-<hash>`, so that its runs do not
    replace the results of the file's study; the override `name=...` chooses another.
    In Jupyter the study shows as a table of its variants and claims. Raises SpecError, which lists every problem of the
    file and the overrides.

    Examples:
        >>> study = load("studies/examples/list-digits.yaml", "train.epochs=2", "seeds=2")
        >>> [variant.name for variant in study.variants]
        ['base', 'plain', 'five']
        >>> study.seed_list
        (0, 1)
    """
    from vgg_ablate.config.overridden import load_with_own_name

    groups = [[given] if isinstance(given, str) else list(given) for given in overrides]
    return load_with_own_name(path, [override for group in groups for override in group])


def run(
    study: Study | str | Path,
    folder: str | Path | None = None,
    *,
    overrides: Iterable[str] = (),
    device: str = "auto",
    workers: int | None = None,
) -> Path:
    """Train every run of a study that has no record in `folder` yet, write the report, and return the folder.

    `study` is a study, or its file, to which `overrides` apply as in `load`. The folder is `results/<name of the
    study>` by default. Progress goes to stderr; in Jupyter it is one output that is kept up to date. Raises SpecError
    for overrides of a study that is loaded already, and RunsFailedError if runs ended without a result; the report is
    written first.

    Examples:
        >>> folder = run("studies/first.yaml", device="cpu", workers=1)
        >>> folder.as_posix()
        'results/first'
        >>> frame(folder)[["variant", "seed", "outcome"]].head(1)
          variant  seed   outcome
        0    base     0  finished
    """
    import warnings

    from vgg_ablate.report import write

    with warnings.catch_warnings():
        # Optuna imports tqdm, which warns in Jupyter where ipywidgets is missing: its bars are not shown here.
        warnings.filterwarnings("ignore", "IProgress not found")
        from vgg_ablate.runs import driver

    if not isinstance(study, str | Path) and overrides:
        raise SpecError(Problem("apply to a file; load(path, ...) takes them", "overrides", got=list(overrides)))
    checked = load(study, *overrides) if isinstance(study, str | Path) else study
    results_folder = Path(folder) if folder is not None else Path("results") / checked.name
    summary = driver.run(checked, results_folder, driver.RunOptions(device=device, workers=workers))
    write.write_report(results_folder)
    summary.raise_for_failures()
    return results_folder


def frame(folder: str | Path) -> pd.DataFrame:
    """Return the records of a results folder as a DataFrame with one row per run.

    The columns are those of runs.csv: variant, seed, outcome, test_error, params, macs, train_seconds and others.
    Errors and accuracies are fractions of 1. Raises StorageError if the folder has no study.

    Examples:
        >>> runs = frame("results/kernels")
        >>> pairs = runs.pivot(index="seed", columns="variant", values="test_error")
        >>> len(pairs["five"] - pairs["base"])
        24
    """
    from vgg_ablate.analysis.summary import load_report as read_report

    return read_report(folder).frame


def load_report(folder: str | Path) -> StudyReport:
    """Return the report of a results folder; it writes nothing.

    In Jupyter it shows the tables. Raises StorageError if the folder has no study.

    Examples:
        >>> report = load_report("results/kernels")
        >>> report.claims.loc[0, "id"]
        'pair'
        >>> print(str(report).splitlines()[0])
        # kernels
    """
    from vgg_ablate.analysis.summary import load_report as read_report
    from vgg_ablate.report.notebook import StudyReport

    return StudyReport(read_report(folder))


def load_model(path: str | Path) -> Classifier:
    """Return a trained net that `python -m vgg_ablate export` wrote: an nn.Module that predicts the class of images.

    `path` is its model.safetensors, or the folder of it. Raises StorageError where it cannot be read, and SpecError
    where another program wrote it.

    Examples:
        >>> import torch
        >>> model = load_model("exports/kernels/five-100")
        >>> images = torch.zeros(2, model.image_size, model.image_size, model.channels, dtype=torch.uint8)
        >>> model.predict_proba(images).shape
        torch.Size([2, 10])
        >>> set(model.predict(images)) <= set(model.class_names)
        True
    """
    from vgg_ablate.training.classifier import load_classifier

    return load_classifier(Path(path))


def judge(runs: pd.DataFrame | str | Path, claims: Mapping[str, Any] | str | Path) -> RunsReport:
    """Judge claims about runs that other programs trained. Nothing is written, and torch is not needed.

    `runs` is a data frame with one row per run, or a file, folder or storage URL as for `python -m vgg_ablate judge`.
    `claims` is a file of claims, or a mapping with its keys. Raises SpecError, which names the row of every fault.

    Examples:
        >>> import pandas as pd
        >>> losses = {"base": [0.71, 0.74, 0.70, 0.72], "dropout": [0.64, 0.66, 0.65, 0.66]}
        >>> runs = pd.DataFrame(losses).melt(var_name="variant", value_name="loss", ignore_index=False)
        >>> claim = {"id": "helps", "text": "dropout helps", "kind": "better", "a": "dropout", "b": "base"}
        >>> claims = {"version": 1, "metric": {"name": "loss", "direction": "lower"}, "claims": [claim]}
        >>> report = judge(runs.reset_index(names="seed"), claims)
        >>> report.claims.loc[0, "verdict"]
        'supported'
    """
    from vgg_ablate.external.notebook import judge_frame

    return judge_frame(runs, claims)
