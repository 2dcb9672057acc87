from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import cellclf as cc
from cellclf.io import _assemble

READERS = {name: getattr(cc.io, name) for name in cc.io.__all__}


@pytest.mark.parametrize("name", READERS)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(READERS[name]) or "", {}, name, None, None)
    problems: list[str] = []
    assert doctest.DocTestRunner().run(test, out=problems.append).attempted > 2
    assert "".join(problems) == ""


@pytest.mark.parametrize("name", READERS)
def test_signatures(name: str) -> None:
    parameters = list(inspect.signature(READERS[name]).parameters.values())
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert 1 <= len(positional) <= 2
    assert not [p for p in parameters if p.kind is p.VAR_KEYWORD]


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("row", [0, 4, 9])
def test_the_place_of_a_bad_value(storage: str, row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_assemble, "_BLOCK", 7)
    x = np.eye(10, 5, dtype=np.float32)
    x[row, 3] = np.nan
    stored: Any = sparse.csr_matrix(x) if storage == "sparse" else x
    with pytest.raises(
        ValueError, match=rf"here: the value of sample 's{row}' \(row {row + 1}\), gene 'g3' \(column 4\)"
    ):
        _assemble.check_values(stored, [f"s{i}" for i in range(10)], [f"g{i}" for i in range(5)], "here")


@pytest.mark.parametrize("density", [0.0, 0.49, 0.5, 0.51, 1.0])
def test_sparse_when_more_than_half_is_zero(density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_assemble, "_BLOCK", 33)
    x = (np.arange(100) < 100 * density).astype(np.float32).reshape(20, 5)
    for given in (x, sparse.csc_matrix(x), sparse.coo_array(x)):
        settled = _assemble.compact(given)
        assert sparse.issparse(settled) == (density < 0.5)
        np.testing.assert_array_equal(settled.toarray() if sparse.issparse(settled) else settled, x)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(["10", "9", None], ["9", "10"], id="numbers"),
        pytest.param(["b", "10", "9"], ["10", "9", "b"], id="words"),
        pytest.param([], [], id="none"),
    ],
)
def test_the_order_of_classes(values: list[Any], expected: list[str]) -> None:
    assert _assemble.categories(values).categories.to_list() == expected
