from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import cellclf as cc

MLP = cc.nn.MLP(hidden=(8,))
FIELDS = ["cellclf", "cellclf_confidence", "cellclf_unknown_score"]


@pytest.fixture
def trained(small_adata, quick):
    """Give a classifier of `small_adata`, and `small_adata` with its predictions."""
    classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
    cc.tl.predict(small_adata)
    return classifier, small_adata


def same(one: ad.AnnData, other: ad.AnnData, key: str = "cellclf") -> bool:
    return one.obsm[f"{key}_proba"].tobytes() == other.obsm[f"{key}_proba"].tobytes()


class TestFields:
    def test_by_hand(self, trained):
        """Scale, run the network, divide by the temperature, take the softmax: nothing more happens."""
        classifier, adata = trained
        x = adata.X.toarray().astype(np.float32)
        logs = np.log1p(x / x.sum(axis=1, keepdims=True) * np.float32(1e4))
        p = classifier.preprocessing
        z = np.clip((logs - p.offset) / p.divisor, -10, 10) * p.weight
        with torch.no_grad():
            logits = classifier.network(torch.from_numpy(z)).numpy() / classifier.temperature
        proba = np.exp(logits - logits.max(axis=1, keepdims=True))
        proba /= proba.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(adata.obsm["cellclf_proba"], proba, rtol=1e-4, atol=1e-6)
        assert list(adata.obs["cellclf"]) == [classifier.classes[k] for k in proba.argmax(axis=1)]
        np.testing.assert_array_equal(adata.obs["cellclf_confidence"], adata.obsm["cellclf_proba"].max(axis=1))

    def test_kinds(self, trained):
        classifier, adata = trained
        assert list(adata.obs["cellclf"].cat.categories) == list(classifier.classes)
        assert adata.obsm["cellclf_proba"].shape == (120, 3)
        assert adata.obsm["X_cellclf"].shape == (120, 8)
        np.testing.assert_allclose(adata.obsm["cellclf_proba"].sum(axis=1), 1, rtol=1e-5)
        assert list(adata.uns["cellclf_colors"]) == ["#1f77b4", "#ff7f0e", "#279e68"]
        assert np.isfinite(adata.obs["cellclf_unknown_score"]).all()

    def test_a_key_turns_every_word_and_copy_leaves_the_original(self, small_adata, quick):
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        before = small_adata.copy()
        other = cc.tl.predict(small_adata, classifier, key_added="mine", copy=True)
        assert {"mine", "mine_confidence", "mine_unknown_score"} <= set(other.obs)
        assert {"mine_proba", "X_mine"} <= set(other.obsm)
        assert "mine_predict" in other.uns
        assert list(small_adata.obs) == list(before.obs)
        assert list(small_adata.uns) == list(before.uns)
        assert cc.tl.predict(small_adata, classifier) is None

    def test_x_is_never_changed(self, trained):
        classifier, adata = trained
        x = adata.X.toarray()
        x.flags.writeable = False
        copy = ad.AnnData(x, obs=adata.obs.copy(), var=adata.var.copy())
        cc.tl.predict(copy, classifier)
        np.testing.assert_array_equal(copy.X, adata.X.toarray())
        np.testing.assert_allclose(copy.obsm["cellclf_proba"], adata.obsm["cellclf_proba"], atol=1e-6)

    def test_the_label_is_not_replaced(self, trained):
        classifier, adata = trained
        truth = adata.obs["cell_type"].copy()
        for given in (classifier, None):
            adata.uns["cell_type"] = adata.uns["cellclf"]
            with pytest.raises(ValueError, match=r"key_added='cell_type' is the column of adata\.obs with the label"):
                cc.tl.predict(adata, given, key_added="cell_type")
        assert adata.obs["cell_type"].equals(truth)
        query = ad.AnnData(adata.X, var=adata.var[[]])
        for _ in range(2):  # what a call wrote, the next one may replace
            cc.tl.predict(query, classifier, key_added="cell_type")

    def test_what_belongs_to_an_earlier_classifier_is_taken_away(self, small_adata, quick):
        small_adata.obs["cellclf_note"] = "mine"
        cc.tl.train(small_adata, network=MLP, fit=replace(quick, members=2, conformal_folds=3))
        cc.tl.predict(small_adata, unknown=0.2)
        assert {"cellclf_spread", "cellclf_set_size", "cellclf_pvalue"} < set(small_adata.obs)
        cc.tl.train(small_adata, network=MLP, fit=quick)
        cc.tl.predict(small_adata)
        assert list(cc.get.predictions(small_adata)) == ["predicted", "confidence", "unknown_score"]
        own = {"cell_type", "split", "cellclf", "cellclf_confidence", "cellclf_unknown_score", "cellclf_note"}
        assert set(small_adata.obs) == own
        assert set(small_adata.obsm) == {"cellclf_proba", "X_cellclf"}


class TestStorages:
    @pytest.mark.parametrize("kind", [np.array, np.asfortranarray, sp.csc_matrix, sp.csr_array, sp.csc_array])
    def test_same_bits(self, trained, kind):
        classifier, adata = trained
        other = ad.AnnData(kind(adata.X.toarray()), obs=adata.obs[["cell_type"]], var=adata.var)
        cc.tl.predict(other, classifier)
        assert same(adata, other)

    def test_backed(self, trained, tmp_path):
        classifier, adata = trained
        adata.write_h5ad(tmp_path / "a.h5ad")
        backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
        cc.tl.predict(backed, classifier, key_added="again")
        assert backed.obsm["again_proba"].tobytes() == adata.obsm["cellclf_proba"].tobytes()
        backed.file.close()

    @pytest.mark.parametrize("how", ["h5ad", "zarr"])
    def test_file_carries_its_classifier(self, trained, tmp_path, how):
        _, adata = trained
        path = tmp_path / f"a.{how}"
        getattr(adata, f"write_{how}")(path)
        back = getattr(ad, f"read_{how}")(path)
        del back.obsm["cellclf_proba"]
        cc.tl.predict(back)
        assert same(adata, back)
        pd.testing.assert_frame_equal(back.obs[FIELDS], adata.obs[FIELDS], check_categorical=False, check_dtype=False)

    def test_view_becomes_an_anndata_of_its_own(self, trained):
        classifier, adata = trained
        view = adata[:50]
        cc.tl.predict(view, classifier, key_added="part")
        assert not view.is_view
        assert "part" in view.obs
        assert "part" not in adata.obs
        np.testing.assert_allclose(view.obsm["part_proba"], adata.obsm["cellclf_proba"][:50], atol=1e-6)


class TestClassifierArgument:
    def test_every_way_to_name_it(self, trained, tmp_path):
        classifier, adata = trained
        classifier.save(tmp_path / "m.safetensors")
        for given in (classifier, tmp_path / "m.safetensors", str(tmp_path / "m.safetensors"), adata):
            query = ad.AnnData(adata.X.copy(), obs=adata.obs[["cell_type"]].copy(), var=adata.var[[]].copy())
            cc.tl.predict(query, given)
            assert same(adata, query)
            assert str(tmp_path) not in query.uns["cellclf_predict"]["call"]

    def test_absent_or_strange(self, small_adata, tmp_path):
        with pytest.raises(KeyError, match=r"cc\.tl\.train"):
            cc.tl.predict(small_adata)
        with pytest.raises(TypeError, match="int"):
            cc.tl.predict(small_adata, 3)
        with pytest.raises(FileNotFoundError, match="gone"):
            cc.tl.predict(small_adata, tmp_path / "gone.safetensors")


class TestQuery:
    def query(self, adata, genes):
        return ad.AnnData(adata[:, genes].X.copy(), obs=adata.obs[["cell_type"]].copy(), var=pd.DataFrame(index=genes))

    def test_genes_in_any_order_among_others(self, trained):
        classifier, adata = trained
        order = np.random.default_rng(0).permutation(adata.var_names)
        query = self.query(adata, order)
        cc.tl.predict(query, classifier)
        assert same(adata, query)

    def test_missing_gene_takes_the_training_mean_and_is_counted(self, trained):
        classifier, adata = trained
        query = self.query(adata, list(adata.var_names[:-2]))
        totals = np.asarray(query.X.sum(axis=1)).ravel()
        with pytest.warns(UserWarning, match="2 of the classifier's 30 genes are not in adata .*'gene28', 'gene29'"):
            cc.tl.predict(query, classifier)
        values = np.log1p(query.X.toarray() / totals[:, None] * 1e4)
        inputs = classifier.inputs(
            np.c_[values, np.tile(classifier.preprocessing.fill[-2:], (120, 1))].astype(np.float32)
        )
        assert not inputs[:, -2:].any()
        with torch.no_grad():
            logits = classifier.network(torch.from_numpy(inputs)) / classifier.temperature
        np.testing.assert_allclose(query.obsm["cellclf_proba"], torch.softmax(logits, 1), atol=1e-5)

    def test_too_few_genes_are_refused_with_the_overlap(self, trained):
        classifier, adata = trained
        query = self.query(adata, [f"gene{j}" for j in range(9, 30)])  # all but the markers
        with pytest.raises(ValueError, match=r"Only 21 of the classifier's 30 genes .*%.*gene_symbols="):
            cc.tl.predict(query, classifier)
        assert "cellclf" not in query.obs

    def test_norms_are_those_of_the_first_layer(self, trained):
        classifier, _ = trained
        weight = classifier.network.first_linear.weight.detach().numpy()
        expected = np.linalg.norm(weight, axis=0) * classifier.preprocessing.weight
        np.testing.assert_allclose(classifier.gene_norms, expected, rtol=1e-5)

    def test_symbols_in_a_column(self, trained):
        classifier, adata = trained
        query = self.query(adata, list(adata.var_names))
        query.var["symbol"] = query.var_names
        query.var_names = [f"ENSG{j:05d}" for j in range(30)]
        with pytest.raises(ValueError, match="Only 0"):
            cc.tl.predict(query.copy(), classifier)
        cc.tl.predict(query, classifier, gene_symbols="symbol")
        assert same(adata, query)
        with pytest.raises(KeyError, match="'symbol'"):
            cc.tl.predict(query, classifier, gene_symbols="names")

    def test_ensembl_versions_are_ignored_and_that_is_said(self, small_adata, quick, caplog):
        small_adata.var_names = [f"ENSG{j:05d}.{j % 4}" for j in range(30)]
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        cc.tl.predict(small_adata)
        query = self.query(small_adata, list(small_adata.var_names))
        query.var_names = [f"ENSG{j:05d}.{j % 3 + 7}" for j in range(30)]
        with caplog.at_level("INFO", logger="cellclf"):
            cc.tl.predict(query, classifier)
        assert same(small_adata, query)
        assert "version suffixes were ignored" in caplog.text

    def test_duplicate_names_are_refused(self, trained):
        classifier, adata = trained
        query = self.query(adata, list(adata.var_names))
        query.var_names = ["gene0", *query.var_names[:-1]]
        with pytest.raises(ValueError, match="var_names_make_unique"):
            cc.tl.predict(query, classifier)

    @pytest.mark.parametrize(
        ("spoil", "word"),
        [
            (lambda x: x + 0.5, "trained on counts"),
            (lambda x: -x, "trained on counts"),
            (lambda x: np.where(np.arange(120)[:, None] < 2, np.nan, x), "2 cells have NaN"),
            (lambda x: np.where(np.arange(3600).reshape(120, 30) == 4, np.inf, x), "1 cells have NaN .*'gene4'"),
        ],
        ids=["decimals", "negative", "NaN", "infinite"],
    )
    def test_values_of_another_kind_are_refused(self, trained, spoil, word):
        classifier, adata = trained
        query = self.query(adata, list(adata.var_names))
        query.X = spoil(query.X.toarray())
        with pytest.raises(ValueError, match=word):
            cc.tl.predict(query, classifier)
        assert list(query.obs) == ["cell_type"]

    def test_counts_for_a_classifier_of_logarithms_are_warned_of(self, small_adata, quick):
        counts = small_adata.copy()
        small_adata.X = small_adata.X.log1p()
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        with pytest.warns(UserWarning, match="seems to hold counts, but the classifier was trained on other values"):
            cc.tl.predict(counts, classifier)
        cc.tl.predict(small_adata[:1].copy(), classifier)  # pytest makes an error of any warning
        counts.X = (counts.X > 0).astype(np.float32)
        cc.tl.predict(counts, classifier)
        asked = cc.tl.train(small_adata, network=MLP, fit=replace(quick, preprocess="none"))
        counts.X = small_adata.X.rint()
        cc.tl.predict(counts, asked)

    def test_what_was_said_to_be_counts_may_be_decimal(self, small_adata, quick):
        """As counts are from which an ambient share was taken."""
        small_adata.X = small_adata.X * np.float32(0.93)
        cc.tl.train(small_adata, network=MLP, fit=replace(quick, preprocess="counts"))
        cc.tl.predict(small_adata)
        assert cc.tl.evaluate(small_adata).accuracy > 0.8
        small_adata.X = -small_adata.X
        with pytest.raises(ValueError, match="trained on counts, but adata holds negative numbers"):
            cc.tl.predict(small_adata)

    def test_an_embedding_has_no_gene_symbols(self, small_adata, quick):
        small_adata.obsm["X_some"] = small_adata.X[:, :8].toarray()
        cc.tl.train(small_adata, network=MLP, fit=quick, use_rep="X_some")
        with pytest.raises(ValueError, match="gene_symbols='symbol' means nothing"):
            cc.tl.predict(small_adata, gene_symbols="symbol")

    def test_the_layer_of_the_training_is_the_default(self, small_adata, quick):
        small_adata.layers["counts"] = small_adata.X.copy()
        small_adata.X = small_adata.X.toarray() * 0.1
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, layer="counts")
        cc.tl.predict(small_adata)
        query = ad.AnnData(small_adata.layers["counts"], obs=small_adata.obs[["cell_type"]], var=small_adata.var[[]])
        for verb in (cc.tl.predict, cc.tl.importance, cc.tl.explain):
            with pytest.raises(KeyError, match=r"trained on the layer 'counts'.*layer='X' means X itself"):
                verb(query, classifier)
        cc.tl.predict(query, classifier, layer="X")
        assert same(small_adata, query)
