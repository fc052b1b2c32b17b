"""The model card of an exported net, filled from its record: README.md beside the weights.

With `hub` it starts with the metadata that the Hugging Face Hub reads (https://huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from vgg_ablate.analysis.frame import build_run_frame
from vgg_ablate.analysis.results import Results
from vgg_ablate.analysis.variant_rows import build_variant_rows
from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.study import format_changes
from vgg_ablate.config.variants import Variant
from vgg_ablate.formatting import numbers
from vgg_ablate.manifest import PlannedRun
from vgg_ablate.records import FinalMetrics, Record
from vgg_ablate.report.markdown import escape_tags

_MAX_LISTED_CLASSES = 50  # a longer table of classes would be the whole card
_LOAD = """\
```python
import vgg_ablate
from PIL import Image

model = vgg_ablate.load_model("model.safetensors")
model.predict(Image.open("image.png"))  # the name of the class
```"""


def render_model_card(results: Results, planned: PlannedRun, class_names: Sequence[str], *, hub: bool = False) -> str:
    """Return the model card of a recorded run as Markdown."""
    record, study = results.records[planned.key], results.study
    assert record.tested is not None
    variant = next(other for other in study.all_variants if other.name == planned.variant)
    changes = format_changes(variant.changes) or "none"
    parts = [
        _render_metadata(study.name, record) if hub else "",
        f"# {study.name}: {planned.variant}, seed {planned.seed}",
        escape_tags(f"One net of a study that asks: {study.question}"),
        "## Use",
        _LOAD,
        _describe_inputs(record),
        "## Net",
        _build_list(_list_net_facts(record, changes)),
        "## Evaluation",
        _describe_evaluation(results, variant, record.tested),
        _build_class_table(record.tested, class_names),
        "## Training",
        _build_list(_list_training_facts(record)),
        "## Limits",
        "The net names one of its classes for any image, also for one of something else. It was trained to compare "
        "nets under equal conditions, not to reach the lowest error, and one seed says little about other data.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def serialize_hub_config(arch: Arch, class_names: Sequence[str]) -> str:
    """Return config.json for the Hugging Face Hub: the net as `arch:` of a study file, and the names of the classes."""
    config = {
        "model_type": "vgg_ablate",
        "arch": {
            **arch.model_dump(mode="json", exclude_defaults=True, exclude={"stages"}),
            "stages": arch.to_notation(),
        },
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _render_metadata(name: str, record: Record) -> str:
    """Return the YAML metadata of a card for the Hub, between lines of three dashes."""
    assert record.tested is not None
    data = {"type": record.run.data.name, "name": record.run.data.name, "split": "test"}
    metrics = [{"type": "accuracy", "value": record.tested.test_accuracy}]
    result = {"task": {"type": "image-classification"}, "dataset": data, "metrics": metrics}
    metadata: dict[str, Any] = {
        "library_name": "vgg_ablate",
        "pipeline_tag": "image-classification",
        "tags": ["vgg", "image-classification", "ablation"],
        "datasets": [record.run.data.name],
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": [result]}],
    }
    text = io.StringIO()
    yaml_loader.write_yaml(metadata, text)
    return f"---\n{text.getvalue().strip()}\n---"


def _describe_inputs(record: Record) -> str:
    arch = record.run.arch
    kind = "gray" if arch.in_channels == 1 else "RGB"
    return (
        f"Images are {kind}, {arch.image_size} x {arch.image_size} pixels; `predict` resizes PIL images, and takes "
        "arrays and tensors of that size (uint8, N x H x W x C). The file holds the normalisation, too."
    )


def _list_net_facts(record: Record, changes: str) -> Iterator[tuple[str, str]]:
    yield "Stages", f"`{record.run.arch.to_notation()}`"
    yield "Changes of the study's base", f"`{changes}`"
    costs = record.costs
    yield "Parameters", numbers.format_count(costs["params"])
    yield "MACs per image", numbers.format_count(costs["macs"])
    yield "Receptive field", f"{costs['receptive_field']} pixels"


def _describe_evaluation(results: Results, variant: Variant, tested: FinalMetrics) -> str:
    """Return this run's error, with the mean and the sd over the seeds of its variant that the report averages."""
    (row,) = build_variant_rows(build_run_frame(results), [variant], results.costs)
    examples = tested.details.get("test_examples")
    count = "" if examples is None else f" of {numbers.format_count(examples)} test images"
    text = f"Test error: {100 * (1 - tested.test_accuracy):.2f} %{count}."
    if row.n > 1:
        text += f" Over {row.n} seeds of this variant: {numbers.format_mean(row.error.mean, row.error.sd, row.n)} %."
    if row.stalled:
        text += f" Stalled at chance level, and left out of means: seed {', '.join(map(str, row.stalled))}."
    return text


def _build_class_table(tested: FinalMetrics, class_names: Sequence[str]) -> str:
    accuracies = tested.details.get("class_accuracy") or []
    if len(accuracies) != len(class_names) or len(class_names) > _MAX_LISTED_CLASSES:
        return ""
    rows = [
        f"| {escape_tags(name).replace('|', '/')} | {numbers.DASH if accuracy is None else f'{100 * accuracy:.1f} %'} |"
        for name, accuracy in zip(class_names, accuracies, strict=True)
    ]
    return "\n".join(["| class | test accuracy |", "|---|---|", *rows])


def _list_training_facts(record: Record) -> Iterator[tuple[str, str]]:
    run, environment = record.run, record.environment
    yield "Data", f"{run.data.name}, fingerprint {run.fingerprint}"
    yield "Length", f"{run.train.epochs} epochs of batches of {run.train.batch_size}"
    yield (
        "Optimizer",
        f"{run.train.optimizer.kind}, learning rate {run.train.lr:g}, weight decay {run.train.weight_decay:g}",
    )
    yield "Schedule", run.train.schedule.kind
    yield "Seed", str(run.seed)
    yield "Device", f"{environment.get('device_name', numbers.DASH)}, {environment.get('precision', numbers.DASH)}"
    yield "PyTorch", str(environment.get("torch", numbers.DASH))
    yield "Run key", f"`{record.key}`"


def _build_list(facts: Iterator[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)
