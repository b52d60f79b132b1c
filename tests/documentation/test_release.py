"""What a release says of itself in several files is the same in all of them."""

import re
import tomllib
from pathlib import Path

from pymc_sgld import __version__

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "conda" / "recipe.yaml").read_text()


def test_the_recipe_has_the_version_and_the_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run = RECIPE.partition("  run:\n")[2].partition("\n\n")[0]
    needed = [line.strip("- ").replace(" ", "") for line in run.splitlines()]
    assert f'version: "{__version__}"' in RECIPE
    wanted = [f"python{project['requires-python']}", *project["dependencies"]]
    assert needed == [re.sub("^matplotlib", "matplotlib-base", each) for each in wanted]
