"""The notebooks of the gallery can be read; the build of the documentation runs them.

To run them takes minutes, and `make docs` does it: a cell that fails, fails the build.
"""

import ast
import re
from pathlib import Path

import pytest

import pymc_sgld

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
INDEX = (GALLERY / "index.md").read_text()
PAGES = sorted(path for path in GALLERY.glob("*.md") if path.stem != "index")
CELL = re.compile(r"^```\{code-cell\} ipython3\n(?::.*\n\n?)*(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADER = """---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
mystnb:
  execution_mode: force
---

# """


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return request.param


def test_the_build_runs_it(page):
    """Without this header Sphinx shows the code, and runs nothing."""
    assert page.read_text().startswith(HEADER)


def test_its_cells_are_python_and_import_public_names(page):
    text = page.read_text()
    cells = CELL.findall(text)
    assert len(cells) == text.count("{code-cell}") > 4
    imported = [
        alias.name
        for cell in cells
        for node in ast.walk(ast.parse(cell))
        if isinstance(node, ast.ImportFrom) and node.module == "pymc_sgld"
        for alias in node.names
    ]
    assert imported and all(hasattr(pymc_sgld, name) for name in set(imported) - {"sources"})


def test_it_is_listed_with_a_picture(page):
    assert 'glue("thumbnail"' in page.read_text()
    assert f"{{doc}}`{page.stem}`" in INDEX
    assert f"~~~{{glue}} thumbnail\n:doc: {page.name}\n" in INDEX
    assert re.search(rf"^{page.stem}$", INDEX, re.MULTILINE)  # in the table of contents


def test_data_of_the_repository_are_there(page):
    files = re.findall(r'"((?:\.\./|data/)[^"*]+\.\w+)"', page.read_text())
    assert all((page.parent / file).is_file() for file in files)
    listed = (GALLERY / "data" / "README.md").read_text()
    assert all(f"`{Path(file).name}`" in listed for file in files if file.startswith("data/"))
