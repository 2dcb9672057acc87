from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import cellclf as cc

MLP = cc.nn.MLP(hidden=(8,))


@pytest.fixture
def trained(small_adata, quick):
    """Give `small_adata` with two labels wrong, split, trained and predicted, and its classifier."""
    cc.pp.split(small_adata, fractions=(0.5, 0.2, 0.3))
    test = np.flatnonzero(small_adata.obs["split"] == "test")
    small_adata.obs.iloc[test[:2], 0] = ["B", "NK"]
    classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
    cc.tl.predict(small_adata)
    return classifier, small_adata


def test_against_scikit_learn_on_the_test_rows(trained):
    _, adata = trained
    result = cc.tl.evaluate(adata)
    rows = (adata.obs["split"] == "test").to_numpy()
    truth, predicted = adata.obs["cell_type"][rows].astype(str), adata.obs["cellclf"][rows].astype(str)
    proba = adata.obsm["cellclf_proba"][rows]
    classes = ["B", "NK", "T/CD4"]
    assert result.n_rows == rows.sum() == 36
    assert result.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert result.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert result.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert result.log_loss == pytest.approx(metrics.log_loss(truth, proba / proba.sum(1, keepdims=True)), rel=1e-5)
    np.testing.assert_array_equal(result.confusion, metrics.confusion_matrix(truth, predicted, labels=classes))
    report = metrics.classification_report(truth, predicted, output_dict=True, zero_division=0)
    expected = pd.DataFrame(report).T.loc[classes]
    np.testing.assert_allclose(result.report.to_numpy(), expected.to_numpy())


def test_prior_and_linear_network_beside_it(trained):
    classifier, adata = trained
    summary = cc.tl.evaluate(adata).summary
    rows = adata.obs["split"] == "test"
    train = adata.obs["cell_type"][(adata.obs["split"] == "train").to_numpy()].value_counts(normalize=True)
    truth = adata.obs["cell_type"][rows.to_numpy()]
    assert list(summary.index) == ["network", "linear", "prior"]
    assert summary.loc["prior", "log_loss"] == pytest.approx(-np.log(truth.astype(str).map(train.to_dict())).mean())
    assert summary.loc["prior", "accuracy"] == pytest.approx((truth == train.idxmax()).mean())
    x = adata.X.toarray()
    inputs = classifier.inputs(classifier.normalised(x.copy(), x.sum(axis=1)))
    weight, bias = (p.detach().numpy() for p in classifier.linear.parameters())
    scores = inputs[rows.to_numpy()] @ weight.T + bias
    predicted = classifier.classes[scores.argmax(axis=1)]
    assert summary.loc["linear", "accuracy"] == pytest.approx((truth.astype(str) == predicted).mean())


def test_prints_the_models_side_by_side(trained):
    text = str(cc.tl.evaluate(trained[1]))
    assert text.startswith("36 cells\n")
    assert [line.split()[0] for line in text.splitlines()[-3:]] == ["network", "linear", "prior"]


@pytest.mark.parametrize("rows", ["train", "valid", "test", "mask"])
def test_rows(trained, rows):
    _, adata = trained
    mask = (adata.obs["split"] == rows).to_numpy() if rows != "mask" else np.arange(120) < 17
    result = cc.tl.evaluate(adata, rows=mask if rows == "mask" else rows)
    assert result.n_rows == mask.sum()
    expected = np.mean((adata.obs["cellclf"].astype(str) == adata.obs["cell_type"].astype(str))[mask])
    assert result.accuracy == pytest.approx(expected)


def test_is_kept_and_found_again(trained, tmp_path):
    import anndata as ad

    _, adata = trained
    result = cc.tl.evaluate(adata)
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(cc.get.summary(back), result.summary)
    pd.testing.assert_frame_equal(
        cc.get.confusion(back), result.confusion, check_index_type=False, check_column_type=False
    )
    np.testing.assert_allclose(cc.get.report(back).to_numpy(), result.report.to_numpy())


def test_cells_of_unknown_classes_are_left_out_and_counted(trained):
    classifier, adata = trained
    labels = adata.obs["cell_type"].astype(str)
    test = np.flatnonzero(adata.obs["split"] == "test")
    labels.iloc[test[:4]] = "plasma"
    labels.iloc[test[4]] = np.nan
    adata.obs["cell_type"] = labels
    with pytest.warns(UserWarning, match="4 cells have classes that the classifier never saw .'plasma'."):
        result = cc.tl.evaluate(adata, classifier)
    assert result.n_rows == 31


def test_nothing_to_judge_on(trained):
    classifier, adata = trained
    adata.obs["cell_type"] = "plasma"
    with (
        pytest.warns(UserWarning, match="never saw"),
        pytest.raises(ValueError, match="label of the classifier"),
    ):
        cc.tl.evaluate(adata, classifier)


def test_another_label(trained):
    classifier, adata = trained
    adata.obs["curated"] = adata.obs["cellclf"].astype(str)
    assert cc.tl.evaluate(adata, classifier, label="curated").accuracy == 1


class TestIntervals:
    def test_of_all_cells_and_each_batch(self, trained):
        _, adata = trained
        adata.obs["batch"] = np.where(np.arange(120) % 3 == 0, "b1", "b2")
        result = cc.tl.evaluate(adata, by="batch", n_bootstrap=30)
        table = result.intervals.set_index(["group", "model", "class", "measure"])
        for measure in result.summary:
            for model in result.summary.index:
                assert table.loc[("", model, "", measure), "value"] == result.summary.loc[model, measure]
        test = (adata.obs["split"] == "test").to_numpy()
        rows = test & (adata.obs["batch"] == "b1").to_numpy()
        alone = cc.tl.evaluate(adata, rows=rows, n_bootstrap=0)
        part = table.loc["b1"]
        assert (part["n_rows"] == rows.sum()).all()
        for measure in result.summary:
            assert part.loc[("network", "", measure), "value"] == pytest.approx(alone.summary.loc["network", measure])
        for name in alone.report.index:
            assert part.loc[("network", name, "recall"), "value"] == pytest.approx(alone.report.loc[name, "recall"])

    def test_hold_the_value_and_are_those_of_the_bootstrap(self, trained):
        _, adata = trained
        table = cc.tl.evaluate(adata, n_bootstrap=80).intervals
        assert (table["low"] <= table["high"]).sum() > 20
        accuracy = table[(table["measure"] == "accuracy") & (table["model"] == "network")].iloc[0]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
        again = cc.tl.evaluate(adata, n_bootstrap=80).intervals
        pd.testing.assert_frame_equal(table, again)
        other = cc.tl.evaluate(adata, n_bootstrap=80, rng=1).intervals
        assert not table["low"].equals(other["low"])

    def test_average_precision_is_that_of_scikit_learn(self, trained):
        _, adata = trained
        table = cc.tl.evaluate(adata, n_bootstrap=0).intervals.set_index(["model", "class", "measure"])
        test = (adata.obs["split"] == "test").to_numpy()
        truth = adata.obs["cell_type"][test].astype(str) == "NK"
        expected = metrics.average_precision_score(truth, adata.obsm["cellclf_proba"][test, 1])
        assert table.loc[("network", "NK", "average_precision"), "value"] == pytest.approx(expected)
        assert table["low"].isna().all()

    def test_donors_drawn_as_a_whole_scatter_more(self, trained):
        """Donors of which one is always wrong."""
        classifier, adata = trained
        every = cc.tl.predict(adata, classifier, copy=True).obs["cellclf"].astype(str)
        adata.obs["donor"] = np.repeat([f"d{i}" for i in range(6)], 20)
        adata.obs["cell_type"] = np.where(
            adata.obs["donor"] == "d0", every.map({"B": "NK", "NK": "B", "T/CD4": "B"}), every
        )
        rows = np.ones(120, dtype=bool)
        width = {}
        for groups in (None, "donor"):
            table = cc.tl.evaluate(adata, classifier, rows=rows, groups=groups, n_bootstrap=200).intervals
            first = table[(table["measure"] == "accuracy") & (table["model"] == "network")].iloc[0]
            width[groups] = first["high"] - first["low"]
        assert width["donor"] > 1.5 * width[None]

    @pytest.mark.parametrize("argument", ["by", "groups"])
    def test_columns_that_will_not_do(self, trained, argument):
        _, adata = trained
        with pytest.raises(KeyError, match="'donor'"):
            cc.tl.evaluate(adata, **{argument: "donor"})
        adata.obs["donor"] = pd.Categorical(np.where(np.arange(120) % 2, "d1", None))
        with pytest.raises(ValueError, match=f"{argument}='donor' has no value for"):
            cc.tl.evaluate(adata, **{argument: "donor"})
        with pytest.raises(ValueError, match="n_bootstrap=-1"):
            cc.tl.evaluate(adata, n_bootstrap=-1)
        assert "cellclf_evaluation" not in adata.uns


def test_before_and_after_calibration(trained):
    """Undo the temperature by hand."""
    classifier, adata = trained
    result = cc.tl.evaluate(adata, n_bootstrap=0)
    test = (adata.obs["split"] == "test").to_numpy()
    logits = np.log(adata.obsm["cellclf_proba"][test].astype(np.float64)) * classifier.temperature
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = adata.obs["cell_type"].cat.codes[test].to_numpy()
    assert result.calibration.loc["after", "log_loss"] == pytest.approx(result.log_loss)
    assert result.calibration.loc["before", "log_loss"] == pytest.approx(metrics.log_loss(truth, proba), rel=1e-4)
    facts = classifier.facts["calibration"]
    assert facts["n_rows"] == (adata.obs["split"] == "valid").sum()
    # one row's worth of doubt goes into the temperature, so that few rows may be told a little worse for it
    assert (facts["log_loss_after"] - facts["log_loss_before"]) * facts["n_rows"] < 1
    assert facts["log_loss_after"] == pytest.approx(classifier.skill.loc["network", "log_loss"])


def test_reliability_and_confidences_count_all_cells(trained):
    _, adata = trained
    result = cc.tl.evaluate(adata, n_bootstrap=0)
    assert result.reliability["n_rows"].sum() == result.confidences.sum() == 36
    weighted = (result.reliability["n_rows"] * result.reliability["accuracy"]).sum() / 36
    assert weighted == pytest.approx(result.accuracy)


@pytest.mark.parametrize("how", ["memory", "h5ad", "zarr"])
def test_tables_come_back(trained, tmp_path, how):
    import anndata as ad

    classifier, adata = trained
    labels = adata.obs["cell_type"].astype(str)
    labels.iloc[np.flatnonzero(adata.obs["split"] == "test")[:4]] = "plasma"
    for unseen in (False, True):
        if unseen:
            adata.obs["cell_type"] = labels
            with pytest.warns(UserWarning, match="never saw"):
                result = cc.tl.evaluate(adata, classifier, n_bootstrap=5)
        else:
            result = cc.tl.evaluate(adata, classifier, n_bootstrap=5)
        back = adata
        if how != "memory":
            getattr(adata, f"write_{how}")(tmp_path / f"{unseen}.{how}")
            back = getattr(ad, f"read_{how}")(tmp_path / f"{unseen}.{how}")
        for name in ("intervals", "reliability", "unseen"):
            pd.testing.assert_frame_equal(getattr(cc.get, name)(back), getattr(result, name), check_dtype=False)
        assert len(result.unseen) == unseen


def test_cells_of_classes_never_seen_are_told_of_by_themselves(trained):
    classifier, adata = trained
    cc.tl.predict(adata)
    labels = adata.obs["cell_type"].astype(str)
    test = np.flatnonzero(adata.obs["split"] == "test")
    labels.iloc[test[:6]] = "plasma"
    adata.obs["cell_type"] = labels
    with pytest.warns(UserWarning, match="never saw"):
        result = cc.tl.evaluate(adata, classifier, n_bootstrap=0)
    assert result.n_rows == 30
    row, own = result.unseen.iloc[0], adata.obs.iloc[test[:6]]
    assert (row["class"], row["n_rows"]) == ("plasma", 6)
    assert row["called"] == own["cellclf"].astype(str).mode()[0]
    assert row["confidence"] == pytest.approx(own["cellclf_confidence"].mean())
    assert row["unknown_score"] == pytest.approx(own["cellclf_unknown_score"].mean())
    scores = adata.obs["cellclf_unknown_score"].to_numpy()[test]
    assert row["auroc"] == pytest.approx(metrics.roc_auc_score(np.arange(36) < 6, scores))


class TestCellsThatWereLearntFrom:
    MESSAGE = "cells to judge are, it seems, those that the classifier learnt from"

    def test_all_cells_trained(self, small_adata, quick):
        cc.tl.train(small_adata, network=MLP, fit=quick, split=None)
        with pytest.warns(UserWarning, match=f"120 of the 120 {self.MESSAGE}"):
            cc.tl.evaluate(small_adata, n_bootstrap=0)

    def test_no_row_is_left_to_judge(self, small_adata, quick):
        small_adata.obs["split"] = ["train"] * 90 + [None] * 30
        cc.tl.train(small_adata, network=MLP, fit=quick)
        with pytest.warns(UserWarning, match=f"90 of the 120 {self.MESSAGE}"):
            cc.tl.evaluate(small_adata, n_bootstrap=0)

    @pytest.mark.parametrize("rows", [None, "test"])
    def test_a_split_that_was_made_anew(self, small_adata, quick, rows):
        cc.tl.train(small_adata, network=MLP, fit=quick)
        old = small_adata.obs["split"].copy()
        for fractions in ((0.8, 0.1, 0.1), (0.5, 0.1, 0.4)):
            cc.pp.split(small_adata, fractions=fractions, rng=1)
            with pytest.warns(UserWarning, match=r"adata\.obs\['split'\] does not mark those .* Train again"):
                cc.tl.evaluate(small_adata, rows=rows, n_bootstrap=0)
        order = np.random.default_rng(0).permutation(120)
        small_adata.obs["split"] = old
        small_adata.obs["again"] = old.astype(str).replace("valid", "validation")
        shuffled = small_adata[order].copy()
        for split in ("split", "again"):  # pytest makes an error of any warning
            assert cc.tl.evaluate(shuffled, rows=rows, split=split, n_bootstrap=0).n_rows == 12

    def test_a_split_by_another_name(self, small_adata, quick):
        cc.pp.split(small_adata, key_added="fold")
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, split="fold")
        with pytest.warns(UserWarning, match=r"adata\.obs\['split'\] does not mark those"):
            cc.tl.evaluate(small_adata, n_bootstrap=0)
        assert cc.tl.evaluate(small_adata, split="fold", n_bootstrap=0).n_rows == 12
        query = small_adata[small_adata.obs["fold"] == "test"].copy()
        assert cc.tl.evaluate(query, classifier, n_bootstrap=0).n_rows == 12

    def test_rows_asked_for_and_cells_not_seen(self, small_adata, quick):
        classifier = cc.tl.train(small_adata[:90], network=MLP, fit=quick, split=None)
        assert cc.tl.evaluate(small_adata[90:].copy(), classifier, n_bootstrap=0).n_rows == 30
        cc.tl.train(small_adata, network=MLP, fit=quick)
        assert cc.tl.evaluate(small_adata, rows="train", n_bootstrap=0).n_rows == 96
