"""Results folders with invented accuracies: a study file, a manifest and records, without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.study import Study, load
from vgg_ablate.config.variants import Variant
from vgg_ablate.manifest import Manifest, PlannedRun
from vgg_ablate.models.costs import combine_costs
from vgg_ablate.records import Epoch, FinalMetrics, Outcome, Record, RecordStore, Run

STUDY = """\
version: 1
name: pretend
question: Do pretend variants differ?
seeds: 5
data: {name: digits, image_size: 32}
arch: {stages: "4 4 | 8 8", norm: batch}
train: {epochs: 2}
variants:
  five: {arch.kernel: 5}
  wide: {arch.width: 2}
claims:
  - {id: small, text: two 3x3 beat one 5x5, kind: better, a: base, b: five}
  - {id: same, text: twice the width changes nothing, kind: equivalent, a: wide, b: base, margin: 1.0}
  - {id: weights, text: 5x5 needs fewer weights here, kind: better, a: five, b: base, metric: params}
"""
EXAMPLES = 5000  # of the validation set, and of the subset that the training error is measured on
Accuracy = Callable[[str, int], float]


def make_results_folder(
    folder: Path,
    accuracy: Accuracy | None = None,
    *,
    text: str = STUDY,
    outcomes: Mapping[tuple[str, int], Outcome] | None = None,
    missing: frozenset[tuple[str, int]] = frozenset(),
    provenance: Mapping[str, Any] | None = None,
    change: Callable[[Record, str], Record] = lambda record, variant: record,
    correct: Callable[[str, int], str | None] = lambda variant, seed: None,
    fingerprints: Mapping[str, str] | None = None,
) -> Path:
    """Write a results folder in which `accuracy(variant, seed)` is the test accuracy of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    study = load(folder / "study.yaml")
    accuracy = accuracy or make_accuracy(study)
    store, planned = RecordStore(folder / "records"), []
    for seed in study.seed_list:
        for variant in study.all_variants:
            run = _run(variant, seed, (fingerprints or {}).get(variant.name, "0" * 16))
            planned.append(PlannedRun(variant=variant.name, seed=seed, key=run.key))
            if (variant.name, seed) in missing:
                continue
            outcome = (outcomes or {}).get((variant.name, seed), Outcome.FINISHED)
            value = accuracy(variant.name, seed)
            record = _record(run, outcome, value, correct(variant.name, seed))
            store.put(change(record, variant.name))
    known = {"python": "3.11", "seeds": list(study.seed_list), "looks": list(study.looks)} | dict(provenance or {})
    Manifest(study=study.name, base=study.base.name, planned=tuple(planned), provenance=known).write(folder)
    return folder


def make_accuracy(study: Study) -> Accuracy:
    """Return accuracies around 0.9 with noise per seed; each variant is a little worse than the previous one."""
    noise = np.random.default_rng(7).normal(0, 0.004, (len(study.all_variants), 1 + max(study.seed_list)))
    names = [variant.name for variant in study.all_variants]
    return lambda name, seed: float(0.95 - 0.02 * names.index(name) + noise[names.index(name), seed])


def add_search_records(folder: Path, points: Sequence[Mapping[str, Any]], winners: Mapping[str, int]) -> Path:
    """Add a search's proposals, on two seeds of their own, and its winners, on the study's seeds, to a folder."""
    study, manifest = load(folder / "study.yaml"), Manifest.read(folder)
    named: dict[str, tuple[Mapping[str, Any], tuple[int, ...]]] = {}
    named |= {f"s{number:04}": (point, (1_000_000, 1_000_001)) for number, point in enumerate(points)}
    named |= {name: (points[number], study.seed_list) for name, number in winners.items()}
    planned = list(manifest.planned)
    for index, (name, (point, seeds)) in enumerate(named.items(), start=1):
        variant = study.build_variant(name, dict(point))
        for seed in seeds:
            run = _run(variant, seed, "0" * 16)
            planned.append(PlannedRun(variant=name, seed=seed, key=run.key))
            value = 0.9 + index / 100 + seed % 7 / 1000
            RecordStore(folder / "records").put(_record(run, Outcome.FINISHED, value, None))
    known = {**manifest.provenance, "proposals": [dict(point) for point in points]}
    manifest.model_copy(update={"planned": tuple(planned), "provenance": known}).write(folder)
    return folder


def _run(variant: Variant, seed: int, fingerprint: str) -> Run:
    arch, *further = (
        net.model_copy(update={"match": None}).with_shape(variant.data.shape).to_normal_form()
        for net in (variant.arch, *variant.train.ensemble)
    )
    train = variant.train.model_copy(update={"ensemble": tuple(further)})
    return Run(arch=arch, data=variant.data, train=train, fingerprint=fingerprint, seed=seed)


@cache
def _costs(archs: tuple[Arch, ...]) -> dict[str, int]:
    return combine_costs(archs).as_dict()


def _round_to_examples(share: float) -> float:
    """Return the nearest share of EXAMPLES: validation rejects a share that no count of examples has."""
    return round(share * EXAMPLES) / EXAMPLES


def _record(run: Run, outcome: Outcome, value: float, correct: str | None) -> Record:
    epochs, value = run.train.epochs, min(max(value, 0.001), 1.0)
    tested = FinalMetrics(
        val_accuracy=_round_to_examples(value - 0.001),
        train_error=_round_to_examples(0.5 * (1 - value)),
        train_examples=EXAMPLES,
        test_accuracy=value,
        correct=correct,
    )
    counted = _costs(run.archs)
    return Record(
        key=run.key,
        run=run,
        outcome=outcome,
        reason="" if outcome is Outcome.FINISHED else "loss is not finite",
        epochs=tuple(
            Epoch(
                epoch=number,
                train_loss=1 / number + value / 100,
                val_loss=1.1 / number,
                val_accuracy=_round_to_examples(max(0.0, value - 0.001 - 0.1 * (epochs - number) / number)),
                lr=0.05,
                seconds=1.5,
                images_per_second=1000.0 + run.seed,
                cpu_seconds=1.45,
                val_examples=EXAMPLES,
            )
            for number in range(1, epochs + 1)
        ),
        tested=tested if outcome is Outcome.FINISHED else None,
        costs=counted,
        audited={"params": counted["params"], "macs": counted["macs"]},
        environment={"device": "cpu", "device_name": "a CPU", "precision": "fp32", "threads": 1, "host": "here"},
        train_seconds=1.5 * epochs,
        images_per_second=1000.0 + run.seed,
        started="2026-01-01T00:00:00Z",
    )
