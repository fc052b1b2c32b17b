"""`plan` says beside its prices what is left of a mismatch, what is too large, and what a search can choose from."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.cli.plan import plan

STUDY = """\
version: 1
name: se
question: how large?
data: {name: digits, image_size: 16}
arch: {stages: "16 16 | 32 32", norm: batch}
design:
  kind: search
  space:
    arch.width: {low: 0.125, high: 1.0, step: 0.125}
    arch.depth: [1, 2, 3]
    arch.norm: [none, batch]
  constraints: ["1e5 <= macs <= 1e6", "receptive_field >= 10"]
  budget: {variants: 10}
variants:
  five: {arch.kernel: 5, arch.match: {macs: base, tolerance: 5%}}
  huge: {arch.width: 300}
"""


def test_a_plan_shows_mismatches_sizes_and_the_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "se.yaml"
    path.write_text(STUDY)
    plan(path, None, out=tmp_path / "results", probe=False)
    shown = capsys.readouterr()
    assert "warning: huge: 1,4" in shown.err
    assert "GiB in fp32" in shown.err
    assert "five: matched, " in shown.out
    assert "the space has 48 nets" in shown.out
    assert "48 exist (100.0 %)" in shown.out
    assert "meet the constraints" in shown.out
