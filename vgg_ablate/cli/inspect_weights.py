"""What `describe --filters` and `describe --field` show: weights, and how far a net really sees. These need torch."""

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
    from vgg_ablate.models.vgg import Vgg
    from vgg_ablate.records import PlannedRun, Run

_WEIGHTS, _RECORD = ".safetensors", ".json"


def is_trained(target: str) -> bool:
    """Does it name a weights file, or a record?"""
    return Path(target).suffix in (_WEIGHTS, _RECORD)


@dataclass(frozen=True)
class _Trained:
    """A net with the weights of a file, or of a record whose run was trained again."""

    name: str
    arch: Arch
    model: Vgg
    run: Run | None  # that gave the weights; None: the file does not say
    picture: Path  # where its filters are drawn unless it is said
    repeated: tuple[PlannedRun, Reproduction] | None = None  # of a record: how the second training compares

    def judge(self) -> None:
        """Say on stderr that a record's run was had again. Raises CheckFailed where it was not."""
        from vgg_ablate.cli.reproduce_run import describe_agreement

        if self.repeated is not None:
            print(describe_agreement(*self.repeated, done="shown, but "), file=sys.stderr)


def draw_filters(path: Path, svg: Path | None, device: str | None, *, as_json: bool) -> None:
    """Draw the first convolution's filters of a weights file, or of a record; or print them as numbers."""
    from vgg_ablate.diagrams import filters
    from vgg_ablate.models.effective_field import extract_first_filters
    from vgg_ablate.records import replace_file

    if not is_trained(str(path)):
        rule = "is neither a weights file (.safetensors) nor a record (.json); `export STUDY VARIANT` makes the first"
        raise SpecError(Problem(rule, place=str(path)))
    net = _trained(path, device)
    kernels = extract_first_filters(net.model)
    if as_json:
        print(json.dumps({"name": net.name, "shape": kernels.shape, "filters": kernels.tolist()}))
    if svg is not None or not as_json:
        where = svg or net.picture
        replace_file(where, filters.draw_filters(kernels, net.name))
        print(f"written: {where}", file=sys.stderr if as_json else sys.stdout)
    net.judge()


def draw_field(
    target: str, image_size: int | None, classes: int | None, svg: Path | None, device: str | None, *, as_json: bool
) -> None:
    """Measure how far the centre unit of the last map sees; print it, and draw it where asked.

    Of a trained net over images of its data set, where they can be had; otherwise over noise.
    """
    from vgg_ablate.diagrams import filters
    from vgg_ablate.formatting.table import print_tables
    from vgg_ablate.records import replace_file

    net = None
    if is_trained(target):
        if image_size or classes:
            rule = "a trained net has its image size and its classes: --image-size and --classes are for others"
            raise SpecError(Problem(rule, place="command line"))
        net = _trained(Path(target), device)
        field, inputs = _field_of_trained(net)
        seen, drawn = [_seen(net.name, net.arch, field)], "weights as trained"
    else:
        seen, inputs = _fields_of_drawn(target, image_size, classes)
        drawn = "weights as first drawn, from seed 0"
    how = f"{drawn}; mean over {inputs}"
    print(filters.serialize_fields(seen, how)) if as_json else print_tables([filters.build_field_table(seen, how)])
    if svg is not None:
        replace_file(svg, filters.draw_fields(seen, how))
        print(f"written: {svg}", file=sys.stderr)
    if net is not None:
        net.judge()


def _field_of_trained(net: _Trained) -> tuple[FloatArray, str]:
    """The field, and over what it was averaged."""
    from vgg_ablate.models.effective_field import IMAGE_COUNT, average_field_over_images, average_field_over_noise

    if net.run is not None:
        from vgg_ablate.data.splits import load_validation_images

        try:
            images = load_validation_images(net.run, IMAGE_COUNT)
        except DatasetError as error:
            print(f"{error}: noise in place of images", file=sys.stderr)
        else:
            return average_field_over_images(
                net.model, images
            ), f"{len(images)} validation images of {net.run.data.name}"
    return average_field_over_noise(net.arch, net.model), f"{IMAGE_COUNT} images of noise"


def _fields_of_drawn(target: str, image_size: int | None, classes: int | None) -> tuple[list[FieldMeasurement], str]:
    from vgg_ablate.cli.targets import resolve_target
    from vgg_ablate.models.effective_field import IMAGE_COUNT, average_field_over_noise

    nets = resolve_target(target, image_size, classes)
    return [
        _seen(one.variant.name, one.arch, average_field_over_noise(one.arch)) for one in nets
    ], f"{IMAGE_COUNT} images of noise"


def _seen(name: str, arch: Arch, field: FloatArray) -> FieldMeasurement:
    from vgg_ablate.diagrams.filters import FieldMeasurement
    from vgg_ablate.models.effective_field import measure_field_side
    from vgg_ablate.models.layers import build_layers, split_head
    from vgg_ablate.models.receptive_field import compute_center_window

    rows, columns = compute_center_window(split_head(build_layers(arch))[0])
    return FieldMeasurement(name, field, rows, columns, min(measure_field_side(field), len(field)))


def _trained(path: Path, device: str | None) -> _Trained:
    """The net of a weights file, or of a record. Raises StorageFailed, SpecError, CheckFailed."""
    return _of_record(path, device) if path.suffix == _RECORD else _of_weights(path)


def _of_weights(path: Path) -> _Trained:
    from vgg_ablate.models.checkpoints import load_safetensors, read_run_json
    from vgg_ablate.records import Run

    arch, model = load_safetensors(path)
    told = read_run_json(path)
    run = None if told is None else Run.from_json(told, str(path))
    name = path.resolve().parent.name if path.stem == "model" else path.stem  # as `export` names its files
    return _Trained(name, arch, model, run, path.with_suffix(".filters.svg"))


def _of_record(path: Path, device: str | None) -> _Trained:
    """Records hold no weights: the run is trained again, as `export` does it."""
    from tempfile import TemporaryDirectory

    from vgg_ablate.cli.reproduce_run import find_recorded_run, retrain_with_weights
    from vgg_ablate.models.checkpoints import load_safetensors

    results, one = find_recorded_run(path)
    with TemporaryDirectory() as folder:
        weights = Path(folder) / "model.safetensors"
        _, found = retrain_with_weights(results, one, device, weights)
        arch, model = load_safetensors(weights)
    picture = Path("exports") / results.study.name / f"{one.variant}-{one.seed}.filters.svg"
    run = results.records[one.key].run
    return _Trained(f"{one.variant}/{one.seed}", arch, model, run, picture, (one, found))
