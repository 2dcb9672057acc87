from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import cellclf as cc
from cellclf import _tensors, stats
from cellclf.tl import _conformal, _learn, _predict

MLP = cc.nn.MLP(hidden=(8,))


@pytest.fixture(scope="module")
def quick() -> cc.Fit:
    """Give a short training with two folds for calibration."""
    return cc.Fit(epochs=4, batch_size=32, learning_rate=0.02, conformal_folds=2)


@pytest.fixture
def cells(small_adata):
    """Give `small_adata` with a third of its rows for testing."""
    cc.pp.split(small_adata, fractions=(0.55, 0.15, 0.3))
    return small_adata


KEPT: dict[str, ad.AnnData] = {}


@pytest.fixture
def trained(cells, quick):
    """Give a classifier with calibration scores, and its cells; it is trained once."""
    if not KEPT:
        cc.tl.train(cells, network=MLP, fit=quick)
        KEPT["cells"] = cells
    adata = KEPT["cells"].copy()
    return cc.Classifier.from_bytes(adata.uns["cellclf"]["model"].tobytes()), adata


class TestScores:
    def test_only_training_rows_have_one(self, trained):
        classifier, adata = trained
        train = adata.obs["split"] == "train"
        codes = adata.obs["cell_type"].cat.codes[train.to_numpy()]
        np.testing.assert_array_equal(classifier.conformal.classes, codes)
        assert np.isfinite(classifier.conformal.scores).all()

    def test_each_comes_from_a_training_without_the_row(self, cells, quick, monkeypatch):
        """Every fold is left out of one training, early-stopping rows of all."""
        seen = []
        real = _conformal.attempt

        def watched(problem, rows, counts, after):
            seen.append(rows.copy())
            return real(problem, rows, counts, after)

        monkeypatch.setattr(_conformal, "attempt", watched)
        cc.tl.train(cells, network=MLP, fit=quick)
        train = (cells.obs["split"] == "train").to_numpy()
        assert len(seen) == 2
        assert not (seen[0] & ~train).any()
        assert not (seen[1] & ~train).any()
        np.testing.assert_array_equal(train & ~seen[0], seen[1])

    def test_by_hand(self, cells, quick, monkeypatch):
        """The score of a row: minus the logarithm of its probability and twice its strangeness, by the network of its fold."""
        kept = []
        real = _conformal.attempt

        def watched(problem, rows, counts, after):
            kept.append((rows.copy(), real(problem, rows, counts, after)))
            return kept[-1][1]

        monkeypatch.setattr(_conformal, "attempt", watched)
        classifier = cc.tl.train(cells, network=MLP, fit=quick)
        train = np.flatnonzero(cells.obs["split"] == "train")
        found = dict(zip(train, np.stack([classifier.conformal.scores, classifier.conformal.novelty], 1), strict=True))
        x = cells.X.toarray()
        for rows, fitted in kept:
            logs = np.log1p(x / x.sum(axis=1, keepdims=True) * np.float32(1e4))[:, fitted.columns].astype(np.float32)
            z = fitted.preprocessing.apply(logs)
            network = fitted.network.network.eval()
            with torch.no_grad():
                logits = network(torch.from_numpy(z)).numpy() / classifier.temperature
                embedding = network.embed(torch.from_numpy(z)).numpy()
            proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            y = cells.obs["cell_type"].cat.codes.to_numpy()
            looks = stats.Novelty.learn(
                z[rows], embedding[rows], logits[rows][:, None], y[rows], 3, emphasis=fitted.emphasis
            )
            looks = replace(looks, levels=classifier.novelty.levels, widths=classifier.novelty.widths)
            strangeness = looks.by_class(z, embedding, logits[:, None])
            for i in set(train) - set(np.flatnonzero(rows)):
                expected = -np.log(proba[i, y[i]]) + 2 * strangeness[i, y[i]]
                assert found[i] == pytest.approx([expected, strangeness[i].min()], rel=1e-3, abs=1e-3)

    @pytest.mark.parametrize("refit", [False, True])
    def test_scales_are_those_of_the_draft(self, cells, quick, monkeypatch, refit):
        """What left-out rows have in its space, and the energy of rows that it was not trained on; also after a second training."""
        drafts = []
        real = _learn.attempt

        def watched(problem, rows, counts, after=None):
            found = real(problem, rows, counts, after=after)
            drafts.extend([found] if after is None else [])
            return found

        monkeypatch.setattr(_learn, "attempt", watched)
        classifier = cc.tl.train(cells, network=MLP, fit=quick, split=None if refit else "split")
        assert classifier.facts["n_rows"] == (120 if refit else (cells.obs["split"] == "train").sum())
        draft = drafts[0]
        network = draft.network.network.eval()
        with torch.no_grad():
            x, new = torch.from_numpy(draft.rows.x), torch.from_numpy(draft.valid.x)
            own, unseen = (network(part).numpy()[:, None] / classifier.temperature for part in (x, new))
            embedding = network.embed(x).numpy()
        by, seen = draft.emphasis, draft.rows
        first = stats.Novelty.learn(seen.x, embedding, own, seen.y, 3, unseen=unseen, emphasis=by)
        np.testing.assert_allclose(classifier.novelty.levels, first.levels, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(classifier.novelty.widths, first.widths, rtol=1e-4)
        energy = -np.log(np.exp(unseen[:, 0].astype(np.float64)).sum(axis=1))
        assert classifier.novelty.levels[3] == pytest.approx(energy.mean(), rel=1e-4)

    def test_early_stopping_rows_taken_out_are_no_calibration_rows(self, small_adata, quick):
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, split=None)
        assert classifier.facts["n_rows"] == 120
        assert len(classifier.conformal.scores) == 120 - classifier.facts["calibration"]["n_rows"]

    def test_the_classifier_is_the_one_without_folds(self, trained, quick):
        classifier, adata = trained
        plain = cc.tl.train(adata, network=MLP, fit=cc.Fit(epochs=4, batch_size=32, learning_rate=0.02))
        assert plain.conformal is None
        x, totals = adata.X, np.asarray(adata.X.sum(axis=1)).ravel()
        one, other = (c.predict_proba(x[:, _columns(adata, c)], totals=totals) for c in (classifier, plain))
        np.testing.assert_array_equal(one, other)

    def test_nothing_is_learnt_from_test_rows(self, trained, quick):
        classifier, adata = trained
        spoilt = adata.copy()
        x = spoilt.X.toarray()
        test = (adata.obs["split"] == "test").to_numpy()
        x[test] = np.random.default_rng(9).poisson(5, size=(test.sum(), 30))
        spoilt.X = x
        for slot in ("mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd", "selected", "selected_rank"):
            spoilt.var = spoilt.var.drop(columns=slot, errors="ignore")
        again = cc.tl.train(spoilt, network=MLP, fit=quick)
        assert _learnt(again) == _learnt(classifier)

    def test_an_interruption_loses_only_the_scores(self, cells, quick, monkeypatch):
        def interrupted(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(_conformal, "attempt", interrupted)
        classifier = cc.tl.train(cells, network=MLP, fit=quick)
        assert classifier.conformal is None
        assert classifier.facts["interrupted"]
        cc.tl.predict(cells)

    def test_they_go_on_from_a_checkpoint(self, trained, quick, tmp_path):
        classifier, adata = trained
        cc.tl.train(adata, network=MLP, fit=quick, checkpoint=tmp_path)
        again = cc.tl.train(adata, network=MLP, fit=quick, checkpoint=tmp_path)
        assert again.conformal.scores.tobytes() == classifier.conformal.scores.tobytes()

    @pytest.mark.parametrize("folds", [1, -1, 2.0, True, "5"])
    def test_numbers_of_folds_without_meaning(self, folds):
        with pytest.raises(ValueError, match="conformal_folds"):
            cc.Fit(conformal_folds=folds)

    def test_a_start_may_have_seen_the_cells(self, trained, quick):
        classifier, adata = trained
        with pytest.raises(ValueError, match="`start` may have"):
            cc.tl.train(adata, network=MLP, fit=quick, start=classifier)

    def test_a_network_without_classes(self, small_adata):
        fit = cc.Fit(epochs=1, conformal_folds=2)
        with pytest.raises(ValueError, match="needs classes"):
            cc.tl.train(small_adata, network=cc.nn.Autoencoder(latent=3, head=False), fit=fit)


def _learnt(classifier):
    """Give all arrays but the times of the history."""
    arrays, _ = _tensors.unpack(classifier.to_bytes())
    return {name: array.tobytes() for name, array in arrays.items() if "second" not in name}


def _columns(adata, classifier):
    return adata.var_names.get_indexer(classifier.genes)


class TestUnknown:
    def test_sets_by_hand(self, trained):
        classifier, adata = trained
        cc.tl.predict(adata, unknown=0.1)
        x, totals = adata.X.toarray()[:, _columns(adata, classifier)], np.asarray(adata.X.sum(axis=1)).ravel()
        block = next(classifier.blocks(classifier.normalised(x, totals)))
        known = classifier.conformal
        chance = pd.util.hash_array(np.array(adata.obs_names.astype(str), dtype=object), categorize=False) / 2**64
        sets = known.of_classes(block.network.nonconformity, 0.1, chance) > 0.1
        as_strange = (known.novelty >= block.network.novelty.astype(np.float32)[:, None]).sum(axis=1)
        np.testing.assert_array_equal(adata.obsm["cellclf_set"], sets)
        np.testing.assert_array_equal(adata.obs["cellclf_set_size"], sets.sum(axis=1))
        np.testing.assert_allclose(adata.obs["cellclf_pvalue"], (1 + as_strange) / (1 + len(known.novelty)))
        unknown = adata.obs["cellclf_pvalue"] <= 0.1
        best = classifier.classes[adata.obsm["cellclf_proba"].argmax(axis=1)]
        assert list(adata.obs["cellclf"]) == list(np.where(unknown, "Unknown", best))
        np.testing.assert_array_equal(adata.obs["cellclf_unknown_score"], block.network.strangeness.min(axis=1))

    def test_a_cell_gets_the_same_set_in_any_company(self, trained):
        """Chance decides for some, and it is drawn from the cell's name: spread evenly, and not by the place."""
        classifier, adata = trained
        cc.tl.predict(adata, unknown=0.1)
        some = adata[np.random.default_rng(0).permutation(adata.n_obs)[:50]].copy()
        before = some.obsm["cellclf_set"].copy()
        cc.tl.predict(some, classifier, unknown=0.1)
        np.testing.assert_array_equal(some.obsm["cellclf_set"], before)
        chance = _predict._chance(pd.Index([f"AAAC-{i}" for i in range(20000)]))
        counts, _ = np.histogram(chance, bins=20, range=(0, 1))
        assert abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.95)

    def test_a_category_and_a_colour_of_its_own(self, trained):
        _, adata = trained
        cc.tl.predict(adata, unknown=0.1)
        assert list(adata.obs["cellclf"].cat.categories) == ["B", "NK", "T/CD4", "Unknown"]
        assert list(adata.uns["cellclf_colors"]) == ["#1f77b4", "#ff7f0e", "#279e68", "#d3d3d3"]

    def test_colours_where_the_label_has_none(self, cells, quick):
        del cells.uns["cell_type_colors"]
        cc.tl.train(cells, network=MLP, fit=quick)
        cc.tl.predict(cells, unknown=0.1)
        colors = list(cells.uns["cellclf_colors"])
        assert colors[-1] == "#d3d3d3"
        assert len(set(colors)) == 4

    def test_cells_unlike_any_are_unknown(self, trained):
        """Cells in which the markers of all classes are off and other genes are on."""
        classifier, adata = trained
        counts = np.random.default_rng(0).poisson(np.where(np.arange(30) < 20, 0.1, 6.0), size=(40, 30))
        query = ad.AnnData(counts.astype(np.float32), var=adata.var[[]])
        cc.tl.predict(query, classifier, unknown=0.1)
        assert (query.obs["cellclf"] == "Unknown").mean() > 0.7
        cc.tl.predict(adata, classifier, unknown=0.1)
        test = adata.obs["split"] == "test"
        assert (adata.obs["cellclf"][test] == "Unknown").mean() < 0.3
        assert query.obs["cellclf_unknown_score"].min() > adata.obs["cellclf_unknown_score"][test].median()

    def test_small_classes_are_pooled_and_named(self, trained, caplog):
        _, adata = trained
        with caplog.at_level("INFO", logger="cellclf"):
            cc.tl.predict(adata, unknown=0.04)  # each class has 22 rows; 24 are needed
        assert list(adata.uns["cellclf_predict"]["pooled"]) == ["B", "NK", "T/CD4"]
        assert "so pooled: 'B', 'NK', 'T/CD4'" in caplog.text
        cc.tl.predict(adata, unknown=0.1)
        assert list(adata.uns["cellclf_predict"]["pooled"]) == []

    @pytest.mark.parametrize("how", ["h5ad", "zarr"])
    def test_files_keep_it(self, trained, tmp_path, how):
        _, adata = trained
        cc.tl.predict(adata, unknown=0.1)
        path = tmp_path / f"a.{how}"
        getattr(adata, f"write_{how}")(path)
        back = getattr(ad, f"read_{how}")(path)
        pd.testing.assert_frame_equal(cc.get.predictions(back), cc.get.predictions(adata))
        assert {"set_size", "pvalue"} <= set(cc.get.predictions(back))
        del back.obsm["cellclf_set"]
        cc.tl.predict(back, unknown=0.1)
        np.testing.assert_array_equal(back.obsm["cellclf_set"], adata.obsm["cellclf_set"])

    def test_bad_input_leaves_the_cells_as_they_were(self, trained, cells):
        classifier, adata = trained
        before = set(adata.obs), set(adata.uns), set(adata.obsm)
        for rate in (0, 1, -1, "5%"):
            with pytest.raises(ValueError, match="has no meaning"):
                cc.tl.predict(adata, classifier, unknown=rate)
        with pytest.raises(ValueError, match="66 calibration cells are too few"):
            cc.tl.predict(adata, classifier, unknown=0.01)
        assert (set(adata.obs), set(adata.uns), set(adata.obsm)) == before

    def test_a_classifier_without_scores_says_how_to_get_them(self, small_adata):
        cc.tl.train(small_adata, "cell_type", network=MLP, fit=cc.Fit(epochs=6, learning_rate=0.02, batch_size=32))
        with pytest.raises(ValueError, match=r"cc\.tl\.train\(adata, 'cell_type', fit=cc\.Fit\(conformal_folds=5\)\)"):
            cc.tl.predict(small_adata, unknown=0.05)

    def test_a_class_of_that_name(self, cells, quick):
        cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"B": "Unknown"})
        cc.tl.train(cells, network=MLP, fit=quick)
        with pytest.raises(ValueError, match="has a class named 'Unknown'"):
            cc.tl.predict(cells, unknown=0.1)


def test_weights_that_are_not_finite_are_told_of(trained):
    classifier, adata = trained
    with torch.no_grad():
        classifier.network.first_linear.weight.fill_(float("nan"))
    for verb in (cc.tl.predict, cc.tl.evaluate):
        with pytest.raises(ValueError, match="gives no probabilities"):
            verb(adata, classifier)
    assert "cellclf_proba" not in adata.obsm
