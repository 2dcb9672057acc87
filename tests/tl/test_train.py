from __future__ import annotations

import json
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import cellclf as cc
from cellclf import stats
from cellclf.fit import Rows
from cellclf.fit._logistic import logistic
from cellclf.pp._conditions import corrected_by_class
from cellclf.tl import _attempt as attempt_module
from cellclf.tl import _genes, _learn
from cellclf.tl._lesson import Lesson, teach, teach_several

MLP = cc.nn.MLP(hidden=(8,))


def learnt(classifier) -> dict[str, bytes]:
    """Everything learnt, without the times that the history holds."""
    arrays = {
        **{f"network.{name}": tensor.numpy() for name, tensor in classifier.network.state_dict().items()},
        **{f"linear.{name}": tensor.numpy() for name, tensor in classifier.linear.state_dict().items()},
        **classifier.preprocessing.tensors(),
        **{f"novelty.{name}": array for name, array in classifier.novelty.tensors().items()},
        "prior": classifier.prior,
        "temperature": np.array([classifier.temperature, classifier.linear_temperature]),
        "valid_loss": classifier.epochs["valid_loss"],
        "genes": classifier.genes.astype(str),
    }
    return {name: np.ascontiguousarray(array).tobytes() for name, array in arrays.items()}


class TestAlone:
    def test_train_alone_makes_what_it_needs_and_records_it(self, small_adata, quick):
        before = small_adata.X.copy()
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert set(small_adata.obs["split"].cat.categories) == {"train", "valid", "test"}
        assert small_adata.var["selected"].all()
        assert {"mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd"} <= set(small_adata.var)
        assert {"cellclf", "split", "gene_scores", "selected"} <= set(small_adata.uns)
        assert small_adata.uns["cellclf_label"] == "cell_type"
        assert list(classifier.classes) == ["B", "NK", "T/CD4"]
        assert list(classifier.genes) == list(small_adata.var_names)
        assert len(classifier.history) == 6
        assert (small_adata.X != before).nnz == 0

    def test_scores_are_those_of_the_training_rows(self, small_adata, quick):
        cc.tl.train(small_adata, network=MLP, fit=quick)
        again = small_adata[:, :].copy()
        cc.pp.gene_scores(again, "cell_type")
        pd.testing.assert_series_equal(again.var["mi"], small_adata.var["mi"])
        np.testing.assert_array_equal(again.varm["mi_by_class"], small_adata.varm["mi_by_class"])

    def test_an_existing_split_and_selection_are_used_as_they_are(self, small_adata, quick):
        cc.pp.split(small_adata)
        small_adata.var["selected"] = np.arange(30) < 9
        split = small_adata.obs["split"].copy()
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert list(classifier.genes) == [f"gene{j}" for j in range(9)]
        pd.testing.assert_series_equal(small_adata.obs["split"], split)
        assert "mi" not in small_adata.var

    def test_it_learns(self, small_adata):
        classifier = cc.tl.train(small_adata)
        assert cc.tl.evaluate(small_adata).accuracy >= 0.9
        assert classifier.skill.loc["network", "log_loss"] < classifier.skill.loc["prior", "log_loss"]

    def test_store_false_keeps_the_record_without_the_model(self, small_adata, quick):
        cc.tl.train(small_adata, network=MLP, fit=quick, store=False, key_added="mine")
        assert "model" not in small_adata.uns["mine"]
        assert "cellclf" not in small_adata.uns

    def test_global_generators_are_left_alone(self, small_adata, quick):
        import torch

        np.random.seed(3)  # noqa: NPY002 (that it is not touched is the point)
        torch.manual_seed(3)
        before = np.random.get_state()[1].tobytes(), torch.random.get_rng_state()  # noqa: NPY002
        cc.tl.train(small_adata, network=MLP, fit=quick)
        cc.tl.predict(small_adata)
        assert np.random.get_state()[1].tobytes() == before[0]  # noqa: NPY002
        assert torch.equal(torch.random.get_rng_state(), before[1])


class TestGenes:
    @pytest.mark.parametrize(
        ("genes", "expected"),
        [
            pytest.param("all", [f"gene{j}" for j in range(30)], id="all"),
            pytest.param(["gene5", "gene0"], ["gene5", "gene0"], id="a list, in its order"),
            pytest.param("marker", ["gene1", "gene2"], id="a boolean column"),
        ],
    )
    def test_choice(self, small_adata, quick, genes, expected):
        small_adata.var["marker"] = np.isin(np.arange(30), [1, 2])
        assert list(cc.tl.train(small_adata, network=MLP, fit=quick, genes=genes).genes) == expected
        assert "selected" not in small_adata.var

    def test_auto_takes_the_most_informative(self, small_adata, quick, monkeypatch):
        monkeypatch.setattr("cellclf.tl._genes.N_GENES", 9)
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert set(classifier.genes) == {f"gene{j}" for j in range(9)}
        assert small_adata.var["selected"].sum() == 9
        assert list(small_adata.var.index[small_adata.var["selected"]]) == list(classifier.genes)

    def test_auto_serves_a_class_that_tells_little(self, quick, monkeypatch):
        monkeypatch.setattr("cellclf.tl._genes.N_GENES", 6)
        rng = np.random.default_rng(0)
        y = np.repeat(np.arange(3), [100, 100, 12])
        x = rng.normal(size=(212, 30)).astype(np.float32)
        x[:, :10] += 3 * (y == 0)[:, None]  # enough to fill the whole choice
        x[:, 10:12] += 2.5 * (y == 2)[:, None]
        obs = pd.DataFrame({"kind": pd.Categorical(np.array(list("abc"))[y])}, index=np.arange(212).astype(str))
        adata = ad.AnnData(x, obs=obs)
        chosen = {int(name) for name in cc.tl.train(adata, "kind", network=MLP, fit=quick, split=None).genes}
        assert {10, 11} < chosen
        assert not {10, 11} & set(np.argsort(-adata.var["mi_corrected"].to_numpy())[:6])
        expected = stats.turns(
            corrected_by_class({name: np.asarray(found) for name, found in [*adata.var.items(), *adata.varm.items()]})
        )[:6]
        assert chosen == set(expected)

    def test_a_class_without_cells_takes_no_turn(self, monkeypatch):
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(60, 12)).astype(np.float32), np.repeat([0, 2], 30)
        x[:, 5:8] += 2 * (y == 2)[:, None]
        monkeypatch.setattr(_genes, "N_GENES", 4)
        found = [_genes.most_informative(x, codes, n) for codes, n in ((y, 3), (y // 2, 2))]
        assert np.array_equal(*found)

    @pytest.mark.parametrize(
        ("genes", "error", "word"),
        [
            (["gene0", "none"], KeyError, "'none'"),
            (["gene0", "gene0"], ValueError, "more than once"),
            ([], ValueError, "empty"),
            ("n_cells", ValueError, "not boolean"),
            ("absent", KeyError, "'n_cells'"),
            ("nobody", ValueError, "selects no gene"),
        ],
        ids=["unknown", "twice", "empty", "numbers", "no column", "none true"],
    )
    def test_bad_choice(self, small_adata, quick, genes, error, word):
        small_adata.var["n_cells"] = 1.0
        small_adata.var["nobody"] = False
        with pytest.raises(error, match=word):
            cc.tl.train(small_adata, fit=quick, genes=genes)

    def test_embedding(self, small_adata, quick):
        small_adata.obsm["X_pca"] = small_adata.X.toarray()[:, :9] * 1.5
        cc.tl.train(small_adata, network=MLP, fit=cc.Fit(epochs=20, batch_size=32), use_rep="X_pca")
        cc.tl.predict(small_adata)
        assert cc.tl.evaluate(small_adata).accuracy > 0.8
        assert "selected" not in small_adata.var
        with pytest.raises(ValueError, match="use_rep"):
            cc.tl.train(small_adata, fit=quick, use_rep="X_pca", genes=["gene0"])
        with pytest.raises(KeyError, match="'X_pca'"):
            cc.tl.train(small_adata, fit=quick, use_rep="X_umap")


class TestSameBits:
    def kinds(self, adata):
        dense = adata.X.toarray()
        read_only = dense.copy()
        read_only.flags.writeable = False
        wide = sp.csr_matrix(dense)
        wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
        shuffled = sp.csr_matrix(dense)
        for i in range(shuffled.shape[0]):
            part = slice(shuffled.indptr[i], shuffled.indptr[i + 1])
            shuffled.indices[part], shuffled.data[part] = shuffled.indices[part][::-1], shuffled.data[part][::-1]
        shuffled.has_sorted_indices = False
        zeros = sp.csr_matrix(dense)
        zeros.data = zeros.data.copy()
        explicit = sp.coo_matrix(
            (
                np.append(zeros.data, 0),
                (np.append(zeros.nonzero()[0], 0), np.append(zeros.nonzero()[1], int(np.argmin(dense[0])))),
            ),
            shape=dense.shape,
        ).tocsr()
        return {
            "dense": dense,
            "Fortran order": np.asfortranarray(dense),
            "read-only": read_only,
            "float64": dense.astype(np.float64),
            "integers": dense.astype(np.int64),
            "CSC": sp.csc_matrix(dense),
            "sparse array": sp.csr_array(dense),
            "64-bit indices": wide,
            "unsorted indices": shuffled,
            "explicit zeros": explicit,
        }

    def test_every_storage_gives_the_same_bits(self, small_adata, quick):
        expected = learnt(cc.tl.train(small_adata.copy(), network=MLP, fit=quick))
        for name, x in self.kinds(small_adata).items():
            adata = ad.AnnData(x, obs=small_adata.obs.copy(), var=small_adata.var.copy())
            assert learnt(cc.tl.train(adata, network=MLP, fit=quick)) == expected, name

    def test_same_seed_same_weights_other_seed_other_weights(self, small_adata, quick):
        runs = [learnt(cc.tl.train(small_adata.copy(), network=MLP, fit=quick, rng=seed)) for seed in (1, 1, 2)]
        assert runs[0] == runs[1] != runs[2]
        generators = [
            learnt(cc.tl.train(small_adata.copy(), fit=quick, rng=np.random.default_rng(5))) for _ in range(2)
        ]
        assert generators[0] == generators[1]

    @pytest.mark.parametrize("valid", [True, False], ids=["valid rows", "valid rows taken out"])
    def test_nothing_is_learnt_from_test_rows(self, small_adata, quick, valid):
        cc.pp.split(small_adata, fractions=(0.7, 0.1, 0.2) if valid else (0.8, 0.0, 0.2))
        changed = small_adata.copy()
        x = changed.X.toarray()
        x[(changed.obs["split"] == "test").to_numpy()] = np.nan
        changed.X = x
        expected = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert learnt(cc.tl.train(changed, network=MLP, fit=quick)) == learnt(expected)
        for column in ("mi", "mi_corrected", "mi_pvalue", "jsd", "selected_rank"):
            pd.testing.assert_series_equal(changed.var[column], small_adata.var[column])

    def test_labels_of_test_rows_do_not_matter_either(self, small_adata, quick):
        cc.pp.split(small_adata)
        changed = small_adata.copy()
        changed.obs.loc[changed.obs["split"] == "test", "cell_type"] = "B"
        a, b = (cc.tl.train(adata, "cell_type", network=MLP, fit=quick) for adata in (small_adata, changed))
        assert learnt(a) == learnt(b)


class TestRows:
    def test_refit_learns_from_the_rows_it_validated_on(self, small_adata, quick, monkeypatch):
        cc.pp.split(small_adata, fractions=(0.8, 0.0, 0.2))
        sizes = []
        fit_network = attempt_module.fit_network

        def spy(description, rows, valid, *args, **kwargs):
            sizes.append((len(rows.y), 0 if valid is None else len(valid.y)))
            return fit_network(description, rows, valid, *args, **kwargs)

        monkeypatch.setattr(attempt_module, "fit_network", spy)
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert sizes in ([(87, 9), (96, 0)], [(86, 10), (96, 0)])
        assert classifier.facts["n_rows"] == 96
        sizes.clear()
        cc.tl.train(small_adata, network=MLP, fit=replace(quick, refit=False))
        assert len(sizes) == 1

    def test_all_labelled_rows_without_a_split(self, small_adata, quick):
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, split=None)
        assert "split" not in small_adata.obs
        assert classifier.facts["n_rows"] == 120

    def test_without_validation_rows_the_last_epoch_is_kept(self, quick):
        """One cell of each class is too few to take validation rows from."""
        x = np.eye(3, 6, dtype=np.float32) * 5
        adata = ad.AnnData(x, obs=pd.DataFrame({"kind": list("abc")}, index=list("xyz")))
        classifier = cc.tl.train(adata, "kind", network=MLP, fit=quick, split=None)
        assert classifier.facts["best_epoch"] == 6
        assert classifier.temperature == 1
        assert classifier.facts["skill"] == {}
        assert classifier.history["valid_loss"].isna().all()

    def test_a_class_of_one_cell_is_learnt_too(self, small_adata, quick):
        labels = small_adata.obs["cell_type"].astype(str)
        labels.iloc[7] = "rare"
        small_adata.obs["cell_type"] = labels
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert "rare" in classifier.classes
        assert small_adata.obs["split"].iloc[7] == "train"

    def test_validation_rows_of_other_classes_are_passed_over(self, small_adata, quick):
        cc.pp.split(small_adata)
        labels = small_adata.obs["cell_type"].astype(str)
        labels.iloc[np.flatnonzero(small_adata.obs["split"] == "valid")[0]] = "elsewhere"
        small_adata.obs["cell_type"] = labels
        with pytest.warns(UserWarning, match="No training row has the class 'elsewhere'"):
            classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
        assert list(classifier.classes) == ["B", "NK", "T/CD4"]

    def test_a_missing_value_that_was_made_a_word_is_told(self, small_adata, quick):
        """As `adata.obs[label].astype(str)` does; the remedy in the message works."""
        small_adata.obs["cell_type"] = small_adata.obs["cell_type"].astype(str)
        small_adata.obs.loc[small_adata.obs_names[:12], "cell_type"] = "nan"
        with pytest.warns(UserWarning, match="has the class 'nan', which looks like a missing value") as told:
            assert "nan" in cc.tl.train(small_adata, "cell_type", network=MLP, fit=quick, split=None).classes
        exec(str(told[0].message).split("If it is missing: ")[1].rstrip("."), {"adata": small_adata})  # noqa: S102
        assert list(cc.tl.train(small_adata, network=MLP, fit=quick, split=None).classes) == ["B", "NK", "T/CD4"]

    def test_interrupted_training_is_returned_and_said(self, small_adata, quick, monkeypatch):
        fit_network = attempt_module.fit_network

        def interrupted(*args, **kwargs):
            return replace(fit_network(*args, **kwargs), interrupted=True)

        monkeypatch.setattr(attempt_module, "fit_network", interrupted)
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, split=None)
        assert classifier.facts["interrupted"]
        assert classifier.facts["n_rows"] < 120  # no refit after Ctrl-C


class TestPreprocessing:
    def test_counts_are_recognised_and_normalised(self, small_adata, quick):
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, genes="all")
        assert classifier.preprocessing.counts
        rows = (small_adata.obs["split"] == "train").to_numpy()
        x = small_adata.X.toarray()[rows].astype(np.float64)
        logs = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)
        np.testing.assert_allclose(classifier.preprocessing.offset, logs.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(classifier.preprocessing.divisor, logs.std(axis=0), rtol=1e-5)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda x: x + 0.5, id="decimals"),
            pytest.param(lambda x: x - 1, id="negative"),
            pytest.param(lambda x: (x > 2).astype(np.float32), id="zero and one"),
        ],
    )
    def test_other_values_are_taken_as_they_are(self, small_adata, quick, change):
        adata = ad.AnnData(change(small_adata.X.toarray()), obs=small_adata.obs, var=small_adata.var)
        classifier = cc.tl.train(adata, network=MLP, fit=quick, genes="all")
        assert not classifier.preprocessing.counts
        rows = (adata.obs["split"] == "train").to_numpy()
        np.testing.assert_allclose(classifier.preprocessing.offset, adata.X[rows].mean(axis=0), rtol=1e-5, atol=1e-6)

    def test_weights_are_the_most_that_a_gene_tells(self, small_adata, quick):
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, genes="all")
        rows = (small_adata.obs["split"] == "train").to_numpy()
        x, y = small_adata.X.toarray()[rows], small_adata.obs["cell_type"].cat.codes.to_numpy(np.int64)[rows]
        bins = stats.bin_edges(x, np.ones(len(y), bool))
        table = stats.contingency(x, y, bins=bins, n_classes=3)
        information = stats.normalised_information(table).max(axis=1) ** 0.75
        expected = information / np.sqrt((information**2).mean())
        np.testing.assert_allclose(classifier.preprocessing.weight, expected, rtol=1e-6)
        plain = cc.tl.train(small_adata, network=MLP, fit=replace(quick, information_power=0))
        assert set(plain.preprocessing.weight) == {1}

    def test_strange_cells_are_told_by_what_genes_tell_about_the_label(self, small_adata, quick, monkeypatch):
        fitted, attempt = [], _learn.attempt

        def watched(*arguments, **named):
            fitted.append(attempt(*arguments, **named))
            return fitted[-1]

        monkeypatch.setattr(_learn, "attempt", watched)
        cc.tl.train(small_adata, network=MLP, fit=quick, genes="all")
        rows = (small_adata.obs["split"] == "train").to_numpy()
        x, y = small_adata.X.toarray()[rows], small_adata.obs["cell_type"].cat.codes.to_numpy(np.int64)[rows]
        table = stats.contingency(x, y, bins=stats.bin_edges(x, np.ones(len(y), bool)), n_classes=3)
        of_label, *of_each = stats.normalised_information(table).T ** 0.75
        expected = of_label / np.sqrt((of_label**2).mean())
        found = fitted[0].emphasis * fitted[0].preprocessing.weight
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert (np.max(of_each, axis=0) > of_label).any()  # else the two weights would be the same

    @pytest.mark.parametrize("power", [0.0, 0.75])
    @pytest.mark.parametrize("scale", ["zscore", "minmax", "none"])
    def test_a_gene_that_does_not_vary_is_not_listened_to(self, small_adata, quick, power, scale):
        adata = ad.AnnData(np.log1p(small_adata.X.toarray()), obs=small_adata.obs, var=small_adata.var)
        adata.X[:, 3] = 0.7
        fit = replace(quick, information_power=power, scale=scale)
        classifier = cc.tl.train(adata, network=MLP, fit=fit, genes="all")
        weight = classifier.preprocessing.weight.astype(np.float64)
        assert weight[3] == 0
        assert (weight[np.arange(len(weight)) != 3] > 0).any()
        assert np.sqrt((np.delete(weight, 3) ** 2).mean()) == pytest.approx(1, rel=1e-5)
        query = adata.copy()
        query.X[:, 3] = 40.0
        cc.tl.predict(query, classifier)
        cc.tl.predict(adata, classifier)
        np.testing.assert_array_equal(query.obsm["cellclf_proba"], adata.obsm["cellclf_proba"])

    @pytest.mark.parametrize(("scale", "low", "high"), [("minmax", 0, 1), ("maxabs", 0, 1), ("none", 0, np.log1p(1e4))])
    def test_other_scales(self, small_adata, quick, scale, low, high):
        fit = replace(quick, scale=scale, information_power=0, epochs=12)
        classifier = cc.tl.train(small_adata, network=MLP, fit=fit, genes="all", split=None)
        x = small_adata.X.toarray()
        inputs = classifier.inputs(classifier.normalised(x, x.sum(axis=1)))
        assert inputs.min() >= low - 1e-6
        assert inputs.max() <= high + 1e-6
        if scale != "none":
            np.testing.assert_allclose(inputs.max(axis=0), 1, rtol=1e-6)


class TestStart:
    def test_goes_on_from_the_weights_and_preprocessing_of_start(self, small_adata, quick):
        first = cc.tl.train(small_adata, network=MLP, fit=quick)
        fit = cc.Fit(epochs=1, members=1, learning_rate=1e-12, weight_decay=0)
        again = cc.tl.train(small_adata, start=first, fit=fit, key_added="again")
        assert list(again.genes) == list(first.genes)
        np.testing.assert_allclose(
            again.network.first_linear.weight.detach(), first.network.first_linear.weight.detach(), atol=1e-6
        )
        assert again.preprocessing.tensors()["weight"].tobytes() == first.preprocessing.tensors()["weight"].tobytes()
        assert json.loads(small_adata.uns["again"]["call"])["start"] == "Classifier"  # by name, not by its weights


def said_by_models(inputs, y, loud):
    """Weights and biases of both linear models together, learnt from these cells, each as loud as told."""
    axes, sizes = Rows(inputs, y).axes(20), np.bincount(y)
    learnt = {"discriminant": stats.discriminant(inputs, y, sizes, axes), "logistic": logistic(inputs, y, sizes, axes)}
    return tuple(sum(loud[name] * part[place] for name, part in learnt.items()) for place in (0, 1))


class TestStacking:
    @pytest.fixture
    def faint(self) -> ad.AnnData:
        """Give 240 cells of three classes that overlap."""
        rng = np.random.default_rng(0)
        y = np.repeat(np.arange(3), [60, 80, 100])
        x = (0.8 * rng.normal(size=(3, 20))[y] + rng.normal(size=(240, 20)) * rng.uniform(0.3, 3, 20)).astype(
            np.float32
        )
        obs = pd.DataFrame({"kind": pd.Categorical(np.array(list("abc"))[y])}, index=[f"cell{i}" for i in range(240)])
        return ad.AnnData(x, obs=obs)

    def test_models_add_to_the_skip_what_the_final_rows_teach_and_nothing_else(self, faint, quick):
        fit = replace(quick, epochs=4, learning_rate=2e-3)  # a network that knows little leaves much to say
        alone, beside = (
            cc.tl.train(faint.copy(), "kind", network=MLP, fit=replace(fit, stacking=said), split=None)
            for said in (False, True)
        )
        loud = beside.facts["stacked"]
        assert alone.facts["stacked"] == {}
        assert sum(loud.values()) > 0
        inputs, y = beside.inputs(faint.X[:, :].copy()), faint.obs["kind"].cat.codes.to_numpy().astype(np.int64)
        weight, bias = said_by_models(inputs, y, loud)
        before, after = alone.network.first_linear, beside.network.first_linear
        assert np.array_equal(after.weight[:8].detach(), before.weight[:8].detach())
        np.testing.assert_allclose((after.weight - before.weight)[8:].detach(), weight.T, atol=1e-3)
        np.testing.assert_allclose((after.bias - before.bias)[8:].detach(), bias, atol=1e-3)

    def test_they_make_the_loss_of_the_validation_rows_smaller(self, faint, quick):
        fit = replace(quick, epochs=4, learning_rate=2e-3)
        losses = [
            cc.tl.train(faint.copy(), "kind", network=MLP, fit=replace(fit, stacking=said)).facts["skill"]["network"]
            for said in (False, True)
        ]
        assert losses[1]["log_loss"] < losses[0]["log_loss"]

    def test_classifiers_are_kept_with_them(self, faint, quick, tmp_path):
        fit = replace(quick, epochs=4, learning_rate=2e-3)
        classifier = cc.tl.train(faint, "kind", network=MLP, fit=fit)
        classifier.save(tmp_path / "model")
        again = cc.Classifier.load(tmp_path / "model")
        assert again.facts["stacked"] == classifier.facts["stacked"]
        assert list(again.facts["stacked"]) == ["discriminant", "logistic"]
        assert again.options.stacking

    def test_trainings_like_it_let_them_speak_as_loud(self, faint, quick):
        fit = replace(quick, epochs=4, learning_rate=2e-3)
        classifier = cc.tl.train(faint, "kind", network=MLP, fit=fit)
        y = faint.obs["kind"].cat.codes.to_numpy().astype(np.int64)
        material = Lesson(faint.X, faint.X, y)
        silent = replace(classifier, facts=classifier.facts | {"stacked": {}})
        for pupils in (
            [teach(model, material, seed=1, title="") for model in (silent, classifier)],
            [teach_several(model, material, None, seeds=[1, 2], title="").pupils[1] for model in (silent, classifier)],
        ):
            inputs = pupils[0].preprocessing.apply(faint.X)
            weight, _ = said_by_models(inputs, y, classifier.facts["stacked"])
            before, after = (pupil.network.first_linear.weight[8:].detach() for pupil in pupils)
            assert np.abs(weight).max() > 0.01
            np.testing.assert_allclose(after - before, weight.T, atol=1e-3)

    def test_nothing_is_asked_without_validation_rows_or_from_given_weights(self, faint, quick):
        first = cc.tl.train(faint, "kind", network=MLP, fit=quick)
        assert cc.tl.train(faint, "kind", start=first, fit=quick).facts["stacked"] == {}
        few = faint[[0, 60, 140]].copy()  # none of which can be spared for validation
        assert cc.tl.train(few, "kind", network=MLP, fit=quick, split=None).facts["stacked"] == {}


def test_a_network_no_better_than_guessing_is_said(small_adata):
    rng = np.random.default_rng(1)
    small_adata.obs["cell_type"] = rng.permutation(small_adata.obs["cell_type"].to_numpy())
    fit = cc.Fit(epochs=30, schedule="constant", information_power=0, members=1, learning_rate=0.05)
    with pytest.warns(UserWarning, match="no better than that of guessing"):
        cc.tl.train(small_adata, "cell_type", network=MLP, fit=fit)


def test_colours_of_the_label_travel_with_the_model(small_adata, quick):
    classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
    assert classifier.facts["colors"] == ["#1f77b4", "#ff7f0e", "#279e68"]


def test_linear_network(small_adata):
    classifier = cc.tl.train(small_adata, network=cc.nn.Linear())
    cc.tl.predict(small_adata)
    assert small_adata.obsm["X_cellclf"].shape == (120, 3 * classifier.options.members)
    assert cc.tl.evaluate(small_adata).accuracy > 0.9


def test_unknown_network_is_refused_before_any_work(small_adata):
    with pytest.raises(TypeError, match="dict"):
        cc.tl.train(small_adata, network={"hidden": 3})
    assert "split" not in small_adata.obs
