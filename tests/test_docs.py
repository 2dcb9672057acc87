"""Pages that are made from the code say what the code says."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import tomllib
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, SKIP, DocTestParser, DocTestRunner, Example
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cellclf as cc
from cellclf.fit._loop import MINIMUM_EPOCHS, MINIMUM_STEPS
from cellclf.nn import _registry
from cellclf.tl import _genes

ROOT = Path(__file__).parents[1]
ROOMS = ("datasets", "io", "pp", "tl", "pl", "get", "nn")
INTERNAL = {"blocks", "check_classes", "inputs", "normalised"}  # of Classifier; for the verbs, and not on its page
DOWNLOADED = {
    "datasets.depmap",
    "datasets.tcga_pancan",
}  # their examples need a network; `tests/datasets` runs them on files
PUBLIC = {f"{room}.{name}": getattr(getattr(cc, room), name) for room in ROOMS for name in getattr(cc, room).__all__}
PUBLIC |= {"Classifier": cc.Classifier, "Fit": cc.Fit}
PUBLIC |= {
    f"Classifier.{name}": getattr(cc.Classifier, name)
    for name, member in vars(cc.Classifier).items()
    if not name.startswith("_")
    and name not in INTERNAL
    and isinstance(member, property | classmethod | type(lambda: 0))
}
MADE_BY = {  # results, shown where the verb that returns them is
    inspect.signature(verb).return_annotation: name for name, verb in PUBLIC.items() if inspect.isfunction(verb)
}
PARSER = DocTestParser()


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


# -- Every public name is shown at work ---------------------------------------------------------------------------------


def _examples(name: str) -> list[Example]:
    """Read the examples in a docstring; none for a class or property that has no docstring of its own."""
    return PARSER.get_examples(inspect.getdoc(PUBLIC[name]) or "")


def _shows(name: str, source: str) -> bool:
    """Say whether code uses a public name: `cc.pp.split` in full, methods and properties by their last word."""
    owner, _, member = name.partition(".")
    pattern = rf"\.{member}\b" if owner == "Classifier" and member else rf"\bcc\.{re.escape(name)}\b"
    return re.search(pattern, source) is not None


@pytest.fixture(scope="module")
def in_notebooks() -> str:
    """Give all code of all notebooks."""
    cells = [
        cell
        for path in sorted((ROOT / "tutorials").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_shown_at_work(name: str, in_notebooks: str) -> None:
    shown_by = MADE_BY.get(name.rpartition(".")[2], name)
    run = "".join(example.source for example in _examples(shown_by) if not example.options.get(SKIP))
    also = "".join(example.source for example in _examples("Classifier")) if name.startswith("Classifier.") else ""
    shown = _shows(shown_by, run + also) or _shows(shown_by, in_notebooks)
    assert shown != (name in DOWNLOADED), f"{name} needs an example that runs, in its docstring or in a notebook"


@pytest.mark.parametrize(
    "name",
    # `tests/test_conventions.py` runs those of functions in pp, tl, pl and get
    sorted(
        name
        for name, thing in PUBLIC.items()
        if not (inspect.isfunction(thing) and name.startswith(("pp.", "tl.", "pl.", "get.")))
    ),
)
def test_examples_of_readers_classes_and_methods_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_registry, "_DESCRIPTIONS", dict(_registry._OWN))  # examples that register leave no trace
    test = PARSER.get_doctest(inspect.getdoc(PUBLIC[name]) or "", {"__name__": "example"}, name, None, None)
    problems: list[str] = []
    DocTestRunner(optionflags=ELLIPSIS | NORMALIZE_WHITESPACE).run(test, out=problems.append)
    assert "".join(problems) == ""


def test_a_name_that_is_not_shown_is_seen() -> None:
    assert _shows("pp.split", "cc.pp.split(adata)")
    assert not _shows("pp.split", "cc.pp.splits(adata); pp.split(adata)")
    assert _shows("Classifier.save", 'clf.save("m")')
    assert not _shows("Classifier.save", "clf.saved")


def test_every_public_name_is_on_a_page_of_the_api() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    listed = set(re.findall(r"^    ([\w.]+)$", pages, re.M))
    assert {name for name in PUBLIC if not name.startswith("Classifier.")} == listed


# -- Pages keep what they say -------------------------------------------------------------------------------------------


def test_the_ten_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    space: dict[str, Any] = {}
    exec(compile(lines, "README.md", "exec", dont_inherit=True), space)  # noqa: S102
    assert list(space["classifier"].classes) == list(space["adata"].obs["bulk_labels"].cat.categories)
    assert (tmp_path / "pbmc.safetensors").stat().st_size > 1000


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not re.match(r"https?:|mailto:", target) and not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_page_on_training_names_the_defaults() -> None:
    page = (ROOT / "docs" / "methods" / "training.md").read_text(encoding="utf-8")
    (width,) = cc.nn.MLP().hidden
    fit = cc.Fit()
    for stated in (
        f"or else selects {_genes.N_GENES} by what they tell",
        f"one hidden layer of {width} units",
        f"`Fit(axes={fit.axes})`",
        f"`Fit(stacking={fit.stacking})`",
        f"label smoothing (`Fit(label_smoothing={fit.label_smoothing})`)",
        f"{MINIMUM_EPOCHS} epochs, and at least {MINIMUM_STEPS} steps",
    ):
        assert stated in page
