"""Columns of the paper's Table 1, and variants beside their base with what differs marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.study import load
from vgg_ablate.diagrams import table1
from vgg_ablate.diagrams.table1 import NetDescription
from vgg_ablate.formatting.table import Table, render_markdown
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.width_matching import resolve_variants

TABLE_1_C = (
    "conv3-64 conv3-64 maxpool conv3-128 conv3-128 maxpool conv3-256 conv3-256 conv1-256 maxpool "
    "conv3-512 conv3-512 conv1-512 maxpool conv3-512 conv3-512 conv1-512 maxpool "
    "FC-4096, dropout 0.5 FC-4096, dropout 0.5 FC-1000 soft-max"
)
STUDY = """\
version: 1
name: marked
question: What differs?
seeds: 3
data: {name: digits, image_size: 16}
arch: {stages: "16 16 | 32 32", head: {hidden: [64]}}
variants:
  five: {arch.kernel: 5}
  deeper: {arch.depth: 3}
  linear: {arch.between: none}
  normalised: {arch.norm: batch}
  matched: {arch.kernel: 5, arch.match: {macs: base, tolerance: 3%}}
"""


def preset(name: str, image_size: int = 224) -> NetDescription:
    arch = Arch.model_validate({"preset": name}).with_shape(Shape(image_size, 3, 1000))
    return NetDescription(name, arch.to_normal_form())


@pytest.fixture
def nets(tmp_path: Path) -> list[NetDescription]:
    (tmp_path / "marked.yaml").write_text(STUDY, encoding="utf-8")
    return [table1.describe_variant(one) for one in resolve_variants(load(tmp_path / "marked.yaml").variants)]


def rows(table: Table) -> list[list[str]]:
    return [[cell.to_text() for cell in row.cells] for row in table.rows if row.style != "block"]


def test_the_column_of_c_is_that_of_the_papers_table_1() -> None:
    assert " ".join(row[0] for row in rows(table1.build_table1_column(preset("C")))) == TABLE_1_C


def test_local_response_normalisation_stands_where_the_paper_puts_it() -> None:
    assert [row[0] for row in rows(table1.build_table1_column(preset("A-LRN")))[:3]] == ["conv3-64", "LRN", "maxpool"]


def marks(nets: list[NetDescription], name: str) -> list[str]:
    table = table1.build_variant_tables(nets)[1]
    column = [one.heading for one in table.columns].index(name)
    return [row[column] for row in rows(table)]


def test_a_rewritten_stack_is_marked_and_so_is_the_layer_that_is_gone(nets: list[NetDescription]) -> None:
    assert marks(nets, "five")[:4] == ["conv5-16 *", "– *", "", "maxpool"]


def test_a_layer_more_is_marked_and_the_poolings_stand_side_by_side(nets: list[NetDescription]) -> None:
    assert marks(nets, "deeper")[:4] == ["conv3-16", "conv3-16", "conv3-16 *", "maxpool"]


def test_a_layer_without_activation_says_so(nets: list[NetDescription]) -> None:
    assert marks(nets, "linear")[0] == "conv3-16, linear *"


def test_the_base_has_no_marks(nets: list[NetDescription]) -> None:
    assert not any("*" in cell for cell in marks(nets, "base"))


def test_what_a_match_leaves_is_printed(nets: list[NetDescription]) -> None:
    text = render_markdown(table1.build_cost_table(nets))
    assert "mismatch" in text
    matched = next(one for one in nets if one.name == "matched")
    assert abs(compute_costs(matched.arch).macs / compute_costs(nets[0].arch).macs - 1) < 0.03
    assert "% of" in matched.mismatch


def test_a_dropout_less_is_marked() -> None:
    dropped = NetDescription("dropped", preset("D").arch.model_copy(update={"head": preset("vgg16").arch.head}))
    same = NetDescription("same", preset("D").arch)
    bare = dropped.arch.head.model_copy(update={"dropout": 0.0, "pool": "none"})
    found = marks([same, NetDescription("bare", dropped.arch.model_copy(update={"head": bare}))], "bare")
    assert [cell for cell in found if "*" in cell] == ["FC-4096 *", "FC-4096 *"]


def test_heads_stand_pooling_beside_pooling_and_class_layer_beside_class_layer() -> None:
    def with_head(name: str, head: dict[str, object]) -> NetDescription:
        given = {"stages": "8 | 16", "head": head, "image_size": 16, "in_channels": 1, "classes": 10}
        return NetDescription(name, Arch.model_validate(given).to_normal_form())

    base = with_head("base", {"hidden": [32, 32]})
    nets = [base, with_head("gap", {"pool": "global"}), with_head("one", {"hidden": [32]})]
    assert marks(nets, "base")[-4:] == ["", "FC-32", "FC-32", "FC-10"]
    assert marks(nets, "gap")[-4:] == ["global average *", "– *", "– *", "FC-10"]
    assert marks(nets, "one")[-4:] == ["", "FC-32", "– *", "FC-10"]


def test_many_variants_are_shown_a_few_at_a_time_each_beside_the_base(nets: list[NetDescription]) -> None:
    tables = table1.build_variant_tables([nets[0], *nets[1:] * 4])
    assert len(tables) == 1 + 4
    assert all(table.columns[0].heading == "base" for table in tables[1:])
