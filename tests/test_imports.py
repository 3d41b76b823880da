"""The walls of the design: who may import whom, and what the window's process must never load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "core", "resources")
QT = ("PySide6", "shiboken6", "pyqtgraph")
HEAVY = ("tensorflow", "keras", "hls4ml", "alkaid", "pyosys", "optuna")

#: app: views -> models -> session -> jobs -> core; what is not named composes all and is imported by none of these
APP_RANKS = {
    "core": 0, "resources": 0, "app.theme": 1, "app.icons": 1, "app.settings": 1, "app.notifications": 1, "app.jobs": 2,
    "app.commands": 3, "app.inspection": 3, "app.opening": 3, "app.session": 3,
    "app.help": 1, "app.models": 4, "app.report_document": 5, "app.actions": 5, "app.views": 5,
}
COMPOSITION = 6
#: core: hls, search -> energy -> quant -> model_io, dataset, metrics -> plain values
CORE_RANKS = {
    "resources": 0,
    **dict.fromkeys(("core.errors", "core.events", "core.candidate", "core.requests", "core.model_info", "core.files",
                     "core.npz", "core.guard", "core.versions", "core.arrays", "core.quant.spec",
                     "core.quant.recipe"), 0),
    **dict.fromkeys(("core.model_io", "core.model_files", "core.model_safety", "core.model_shapes", "core.dataset",
                     "core.dataset_files", "core.dataset_fit", "core.metrics", "core.project", "core.project_files",
                     "core.project_exports",
                     "core.model_sizes"), 1),
    "core.loading": 3,
    "core.quant": 2, "core.energy": 3, "core.search": 4, "core.hls": 4,
    # plain values that a project stores, or a request holds
    **dict.fromkeys(("core.hls.report", "core.hls.rtl_options", "core.hls.hls4ml_options",
                     "core.hls.synthesis_options", "core.cluster_options"), 0),
    "core.cluster": 1,
}
ENGINE = 5

#: core modules the window's process imports
LIGHT = (
    "core.errors", "core.events", "core.candidate", "core.requests", "core.model_info", "core.dataset", "core.metrics",
    "core.model_io", "core.project", "core.quant", "core.quant.spec", "core.quant.recipe", "core.energy",
    "core.search", "core.search.space", "core.search.front", "core.search.methods", "core.search.autoqkeras",
    "core.hls", "core.hls.report",
)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(tree: ast.AST, anywhere: bool = True) -> Iterator[str]:
    """Modules imported, those for the type checker left out; `anywhere` includes imports inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and is_type_checking(node):
            for other in node.orelse:
                yield from imports(other, anywhere)
        elif anywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, anywhere)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def belongs(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def rank(name: str, ranks: dict[str, int], otherwise: int) -> int:
    """Rank of the longest listed package that holds `name`."""
    while name:
        if name in ranks:
            return ranks[name]
        name = name.rpartition(".")[0]
    return otherwise


def offences(package: str, forbidden: tuple[str, ...], anywhere: bool = True) -> list[str]:
    return [f"{module_name(path)} imports {name}" for path in sources(package)
            for name in imports(parsed(path), anywhere) if belongs(name, forbidden)]


def test_that_core_and_resources_never_import_qt_or_the_application():
    assert offences("core", (*QT, "app")) == []
    assert offences("resources", (*QT, "app", "core")) == []


def test_that_the_application_never_imports_tensorflow_or_keras():
    assert offences("app", ("tensorflow", "keras", "qkeras", "hls4ml")) == []


def existing(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def wrong_way(package: str, ranks: dict[str, int], otherwise: int) -> list[str]:
    """Imports of a module of higher rank."""
    found = []
    for path in sources(package):
        own = module_name(path)
        for name in dict.fromkeys(imports(parsed(path))):
            ours = belongs(name, PACKAGES) and name not in PACKAGES and existing(name)
            if ours and not own.startswith(f"{name}.") and rank(name, ranks, otherwise) > rank(own, ranks, otherwise):
                found.append(f"{own} imports {name}")
    return found


def test_that_imports_in_the_application_point_one_way():
    assert wrong_way("app", {**APP_RANKS, "app": COMPOSITION}, COMPOSITION) == []


def test_that_imports_in_the_engine_point_one_way():
    assert wrong_way("core", {**CORE_RANKS, "core": ENGINE}, ENGINE) == []


def test_that_search_and_hls_do_not_know_each_other():
    found = [f"{module_name(path)} imports {name}"
             for mine, other in (("core/search", "core.hls"), ("core/hls", "core.search"))
             for path in sources(mine) for name in imports(parsed(path)) if belongs(name, (other,))]
    assert found == []


def test_that_the_rules_see_a_broken_wall():
    tree = ast.parse("from core import energy\n"
                     "def f():\n    import keras.layers\n"
                     "if TYPE_CHECKING:\n    import PySide6\n")
    assert list(imports(tree)) == ["core", "core.energy", "keras.layers"]
    assert list(imports(tree, anywhere=False)) == ["core", "core.energy"]
    assert rank("core.energy.report", CORE_RANKS, ENGINE) > rank("core.quant.spec", CORE_RANKS, ENGINE)


def loaded_after(modules: list[str], suspects: tuple[str, ...]) -> str:
    code = (f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
            f"print([name for name in {suspects!r} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_that_importing_the_whole_application_loads_no_tensorflow():
    modules = [module_name(path) for path in sources("app") if path.name != "__main__.py"]
    assert loaded_after(modules, HEAVY[:4]) == "[]"


def test_that_what_the_window_uses_of_core_is_light():
    assert loaded_after([name for name in LIGHT if existing(name)], (*HEAVY, *QT)) == "[]"


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_that_no_function_of_core_prints():
    found = [f"{module_name(path)}:{call.lineno}" for path in sources("core") for call in calls(parsed(path))
             if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert found == []


UNSAFE_ARGUMENTS = (("allow_pickle", True), ("safe_mode", False), ("shell", True))


@pytest.mark.parametrize("package", PACKAGES)
def test_that_nothing_unpickles_evaluates_or_asks_a_shell(package):
    found = []
    for path in sources(package):
        tree = parsed(path)
        found += [f"{module_name(path)} imports {name}" for name in imports(tree)
                  if belongs(name, ("pickle", "dill", "cloudpickle", "joblib", "marshal"))]
        for call in calls(tree):
            unsafe = isinstance(call.func, ast.Name) and call.func.id in ("eval", "exec")
            for keyword in call.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                unsafe |= any(keyword.arg == name and value is wrong for name, wrong in UNSAFE_ARGUMENTS)
            if unsafe:
                found.append(f"{module_name(path)}:{call.lineno} {ast.unparse(call)[:80]}")
    assert found == []
