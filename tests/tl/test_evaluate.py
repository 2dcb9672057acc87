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
