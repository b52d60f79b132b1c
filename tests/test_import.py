"""What `import pymc_sgld` brings along, its public names, and which part may import which."""

import ast
import json
import subprocess
import sys
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import pymc_sgld

PACKAGE = Path(pymc_sgld.__file__).parent

FRESH = """
import json, sys
import pymc
before = set(sys.modules)
import pymc_sgld
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_nothing_is_imported_beyond_pymc():
    """Else a fresh process waits for SciPy, Numba and ArviZ longer than for PyMC itself."""
    run = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    added = json.loads(run.stdout)
    assert "pymc_sgld.step" in added
    assert {"pymc_sgld.diagnostics", "pymc_sgld.results"}.isdisjoint(added)
    own = {"pymc_sgld", *sys.stdlib_module_names}
    others = [name for name in added if name.split(".")[0] not in own]
    assert [name for name in others if not name.startswith("pytensor.xtensor")] == []


def test_every_public_name_is_there():
    names = {}
    exec("from pymc_sgld import *", names)
    assert set(pymc_sgld.__all__) <= set(names) & set(dir(pymc_sgld))
    assert names["compare"] is pymc_sgld.diagnostics.compare
    with pytest.raises(AttributeError, match="no attribute 'comapre'"):
        pymc_sgld.comapre


@pytest.mark.parametrize(
    "name", ["SGLD", "SGHMC", "SGNHT", "MALA", "NetworkSGHMC", "ReplicaExchange"]
)
def test_a_type_checker_knows_what_a_call_makes(name):
    """Where ``__new__`` returns Any, checkers and editors look at no argument of the call."""
    assert getattr(pymc_sgld, name).__new__.__annotations__["return"] == "Self"


def test_what_the_progress_bar_of_pymc_needs_is_a_dependency():
    """It imports matplotlib, which PyMC does not require: the quickstart would crash."""
    project = tomllib.loads((Path(pymc_sgld.__file__).parents[1] / "pyproject.toml").read_text())
    assert any(each.startswith("matplotlib") for each in project["project"]["dependencies"])


PUBLIC = {
    "pymc_sgld": """
        Certificate DataError MALA MinibatchError NetworkSGHMC NonFiniteError PredictiveReport
        ReplicaExchange SGHMC SGLD SGLDWarning SGNHT SettingError TrustReport __version__ certify
        compare diagnose diagnose_predictions group_effects log_likelihood loo minibatch plot_bias
        plot_comparison predict run_settings sample_on schedules thin_by_step_size
    """,
    "pymc_sgld.diagnostics": """
        Certificate TrustReport certify compare diagnose group_effects plot_bias plot_comparison
        run_settings thin_by_step_size
    """,
    "pymc_sgld.distributed": "sample_on",
    "pymc_sgld.minibatch": "Report report",
    "pymc_sgld.results": "PredictiveReport diagnose_predictions log_likelihood loo predict",
    "pymc_sgld.schedules": "constant cyclical polynomial",
    "pymc_sgld.sources": "Source batches parquet shuffled",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module):
    """A name that comes or goes is meant: change the list, `docs/api.md` and the changelog."""
    assert sorted(import_module(module).__all__) == sorted(PUBLIC[module].split())


MAY_IMPORT = {  # and all of them the modules in no folder but those of samplers
    "backends": "",
    "batching": "",
    "sources": "batching",
    "dynamics": "batching",
    "minibatch": "backends sources",
    "gradients": "minibatch",
    "compiled": "backends batching dynamics gradients minibatch sources",
    "tuning": "batching dynamics gradients minibatch sources",
    "chain": "backends compiled dynamics minibatch tuning",
    "storage": "chain dynamics minibatch tuning",
    "checkpoint": "batching chain gradients minibatch sources storage tuning",
    "workers": "compiled minibatch sources",
    "setup": """
        backends batching chain checkpoint compiled dynamics gradients minibatch sources storage
        tuning workers
    """,
    "step": "chain checkpoint dynamics minibatch setup storage",
    "samplers": "dynamics setup step",
    "networks": "samplers setup step",
    "replica_exchange": "chain dynamics setup step storage",
    "diagnostics": "backends chain compiled minibatch sources tuning workers",
    "results": "backends compiled diagnostics minibatch sources",
    "distributed": "checkpoint step workers",
}
MODULES = "modules"  # those that are in no folder


def test_which_folder_imports_which():
    """The table is all there is, and no more than there is. Imports within functions count."""
    found = defaultdict(set)
    for name, imported in imports().items():
        for other in imported:
            if folder(other) not in (folder(name), MODULES):
                found[folder(name)].add(folder(other))
    assert found[MODULES] == set()
    assert found.pop("pymc_sgld") == {
        "minibatch",
        "networks",
        "replica_exchange",
        "samplers",
        "step",
    }
    del found[MODULES]
    assert found == {name: set(others.split()) for name, others in MAY_IMPORT.items() if others}


def test_folders_import_each_other_in_one_direction():
    table = {name: set(others.split()) for name, others in MAY_IMPORT.items()}
    check_no_circle(table)


def test_modules_import_each_other_in_one_direction():
    check_no_circle(imports())


def check_no_circle(graph):
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def imports():
    """Return the modules of the package that each of them imports.

    What is imported for type checkers only is left out: it is not there when the code runs.
    """
    files = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found = {}
    for name, path in files.items():
        names = set(imported_names(ast.parse(path.read_text())))
        modules = {each if each in files else each.rpartition(".")[0] for each in names}
        found[name] = modules & set(files) - {name}
    return found


def imported_names(node):
    """Give the full names that a syntax tree imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from imported_names(child)


def folder(module):
    """Return the folder of a module; those that users import stand for themselves."""
    first = module.split(".")[1] if "." in module else module
    if (
        first in ("pymc_sgld", "networks", "replica_exchange", "samplers", "step")
        or (PACKAGE / first).is_dir()
    ):
        return first
    return MODULES
