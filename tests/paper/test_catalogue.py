"""The catalogue is complete, and the studies that it refers to test what it states."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from vgg_ablate.config.claims import list_side_names
from vgg_ablate.config.study import Study, load
from vgg_ablate.config.training import Augment, Data, Evaluate
from vgg_ablate.config.variants import Variant
from vgg_ablate.paper.catalogue import CATALOGUE
from vgg_ablate.paper.statement import Statement

STUDIES = Path(__file__).parents[2] / "studies"
RESULTS = STUDIES.parent / "results"
FILES = sorted([*STUDIES.glob("*.yaml"), *(STUDIES / "paper").glob("*.yaml")])  # examples/ has no evidence
PATHS = {path.stem: path for path in FILES if path.stem != "recipe"}
NAMES = list(PATHS)
ON_PHOTOGRAPHS = sorted(set(NAMES) - {"kernels", "depth-fashion"})
NOT_TUNED = {  # study -> reason
    "kernels": "36 validation images",
    "depth-fashion": "a test of the recipe of depth",
    "ensemble": "the nets of an ensemble share one recipe",
    "init-map": "the learning rate is a factor",
    "init": "at one cell of the map",
}
ONE_HORIZON = {"kernels": "data chosen by time", "init-map": "decides nothing", "search": "cannot have any"}
IDS = [statement.id for statement in CATALOGUE]


def read_study_order() -> list[str]:
    """Return the lines of studies/paper/order.txt: a study and the further arguments of `run`."""
    lines = (STUDIES / "paper" / "order.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    return {name: load(path) for name, path in PATHS.items()}


def test_all_forty_five_statements_are_there_once() -> None:
    wanted = [f"A{n:02}" for n in range(1, 19)] + [f"E{n:02}" for n in range(1, 21)] + [f"N{n}" for n in range(1, 8)]
    assert wanted == IDS


@pytest.mark.parametrize("statement", CATALOGUE, ids=IDS)
def test_a_statement_is_computed_or_tested_or_has_a_reason_why_not(statement: Statement) -> None:
    has_answer = statement.is_computed or any(reference.decides for reference in statement.claims)
    assert has_answer != bool(statement.out_of_reach)


@pytest.mark.parametrize("statement", CATALOGUE, ids=IDS)
def test_a_statement_names_claims_that_exist_and_name_it(statement: Statement, studies: dict[str, Study]) -> None:
    for reference in statement.claims:
        texts = {claim.id: claim.text for claim in studies[reference.study].claims}
        assert reference.claim in texts
        if reference.study != "kernels":  # the first study does not presume that its reader knows the statements
            assert statement.id in texts[reference.claim]


def test_every_claim_on_photographs_that_names_a_statement_is_referred_to_by_it(studies: dict[str, Study]) -> None:
    referred = {(claim.study, claim.claim, statement.id) for statement in CATALOGUE for claim in statement.claims}
    computed = {statement.id for statement in CATALOGUE if statement.kind == "analytic"}
    for name in ON_PHOTOGRAPHS:
        for claim in studies[name].claims:
            named = {word for word in IDS if f"({word}" in claim.text or f", {word})" in claim.text}
            assert {word for word in named - computed if (name, claim.id, word) not in referred} == set(), claim.id


def test_the_order_names_every_study_of_the_paper_and_trains_the_deciding_one_in_two_parts() -> None:
    named = [line.split()[0].removeprefix("../") for line in read_study_order()]
    assert sorted({*named}) == sorted(set(NAMES) - {"kernels"})
    assert [line for line in read_study_order() if line.startswith("depth ")] == ["depth --until 20"]
    assert all((STUDIES / "paper" / f"{line.split()[0]}.yaml").exists() for line in read_study_order())


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_what_it_costs_and_what_the_paper_found(name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    assert study.name == name
    assert study.question.endswith("?")
    assert study.expect.minutes
    assert study.expect.finds


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_registered_with_fresh_seeds_and_a_smallest_effect(name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    assert study.registered == date(2026, 11, 25)
    assert min(study.seed_list) >= 100
    assert study.smallest_effect
    assert len(study.seed_list) >= (3 if name in ("depth-wide", "init-map") else 5)


@pytest.mark.parametrize("name", NAMES)
def test_every_trend_has_a_smallest_effect_of_its_own(name: str, studies: dict[str, Study]) -> None:
    assert all(claim.smallest_effect for claim in studies[name].claims if claim.trend is not None)


@pytest.mark.parametrize("name", NAMES)
def test_two_horizons_of_ratio_two_decide(name: str, studies: dict[str, Study]) -> None:
    levels = studies[name].horizon_levels
    if name in ONE_HORIZON:
        assert levels == ()
    else:
        lower, upper = levels
        assert upper == 2 * lower


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_of_a_deciding_study_is_tuned_with_the_same_budget(name: str, studies: dict[str, Study]) -> None:
    for variant in studies[name].variants:
        if name in NOT_TUNED:
            assert variant.tune is None
            continue
        assert variant.tune is not None
        assert variant.tune.budget == (8, (2, 6), "successive_halving", 1)
        assert variant.tune.space.keys() >= {"train.lr", "train.weight_decay"}
        tunes_dropout = "arch.head.dropout" in variant.tune.space
        assert tunes_dropout == (name == "heads" and bool(variant.arch.head.hidden))


@pytest.mark.parametrize("name", NAMES)
def test_studies_share_their_recipe_but_for_what_is_tuned_or_asked(name: str, studies: dict[str, Study]) -> None:
    recipe, study = studies["depth"].base.train, studies[name]
    may_differ = {"lr", "weight_decay", "epochs", "pretrain", "replicate", "ensemble", "keep"}
    may_differ |= {"batch_size", "precision"} if name == "kernels" else set()
    for variant in study.variants:
        assert variant.train.warmup_epochs >= 1
        assert variant.train.model_dump(exclude=may_differ) == recipe.model_dump(exclude=may_differ)


@pytest.mark.parametrize("name", ON_PHOTOGRAPHS)
def test_studies_share_their_data_but_for_views_scales_and_the_small_part_of_init(
    name: str, studies: dict[str, Study]
) -> None:
    shared = studies["depth"].base.data
    for variant in studies[name].variants:
        assert _without_scales(variant.data) == _without_scales(shared)
        assert variant.data.limit == (10000 if name.startswith("init") else None)
        if name not in ("scales", "views"):
            assert variant.data.model_copy(update={"limit": None}) == shared


def _without_scales(data: Data) -> Data:
    defaults = {"augment": Augment(), "evaluate": Evaluate(), "image_size": None, "limit": None}
    return data.model_copy(update=defaults)


def test_the_second_data_set_keeps_nets_claims_and_the_tuned_recipe_of_the_first(studies: dict[str, Study]) -> None:
    first, second = load(RESULTS / "depth" / "study.yaml"), studies["depth-fashion"]
    assert first.tuned, "depth has been tuned"
    assert [_without_length(variant) for variant in second.variants] == [
        _without_length(variant) for variant in first.variants
    ]
    assert second.claims == studies["depth"].claims
    assert second.base.data.augment == studies["depth"].base.data.augment
    assert second.base.data.name == "fashion-mnist"


def _without_length(variant: Variant) -> tuple[object, ...]:
    return variant.name, variant.arch, variant.train.model_copy(update={"epochs": 1})


def test_views_are_of_the_net_that_scales_trains_with_jitter(studies: dict[str, Study]) -> None:
    jitter = next(variant for variant in studies["scales"].variants if variant.name == "jitter")
    for variant in studies["views"].variants:
        assert (variant.arch, variant.train) == (jitter.arch, jitter.train)
        assert variant.data.model_copy(update={"evaluate": jitter.data.evaluate}) == jitter.data
    assert studies["views"].base.data.evaluate == jitter.data.evaluate


def test_an_ensembles_members_are_variants_of_their_own(studies: dict[str, Study]) -> None:
    study = studies["ensemble"]
    single_nets = {(variant.arch, variant.train.replicate) for variant in study.variants if not variant.train.ensemble}
    for variant in study.variants:
        assert variant.train.keep == "predictions"
        for index, arch in enumerate(variant.train.ensemble, start=1):
            assert {(variant.arch, 0), (arch, index)} <= single_nets


def test_the_cell_of_init_is_one_of_the_map(studies: dict[str, Study]) -> None:
    base = studies["init"].base
    cells = [(variant.arch, variant.train.lr) for variant in studies["init-map"].variants]
    assert (base.arch, base.train.lr) in cells
    pretrained = next(variant for variant in studies["init"].variants if variant.train.pretrain is not None)
    assert pretrained.train.pretrain is not None
    assert pretrained.train.pretrain.arch.init == base.arch.init


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"search"}))
def test_every_variant_is_compared_by_a_claim(name: str, studies: dict[str, Study]) -> None:
    study = studies[name]
    compared = set(_list_compared_names(study))
    uncompared = {variant.name for variant in study.variants if not {variant.name, *_name_levels(variant)} & compared}
    assert uncompared == set()


def _list_compared_names(study: Study) -> Iterator[str]:
    for claim in study.claims:
        yield from (claim.trend.variants if claim.trend is not None else ())
        for side in ("a", "b"):
            yield from (name for _, name in list_side_names(claim, side))


def _name_levels(variant: Variant) -> set[str]:
    return {f"{factor}={level}" for factor, level in variant.levels.items()}
