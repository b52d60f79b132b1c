"""Rules that the files of the repository keep."""

import ast
import re
from pathlib import Path

import pytest

import pymc_sgld

TESTS, PACKAGE, INIT = Path(__file__).parent, Path(pymc_sgld.__file__).parent, "__init__.py"


def imported(code):
    """Return the full names of all that some code imports."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def of_test_modules(names):
    """Return the names with a test module, or a test, in them."""
    return [name for name in names if any(part.startswith("test_") for part in name.split("."))]


def test_no_file_imports_from_a_module_of_tests():
    """Else a test module that moves breaks others, and what it shares is hard to find."""
    found = {
        str(path.relative_to(TESTS)): names
        for path in sorted(TESTS.rglob("*.py"))
        if (names := of_test_modules(imported(path.read_text())))
    }
    assert not found, f"move to tests/models.py, tests/graphs.py or tests/conftest.py: {found}"


def test_every_form_of_such_an_import_is_seen():
    code = """
import tests.test_step
from tests.test_step import X
from tests import test_step
from .test_step import X
from . import test_step
def later():
    import tests.chain.test_draw as other
from tests.models import X
import numpy
"""
    assert len(of_test_modules(imported(code))) == 6


@pytest.mark.parametrize("folder", sorted(path.parent for path in PACKAGE.rglob(INIT)))
def test_a_folder_says_what_is_in_it(folder):
    """Its docstring has a line for each module and folder in it, and for nothing else."""
    text = ast.get_docstring(ast.parse((folder / INIT).read_text()))
    told = re.findall(r"^``(\w+)``", text, re.MULTILINE)
    modules = [path.stem for path in folder.glob("*.py") if path.name != INIT]
    folders = [path.parent.name for path in folder.glob(f"*/{INIT}")]
    assert sorted(told) == sorted(modules + folders)
