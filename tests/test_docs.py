"""Pages that are made from the code say what the code says."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import cellclf as cc

ROOT = Path(__file__).parents[1]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return _load(ROOT / "docs" / "make_tables.py")


def test_the_table_of_slots_is_that_of_the_docstrings(tables: ModuleType) -> None:
    text = (ROOT / "docs" / "slots.md").read_text(encoding="utf-8")
    assert tables.page(text) == text, "run `python docs/make_tables.py`"


def test_every_verb_that_writes_is_in_the_table(tables: ModuleType) -> None:
    shown = set(re.findall(r"cellclf\.(?:pp|tl)\.(\w+)`", tables.slots()))
    verbs = {name for room in (cc.pp, cc.tl) for name in room.__all__ if name[0].islower()}
    assert shown == verbs


def test_first_sentences_end_where_they_should(tables: ModuleType) -> None:
    found = tables._entries(
        "Do.\n\nReturns\n-------\n`adata.obs['a']`, `adata.obs['b']` : :class:`numpy.ndarray` (n)\n    One 0.5\n    :cite:p:`X` `y` | z. More.\n"
    )
    assert found == [('`obs["a"]`, `obs["b"]`', "ndarray (n)", r"One 0.5 `y` \| z")]


def test_the_draft_for_the_ecosystem_agrees_with_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entry = (ROOT / "docs" / "meta.yaml").read_text(encoding="utf-8")
    fields = dict(re.findall(r"^(\w+): (.+)$", entry, re.M))
    assert (fields["name"], fields["license"], fields["version"]) == (
        project["name"],
        project["license"],
        cc.__version__,
    )


def test_the_readme_names_every_notebook() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    notebooks = {f"tutorials/{path.name}" for path in (ROOT / "tutorials").glob("*.ipynb")}
    assert notebooks == set(re.findall(r"tutorials/[\w-]+\.ipynb", readme))
