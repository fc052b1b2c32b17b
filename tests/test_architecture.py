"""The import table: layers import downwards only, without cycles, and every library has few owners."""

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

# Layers, lowest first. A package may import packages of lower layers, but none of its own layer or above.
LAYERS = (
    ("formatting",),
    ("errors", "chance"),
    ("files",),
    ("config",),
    ("models", "records"),
    ("manifest",),
    ("space", "data", "analysis", "diagrams"),
    ("training", "report"),
    ("runs",),
    ("paper", "external"),
    ("site",),
    ("cli",),
)
INSIDE = {  # sub-package -> the parts of its package that it may import; "" is the modules outside sub-packages
    "runs.estimate": {"", "resources", "workers"},
    "runs.ledger": {""},
    "runs.progress": {"", "resources", "workers"},
    "runs.resources": {""},
    "runs.search": {"", "ledger", "progress"},
    "runs.workers": {"", "resources"},
    "report.figures": {""},
    "report.html": {"", "figures"},
}

OWNERS = {  # library -> the modules or packages that may import it
    "torch": {"models.vgg", "models.flop_audit", "models.dense_head", "models.checkpoints", "models.effective_field"}
    | {"data", "training"},
    "torchvision": {"data", "training"},
    "fvcore": {"models.flop_audit"},
    "sklearn": {"data"},
    "PIL": {"data", "training.classifier"},
    "safetensors": {"models.checkpoints", "training"},
    "filelock": {"data.cache"},
    "platformdirs": {"data.cache"},
    "psutil": {"runs.leases", "runs.resources.slots", "data"},
    "optuna": {"runs.ledger", "runs.search.sampler", "external.trackers"},
    "ray": {"runs.workers.ray"},
    "pynvml": {"runs.resources.slots"},
    "psycopg": {"runs.ledger.storage"},
    "ruamel": {"config.yaml_loader", "config.yaml_text"},
    "pydantic": {"config", "records", "manifest", "models.checkpoints", "runs.recorded", "external.claims_file"},
    "tensorboard": {"external.trackers"},
    "mlflow": {"external.trackers"},
    "pandas": {"analysis", "report", "external", "vgg_ablate"},  # the package annotates `frame` with it
    "scipy": {"analysis", "report"},
    "statsmodels": set(),  # only tests import it, as an oracle
    "matplotlib": {"report", "diagrams"},
    "jinja2": {"report.html"},
    "markupsafe": {"report.html"},
    "typer": {"cli"},
    "rich": {"cli", "runs.progress", "formatting.table"},
}

NO_TORCH = {
    "config",
    "records",
    "manifest",
    "errors",
    "chance",
    "formatting",
    "analysis",
    "diagrams",
    "report",
    "paper",
    "external",
    "site",
    "space",
    "models.layers",
    "models.costs",
    "models.width_matching",
    "models.dense_coverage",
    "models.receptive_field",
    "runs.plan",
    "cli",
}


def get_package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def list_imports(module: str, *, only_at_import_time: bool = False) -> set[str]:
    """Return the full names of all imports, by default also those in functions and TYPE_CHECKING blocks."""
    names: set[str] = set()
    todo: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        if lazy and only_at_import_time:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        todo.extend(ast.iter_child_nodes(node))
    return names


def select_own_modules(names: set[str]) -> set[str]:
    return {name for name in names if name in MODULES and name != "vgg_ablate"}


RANK = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_packages_import_only_lower_layers(module: str) -> None:
    package = get_package(module)
    if package in ("__init__", "__main__"):
        return
    assert package in RANK, f"{module}: the package is in no layer"
    imported = {get_package(name) for name in select_own_modules(list_imports(module))} - {package}
    assert all(RANK[name] < RANK[package] for name in imported), f"{module} imports {sorted(imported)}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_sub_packages_import_only_allowed_parts_of_their_package(module: str) -> None:
    parts = module.split(".")
    if len(parts) < 4 or ".".join(parts[1:3]) not in INSIDE:
        return
    sub_package = ".".join(parts[1:3])
    beside = [name.split(".") for name in select_own_modules(list_imports(module)) if get_package(name) == parts[1]]
    imported = {name[2] if len(name) > 3 else "" for name in beside} - {parts[2]}
    assert imported <= INSIDE[sub_package], f"{module} imports {sorted(imported)}"


def test_every_sub_package_is_in_the_table() -> None:
    folders = {path.parent for path in MODULES.values() if len(path.relative_to(PACKAGE).parts) > 2}
    found = {".".join(folder.relative_to(PACKAGE).parts) for folder in folders}
    assert found - {"paper.catalogue"} == set(INSIDE)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_owners_import_a_library(module: str) -> None:
    inside = module.removeprefix("vgg_ablate.").split(".")
    packages = {".".join(inside[:length]) for length in range(1, len(inside) + 1)}
    for name in list_imports(module):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or packages & owners, f"{module} imports {name}"


def test_there_are_no_import_cycles() -> None:
    graph = {module: select_own_modules(list_imports(module)) - {module} for module in MODULES}
    while graph:
        leaves = {module for module, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"an import cycle among {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in leaves}


@cache
def find_libraries(module: str) -> frozenset[str]:
    """Return the top-level libraries that are loaded by importing `module`."""
    names = list_imports(module, only_at_import_time=True)
    return frozenset(name.split(".")[0] for name in names).union(
        *(find_libraries(name) for name in select_own_modules(names) - {module})
    )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_without_torch_do_not_load_it(module: str) -> None:
    inside = module.removeprefix("vgg_ablate.")
    if inside in NO_TORCH or inside.split(".")[0] in NO_TORCH:
        assert not find_libraries(module) & {"torch", "torchvision", "fvcore", "sklearn"}


def test_importing_the_command_line_loads_no_heavy_library() -> None:
    heavy = {"torch", "torchvision", "fvcore", "optuna", "pandas", "scipy", "matplotlib", "sklearn", "statsmodels"}
    code = f"import sys, vgg_ablate.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def list_definitions() -> list[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Return every class and function of the package, with the module in which it is."""
    return [
        (module, node)
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for module, node in list_definitions():
        if isinstance(node, ast.ClassDef):
            homes.setdefault(node.name.lstrip("_"), []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


FRAGMENTS = {
    "A",
    "An",
    "As",
    "By",
    "For",
    "From",
    "In",
    "Of",
    "On",
    "Once",
    "Raises",
    "Returns",
    "The",
    "To",
    "Whether",
}


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    for module, node in list_definitions():
        is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
        if isinstance(node, ast.FunctionDef) and not is_property and (text := ast.get_docstring(node)):
            assert text.split()[0] not in FRAGMENTS, f"{module}.{node.name}: {text.splitlines()[0]}"
