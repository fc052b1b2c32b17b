"""The import table of the design, as a test: arrows point down, no circles, every outside library has one owner."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vgg_ablate"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

ARROWS = {  # a room -> the rooms it may import
    "errors": set(),
    "chance": set(),
    "spec": {"errors"},
    "net": {"errors", "spec"},
    "records": {"errors", "spec", "chance"},
    "train": {"errors", "spec", "net", "records"},
    "runs": {"errors", "spec", "net", "records", "train"},
    "report": {"errors", "spec", "net", "records"},
    "paper": {"errors", "spec", "net", "records", "report"},
    "cli": {"errors", "spec", "net", "records", "train", "runs", "report", "paper"},
    "__init__": {"errors", "spec", "net", "records", "train", "runs", "report"},
    "__main__": {"cli"},
}

OWNERS = {  # a library -> the modules, or rooms, that may import it
    "torch": {"net.model", "net.audit", "net.dense", "net.interop", "net.influence", "train"},
    "torchvision": {"train"},
    "fvcore": {"net.audit"},
    "sklearn": {"train"},
    "safetensors": {"net.interop", "train"},
    "optuna": {"runs.storages", "runs.ledger", "runs.sampling"},  # where; the mirror; samplers and pruners
    "ray": {"runs.ray_pool"},
    "psycopg": {"runs.storages"},
    "ruamel": {"spec.reading"},
    "pydantic": {"spec", "records", "net.interop"},
    "pandas": {"report", "vgg_ablate"},  # the package says that `frame` returns one
    "scipy": {"report"},
    "statsmodels": set(),  # an oracle of the tests
    "matplotlib": {"report"},
    "typer": {"cli"},
    "rich": {"cli", "runs.progress", "report.table"},
}

NO_TORCH = {
    "spec",
    "records",
    "errors",
    "report",
    "paper",
    "net.layers",
    "net.costs",
    "net.match",
    "net.space",
    "runs.plan",
    "cli",
}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(module: str, *, only_at_import_time: bool = False) -> set[str]:
    """Every module that `module` imports, by full name; inside functions and TYPE_CHECKING blocks too, unless told."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        if lazy and only_at_import_time:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        todo.extend(ast.iter_child_nodes(node))
    return found


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name in MODULES and name != "vgg_ablate"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_arrows_point_down(module: str) -> None:
    here = room(module)
    assert here in ARROWS, f"{module}: a room that is not in the design"
    assert {room(name) for name in ours(imports(module))} - {here} <= ARROWS[here]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_library_is_used_by_its_owner_alone(module: str) -> None:
    inside = module.removeprefix("vgg_ablate.")
    for name in imports(module):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or inside in owners or inside.split(".")[0] in owners, f"{module} imports {name}"


def test_there_are_no_circles() -> None:
    graph = {module: ours(imports(module)) - {module} for module in MODULES}
    while graph:
        leaves = {module for module, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in leaves}


@cache
def reached(module: str) -> frozenset[str]:
    """Top-level libraries that importing `module` imports."""
    names = imports(module, only_at_import_time=True)
    return frozenset(name.split(".")[0] for name in names).union(*(reached(name) for name in ours(names) - {module}))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_what_must_not_import_torch_does_not(module: str) -> None:
    inside = module.removeprefix("vgg_ablate.")
    if inside in NO_TORCH or inside.split(".")[0] in NO_TORCH:
        assert not reached(module) & {"torch", "torchvision", "fvcore", "sklearn"}


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    heavy = {"torch", "torchvision", "fvcore", "optuna", "pandas", "scipy", "matplotlib", "sklearn", "statsmodels"}
    code = f"import sys, vgg_ablate.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
