"""Every public function looks alike, and its docstring names what it writes."""

from __future__ import annotations

import ast
import functools
import inspect
import random
import re
import textwrap
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, DocTestParser, DocTestRunner
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData

import cellclf as cc

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "methods").glob("*.md"))]
PARSER = DocTestParser()
ROOMS = ("pp", "tl", "pl", "get")
SLOTS = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns", "layers")
PUBLIC = {
    f"{room}.{name}": getattr(getattr(cc, room), name)
    for room in ROOMS
    for name in getattr(cc, room).__all__
    if inspect.isfunction(getattr(getattr(cc, room), name))
}
VERBS = [name for name in PUBLIC if name.startswith(("pp.", "tl."))]
SETTINGS = {f"nn.{name}": getattr(cc.nn, name) for name in ("MLP", "Linear", "CNN1d", "Autoencoder")} | {"Fit": cc.Fit}
SETTINGS |= {f"tl.{name}": getattr(cc.tl, name) for name in ("Space", "Uniform", "LogUniform", "Integers", "Choice")}

# How each verb is called on 120 cells × 30 genes, and which verbs come before it.
CALLS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "pp.summary": ([], {"label": "cell_type"}),
    "pp.filter_genes": ([], {"max_zero_fraction": 1.0}),  # all stay: X is compared
    "pp.split": ([], {"label": "cell_type"}),
    "pp.gene_scores": ([], {"label": "cell_type"}),
    "pp.gene_similarity": ([], {}),
    "pp.select_genes": (["pp.gene_scores"], {"n_genes": 10}),
    "tl.train": ([], {"label": "cell_type", "network": cc.nn.Linear(), "fit": cc.Fit(epochs=30, members=1)}),
    "tl.predict": (["tl.train"], {"unknown": 0.1}),
    "tl.evaluate": (["tl.train"], {}),
    "tl.panel_curve": (
        [],
        {"label": "cell_type", "n_genes": (2, 9), "network": cc.nn.Linear(), "fit": cc.Fit(epochs=4, members=1)},
    ),
    "tl.cross_validate": (
        [],
        {"label": "cell_type", "n_folds": 2, "network": cc.nn.Linear(), "fit": cc.Fit(epochs=30)},
    ),
    "tl.baselines": (
        [],
        {
            "label": "cell_type",
            "n_folds": 2,
            "models": ["nearest_neighbors"],
            "network": cc.nn.Linear(),
            "fit": cc.Fit(epochs=30),
        },
    ),
    "tl.audit_labels": (["tl.cross_validate"], {}),
    "tl.vote": (["tl.train", "tl.predict"], {"by": "cell_type"}),
    "tl.tune": (
        [],
        {
            "label": "cell_type",
            "n_trials": 1,
            "n_folds": 2,
            "space": cc.tl.Space(fit={"weight_decay": cc.tl.Uniform(0.0, 0.1)}),
            "network": cc.nn.Linear(),
            "fit": cc.Fit(epochs=30),
        },
    ),
    "tl.importance": (["tl.train"], {"n_repeats": 2}),
    "tl.explain": (["tl.train"], {"n_steps": 5}),
    "tl.importance_check": (["tl.train", "tl.importance"], {"sizes": [0, 3], "n_random": 1, "n_top": 3}),
    "tl.ablation": (["tl.train", "tl.importance"], {"sizes": [3], "n_repeats": 1}),
    "tl.stability": (["tl.train"], {"n_trainings": 2, "n_repeats": 1}),
    "tl.l1_path": (
        [],
        {"label": "cell_type", "l1": (1.0,), "group_l1": (0.1,), "network": cc.nn.Linear(), "fit": cc.Fit(epochs=4)},
    ),
}
# How an earlier verb is called for another, where that needs more of it.
FULL_FIT = {"fit": cc.Fit(epochs=30, members=2, conformal_folds=2)}
EARLIER = {("tl.predict", "tl.train"): FULL_FIT, ("tl.vote", "tl.train"): FULL_FIT}


# -- Readers: a function in, what is wrong with it out -----------------------------


def sections(function: Callable[..., Any]) -> dict[str, list[str]]:
    """Cut a numpydoc docstring into its sections."""
    found: dict[str, list[str]] = {"": []}
    lines = inspect.getdoc(function).splitlines() if inspect.getdoc(function) else []
    name = ""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch(r"-{3,}", following):
            name = line
            found[name] = []
        elif not re.fullmatch(r"-{3,}", line):
            found[name].append(line)
    return found


def signature_faults(function: Callable[..., Any], *, first: str | None = "adata") -> list[str]:
    """List where a signature leaves the rules of docs/design.md."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    faults = []
    if first is not None and (not parameters or parameters[0].name != first):
        faults.append(f"the first parameter is not {first}")
    if len(positional) > 2:
        faults.append("more than two positional parameters")
    faults += [f"takes {p}" for p in parameters if p.kind in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    faults += [f"{p.name} has no annotation" for p in parameters if p.annotation is p.empty]
    faults += [f"{p.name} has a mutable default" for p in parameters if isinstance(p.default, list | dict | set)]
    if signature.return_annotation is signature.empty:
        faults.append("no return annotation")
    by_name = signature.parameters
    if "copy" in by_name:
        if by_name["copy"].kind is not inspect.Parameter.KEYWORD_ONLY or by_name["copy"].default is not False:
            faults.append("copy is not keyword-only with default False")
        if signature.return_annotation != "AnnData | None":
            faults.append(f"copy, but returns {signature.return_annotation}")
    if "rng" in by_name and (by_name["rng"].default != 0 or isinstance(by_name["rng"].default, bool)):
        faults.append("rng does not default to 0")
    faults += [f"takes {name}" for name in ("inplace", "random_state", "seed", "show", "save") if name in by_name]
    return faults


def docstring_faults(function: Callable[..., Any], *, required: tuple[str, ...]) -> list[str]:
    """List sections that are missing, parameters that are not documented, and types that stand in the docstring."""
    found = sections(function)
    faults = [f"no section {name}" for name in required if name not in found]
    heads = [line for line in found.get("Parameters", []) if line and not line.startswith(" ")]
    faults += [f"a type in the docstring: {head}" for head in heads if not re.fullmatch(r"\w+", head)]
    names = [p.name for p in inspect.signature(function).parameters.values()]
    if [head.split(" ")[0] for head in heads] != names:
        faults.append(f"documents {heads} instead of {names}")
    body = "\n".join(found.get("Parameters", []))
    for head in heads:
        if not re.search(rf"^{re.escape(head)}\n    \S", body, flags=re.MULTILINE):
            faults.append(f"says nothing about {head}")
    if not found[""] or not found[""][0]:
        faults.append("no first line")
    return faults


def documented_slots(function: Callable[..., Any]) -> set[str]:
    """Read the fields a `Returns` section names, e.g. `adata.obs['split']`."""
    text = "\n".join(sections(function).get("Returns", []))
    return {f"{slot}[{key}]" for slot, key in re.findall(r"`adata\.(\w+)\[['\"]([^'\"]+)['\"]", text)}


def slots(adata: AnnData) -> set[str]:
    """List all keys of an AnnData."""
    return {f"{slot}[{key}]" for slot in SLOTS for key in getattr(adata, slot)}


def example_faults(source: str) -> list[str]:
    """List calls of `cc.…` that name nothing, or whose arguments do not fit."""
    faults = []
    for call in [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]:
        path = ast.unparse(call.func)
        if not re.fullmatch(r"cc(\.\w+)+", path):
            continue
        try:
            thing = functools.reduce(getattr, path.split(".")[1:], cc)
            keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            inspect.signature(thing).bind(*call.args, **keywords)
        except (AttributeError, TypeError) as error:
            faults.append(f"{path}: {error}")
    return faults


def code_blocks(markdown: str) -> list[str]:
    """Read the Python blocks of a page; where a block is a session, what is typed in it."""
    blocks = re.findall(r"```python\n(.*?)```", markdown, flags=re.DOTALL)
    return ["".join(e.source for e in PARSER.get_examples(block)) if ">>>" in block else block for block in blocks]


# -- Every public function keeps to the rules --------------------------------------

every_public = pytest.mark.parametrize("name", PUBLIC)
every_verb = pytest.mark.parametrize("name", VERBS)


def test_the_public_names_are_found() -> None:
    assert {"pp.split", "tl.train", "pl.history", "get.gene_scores"} <= set(PUBLIC)


@every_public
def test_signatures(name: str) -> None:
    assert signature_faults(PUBLIC[name]) == []


@every_public
def test_docstrings(name: str) -> None:
    required = ("Parameters", "Returns", "Raises", "Examples") if name in VERBS else ("Parameters", "Returns")
    assert docstring_faults(PUBLIC[name], required=required) == []


@every_public
def test_examples_in_docstrings_fit(name: str) -> None:
    examples = PARSER.get_examples(inspect.getdoc(PUBLIC[name]) or "")
    assert example_faults("".join(example.source for example in examples)) == []


@every_public
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = PARSER.get_doctest(inspect.getdoc(PUBLIC[name]) or "", {}, name, None, None)
    problems: list[str] = []
    DocTestRunner(optionflags=ELLIPSIS | NORMALIZE_WHITESPACE).run(test, out=problems.append)
    assert "".join(problems) == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_in_pages_fit(page: Path) -> None:
    for block in code_blocks(page.read_text(encoding="utf-8")):
        assert example_faults(block) == []


@every_verb
def test_each_verb_has_its_own_file(name: str) -> None:
    room, word = name.split(".")
    assert PUBLIC[name].__module__ == f"cellclf.{room}._{word}"


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_frozen_and_documented(name: str) -> None:
    setting = SETTINGS[name]
    assert is_dataclass(setting)
    assert setting.__dataclass_params__.frozen
    required = ("Parameters", "Examples") if fields(setting) else ("Examples",)
    assert docstring_faults(setting, required=required) == []


# -- What a verb writes is what its docstring names ----------------------------------


def _run(name: str, adata: AnnData, **more: Any) -> Any:
    return PUBLIC[name](adata, **(CALLS[name][1] | more))


@pytest.fixture
def before(name: str, small_adata: AnnData) -> AnnData:
    """Give an AnnData on which the verb can run."""
    for earlier in CALLS[name][0]:
        _run(earlier, small_adata, **EARLIER.get((name, earlier), {}))
    return small_adata


def test_every_verb_is_run() -> None:
    assert set(CALLS) == set(VERBS)


@every_verb
def test_docstring_names_what_is_written(name: str, before: AnnData) -> None:
    old = slots(before)
    _run(name, before)
    assert slots(before) - old == documented_slots(PUBLIC[name])
    assert old <= slots(before)


@pytest.mark.parametrize("name", [name for name in VERBS if "copy" in inspect.signature(PUBLIC[name]).parameters])
def test_copy_changes_the_copy_only(name: str, before: AnnData) -> None:
    old = slots(before)
    copy = _run(name, before, copy=True)
    assert slots(before) == old
    assert _run(name, before) is None
    assert slots(copy) == slots(before) > old


@every_verb
def test_x_and_global_generators_are_left_as_they_were(name: str, before: AnnData) -> None:
    x = before.X.copy()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    _run(name, before)
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(), states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(before.X, part), getattr(x, part))


@every_verb
def test_the_record_of_the_call(name: str, before: AnnData) -> None:
    old = set(before.uns)
    _run(name, before)
    records = [entry for key, entry in before.uns.items() if key not in old and isinstance(entry, dict)]
    own = [record for record in records if record.get("function") == f"cellclf.{name}"]
    assert len(own) == 1
    assert own[0]["version"] == cc.__version__
    assert isinstance(own[0]["call"], str)


# -- Every check can fail --------------------------------------------------------------


def _right(adata: AnnData, label: str | None = None, *, rng: int = 0, copy: bool = False) -> AnnData | None:
    """Do a thing.

    Parameters
    ----------
    adata
        Annotated data.
    label
        Column of `adata.obs`.
    rng
        Seed.
    copy
        Whether to change a copy.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.var['mi']` : :class:`pandas.Series` (n_vars, float64)
        Information in nats; see `adata.uns["record"]`.
    """


def _defined(head: str) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(f"from __future__ import annotations\ndef f({head}: ...", namespace)  # noqa: S102
    return namespace["f"]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("x: AnnData) -> None", id="adata-is-not-first"),
        pytest.param("adata: A, a: int, b: int) -> None", id="three-positional"),
        pytest.param("adata: A, **kwargs: int) -> None", id="kwargs"),
        pytest.param("adata: A, *args: int) -> None", id="args"),
        pytest.param("adata: A, label=None) -> None", id="no-annotation"),
        pytest.param("adata: A, *, genes: list = []) -> None", id="mutable-default"),
        pytest.param("adata: A)", id="no-return-annotation"),
        pytest.param("adata: A, copy: bool = False) -> AnnData | None", id="copy-is-positional"),
        pytest.param("adata: A, *, copy: bool = True) -> AnnData | None", id="copy-by-default"),
        pytest.param("adata: A, *, copy: bool = False) -> AnnData", id="copy-returns-always"),
        pytest.param("adata: A, *, rng: int | None = None) -> None", id="rng-of-chance"),
        pytest.param("adata: A, *, inplace: bool = True) -> None", id="inplace"),
    ],
)
def test_wrong_signatures_are_seen(head: str) -> None:
    assert len(signature_faults(_defined(head))) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("label\n", "label : str\n", id="type-in-docstring"),
        pytest.param("rng\n        Seed.\n    ", "", id="parameter-left-out"),
        pytest.param("        Seed.\n", "", id="parameter-without-text"),
        pytest.param("Returns\n    -------", "Gives\n    -----", id="section-left-out"),
        pytest.param("Do a thing.", "", id="no-first-line"),
    ],
)
def test_wrong_docstrings_are_seen(old: str, new: str) -> None:
    function = _defined(str(inspect.signature(_right))[1:])
    function.__doc__ = _right.__doc__
    assert docstring_faults(function, required=("Parameters", "Returns")) == []
    function.__doc__ = (_right.__doc__ or "").replace(old, new)
    assert function.__doc__ != _right.__doc__
    assert docstring_faults(function, required=("Parameters", "Returns"))


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("cc.tl.teach(adata)", id="no-such-name"),
        pytest.param("cc.pp.split(adata, 'x', 'y')", id="too-many-positional"),
        pytest.param("if True:\n    cc.tl.train(adata, epochs=3)", id="no-such-keyword"),
        pytest.param("cc.tl.predict()", id="too-few"),
    ],
)
def test_wrong_examples_are_seen(source: str) -> None:
    assert len(example_faults(source)) == 1


def test_code_blocks_are_read() -> None:
    page = "```bash\nls\n```\n```python\nx = 1\n```\n```python\n>>> cc.tl.train(adata)\n2\n```\n"
    assert code_blocks(page) == ["x = 1\n", "cc.tl.train(adata)\n"]
    assert example_faults("cc.pp.split(adata, 'x', fractions=(0.8, 0.1, 0.1))\nprint(adata)") == []


def test_the_readers_read() -> None:
    assert signature_faults(_right) == []
    assert documented_slots(_right) == {"var[mi]", "uns[record]"}
    assert textwrap.dedent("\n".join(sections(_right)["Parameters"])).startswith("adata\n")
    assert list(sections(_right)) == ["", "Parameters", "Returns"]


def test_slots_lists_every_key(small_adata: AnnData) -> None:
    small_adata.obsm["X_a/b"] = np.zeros((120, 2))
    small_adata.uns["n"] = 1
    assert slots(small_adata) == {"obs[cell_type]", "obsm[X_a/b]", "uns[n]", "uns[cell_type_colors]"}
