from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.utils import Bunch

import cellclf as cc


def test_breast_cancer() -> None:
    bunch = load_breast_cancer()
    adata = cc.io.from_bunch(bunch, label="diagnosis")
    assert adata.var_names.to_list() == bunch.feature_names.tolist()
    np.testing.assert_array_equal(adata.X, bunch.data.astype(np.float32))
    assert (adata.obs["diagnosis"] == bunch.target_names[bunch.target]).all()
    assert adata.obs["diagnosis"].cat.categories.to_list() == ["malignant", "benign"]
    assert adata.uns["cellclf_label"] == "diagnosis"
    assert adata.uns["cellclf_read"]["function"] == "cellclf.io.from_bunch"


def test_frames() -> None:
    plain, frame = cc.io.from_bunch(load_iris()), cc.io.from_bunch(load_iris(as_frame=True))
    np.testing.assert_array_equal(plain.X, frame.X)
    pd.testing.assert_frame_equal(plain.obs, frame.obs)
    assert plain.var_names.equals(frame.var_names)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_random_bunches(data: Any, datasets: Any) -> None:
    x, classes = data.draw(datasets())
    stored = data.draw(st.sampled_from([np.array, sparse.csr_matrix, sparse.csc_array, pd.DataFrame]))(x)
    before = stored.copy()
    adata = cc.io.from_bunch(Bunch(data=stored, target=np.array(classes)))
    assert sparse.issparse(adata.X) == (2 * np.count_nonzero(x) < x.size)
    np.testing.assert_array_equal(adata.X.toarray() if sparse.issparse(adata.X) else adata.X, x)
    assert adata.obs["target"].astype(str).to_list() == classes
    adata.X *= 0
    difference = stored != before
    assert not np.asarray(difference.sum()).any()


def test_names_of_openml_are_not_classes() -> None:
    bunch = Bunch(data=np.eye(3), target=pd.Series(["b", "a", "b"], dtype="category"), target_names=["class"])
    assert cc.io.from_bunch(bunch).obs["target"].to_list() == ["b", "a", "b"]


def test_numbers_as_classes() -> None:
    adata = cc.io.from_bunch({"data": np.ones((3, 2)), "target": np.array([[10], [2], [10]])})
    assert adata.obs["target"].cat.categories.to_list() == ["2", "10"]
    assert adata.var_names.to_list() == ["feature_0", "feature_1"]
    named = cc.io.from_bunch({"data": np.ones((3, 2)), "target": np.array([1.0, 0, 1]), "target_names": ["b", "a"]})
    assert named.obs["target"].to_list() == ["a", "b", "a"]


def test_filling() -> None:
    x = np.array([[1, np.nan], [3, 4]])
    adata = cc.io.from_bunch({"data": x, "target": [0, 1]}, fill_missing=9)
    np.testing.assert_array_equal(adata.X, [[1, 9], [3, 4]])
    assert np.isnan(x[0, 1])
    filled = cc.io.from_bunch({"data": sparse.csr_matrix([[0, 0, np.nan]] * 2), "target": [0, 1]}, fill_missing=0)
    assert filled.X.nnz == 0


@pytest.mark.parametrize(
    ("bunch", "error", "message"),
    [
        pytest.param((np.eye(2), np.arange(2)), TypeError, "bunch is a tuple.*return_X_y", id="tuple"),
        pytest.param({"data": np.eye(2)}, ValueError, "no 'target'.*'data'", id="no-target"),
        pytest.param({"data": np.eye(2), "target": [0]}, ValueError, "2 rows, but bunch.target has 1", id="lengths"),
        pytest.param(load_diabetes(), ValueError, "decimal numbers", id="regression"),
        pytest.param({"data": np.eye(2), "target": np.eye(2)}, ValueError, r"shape \(2, 2\)", id="two-targets"),
        pytest.param({"data": np.ones(3), "target": [0, 1, 1]}, ValueError, "1-dimensional", id="vector"),
        pytest.param({"data": [["a"]], "target": [0]}, ValueError, "matrix of numbers", id="text"),
        pytest.param(
            {"data": pd.DataFrame({"a": [1], "b": ["x"]}), "target": [0]},
            ValueError,
            "column 'b' holds.*'x'",
            id="text-column",
        ),
        pytest.param({"data": [[1, np.nan]], "target": [0]}, ValueError, "'feature_1'.*missing", id="nan"),
        pytest.param(
            {"data": sparse.csr_matrix([[0, 0, 0], [0, 0, np.inf]]), "target": [0, 1]},
            ValueError,
            r"sample '1' \(row 2\), gene 'feature_2' \(column 3\) is inf",
            id="infinite-sparse",
        ),
        pytest.param(
            {"data": np.eye(2), "target": [0, 1], "feature_names": ["a", "a"]},
            ValueError,
            "genes occur more",
            id="names",
        ),
        pytest.param({"data": np.eye(2), "target": [0, 1], "feature_names": ["a"]}, ValueError, "2 × 1", id="too-few"),
        pytest.param({"data": np.zeros((0, 3)), "target": []}, ValueError, "0 samples × 3", id="no-rows"),
    ],
)
def test_bad_input(bunch: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cc.io.from_bunch(bunch)
