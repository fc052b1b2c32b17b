"""`check` says what is left of a mismatch, and warns of nets that nobody means."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.cli.check import check

STUDY = """\
version: 1
name: large
question: how large?
data: {name: cifar10}
arch: {stages: "64 64 | 128 128 | 256 256", norm: batch}
variants:
  wide: {arch.width: 32}
  five: {arch.kernel: 5, arch.match: {macs: base, tolerance: 2%}}
"""


def test_mismatches_are_printed_and_a_billion_parameters_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(STUDY)
    check(path, None)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "large: ok (3 variants x 5 seeds = 15 runs; claims: 0)",
        "five: matched, −0.18 % of 152.8 M macs",
    ]
    assert shown.err == (
        "warning: wide: 1,171,662,858 parameters: weights, gradients and momentum alone take 13 GiB in fp32\n"
    )
