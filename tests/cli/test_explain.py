"""`explain` prints what a key means, the keys below it, and for an unknown key the nearest one."""

from __future__ import annotations

import json

import pytest

from vgg_ablate.cli.explain import explain
from vgg_ablate.errors import SpecError


def test_a_key_is_explained_with_type_unit_default_and_example(capsys: pytest.CaptureFixture[str]) -> None:
    explain("arch.head.hidden")
    assert capsys.readouterr().out == (
        "arch.head.hidden\n"
        "  Sizes of the hidden dense layers, or their number and one size, which can be two factors:\n"
        "  arch.head.hidden.layers and arch.head.hidden.units. An empty list is a head of the class layer\n"
        "  alone.\n"
        "\n"
        "  type     list of integer >= 1, <= 1,000,000,000 or mapping\n"
        "  unit     units\n"
        "  default  []\n"
        "  example  hidden: [64]\n"
        "\n"
        "  keys\n"
        "    layers  Number of hidden layers.\n"
        "    units   Size of each hidden layer.\n"
    )


def test_the_keys_of_every_kind_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    explain("train.optimizer")
    out = capsys.readouterr().out
    assert "  kind sgd: Stochastic gradient descent with momentum (paper, section 3.1).\n    momentum  Momentum" in out
    assert "  kind adamw:" in out


def test_without_a_path_the_keys_at_the_top_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    explain()
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert words[:3] == ["version", "name", "question"]
    assert {"seeds", "claims", "extends"} <= set(words)


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    explain("claims", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == "claims"
    assert "margin" in [key["path"].removeprefix("claims.") for key in document["groups"][0]["keys"]]
    explain(as_json=True)
    assert "version" in [key["path"] for key in json.loads(capsys.readouterr().out)]


def test_an_unknown_key_is_one_line_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"^train\.optimzer: unknown key; train has .*; did you mean 'optimizer'\?$"):
        explain("train.optimzer")
