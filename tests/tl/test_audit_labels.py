from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

import cellclf as cc
from cellclf import stats


@pytest.fixture
def judged(small_adata, quick):
    """Give cells of which six carry a wrong label, cross-validated."""
    truth = small_adata.obs["cell_type"].astype(str).to_numpy()
    given = truth.copy()
    for i, name in zip(range(0, 12, 2), ["B", "NK", "T/CD4"] * 2, strict=True):
        given[i] = name if name != truth[i] else "B" if name != "B" else "NK"
    small_adata.obs["truth"], small_adata.obs["cell_type"] = truth, pd.Categorical(given)
    cc.tl.cross_validate(small_adata, "cell_type", network=cc.nn.Linear(), fit=quick, n_folds=3)
    return small_adata


def test_wrong_labels_are_found_and_the_right_ones_suggested(judged):
    cc.tl.audit_labels(judged)
    wrong = judged.obs["cell_type"].astype(str) != judged.obs["truth"]
    flagged = judged.obs["label_issue"]
    assert (flagged & wrong).sum() >= 4  # of six
    assert (flagged & ~wrong).sum() <= 1
    both = flagged & wrong
    assert (judged.obs["label_suggestion"].astype(str)[both] == judged.obs["truth"][both]).all()
    assert judged.obs["label_suggestion"][~flagged].isna().all()
    assert judged.obs["label_quality"][wrong].max() < judged.obs["label_quality"][~wrong].median()
    assert (judged.uns["label_suggestion_colors"] == judged.uns["cell_type_colors"]).all()


def test_the_numbers_are_those_of_the_statistic(judged):
    cc.tl.audit_labels(judged, key_added="check")
    expected = stats.audit(judged.obsm["cellclf_cv_proba"], judged.obs["cell_type"].cat.codes.to_numpy(np.int64))
    np.testing.assert_array_equal(judged.obs["check_quality"], expected.quality)
    np.testing.assert_array_equal(judged.obs["check_issue"], expected.issue)
    np.testing.assert_array_equal(judged.uns["check_audit"]["joint"], expected.joint)
    assert int(judged.uns["check_audit"]["n_issues"]) == expected.issue.sum()


def test_cells_that_were_not_judged_are_not_flagged(judged):
    cc.tl.audit_labels(judged)
    whole = judged.obs["label_issue"].to_numpy().copy()
    unjudged = np.isin(np.arange(120), [1, 4, 50])
    judged.obsm["cellclf_cv_proba"][unjudged] = np.nan
    label = judged.obs["cell_type"].astype(object)
    label.iloc[60] = None
    judged.obs["cell_type"] = label.astype("category")
    cc.tl.audit_labels(judged)
    assert judged.obs["label_quality"].isna().to_numpy().nonzero()[0].tolist() == [1, 4, 50, 60]
    assert not judged.obs["label_issue"].to_numpy()[[1, 4, 50, 60]].any()
    assert whole[4]
    assert int(judged.uns["label_audit"]["n_judged"]) == 116


def test_a_mended_label_is_judged_by_the_same_probabilities(judged):
    cc.tl.audit_labels(judged)
    flagged = judged.obs["label_issue"].to_numpy()
    mended = judged.obs["cell_type"].astype(object).where(~flagged, judged.obs["label_suggestion"].astype(object))
    judged.obs["mended"] = mended.astype("category")
    cc.tl.audit_labels(judged, "mended")
    assert not (judged.obs["label_issue"].to_numpy() & flagged).any()


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip_and_table(judged, form, tmp_path):
    cc.tl.audit_labels(judged)
    table = cc.get.label_audit(judged)
    assert len(table) == judged.obs["label_issue"].sum()
    assert table["quality"].is_monotonic_increasing
    assert (table["given"] == judged.obs.loc[table.index, "cell_type"].astype(str)).all()
    assert (table["suggestion"] != table["given"]).all()
    getattr(judged, f"write_{form}")(tmp_path / "x")
    back = getattr(anndata, f"read_{form}")(tmp_path / "x")
    pd.testing.assert_frame_equal(cc.get.label_audit(back), table)


def test_bad_calls_leave_no_trace(judged):
    before = list(judged.obs)
    with pytest.raises(KeyError, match="holds no record of"):
        cc.tl.audit_labels(judged, key="nope")
    with pytest.raises(KeyError, match="is not in adata"):
        cc.tl.audit_labels(judged, "nope")
    judged.obs["other"] = ["x", "y"] * 60
    with pytest.raises(ValueError, match="classes that were not there when it was cross-validated"):
        cc.tl.audit_labels(judged, "other")
    judged.obsm["cellclf_cv_proba"][5, 1] = np.nan
    with pytest.raises(ValueError, match="NaN, infinite or negative in 1 cells with a label"):
        cc.tl.audit_labels(judged)
    judged.obsm["cellclf_cv_proba"][:] = np.nan
    with pytest.raises(ValueError, match="No cell with a label was judged"):
        cc.tl.audit_labels(judged)
    judged.uns["cellclf_cv"]["function"] = "cellclf.tl.predict"
    with pytest.raises(KeyError, match="was written by"):
        cc.tl.audit_labels(judged)
    assert list(judged.obs) == [*before, "other"]
