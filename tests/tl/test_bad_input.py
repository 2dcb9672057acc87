"""What a user may do wrong in `train`: a built-in exception that says what to do, and the AnnData as it was."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellclf as cc


def state(adata) -> dict:
    """Everything that a failed call must leave alone."""
    return {
        "obs": list(adata.obs),
        "var": list(adata.var),
        "uns": sorted(adata.uns),
        "obsm": sorted(adata.obsm),
        "varm": sorted(adata.varm),
        "X": adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray(),
    }


def with_x(adata, x):
    return ad.AnnData(x, obs=adata.obs, var=adata.var)


def nan(adata):
    x = adata.X.toarray()
    x[5, 3] = np.nan
    return with_x(adata, x)


def infinite(adata):
    adata.X.data[7] = np.inf
    return adata


def beyond_float32(adata):
    x = adata.X.toarray().astype(np.float64) + 0.5
    x[0, 0] = 1e300
    return with_x(adata, x)


def negative(adata):
    return with_x(adata, adata.X.toarray() - 1)


def no_cells(adata):
    return adata[:0].copy()


def no_genes(adata):
    return adata[:, :0].copy()


def one_class(adata):
    return adata[adata.obs["cell_type"] == "B"].copy()


def no_labels(adata):
    adata.obs["cell_type"] = pd.Categorical([None] * 120, categories=["a", "b"])
    return adata


def decimals(adata):
    adata.obs["cell_type"] = np.linspace(0, 1, 120)
    return adata


def names_of_cells(adata):
    adata.obs["cell_type"] = adata.obs_names.astype(str)
    return adata


def capitals(adata):
    adata.obs["split"] = ["Train"] * 100 + ["Test"] * 20
    return adata


def duplicate_genes(adata):
    adata.var_names = ["gene0", *adata.var_names[:-1]]
    return adata


def sparse_embedding(adata):
    adata.obsm["X_sparse"] = adata.X[:, :5]
    return adata


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")  # anndata says so too
@pytest.mark.parametrize(
    ("spoil", "options", "error", "word"),
    [
        (nan, {}, ValueError, "NaN .* That gene is 'gene3'"),
        (nan, {"genes": "all"}, ValueError, r"1 cells have NaN .*'gene3'"),
        (infinite, {}, ValueError, "infinite"),
        (infinite, {"genes": "all"}, ValueError, "infinite"),
        (beyond_float32, {"genes": "all"}, ValueError, "infinite"),
        (no_cells, {}, ValueError, "0 cells"),
        (no_genes, {}, ValueError, "0 genes"),
        (one_class, {}, ValueError, "only 'B'"),
        (no_labels, {}, ValueError, "two classes"),
        (decimals, {}, ValueError, "decimal"),
        (names_of_cells, {}, ValueError, "another class in each of its 120 cells"),
        (capitals, {}, ValueError, "'Test', 'Train'.*rename"),
        (duplicate_genes, {}, ValueError, "var_names_make_unique"),
        (negative, {"fit": cc.Fit(preprocess="counts")}, ValueError, "no counts"),
        (lambda a: a, {"layer": "counts"}, KeyError, "layer='counts'"),
        (lambda a: a, {"split": "fold"}, KeyError, "'cell_type'"),
        (lambda a: a, {"fit": cc.Fit(device="cuda:31")}, ValueError, "cuda:31"),
        (lambda a: a, {"fit": {"epochs": 3}}, TypeError, r"cc\.Fit\(epochs=20\)"),
        (lambda a: a, {"fit": cc.Fit}, TypeError, "is no Fit"),
        (lambda a: a, {"start": "model.safetensors"}, TypeError, r"Classifier\.load"),
        (lambda a: a, {"genes": 50}, TypeError, "select_genes"),
        (lambda a: a, {"genes": np.arange(30) < 9}, TypeError, "is a mask.*boolean column"),
        (sparse_embedding, {"use_rep": "X_sparse"}, TypeError, r"sparse. Make it dense.*toarray"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or (str(value) if isinstance(value, dict) else None),
)
def test_refused_and_unchanged(small_adata, spoil, options, error, word):
    adata = spoil(small_adata)
    before = state(adata)
    with pytest.raises(error, match=word):
        cc.tl.train(adata, "cell_type", **options)
    after = state(adata)
    np.testing.assert_array_equal(after.pop("X"), before.pop("X"))
    assert after == before


def test_absent_label_lists_what_there_is(small_adata):
    with pytest.raises(KeyError, match="'cell_type'"):
        cc.tl.train(small_adata, "celltype")


def test_a_column_instead_of_its_name(small_adata):
    with pytest.raises(TypeError, match=r"label is a Series. Give a name in adata\.obs, which holds: 'cell_type'"):
        cc.tl.train(small_adata, small_adata.obs["cell_type"])


@pytest.mark.parametrize("verb", [cc.tl.train, cc.tl.predict, cc.tl.evaluate, cc.tl.importance, cc.tl.cross_validate])
def test_what_is_no_anndata(verb, small_adata):
    for other in ("cells.h5ad", small_adata.to_df()):
        with pytest.raises(TypeError, match=rf"adata is a {type(other).__name__}. Give an AnnData"):
            verb(other)


LONG = "train cross_validate baselines tune importance explain importance_check stability ablation l1_path panel_curve predict"


@pytest.mark.parametrize("verb", LONG.split())
def test_a_key_that_files_cannot_hold_is_refused_before_any_work(verb, small_adata):
    with pytest.raises(ValueError, match="'T/B' holds '/'"):
        getattr(cc.tl, verb)(small_adata, key_added="T/B")
    assert list(small_adata.uns) == ["cell_type_colors"]


class TestAccepted:
    def test_missing_labels_are_left_out(self, small_adata, quick):
        small_adata.obs.iloc[:30, 0] = None
        classifier = cc.tl.train(small_adata, fit=quick, split=None)
        assert classifier.facts["n_rows"] == 90
        cc.tl.predict(small_adata)
        assert small_adata.obs["cellclf"].notna().all()

    def test_unused_categories_are_no_classes(self, small_adata, quick):
        small_adata.obs["cell_type"] = small_adata.obs["cell_type"].cat.add_categories(["plasma"])
        assert list(cc.tl.train(small_adata, fit=quick).classes) == ["B", "NK", "T/CD4"]

    def test_whole_numbers_serve_when_named(self, small_adata, quick):
        small_adata.obs["cluster"] = small_adata.obs["cell_type"].cat.codes.astype(int)
        classifier = cc.tl.train(small_adata, "cluster", fit=quick)
        assert list(classifier.classes) == ["0", "1", "2"]
        cc.tl.predict(small_adata)
        assert cc.tl.evaluate(small_adata).n_rows == 12

    def test_two_cells_in_a_class(self, small_adata, quick):
        labels = small_adata.obs["cell_type"].astype(str)
        labels.iloc[[3, 60]] = "rare"
        small_adata.obs["cell_type"] = labels
        assert "rare" in cc.tl.train(small_adata, fit=quick).classes

    def test_a_view_is_trained_on_and_its_parent_left_alone(self, small_adata, quick):
        view = small_adata[:90]
        cc.tl.train(view, fit=quick)
        assert "cellclf" in view.uns
        assert "cellclf" not in small_adata.uns
        assert "split" not in small_adata.obs

    def test_constant_genes_and_cells_without_counts(self, small_adata, quick):
        x = small_adata.X.toarray()
        x[:, 29] = 0
        x[:, 28] = 3
        x[5] = 0
        adata = with_x(small_adata, x)
        classifier = cc.tl.train(adata, fit=quick, genes="all")
        cc.tl.predict(adata)
        assert np.isfinite(adata.obsm["cellclf_proba"]).all()
        assert classifier.preprocessing.weight[29] == 0

    def test_backed(self, small_adata, quick, tmp_path):
        small_adata.write_h5ad(tmp_path / "a.h5ad")
        backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
        classifier = cc.tl.train(backed, fit=quick)
        expected = cc.tl.train(small_adata, fit=quick)
        for name, tensor in classifier.network.state_dict().items():
            assert tensor.numpy().tobytes() == expected.network.state_dict()[name].numpy().tobytes()
        backed.file.close()

    def test_dask(self, small_adata, quick):
        dask = pytest.importorskip("dask.array")
        lazy = ad.AnnData(
            dask.from_array(small_adata.X.toarray(), chunks=(50, 7)), obs=small_adata.obs, var=small_adata.var
        )
        classifier, expected = cc.tl.train(lazy, fit=quick), cc.tl.train(small_adata, fit=quick)
        for name, tensor in classifier.network.state_dict().items():
            assert tensor.numpy().tobytes() == expected.network.state_dict()[name].numpy().tobytes()
