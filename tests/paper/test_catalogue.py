"""The catalogue is whole, and the studies that it names ask what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vgg_ablate.paper.catalogue import CATALOGUE
from vgg_ablate.paper.statement import Statement
from vgg_ablate.spec.study import Study, load

STUDIES = Path(__file__).parents[2] / "studies" / "paper"
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml") if path.stem != "ground")
EPOCHS = {"longer": 20, "all-images": 10, "all-images-depth": 10, "all-images-longer": 20}  # elsewhere as ground has it
IDS = [statement.id for statement in CATALOGUE]


def order() -> dict[str, float]:
    """study -> minutes, as studies/paper/order.txt has them."""
    lines = (STUDIES / "order.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: float(minutes) for name, minutes in pairs}


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    """Those of the paper, and the project's own that bear on it."""
    paths = [*(STUDIES / f"{name}.yaml" for name in NAMES), *STUDIES.parent.glob("kernels*.yaml")]
    return {path.stem: load(path) for path in paths}


def test_all_forty_five_statements_are_there_once() -> None:
    wanted = [f"A{n:02}" for n in range(1, 19)] + [f"E{n:02}" for n in range(1, 21)] + [f"N{n}" for n in range(1, 8)]
    assert wanted == IDS


@pytest.mark.parametrize("statement", CATALOGUE, ids=IDS)
def test_a_statement_is_computed_or_tested_or_has_a_reason_why_not(statement: Statement) -> None:
    answered = statement.computed or any(asked.decides for asked in statement.asked)
    assert answered != bool(statement.out_of_reach)


@pytest.mark.parametrize("statement", CATALOGUE, ids=IDS)
def test_a_statement_names_claims_that_exist(statement: Statement, studies: dict[str, Study]) -> None:
    for asked in statement.asked:
        assert asked.claim in {claim.id for claim in studies[asked.study].claims}


def test_the_order_names_every_study_once() -> None:
    assert sorted(order()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_what_it_costs_and_what_the_paper_found(name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    assert study.name == name
    assert study.question.endswith("?")
    assert study.expect.minutes
    assert study.expect.finds


@pytest.mark.parametrize("name", NAMES)
def test_more_than_three_claims_take_eight_seeds_and_fewer_take_five(name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    assert len(study.seed_list) >= (8 if len(study.claims) > 3 else 5)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"norm", "mnist"}))
def test_studies_share_data_and_recipe_but_for_the_rate_of_plain_nets(name: str, studies: dict[str, Study]) -> None:
    ground = studies["depth"].base
    alone = {"pretrain": None, "draw": 0, "ensemble": ()}
    for variant in studies[name].variants:
        how: dict[str, Any] = {"augment": ground.data.augment, "evaluate": ground.data.evaluate}  # jitter, testing
        if name.startswith("all-images"):
            how["limit"] = ground.data.limit
        rate = 0.05 if variant.arch.norm.kind == "batch" else 0.02
        assert variant.data.model_copy(update=how) == ground.data
        epochs = EPOCHS.get(name, ground.train.epochs)
        wanted = ground.train.model_copy(update={"lr": rate, "epochs": epochs})
        assert variant.train.model_copy(update=alone) == wanted


def test_the_second_data_set_keeps_the_recipe_of_the_first_but_for_the_epochs(studies: dict[str, Study]) -> None:
    ground = studies["depth"].base.train
    assert {variant.train for variant in studies["mnist"].variants} == {ground.model_copy(update={"epochs": 10})}
