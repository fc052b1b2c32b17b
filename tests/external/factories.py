"""Runs and claims of made-up programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

CLAIM = {"id": "dropout-helps", "text": "dropout lowers the loss", "kind": "better", "a": "dropout", "b": "base"}
METRIC = {"name": "loss", "direction": "lower", "unit": "nats"}


def make_claims(**changes: Any) -> dict[str, Any]:
    """Return the content of a file of claims with one claim."""
    return {"version": 1, "metric": METRIC, "claims": [CLAIM], **changes}


def make_runs(
    seeds: int = 6, effect: float = -0.06, *, variants: tuple[str, str] = ("base", "dropout")
) -> pd.DataFrame:
    """Return runs of two variants; the second one's loss differs by `effect`, with noise that pairs share in part."""
    generator = np.random.default_rng(0)
    shared = generator.normal(0, 0.02, seeds)
    rows = [
        {"variant": name, "seed": seed, "loss": round(0.7 + own + shared[seed] + generator.normal(0, 0.01), 5)}
        for name, own in zip(variants, (0.0, effect), strict=True)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def write_runs(path: Path, runs: pd.DataFrame) -> Path:
    """Write runs as CSV."""
    runs.to_csv(path, index=False)
    return path


def write_claims(path: Path, **changes: Any) -> Path:
    """Write a file of claims; `changes` as in `make_claims`."""
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(make_claims(**changes), file)
    return path
