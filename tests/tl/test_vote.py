from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import cellclf as cc

CLASSES = ["B", "NK", "T/CD4"]


@pytest.fixture
def predicted():
    """Give 30 cells with made-up predictions of three classes, in five clusters."""
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3), 30).astype(np.float32)
    obs = pd.DataFrame(
        {
            "cellclf": pd.Categorical.from_codes(proba.argmax(axis=1), categories=CLASSES),
            "cluster": rng.integers(0, 5, 30),
        },
        index=[f"c{i}" for i in range(30)],
    )
    record = {
        "function": "cellclf.tl.predict",
        "version": "0",
        "call": "{}",
        "classes": np.array(CLASSES, dtype=object),
    }
    uns = {"cellclf_predict": record, "cellclf_colors": np.array(["#111111", "#222222", "#333333"], dtype=object)}
    graph = np.triu(rng.random((30, 30)) * (rng.random((30, 30)) < 0.2), 1)
    graph = csr_matrix(graph + graph.T)
    return anndata.AnnData(obs=obs, obsm={"cellclf_proba": proba}, uns=uns, obsp={"connectivities": graph})


@pytest.mark.parametrize("weighted", [True, False])
def test_clusters_agree_as_a_loop_says(predicted, weighted):
    calls = predicted.obs["cellclf"].copy()
    cc.tl.vote(predicted, "cluster", weighted=weighted)
    for cluster in range(5):
        own = (predicted.obs["cluster"] == cluster).to_numpy()
        words = predicted.obsm["cellclf_proba"][own].astype(float)
        words = words if weighted else np.array([np.eye(3)[row.argmax()] for row in words])
        votes = words.sum(axis=0)
        assert set(predicted.obs["cellclf_vote"][own]) == {CLASSES[votes.argmax()]}
        np.testing.assert_allclose(predicted.obs["cellclf_vote_share"][own], votes.max() / votes.sum())
    assert (predicted.obs["cellclf"] == calls).all()
    assert (predicted.uns["cellclf_vote_colors"] == predicted.uns["cellclf_colors"]).all()


@pytest.mark.parametrize("diagonal", [0.0, 5.0])
def test_neighbours_agree_as_a_loop_says(predicted, diagonal):
    graph = predicted.obsp["connectivities"].toarray()
    predicted.obsp["connectivities"] = csr_matrix(graph + diagonal * np.eye(30))
    cc.tl.vote(predicted)
    proba = predicted.obsm["cellclf_proba"].astype(float)
    for i in range(30):
        votes = proba[i] + sum(graph[i, j] * proba[j] for j in range(30))
        assert predicted.obs["cellclf_vote"].iloc[i] == CLASSES[votes.argmax()]
        assert predicted.obs["cellclf_vote_share"].iloc[i] == pytest.approx(votes.max() / votes.sum())


def test_of_equal_classes_the_first_is_taken_in_any_order_of_the_cells(predicted):
    predicted.obsm["cellclf_proba"] = np.tile([0.2, 0.4, 0.4], (30, 1))
    cc.tl.vote(predicted, "cluster")
    assert (predicted.obs["cellclf_vote"] == "NK").all()
    turned = predicted[::-1].copy()
    cc.tl.vote(turned, "cluster")
    assert (turned.obs["cellclf_vote"] == predicted.obs["cellclf_vote"][::-1]).all()


def test_unknown_cells_speak_for_the_unknown(predicted):
    calls = predicted.obs["cellclf"].cat.add_categories("Unknown")
    own = (predicted.obs["cluster"] == 2).to_numpy()
    calls[own] = "Unknown"
    predicted.obs["cellclf"] = calls
    cc.tl.vote(predicted, "cluster")
    assert set(predicted.obs["cellclf_vote"][own]) == {"Unknown"}
    assert (predicted.obs["cellclf_vote_share"][own] == 1).all()
    assert list(predicted.obs["cellclf_vote"].cat.categories) == [*CLASSES, "Unknown"]
    assert "cellclf_vote_colors" not in predicted.uns


def test_a_copy_and_another_name(predicted):
    changed = cc.tl.vote(predicted, "cluster", key_added="agreed", copy=True)
    assert "agreed" not in predicted.obs
    assert {"agreed", "agreed_share"} <= set(changed.obs)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(predicted, form, tmp_path):
    cc.tl.vote(predicted)
    getattr(predicted, f"write_{form}")(tmp_path / "x")
    back = getattr(anndata, f"read_{form}")(tmp_path / "x")
    assert (back.obs["cellclf_vote"].astype(str) == predicted.obs["cellclf_vote"].astype(str)).all()
    cc.tl.vote(back, "cluster")


def missing_cluster(adata):
    adata.obs["cluster"] = adata.obs["cluster"].astype(float).where(adata.obs["cluster"] != 1)


def no_probability(adata):
    adata.obsm["cellclf_proba"][3, 1] = np.nan


def recorded_label(adata):
    adata.uns["cellclf_label"] = "cluster"


def negative_weight(adata):
    adata.obsp["connectivities"].data[0] = -1


@pytest.mark.parametrize(
    ("spoil", "options", "error", "message"),
    [
        (missing_cluster, {"by": "cluster"}, ValueError, r"by='cluster' is missing in \d+ cells"),
        (no_probability, {"by": "cluster"}, ValueError, "NaN, infinite or negative in 1 cells"),
        (negative_weight, {}, ValueError, "negative or infinite weights"),
        (None, {"by": "nope"}, KeyError, "by='nope' is not in adata.obs"),
        (None, {"neighbors": "nope"}, KeyError, "neighbors='nope' is not in adata.obsp"),
        (None, {"by": "cluster", "neighbors": "nope"}, ValueError, "Give one of them"),
        (None, {"key": "nope"}, KeyError, "nope_proba"),
        (
            recorded_label,
            {"by": "cluster", "key_added": "cluster"},
            ValueError,
            "the column of adata.obs with the label",
        ),
        (lambda adata: adata.uns.clear(), {"by": "cluster"}, ValueError, "No record in adata.uns names the classes"),
    ],
)
def test_bad_calls_leave_no_trace(predicted, spoil, options, error, message):
    if spoil is not None:
        spoil(predicted)
    before = list(predicted.uns), list(predicted.obs)
    with pytest.raises(error, match=message):
        cc.tl.vote(predicted, **options)
    assert (list(predicted.uns), list(predicted.obs)) == before
