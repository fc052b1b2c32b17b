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

# Layers, lowest first; a package may import those of the layers below it, and nothing beside or above it.
LAYERS = (
    ("errors", "chance"),
    ("formatting",),
    ("config",),
    ("models", "records"),
    ("space", "data", "analysis", "diagrams"),
    ("training", "report"),
    ("runs",),
    ("paper",),
    ("cli",),
)
INSIDE = {  # sub-package -> what it may import of its own package; "" stands for the modules beside the sub-packages
    "runs.estimate": {"", "resources", "workers"},
    "runs.ledger": {""},
    "runs.progress": {""},
    "runs.resources": {""},
    "runs.search": {"", "ledger", "progress"},
    "runs.workers": {"", "resources"},
    "report.figures": {""},
    "report.html": {"", "figures"},
}

OWNERS = {  # a library -> the modules, or packages, that may import it
    "torch": {"models.vgg", "models.flop_audit", "models.dense_head", "models.checkpoints", "models.effective_field"}
    | {"data", "training"},
    "torchvision": {"data", "training"},
    "fvcore": {"models.flop_audit"},
    "sklearn": {"data"},
    "PIL": {"data"},
    "safetensors": {"models.checkpoints", "training"},
    "filelock": {"data.cache"},
    "platformdirs": {"data.cache"},
    "psutil": {"data.streaming"},  # the memory that is free
    "optuna": {"runs.ledger", "runs.search.sampler"},  # where; the mirror; samplers and pruners
    "ray": {"runs.workers.ray"},
    "psycopg": {"runs.ledger.storage"},
    "ruamel": {"config.yaml_loader"},
    "pydantic": {"config", "records", "models.checkpoints"},
    "pandas": {"analysis", "report", "vgg_ablate"},  # the package says that `frame` returns one
    "scipy": {"analysis", "report"},
    "statsmodels": set(),  # an oracle of the tests
    "matplotlib": {"report", "diagrams"},
    "typer": {"cli"},
    "rich": {"cli", "runs.progress", "formatting.table"},
}

NO_TORCH = {
    "config",
    "records",
    "errors",
    "chance",
    "formatting",
    "analysis",
    "diagrams",
    "report",
    "paper",
    "space",
    "models.layers",
    "models.costs",
    "models.width_matching",
    "models.dense_coverage",
    "models.receptive_field",
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


RANK = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module: str) -> None:
    package = room(module)
    if package in ("__init__", "__main__"):
        return
    assert package in RANK, f"{module}: a package that is in no layer"
    imported = {room(name) for name in ours(imports(module))} - {package}
    assert all(RANK[name] < RANK[package] for name in imported), f"{module} imports {sorted(imported)}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_sub_packages_import_what_they_may_of_their_package(module: str) -> None:
    parts = module.split(".")
    if len(parts) < 4 or ".".join(parts[1:3]) not in INSIDE:
        return
    sub_package = ".".join(parts[1:3])
    beside = [name.split(".") for name in ours(imports(module)) if room(name) == parts[1]]
    imported = {name[2] if len(name) > 3 else "" for name in beside} - {parts[2]}
    assert imported <= INSIDE[sub_package], f"{module} imports {sorted(imported)}"


def test_every_sub_package_has_its_row() -> None:
    folders = {path.parent for path in MODULES.values() if len(path.relative_to(PACKAGE).parts) > 2}
    found = {".".join(folder.relative_to(PACKAGE).parts) for folder in folders}
    assert found - {"paper.catalogue"} == set(INSIDE)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_library_is_used_by_its_owner_alone(module: str) -> None:
    inside = module.removeprefix("vgg_ablate.").split(".")
    packages = {".".join(inside[:length]) for length in range(1, len(inside) + 1)}
    for name in imports(module):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or packages & owners, f"{module} imports {name}"


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
