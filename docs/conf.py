"""Configuration of the documentation."""

import json
import os
import types
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import pymc_sgld

project = "pymc-sgld"
author = "the pymc-sgld developers"
version = release = pymc_sgld.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "gallery/data", "generated/*.ipynb"]
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["gallery.css"]

html_theme = "pydata_sphinx_theme"
html_title = "pymc-sgld"
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "navbar_center": [],  # the pages stand in the sidebar instead, in their groups
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
}
html_sidebars = {"**": ["all-pages"]}

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # but for the notebooks of the gallery, which ask for it in their headers
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds of a cell
nb_merge_streams = True

# The types stand in the numpydoc sections; repeated in the signature they only make it long.
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False

# Other projects' objects are links only in a build that asks for them, because fetching their
# inventories needs a network. `-n` then still checks every reference to this package's own names.
if os.environ.get("DOCS_INTERSPHINX"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pymc": ("https://www.pymc.io/projects/docs/en/stable", None),
        "pytensor": ("https://pytensor.readthedocs.io/en/latest", None),
        "arviz": ("https://python.arviz.org/en/stable", None),
    }
nitpick_ignore_regex = [(r"py:.*", r"(?!pymc_sgld\b).*")]

logger = logging.getLogger(__name__)


def public_names(module: types.ModuleType) -> list[str]:
    """Give the full names of what a module exports, and of what the modules that it exports do."""
    names = []
    for name in module.__all__:
        member = getattr(module, name)
        if isinstance(member, types.ModuleType):
            names += public_names(member)
        elif not name.startswith("__"):
            names.append(f"{module.__name__}.{name}")
    return names


def check_all_documented(app: Sphinx, environment: BuildEnvironment) -> None:
    """Warn about every public name without an entry; `make docs` turns warnings into failures."""
    documented = environment.get_domain("py").objects
    for name in public_names(pymc_sgld):
        if name not in documented:
            logger.warning("%s is public, but missing from docs/api.md", name)


def write_thumbnails(app: Sphinx, exception: Exception | None) -> None:
    """Write the pictures that the gallery takes from its notebooks: MyST-NB only links to them."""
    if exception is not None or app.builder.format != "html":
        return
    images = Path(app.outdir, app.builder.imagedir)
    images.mkdir(exist_ok=True)
    for glued in Path(app.env.mystnb_config.output_folder, "gallery").glob("*.glue.json"):
        picture = b64decode(json.loads(glued.read_text())["thumbnail"]["data"]["image/png"])
        (images / f"{sha256(picture).hexdigest()}.png").write_bytes(picture)


def describe_thumbnails(app: Sphinx, page: nodes.document, name: str) -> None:
    """Give the pictures of the gallery a text, which is read out instead of the name of a file."""
    if name != "gallery/index":
        return
    for card in page.findall(nodes.container):
        if "card-of-notebook" in card["classes"]:
            title = card.next_node(nodes.reference).astext()
            for image in card.findall(nodes.image):
                image["alt"] = f"A picture of the notebook {title}"


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", describe_thumbnails)
    app.connect("env-check-consistency", check_all_documented)
    app.connect("build-finished", write_thumbnails)
