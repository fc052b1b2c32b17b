"""Columns of the paper's Table 1, and variants beside their base with the differences marked."""

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


def describe_preset(name: str, image_size: int = 224) -> NetDescription:
    arch = Arch.model_validate({"preset": name}).with_shape(Shape(image_size, 3, 1000))
    return NetDescription(name, arch.to_normal_form())


@pytest.fixture
def nets(tmp_path: Path) -> list[NetDescription]:
    (tmp_path / "marked.yaml").write_text(STUDY, encoding="utf-8")
    return [table1.describe_variant(resolved) for resolved in resolve_variants(load(tmp_path / "marked.yaml").variants)]


def format_rows(table: Table) -> list[list[str]]:
    return [[cell.to_text() for cell in row.cells] for row in table.rows if row.style != "block"]


def test_the_column_of_c_is_that_of_the_papers_table_1() -> None:
    assert " ".join(row[0] for row in format_rows(table1.build_table1_column(describe_preset("C")))) == TABLE_1_C


def test_local_response_normalization_is_where_the_paper_has_it() -> None:
    assert [row[0] for row in format_rows(table1.build_table1_column(describe_preset("A-LRN")))[:3]] == [
        "conv3-64",
        "LRN",
        "maxpool",
    ]


def get_column(nets: list[NetDescription], name: str) -> list[str]:
    table = table1.build_variant_tables(nets)[1]
    index = [column.heading for column in table.columns].index(name)
    return [row[index] for row in format_rows(table)]


def test_a_rewritten_stack_is_marked_and_so_is_the_missing_layer(nets: list[NetDescription]) -> None:
    assert get_column(nets, "five")[:4] == ["conv5-16 *", "– *", "", "maxpool"]


def test_an_added_layer_is_marked_and_poolings_are_aligned(nets: list[NetDescription]) -> None:
    assert get_column(nets, "deeper")[:4] == ["conv3-16", "conv3-16", "conv3-16 *", "maxpool"]


def test_a_layer_without_activation_is_labelled_linear(nets: list[NetDescription]) -> None:
    assert get_column(nets, "linear")[0] == "conv3-16, linear *"


def test_the_base_has_no_marks(nets: list[NetDescription]) -> None:
    assert not any("*" in cell for cell in get_column(nets, "base"))


def test_the_mismatch_of_a_matched_variant_is_printed(nets: list[NetDescription]) -> None:
    text = render_markdown(table1.build_cost_table(nets))
    assert "mismatch" in text
    matched = next(net for net in nets if net.name == "matched")
    assert abs(compute_costs(matched.arch).macs / compute_costs(nets[0].arch).macs - 1) < 0.03
    assert "% of" in matched.mismatch


def test_a_missing_dropout_is_marked() -> None:
    base = describe_preset("D")
    head = base.arch.head.model_copy(update={"dropout": 0.0})
    changed = NetDescription("no-dropout", base.arch.model_copy(update={"head": head}))
    marked = [cell for cell in get_column([base, changed], "no-dropout") if "*" in cell]
    assert marked == ["FC-4096 *", "FC-4096 *"]


def test_poolings_and_class_layers_of_heads_are_aligned() -> None:
    def with_head(name: str, head: dict[str, object]) -> NetDescription:
        given = {"stages": "8 | 16", "head": head, "image_size": 16, "in_channels": 1, "classes": 10}
        return NetDescription(name, Arch.model_validate(given).to_normal_form())

    base = with_head("base", {"hidden": [32, 32]})
    nets = [base, with_head("gap", {"pool": "global"}), with_head("one", {"hidden": [32]})]
    assert get_column(nets, "base")[-4:] == ["", "FC-32", "FC-32", "FC-10"]
    assert get_column(nets, "gap")[-4:] == ["global average *", "– *", "– *", "FC-10"]
    assert get_column(nets, "one")[-4:] == ["", "FC-32", "– *", "FC-10"]


def test_many_variants_are_split_over_tables_that_all_start_with_the_base(nets: list[NetDescription]) -> None:
    tables = table1.build_variant_tables([nets[0], *nets[1:] * 4])
    assert len(tables) == 1 + 4
    assert all(table.columns[0].heading == "base" for table in tables[1:])
