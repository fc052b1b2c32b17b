"""A study for the fake training that stops when its claims are decided, and the sequence of its decisions."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.runs.harness import build_fake_plan
from vgg_ablate.analysis.decisions import read_decisions
from vgg_ablate.config.study import load
from vgg_ablate.runs.plan import Plan

# The fake training makes `bad` much worse than the base, `slow` a little, and `same` equal but for chance.
STUDY = """\
version: 1
name: asked
question: when is it decided?
seeds: {looks: [3, 5, 8], stop: decided}
data: {name: digits, limit: 1}
arch: {stages: "8 8 | 8"}
train: {epochs: 2}
variants:
  bad: {train.lr: 5}
  slow: {train.lr: 10}
  same: {train.lr: 0.2}
  unclaimed: {train.lr: 0.3}
claims:
  - {id: clear, text: the base is better than bad, kind: better, a: base, b: bad}
  - {id: faint, text: the base is better than slow, kind: better, a: base, b: slow}
  - {id: chance, text: same differs, kind: different, a: same, b: base}
"""


class Trace(NamedTuple):
    """The sequence of decisions of a study: everything that two ways of training it must have in common."""

    followed: tuple[frozenset[str], ...]
    verdicts: tuple[tuple[str, str, int], ...]  # claim, verdict, seeds at its look
    stopped: str
    seeds: dict[str, int]


def write_plan(folder: Path, text: str = STUDY) -> Plan:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "asked.yaml").write_text(text, encoding="utf-8")
    return build_fake_plan(load(folder / "asked.yaml"))


def trace(plan: Plan, folder: Path) -> Trace:
    found = read_decisions(plan.study, plan.planned, folder)
    verdicts = tuple((verdict.claim.id, verdict.verdict, verdict.look) for verdict in found.verdicts)
    return Trace(found.followed, verdicts, found.stopped, dict(found.seeds or {}))
