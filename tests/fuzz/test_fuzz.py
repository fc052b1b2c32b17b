"""Damaged input of every kind ends with a result or with one of the package's own errors, and soon.

Short in the suite. `FUZZ_SECONDS=3600 pytest tests/fuzz -p no:xdist --timeout 0` fuzzes for an hour, with other random
numbers each time; the seed of a case is part of its failure, and `FUZZ_SEED=N` repeats it.
"""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Literal

import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

import vgg_ablate
from tests.fuzz.mutation import mutate_bytes, mutate_tree
from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.study import load
from vgg_ablate.config.training import Data
from vgg_ablate.data.sources import compute_data_fingerprint
from vgg_ablate.errors import VggAblateError
from vgg_ablate.external.tracker_writers import TrackedRun
from vgg_ablate.external.tracking import mirror_events
from vgg_ablate.models import checkpoints
from vgg_ablate.models.vgg import build_model
from vgg_ablate.models.width_matching import resolve_variants
from vgg_ablate.report import write
from vgg_ablate.runs.progress.following import follow_events

CASES = 12  # per target in the suite
LIMIT_S = 20.0  # per case; the promise of 5 s is for a machine that does nothing else
ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "studies" / "examples").glob("*.yaml"))

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries about hostile numbers: only an exception is a fault


def run_cases(check: Callable[[Random], object]) -> None:
    """Run the cases of a target: a fixed number, or as many as fit into an equal share of $FUZZ_SECONDS."""
    if "FUZZ_SEED" in os.environ:
        seeds: Iterator[int] = iter([int(os.environ["FUZZ_SEED"])])
    elif "FUZZ_SECONDS" in os.environ:
        seeds = _draw_seeds(time.monotonic() + float(os.environ["FUZZ_SECONDS"]) / TARGETS)
    else:
        seeds = iter(range(CASES))
    count = 0
    for seed in seeds:
        started, message = time.monotonic(), ""
        try:
            check(Random(seed))
        except VggAblateError as error:
            message = str(error)
        except BaseException as error:
            error.add_note(f"FUZZ_SEED={seed}")
            raise
        seconds = time.monotonic() - started
        assert len(message) < 20_000, f"FUZZ_SEED={seed}: a message of {len(message)} characters"
        assert seconds < LIMIT_S, f"FUZZ_SEED={seed}: {seconds:.1f} s"
        count += 1
    print(f"{count} cases")


def _draw_seeds(end: float) -> Iterator[int]:
    random = Random()
    while time.monotonic() < end:
        yield random.randrange(2**62)


def dump_yaml(document: Any) -> str:
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(document, text)
    return text.getvalue()


def test_study_files(tmp_path: Path) -> None:
    documents = [YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) for path in EXAMPLES]
    documents.append(YAML(typ="safe", pure=True).load(STUDY))
    path = tmp_path / "study.yaml"

    def check(random: Random) -> None:
        content = dump_yaml(mutate_tree(random.choice(documents), random)).encode("utf-8", "surrogatepass")
        path.write_bytes(mutate_bytes(content, random) if random.random() < 0.3 else content)
        study = load(path)
        resolve_variants(study.all_variants)
        assert load_text(study.as_yaml(), path) == study

    run_cases(check)


def load_text(text: str, path: Path) -> Any:
    path.write_text(text, encoding="utf-8")
    return load(path)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results_folder(tmp_path_factory.mktemp("fuzzed") / "pretend")


@pytest.mark.parametrize("target", ["record", "manifest", "study"])
def test_results_folders(results: Path, tmp_path: Path, target: str) -> None:
    folder = tmp_path / "damaged"

    def check(random: Random) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(results, folder)
        records = sorted((folder / "records").iterdir())
        path = {"record": random.choice(records), "manifest": folder / "manifest.json", "study": folder / "study.yaml"}[
            target
        ]
        content = path.read_bytes()
        if target != "study" and random.random() < 0.7:
            text = json.dumps(mutate_tree(json.loads(content), random))
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
        else:
            path.write_bytes(mutate_bytes(content, random))
        report = vgg_ablate.load_report(folder)
        assert str(report)
        assert write.serialize_report(report._report)

    run_cases(check)


class RecordingTracker:
    """A tracker that only counts."""

    def __init__(self) -> None:
        self.calls = 0

    def start_run(self, run: TrackedRun, parameters: Any) -> None:
        self.calls += 1

    def log_epoch(self, run: TrackedRun, epoch: int, metrics: Any) -> None:
        self.calls += 1

    def end_run(self, run: TrackedRun, outcome: str, metrics: Any) -> None:
        self.calls += 1

    def close(self) -> None: ...


def test_event_logs(results: Path, tmp_path: Path) -> None:
    path, study = tmp_path / "events.jsonl", load(results / "study.yaml")
    run = {"variant": "base", "seed": 0, "key": "0" * 16}
    epoch = {"epoch": 1, "train_loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5, "lr": 0.1}
    events: list[Any] = [
        {"at": 1.0, "event": "began", "total": 5, "recorded": 0, "slots": 2},
        {"at": 1.0, "event": "started", **run},
        {"at": 1.0, "event": "epoch", **run, **epoch},
        {"at": 1.0, "event": "ended", **run, "outcome": "finished", "reason": "", "seconds": 1.0},
    ]

    def check(random: Random) -> None:
        mutated = mutate_tree(events, random)
        lines = mutated if isinstance(mutated, list) else [mutated]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode("utf-8", "surrogatepass")
        path.write_bytes(mutate_bytes(content, random) if random.random() < 0.3 else content)
        mirror_events(follow_events(path, 0, lambda: True), RecordingTracker(), study, results)

    run_cases(check)


def test_runs_and_claims_of_judge(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [
            {"variant": variant, "seed": seed, "loss": 0.5 + seed / 100 + (variant == "b") / 10}
            for variant in ("a", "b")
            for seed in range(4)
        ]
    )
    claims = {
        "version": 1,
        "metric": {"name": "loss", "direction": "lower", "unit": "nats"},
        "claims": [
            {"id": "x", "text": "a beats b", "kind": "better", "a": "a", "b": "b", "margin": 0.01},
            {"id": "y", "text": "as published", "kind": "equivalent", "a": "a", "margin": 0.1,
             "b": {"value": 0.5, "sd": 0.1, "n": 3, "source": "doi"}},
        ],
    }  # fmt: skip
    runs, file = tmp_path / "runs.csv", tmp_path / "claims.yaml"

    def check(random: Random) -> None:
        content = table.to_csv(index=False).encode()
        runs.write_bytes(mutate_bytes(content, random) if random.random() < 0.6 else content)
        text = dump_yaml(mutate_tree(claims, random) if random.random() < 0.6 else claims)
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        assert str(vgg_ablate.judge(runs, file))

    run_cases(check)


def test_image_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF"):
        buffer = io.BytesIO()
        Image.effect_noise((12, 9), 60).save(buffer, kind)
        contents.append((kind.lower(), buffer.getvalue()))
    root = tmp_path / "images"

    def check(random: Random) -> None:
        shutil.rmtree(root, ignore_errors=True)
        monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "cache"))
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        for label in ("one", "two"):
            folder = root / "train" / label
            folder.mkdir(parents=True)
            for index in range(4):
                suffix, content = random.choice(contents)
                damaged = mutate_bytes(content, random) if random.random() < 0.5 else content
                (folder / f"{index}.{suffix}").write_bytes(damaged)
        on_corrupt: Literal["error", "skip"] = "error" if random.random() < 0.5 else "skip"
        data = Data(name="image-folder", root=str(root), image_size=8, classes=2, on_corrupt=on_corrupt)
        compute_data_fingerprint(data)

    run_cases(check)


def test_weight_files(tmp_path: Path) -> None:
    arch = Arch.model_validate({"stages": "4 | 8", "image_size": 8, "in_channels": 1, "classes": 3})
    inputs = checkpoints.ImageInputs((128.0,), (64.0,), ("a", "b", "c"))
    content = checkpoints.serialize_safetensors(arch, build_model(arch).state_dict(), inputs=inputs)
    length = int.from_bytes(content[:8], "little")
    header, path = json.loads(content[8 : 8 + length]), tmp_path / "model.safetensors"

    def check(random: Random) -> None:
        mutated = copy.deepcopy(header)
        metadata = mutated["__metadata__"]
        if random.random() < 0.6:  # inside of the documents that the metadata hold
            name = random.choice(["arch", "inputs"])
            metadata[name] = json.dumps(mutate_tree(json.loads(metadata[name]), random))
        else:
            mutated = mutate_tree(mutated, random)
        text = json.dumps(mutated).encode("utf-8", "surrogatepass")
        damaged = len(text).to_bytes(8, "little") + text + content[8 + length :]
        path.write_bytes(mutate_bytes(damaged, random) if random.random() < 0.2 else damaged)
        model = vgg_ablate.load_model(path)
        model.predict_proba(torch.zeros(1, model.image_size, model.image_size, model.channels, dtype=torch.uint8))

    run_cases(check)


TARGETS = 8  # tests of this file, which share $FUZZ_SECONDS
