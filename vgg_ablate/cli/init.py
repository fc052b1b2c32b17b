"""`init`: write a first study to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vgg_ablate.errors import StorageError

FIRST_STUDY = """\
version: 1
name: first
question: Does batch normalisation help a small VGG on scanned digits?
expect: {minutes: 2, device: two CPU cores}
seeds: 5
data: {name: digits, image_size: 16}
arch: {stages: "16 16 | 32 32", norm: none, head: {hidden: [64]}}
train: {epochs: 10, batch_size: 64, lr: 0.05, warmup_epochs: 1}
variants:
  normalised: {arch.norm: batch}
claims:
  - {id: norm-helps, text: it lowers the test error, kind: better, a: normalised, b: base}
"""


def init(path: Annotated[Path, typer.Argument(help="File to write.")] = Path("studies/first.yaml")) -> None:
    """Write a small study to start from. An existing file is not replaced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(FIRST_STUDY)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    print(f"written: {path}; run it with: python -m vgg_ablate run {path}")
