"""Hidden layers given by their number and one size are the list that they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.nets import make_arch
from vgg_ablate.config.head import Head
from vgg_ablate.config.study import load
from vgg_ablate.errors import SpecError

STUDY = """\
version: 1
name: heads
question: Do number and size of hidden layers interact?
seeds: 3
data: {name: digits}
arch: {stages: "8 | 16", head: {hidden: {layers: 1, units: 32}}}
train: {epochs: 1}
design: {kind: factorial, factors: {arch.head.hidden.layers: [1, 2], arch.head.hidden.units: [16, 32]}}
"""


@given(layers=st.integers(0, 3), units=st.integers(1, 4096))
def test_equal_layers_are_a_list(layers: int, units: int) -> None:
    short = Head.model_validate({"hidden": {"layers": layers, "units": units}})
    assert short == Head(hidden=(units,) * layers)
    net = {"stages": "8 | 16", "head": {"hidden": {"layers": layers, "units": units}}}
    assert make_arch(net) == make_arch({"stages": "8 | 16", "head": {"hidden": [units] * layers}})


def test_number_and_size_are_two_factors(tmp_path: Path) -> None:
    (tmp_path / "heads.yaml").write_text(STUDY, encoding="utf-8")
    study = load(tmp_path / "heads.yaml")
    assert {variant.arch.head.hidden for variant in study.variants} == {(16,), (32,), (16, 16), (32, 32)}


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ("{layers: 4, units: 8}", "arch.head.hidden.layers: must be an integer from 0 to 3, got 4"),
        ("{layers: 2}", "arch.head.hidden.units: must be an integer"),
        ("{layers: 2, units: 8.5}", "arch.head.hidden.units: must be an integer, got 8.5"),
        ("{layers: 2, unit: 8}", "arch.head.hidden.unit: unknown key; expected layers and units"),
        ("{layers: 2, units: 0}", "arch.head.hidden[0]: "),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, hidden: str, message: str) -> None:
    path = tmp_path / "heads.yaml"
    path.write_text(STUDY.split("design:")[0].replace("{layers: 1, units: 32}", hidden), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(path)
    assert message in str(caught.value)
