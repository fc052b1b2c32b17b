"""`describe --filters` and `describe --field`: the weights of a trained net, and its effective receptive field.

Unlike the rest of `describe`, these import torch.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import DatasetError, Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.analysis.reproduce import Reproduction
    from vgg_ablate.analysis.stats import FloatArray
    from vgg_ablate.config.arch import Arch
    from vgg_ablate.diagrams.filters import FieldMeasurement
    from vgg_ablate.manifest import PlannedRun
    from vgg_ablate.models.vgg import Vgg
    from vgg_ablate.records import Run

_WEIGHTS, _RECORD = ".safetensors", ".json"


def is_trained(target: str) -> bool:
    """Return whether a target names a weights file or a record."""
    return Path(target).suffix in (_WEIGHTS, _RECORD)


@dataclass(frozen=True)
class _TrainedNet:
    """A net with the weights of a file, or of a record whose run was trained again."""

    name: str
    arch: Arch
    model: Vgg
    run: Run | None  # the run that trained it; None: the file does not have it
    filters_path: Path  # default file for the drawing of its filters
    reproduction: tuple[PlannedRun, Reproduction] | None = None  # of a record: how the second training compares

    def report_reproduction(self) -> None:
        """Print whether the second training agrees with the record. Raises CheckFailedError where it does not."""
        from vgg_ablate.cli.reproduce_run import describe_agreement

        if self.reproduction is not None:
            print(describe_agreement(*self.reproduction, caveat="shown, but "), file=sys.stderr)


def draw_filters(path: Path, svg: Path | None, device: str | None, *, as_json: bool) -> None:
    """Draw the first convolution's filters of a weights file or a record, or print them as JSON."""
    from vgg_ablate.diagrams import filters
    from vgg_ablate.files import replace_file
    from vgg_ablate.models.effective_field import extract_first_filters

    if not is_trained(str(path)):
        rule = (
            "is neither a weights file (.safetensors) nor a record (.json); "
            "`export STUDY VARIANT` writes a weights file"
        )
        raise SpecError(Problem(rule, location=str(path)))
    net = _load_net(path, device)
    kernels = extract_first_filters(net.model)
    if as_json:
        print(json.dumps({"name": net.name, "shape": kernels.shape, "filters": kernels.tolist()}))
    if svg is not None or not as_json:
        drawing = svg or net.filters_path
        replace_file(drawing, filters.draw_filters(kernels, net.name))
        print(f"written: {drawing}", file=sys.stderr if as_json else sys.stdout)
    net.report_reproduction()  # last: it raises where the weights are not those of the record


def draw_field(
    target: str, image_size: int | None, classes: int | None, svg: Path | None, device: str | None, *, as_json: bool
) -> None:
    """Measure the effective receptive field of the last map's centre unit; print it, and draw it to `svg`.

    For a trained net it is a mean over validation images of its data set, where these can be read; otherwise over
    noise.
    """
    from vgg_ablate.diagrams import filters
    from vgg_ablate.files import replace_file
    from vgg_ablate.formatting.table import print_tables

    net = None
    if is_trained(target):
        if image_size or classes:
            rule = "a trained net has its image size and its classes: leave out --image-size and --classes"
            raise SpecError(Problem(rule, location="command line"))
        net = _load_net(Path(target), device)
        field, inputs = _measure_trained(net)
        measurements, weights = [_build_measurement(net.name, net.arch, field)], "weights as trained"
    else:
        measurements, inputs = _measure_initialized(target, image_size, classes)
        weights = "weights as initialised from seed 0"
    method = f"{weights}; mean over {inputs}"
    if as_json:
        print(filters.serialize_fields(measurements, method))
    else:
        print_tables([filters.build_field_table(measurements, method)])
    if svg is not None:
        replace_file(svg, filters.draw_fields(measurements, method))
        print(f"written: {svg}", file=sys.stderr)
    if net is not None:
        net.report_reproduction()


def _measure_trained(net: _TrainedNet) -> tuple[FloatArray, str]:
    """Return the field, and the inputs over which it was averaged.

    The images are validation images: the test set is read by tests alone.
    """
    from vgg_ablate.models.effective_field import IMAGE_COUNT, average_field_over_images, average_field_over_noise

    if net.run is not None:
        from vgg_ablate.data.splits import load_validation_images

        try:
            images = load_validation_images(net.run, IMAGE_COUNT)
        except DatasetError as error:
            print(f"{error}: using noise instead of images", file=sys.stderr)
        else:
            field = average_field_over_images(net.model, images)
            return field, f"{len(images)} validation images of {net.run.data.name}"
    return average_field_over_noise(net.arch, net.model), f"{IMAGE_COUNT} images of noise"


def _measure_initialized(
    target: str, image_size: int | None, classes: int | None
) -> tuple[list[FieldMeasurement], str]:
    from vgg_ablate.cli.targets import resolve_target
    from vgg_ablate.models.effective_field import IMAGE_COUNT, average_field_over_noise

    measurements = [
        _build_measurement(net.variant.name, net.arch, average_field_over_noise(net.arch))
        for net in resolve_target(target, image_size, classes)
    ]
    return measurements, f"{IMAGE_COUNT} images of noise"


def _build_measurement(name: str, arch: Arch, field: FloatArray) -> FieldMeasurement:
    from vgg_ablate.diagrams.filters import FieldMeasurement
    from vgg_ablate.models.effective_field import measure_field_side
    from vgg_ablate.models.layers import build_layers, split_head
    from vgg_ablate.models.receptive_field import compute_center_window

    rows, columns = compute_center_window(split_head(build_layers(arch))[0])
    return FieldMeasurement(name, field, rows, columns, min(measure_field_side(field), len(field)))


def _load_net(path: Path, device: str | None) -> _TrainedNet:
    """Return the net of a weights file or a record. Raises StorageError, SpecError, CheckFailedError."""
    return _retrain_record(path, device) if path.suffix == _RECORD else _load_weights(path)


def _load_weights(path: Path) -> _TrainedNet:
    from vgg_ablate.models.checkpoints import load_safetensors, read_run_json
    from vgg_ablate.records import Run

    arch, model = load_safetensors(path)
    run_json = read_run_json(path)
    run = None if run_json is None else Run.from_json(run_json, str(path))
    # `export` writes <variant>-<seed>/model.safetensors: there the folder has the name.
    name = path.resolve().parent.name if path.stem == "model" else path.stem
    return _TrainedNet(name, arch, model, run, path.with_suffix(".filters.svg"))


def _retrain_record(path: Path, device: str | None) -> _TrainedNet:
    """Train the run of a record again, since records hold no weights."""
    from tempfile import TemporaryDirectory

    from vgg_ablate.cli.reproduce_run import find_recorded_run, retrain_with_weights
    from vgg_ablate.models.checkpoints import load_safetensors

    results, planned = find_recorded_run(path)
    with TemporaryDirectory() as folder:
        weights = Path(folder) / "model.safetensors"
        _, reproduction = retrain_with_weights(results, planned, device, weights)
        arch, model = load_safetensors(weights)
    filters_path = Path("exports") / results.study.name / f"{planned.variant}-{planned.seed}.filters.svg"
    run = results.records[planned.key].run
    return _TrainedNet(planned.name, arch, model, run, filters_path, (planned, reproduction))
