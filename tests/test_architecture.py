"""The house, as code: who may import whom, which library has which door, what loads when."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "cellclf"

# The table of docs/design.md: each room's floor, and the rooms it may import (everything may import `_types`).
FLOORS = {
    "__main__": 5,
    "_cli": 4,
    "datasets": 3.5,
    "tl": 3,
    "io": 3,
    "pl": 3,
    "_classifier": 2,
    "pp": 2,
    "get": 2,
    "fit": 1,
    "attribution": 1,
    "_preprocessing": 0.5,
    "_slots": 1,
    "stats": 0,
    "nn": 0,
    "_tensors": 0,
    "_types": 0,
}
MAY_IMPORT = {
    "__main__": {"_cli"},
    "_cli": set(FLOORS) - {"__main__", "_cli"},
    "datasets": {"io"},
    "tl": {"pp", "_classifier", "_preprocessing", "fit", "attribution", "stats", "nn", "_slots", "_tensors"},
    "io": {"_slots"},
    "pl": {"get"},
    "_classifier": {"_preprocessing", "fit", "nn", "stats", "_tensors"},
    "pp": {"stats", "_slots"},
    "get": {"_slots"},
    "fit": {"_preprocessing", "nn", "stats", "_tensors"},
    "attribution": {"nn"},
    "_preprocessing": {"stats"},
    "_slots": set(),
    "stats": set(),
    "nn": set(),
    "_tensors": set(),
    "_types": set(),
}

# One door per library: the modules or rooms of cellclf that may import it.
DOORS = {
    "anndata": {"_slots", "_cli", "io", "datasets", "pp", "tl", "get", "pl"},
    "captum": {"attribution._gradients"},
    "dask": {"stats", "fit._batches", "_types"},
    "distributed": {"stats", "fit._batches"},
    "h5py": {"io._mat"},
    "lightning": {"fit._hardware"},
    "lightning_fabric": {"fit._hardware"},
    "llvmlite": {"stats._kernels"},
    "matplotlib": {"pl", "_cli"},
    "numba": {"stats._kernels"},
    "optuna": {"tl._tune"},
    "pooch": {"datasets"},
    "pyarrow": {"io._arrow"},
    "safetensors": {"_tensors"},
    "scanpy": {"_cli", "datasets", "pl"},
    "scipy.io": {"io._mat"},
    "sklearn": {"tl._rivals", "datasets"},
    "threadpoolctl": {"fit._threads"},
    "torch": {"nn", "fit", "_classifier", "attribution", "stats._device", "stats._device_similarity"},
}
HEAVY = {"torch", "scanpy", "anndata", "pandas", "matplotlib", "sklearn", "numba", "dask"}
UNSAFE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


# -- Readers: source text in, findings out -------------------------------------


def imported(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """List the absolute dotted names a module imports when it runs; imports that only name types do not count."""
    names: list[str] = []
    package = f"cellclf.{module}".rstrip(".").split(".")
    package = package if is_package else package[:-1]
    for node in _runs(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{origin}.{alias.name}" for alias in node.names]
        elif _is_call(node, "import_module") and node.args and isinstance(node.args[0], ast.Constant):
            names.append(str(node.args[0].value))
    return names


def _runs(tree: ast.AST) -> list[ast.AST]:
    """Walk a tree, leaving out the bodies of `if TYPE_CHECKING:`."""
    nodes, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        nodes.append(node)
        waiting += list(ast.iter_child_nodes(node))
    return nodes


def _is_call(node: ast.AST, name: str) -> bool:
    """Say whether a node calls `name` or `….name`."""
    return isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Name) and node.func.id == name)
        or (isinstance(node.func, ast.Attribute) and node.func.attr == name)
    )


def trespasses(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """List imports between rooms that the table does not allow."""
    room = module.split(".")[0]
    if room not in MAY_IMPORT:
        return [f"{module}: no room of the table"]
    wrong = []
    for name in imported(source, module, is_package=is_package):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0]
        through_the_face = room == "_cli" and (not target or target in {"Classifier", "Fit"})
        if top != "cellclf" or target in {room, "_types", "__version__"} or through_the_face:
            continue
        if target not in MAY_IMPORT[room]:
            wrong.append(f"{module}: imports {name}")
    return wrong


def side_doors(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """List imports of a library elsewhere than through its door."""
    wrong = []
    for name in imported(source, module, is_package=is_package):
        for library, doors in DOORS.items():
            if f"{name}.".startswith(f"{library}.") and not any(f"{module}.".startswith(f"{d}.") for d in doors):
                wrong.append(f"{module}: imports {name}")
    return wrong


def busy_init(source: str, *, top: bool = False) -> list[str]:
    """List what an `__init__.py` holds besides docstring, imports and `__all__` (the top one may also load lazily)."""
    names = {"__all__", "__version__", "_LAZY"} if top else {"__all__"}
    wrong = []
    for position, node in enumerate(ast.parse(source).body):
        docstring = position == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        listed = isinstance(node, ast.Assign) and {ast.unparse(target) for target in node.targets} <= names
        types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse
        lazy = top and isinstance(node, ast.FunctionDef) and node.name in {"__getattr__", "__dir__"}
        if not (docstring or imports or listed or types or lazy):
            wrong.append(ast.unparse(node).splitlines()[0])
    return wrong


def prints(source: str) -> list[int]:
    """List the lines that print."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "pprint"}
    ]


def unsafe(source: str) -> list[str]:
    """List what can run code hidden in a file: pickle and its kin, `torch.load`, `torch.save`, `allow_pickle=True`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            found += [origin] if origin.split(".")[0] in UNSAFE else []
            found += [a.name for a in node.names if origin == "torch" and a.name in {"load", "save"}]
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in {"torch.load", "torch.save"}:
            found.append(ast.unparse(node))
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append("allow_pickle")
    return found


def loaded_by(statement: str) -> set[str]:
    """Run a statement in a fresh interpreter and give the top-level modules it loaded."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


# -- The package keeps to the rules ----------------------------------------------

FILES = sorted(PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(path: Path) -> tuple[str, str, bool]:
    return path.read_text(encoding="utf-8"), _module(path), path.name == "__init__.py"


every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
face = PACKAGE / "__init__.py"


def test_the_package_is_found() -> None:
    assert face in FILES
    assert {"pp", "tl", "pl", "get", "nn", "_slots"} <= {_module(path).split(".")[0] for path in FILES}


@every_file
def test_imports_point_down(path: Path) -> None:
    source, module, is_package = _read(path)
    if path == face:
        assert not [name for name in imported(source, "", is_package=True) if name.startswith("cellclf")]
    else:
        assert not trespasses(source, module, is_package=is_package)


@every_file
def test_each_library_has_one_door(path: Path) -> None:
    source, module, is_package = _read(path)
    assert not side_doors(source, module, is_package=is_package)


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name == "__init__.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_init_files_hold_names_only(path: Path) -> None:
    assert not busy_init(path.read_text(encoding="utf-8"), top=path == face)


@every_file
def test_the_library_does_not_print(path: Path) -> None:
    if _module(path).split(".")[0] not in {"_cli", "__main__"}:
        assert not prints(path.read_text(encoding="utf-8"))


@every_file
def test_nothing_reads_or_writes_pickles(path: Path) -> None:
    assert not unsafe(path.read_text(encoding="utf-8"))


def test_the_table_points_down() -> None:
    assert set(MAY_IMPORT) == set(FLOORS)
    upward = [(room, to) for room, targets in MAY_IMPORT.items() for to in targets if FLOORS[to] >= FLOORS[room]]
    assert upward == []


def test_the_table_is_the_one_in_the_documentation() -> None:
    text = (Path(__file__).parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
    written = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            written[cells[0].strip("`")] = set(re.findall(r"`(\w+)`", cells[2]))
    assert written.pop("_cli") == set()  # the table says "everything below"
    assert written == {room: targets for room, targets in MAY_IMPORT.items() if room != "_cli"}


def test_the_version_is_the_installed_one() -> None:
    source = ast.parse(face.read_text(encoding="utf-8"))
    written = [
        node.value
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert [ast.literal_eval(value) for value in written] == [version("cellclf")]


def test_importing_cellclf_loads_nothing_heavy() -> None:
    loaded = loaded_by("import cellclf")
    assert "cellclf" in loaded
    assert not loaded & HEAVY


def test_the_lazy_face_gives_every_name() -> None:
    loaded = loaded_by("import cellclf\nfor name in cellclf.__all__: getattr(cellclf, name)")
    assert {"torch", "anndata"} <= loaded


# -- Every check can fail ----------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "module", "is_package"),
    [
        pytest.param("from cellclf import tl", "pp._split", False, id="upward"),
        pytest.param("from ..tl import _train", "pp._split", False, id="upward-relative"),
        pytest.param("from .. import _classifier", "fit", True, id="upward-relative-package"),
        pytest.param("import cellclf.stats._bins", "_slots", False, id="sideways"),
        pytest.param("def f():\n    from cellclf._slots import matrix", "pl._history", False, id="inside-a-function"),
        pytest.param("import_module('cellclf.pp')", "stats._bins", False, id="by-name"),
        pytest.param("import cellclf as cc", "tl._train", False, id="through-the-face"),
        pytest.param("x = 1", "attic._box", False, id="unknown-room"),
    ],
)
def test_trespasses_are_seen(source: str, module: str, is_package: bool) -> None:
    assert len(trespasses(source, module, is_package=is_package)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        pytest.param("from cellclf import _slots, stats\nfrom cellclf._types import Matrix", "pp._split", id="down"),
        pytest.param("from ._bins import Bins\nfrom .. import stats", "pp._split", id="own-room"),
        pytest.param("if TYPE_CHECKING:\n    from cellclf.tl import Evaluation", "pl._confusion", id="type-only"),
        pytest.param("import numpy as np\nfrom cellclf import __version__", "_slots", id="outside"),
        pytest.param("import cellclf as cc\nfrom cellclf import Fit, tl", "_cli", id="command-line"),
    ],
)
def test_allowed_imports_pass(source: str, module: str) -> None:
    assert trespasses(source, module) == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        pytest.param("import numba", "stats._bins", id="numba"),
        pytest.param("from dask import array", "pp._gene_scores", id="dask"),
        pytest.param("import torch.nn.functional as F", "stats._calibration", id="torch"),
        pytest.param("from scipy import io", "io._tables", id="scipy.io"),
        pytest.param("def f():\n    import pyarrow.csv", "io._mat", id="pyarrow"),
        pytest.param("from sklearn.metrics import f1_score", "stats._agreement", id="sklearn"),
        pytest.param("from captum.attr import DeepLift", "attribution._gradients_too", id="same-beginning"),
    ],
)
def test_side_doors_are_seen(source: str, module: str) -> None:
    assert len(side_doors(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        pytest.param("import numba", "stats._kernels", id="the-door"),
        pytest.param("import dask.array as da", "stats._moments", id="a-room-as-door"),
        pytest.param("from scipy.special import gammaln\nimport torchvision", "stats._bins", id="other-libraries"),
    ],
)
def test_doors_are_open(source: str, module: str) -> None:
    assert side_doors(source, module) == []


@pytest.mark.parametrize(
    ("source", "top"),
    [
        pytest.param("x = 1", False, id="a-constant"),
        pytest.param("'''Doc.'''\ndef f(): pass", False, id="a-function"),
        pytest.param("def __getattr__(name): pass", False, id="lazy-but-not-top"),
        pytest.param("def helper(): pass", True, id="top-with-helper"),
        pytest.param("import os\nprint('hello')", True, id="top-with-a-call"),
    ],
)
def test_busy_init_files_are_seen(source: str, top: bool) -> None:
    assert len(busy_init(source, top=top)) == 1


def test_plain_init_files_pass() -> None:
    assert busy_init("'''Doc.'''\nfrom ._a import a\n__all__ = ['a']") == []
    assert busy_init("'''Doc.'''\n__version__ = '1'\ndef __getattr__(name): pass", top=True) == []


@pytest.mark.parametrize("source", ["print('x')", "def f():\n    pprint(1)"], ids=["print", "pprint"])
def test_prints_are_seen(source: str) -> None:
    assert len(prints(source)) == 1


def test_only_calls_print() -> None:
    assert prints("'''print(x)'''\nlog.print('x')  # print(x)") == []


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("import pickle", id="pickle"),
        pytest.param("from joblib import dump", id="joblib"),
        pytest.param("import torch\ntorch.load('x')", id="torch.load"),
        pytest.param("from torch import save", id="torch-save-by-name"),
        pytest.param("np.load('x', allow_pickle=True)", id="numpy"),
    ],
)
def test_unsafe_readers_are_seen(source: str) -> None:
    assert len(unsafe(source)) == 1


def test_safe_readers_pass() -> None:
    assert unsafe("import json\nfrom safetensors.numpy import load\nnp.load('x', allow_pickle=False)") == []


def test_loading_is_seen() -> None:
    assert "sqlite3" in loaded_by("import sqlite3")
    assert "sqlite3" not in loaded_by("pass")
