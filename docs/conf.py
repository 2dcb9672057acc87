"""Configuration of the documentation (https://www.sphinx-doc.org/page/usage/configuration.html)."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from importlib import import_module
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.config import Config

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))
warnings.filterwarnings("ignore", module="sphinx_autodoc_typehints")  # it announces its own move to Sphinx 10

# Tutorials live beside the package, with their outputs, and are shown here as they stand.
NOTEBOOKS = HERE / "notebooks"
shutil.rmtree(NOTEBOOKS, ignore_errors=True)
NOTEBOOKS.mkdir()
for notebook in sorted((HERE.parent / "tutorials").glob("*.ipynb")):
    shutil.copy2(notebook, NOTEBOOKS / notebook.name)

# -- Project -----------------------------------------------------------------

info = metadata("cellclf")
project = info["Name"]
author = "cellclf developers"
copyright = f"2026, {author}"
version = release = info["Version"]

# -- General -----------------------------------------------------------------

needs_sphinx = "8.1"
extensions = [
    "myst_nb",
    "sphinx_copybutton",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinxcontrib.bibtex",
    "sphinxcontrib.katex",
    "sphinx_autodoc_typehints",
    "prose_returns",
]
exclude_patterns = ["_build", "_templates", "extensions", "Thumbs.db", ".DS_Store", "**.ipynb_checkpoints"]
source_suffix = {".rst": "restructuredtext", ".ipynb": "myst-nb", ".md": "myst-nb"}
default_role = "literal"
templates_path = ["_templates"]
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

# Names of this package must resolve; names of others resolve where their inventories can be fetched.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!cellclf\b).*"), (r"py:.*", r"cellclf(\.\w+)*\._.*")]
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }

# -- API pages ---------------------------------------------------------------

autosummary_generate = True
autosummary_imported_members = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_include_init_with_doc = False
napoleon_use_rtype = True
napoleon_use_param = True
typehints_defaults = "braces"
always_use_bars_union = True


def _public_classes() -> dict[type, str]:
    """Name each public class as users import it, not by the file it is written in."""
    names = {}
    for room in ("cellclf.nn", "cellclf.tl", "cellclf"):
        module = import_module(room)
        for name in module.__all__:
            if isinstance(thing := getattr(module, name), type):
                names[thing] = f"{room}.{name}"
    return names


PUBLIC_CLASSES = _public_classes()


def typehints_formatter(annotation: Any, config: Config) -> str | None:
    """Link annotations to the public page of a class."""
    name = PUBLIC_CLASSES.get(annotation) if isinstance(annotation, type) else None
    return f":class:`~{name}`" if name else None


# -- Markdown and notebooks --------------------------------------------------

myst_heading_anchors = 4
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_url_schemes = ("http", "https", "mailto")
nb_execution_mode = "off"  # notebooks are stored with their outputs; `.ci/run` executes them
nb_merge_streams = True
nb_output_stderr = "remove"
suppress_warnings = [
    "config.cache",  # a formatter is a function and is not cached
    "mystnb.unknown_mime_type",  # progress bars carry a widget beside their text
]

# -- HTML --------------------------------------------------------------------

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["css/custom.css"]
html_title = project
html_theme_options = {
    "navigation_with_keys": False,
    "path_to_docs": "docs/",
    "use_download_button": False,
    "use_fullscreen_button": False,
}
pygments_style = "default"
katex_prerender = False
html_show_sphinx = False
