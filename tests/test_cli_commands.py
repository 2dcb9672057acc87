"""The commands over files: they do what the functions of the same names do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.io import savemat

import cellclf as cc
from cellclf import _cli
from cellclf._cli import _train

QUICK = ["--fit", "epochs=2"]


@pytest.fixture
def cells(small_adata: AnnData, tmp_path: Path) -> Path:
    small_adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def model(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run("train", cells, "--output", tmp_path / "m.safetensors", *QUICK) == 0
    capsys.readouterr()
    return tmp_path / "m.safetensors"


def run(*words: object) -> int:
    return _cli.main([str(word) for word in words])


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def report(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert run(*words, "--report", "-") == 0
    return json.loads(capsys.readouterr().out)


# -- train ------------------------------------------------------------------------------------------------------------


def test_train_is_the_function(
    cells: Path, small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, annotated = tmp_path / "m.safetensors", tmp_path / "a.zarr"
    words = ["--network", "MLP", "hidden=[8]", "dropout=0.1", "--fit", "epochs=3", "members=2", "--seed", 5]
    facts = report(capsys, "train", cells, "--label", "cell_type", "--output", output, "--annotated", annotated, *words)
    network, fit = cc.nn.MLP(hidden=(8,), dropout=0.1), cc.Fit(epochs=3, members=2)
    ours = cc.tl.train(small_adata, "cell_type", network=network, fit=fit, rng=5)
    theirs = cc.Classifier.load(output)
    assert (theirs.description, theirs.options, theirs.facts) == (network, fit, ours.facts)
    genes = small_adata[:, ours.genes].X
    totals = np.asarray(small_adata.X.sum(axis=1)).ravel()
    np.testing.assert_array_equal(theirs.predict_proba(genes, totals=totals), ours.predict_proba(genes, totals=totals))
    evaluation = cc.tl.evaluate(small_adata, ours)
    judged = {row["model"]: row["macro_f1"] for row in facts["evaluation"]["summary"]}
    assert judged == pytest.approx(evaluation.summary["macro_f1"].to_dict())
    assert facts["evaluation"]["confusion"]["counts"] == evaluation.confusion.to_numpy().tolist()
    assert [row["epoch"] for row in facts["history"]] == [1, 2, 3]
    assert list(anndata.io.read_zarr(annotated).obs["split"]) == list(small_adata.obs["split"])


def test_train_prints_what_it_wrote(cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", cells, "--output", tmp_path / "m", "--report", tmp_path / "r.json", *QUICK) == 0
    printed = capsys.readouterr().out
    assert "30 genes, 3 classes; best epoch" in printed
    assert "class prior" in printed
    assert json.loads((tmp_path / "r.json").read_text())["n_genes"] == 30


def test_genes_from_a_file_and_a_network_by_name(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "genes.txt").write_text("gene3\n\ngene0\n", encoding="utf-8-sig")
    output = tmp_path / "m.safetensors"
    words = ["--genes", tmp_path / "genes.txt", "--network", "breast_cancer", "--output", output]
    assert run("train", cells, *words, *QUICK) == 0
    made = cc.Classifier.load(output)
    assert list(made.genes) == ["gene3", "gene0"]
    assert made.description == cc.nn.named("breast_cancer")
    words = ["--start", output, "--output", tmp_path / "again.safetensors"]
    assert run("train", cells, *words, *QUICK) == 0
    assert list(cc.Classifier.load(tmp_path / "again.safetensors").genes) == ["gene3", "gene0"]


def test_a_training_that_is_stopped_leaves_its_best(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cellclf.fit import _loop

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_loop, "_check_losses", stop)
    assert run("train", cells, "--output", tmp_path / "m.safetensors", *QUICK) == 130
    captured = capsys.readouterr()
    assert "Stopped early: this is the best network so far." in captured.out
    assert captured.err.endswith("cellclf: stopped\n")
    assert cc.Classifier.load(tmp_path / "m.safetensors").facts["interrupted"]


# -- other formats ----------------------------------------------------------------------------------------------------


def test_tables(small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame(small_adata.X.toarray(), index=small_adata.obs_names, columns=small_adata.var_names)
    table.to_csv(tmp_path / "data.csv")
    small_adata.obs.to_csv(tmp_path / "labels.csv")
    words = ["train", tmp_path / "data.csv", "--labels", tmp_path / "labels.csv", "--output", tmp_path / "m", *QUICK]
    assert report(capsys, *words)["classes"] == ["B", "NK", "T/CD4"]
    assert report(capsys, *words, "--read", "sep=,", "--force")["label"] == "cell_type"
    assert "has no argument 'comma'. It takes: label" in fails(capsys, *words, "--read", "comma=1", "--force")
    assert "Give --labels FILE" in fails(capsys, "genes", tmp_path / "data.csv", "--output", tmp_path / "g.csv")


def test_arguments_of_a_reader_are_named_as_they_are_given(
    small_adata: AnnData, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame(small_adata.X.toarray(), index=small_adata.obs_names, columns=small_adata.var_names)
    table.to_csv(tmp_path / "data.csv")
    table.T.to_csv(tmp_path / "genes_first.csv")
    small_adata.obs.assign(donor="a").to_csv(tmp_path / "labels.csv")
    where = ["--labels", tmp_path / "labels.csv", "--output", tmp_path / "l.csv"]
    assert "Name one with `--label`." in fails(capsys, "genes", tmp_path / "data.csv", *where)
    assert "Name one with `--read label=`." in fails(capsys, "predict", tmp_path / "data.csv", model, *where)
    words = ["genes", tmp_path / "genes_first.csv", "--label", "cell_type", *where]
    assert "Give `--read transposed=True`." in fails(capsys, *words)
    assert run(*words, "--read", "transposed=True") == 0


def test_cells_of_a_table_without_classes(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "write them as h5ad first" in fails(capsys, "predict", "data.csv", model, "--output", tmp_path / "l.csv")


def test_matlab_and_motifs(small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = small_adata.obs["cell_type"].cat.codes.to_numpy()
    savemat(tmp_path / "cells.mat", {"data": small_adata.X.toarray(), "labels": codes})
    found = report(capsys, "genes", tmp_path / "cells.mat", "--n-genes", 4, "--output", tmp_path / "mat.csv")
    assert (found["n_genes"], found["n_selected"]) == (30, 4)
    motifs = pd.DataFrame(small_adata.X.toarray()[:, :5].astype(float), columns=[f"M{i}" for i in range(5)])
    motifs.assign(Y=(codes == 0).astype(float), Y_alt=(codes != 0).astype(float)).to_feather(tmp_path / "w.feather")
    found = report(capsys, "genes", tmp_path / "w.feather", "--n-genes", 2, "--output", tmp_path / "motifs.csv")
    assert len(found["selected"]) == 2


# -- predict ----------------------------------------------------------------------------------------------------------


def test_predict_is_the_function(
    cells: Path, small_adata: AnnData, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cc.tl.predict(small_adata, model)
    expected = cc.get.predictions(small_adata)
    facts = report(capsys, "predict", cells, model, "--output", tmp_path / "labels.tsv", "--proba")
    table = pd.read_csv(tmp_path / "labels.tsv", sep="\t", index_col="cell")
    assert list(table["predicted"]) == list(expected["predicted"])
    np.testing.assert_allclose(table.filter(like="probability of"), small_adata.obsm["cellclf_proba"], rtol=1e-6)
    assert {row["predicted"]: row["cells"] for row in facts["classes"]} == expected[
        "predicted"
    ].value_counts().to_dict()
    for name, words in (("labelled.h5ad", []), ("labelled.zarr", ["--backed"])):
        assert run("predict", cells, model, "--output", tmp_path / name, "--key-added", "x", *words) == 0
        read = anndata.io.read_zarr if name.endswith("zarr") else anndata.read_h5ad
        np.testing.assert_array_equal(read(tmp_path / name).obsm["x_proba"], small_adata.obsm["cellclf_proba"])


def test_predict_tells_unknown_cells(
    cells: Path, small_adata: AnnData, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "conformal_folds" in fails(capsys, "predict", cells, model, "--output", tmp_path / "l.csv", "--unknown", 0.1)
    words = ["--fit", "epochs=2", "conformal_folds=2"]
    assert run("train", cells, "--output", tmp_path / "c.safetensors", *words) == 0
    capsys.readouterr()
    words = ["predict", cells, tmp_path / "c.safetensors", "--output", tmp_path / "l.csv", "--unknown", 0.9]
    counted = {row["predicted"]: row["cells"] for row in report(capsys, *words)["classes"]}
    cc.tl.predict(small_adata, tmp_path / "c.safetensors", unknown=0.9)
    assert list(pd.read_csv(tmp_path / "l.csv")["predicted"]) == list(small_adata.obs["cellclf"])
    assert counted == small_adata.obs["cellclf"].value_counts().to_dict()
    assert list(counted)[-1] == "Unknown"


def test_a_model_without_classes_gives_an_embedding(
    cells: Path, small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = ["--network", "Autoencoder", "head=false", "hidden=[8]", "latent=3"]
    assert run("train", cells, "--output", tmp_path / "a", *network, *QUICK) == 0
    capsys.readouterr()
    assert "knows no classes" in fails(capsys, "predict", cells, tmp_path / "a", "--output", tmp_path / "e.csv")
    assert report(capsys, "predict", cells, tmp_path / "a", "--output", tmp_path / "e.h5ad")["n_cells"] == 120
    cc.tl.predict(small_adata, tmp_path / "a")
    np.testing.assert_array_equal(
        anndata.read_h5ad(tmp_path / "e.h5ad").obsm["X_cellclf"], small_adata.obsm["X_cellclf"]
    )


def test_a_folder_is_replaced_only_by_force(
    cells: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", cells, model, "--output", tmp_path / "labelled.zarr"]
    assert run(*words) == 0
    (tmp_path / "labelled.zarr" / "mine").write_text("")
    capsys.readouterr()
    assert "--force to replace it" in fails(capsys, *words)
    assert run(*words, "--force") == 0
    assert not (tmp_path / "labelled.zarr" / "mine").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"cells.h5ad", "m.safetensors", "labelled.zarr"}


# -- evaluate, genes, info --------------------------------------------------------------------------------------------


def test_evaluate_is_the_function(
    small_adata: AnnData, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_adata.obs_names = "another " + small_adata.obs_names  # than those that were trained on
    small_adata.write_h5ad(tmp_path / "others.h5ad")
    evaluation = cc.tl.evaluate(small_adata, model)
    facts = report(capsys, "evaluate", tmp_path / "others.h5ad", model, "--output", tmp_path / "r.csv")
    assert facts["n_rows"] == 120
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "r.csv", index_col="class"), evaluation.report, check_names=False, check_dtype=False
    )
    assert run("evaluate", tmp_path / "others.h5ad", model) == 0
    assert "figures flatter it" in capsys.readouterr().out


def test_genes_is_the_functions(
    cells: Path, small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cc.pp.gene_scores(small_adata, "cell_type", bins="quantile")
    cc.pp.select_genes(small_adata, 6, redundancy="mrmr")
    words = ["--n-genes", 6, "--redundancy", "mrmr", "--bins", "quantile", "--output", tmp_path / "g.csv"]
    facts = report(capsys, "genes", cells, *words)
    order = small_adata.var["selected_rank"].dropna().sort_values().index
    assert facts["selected"] == list(order)
    table = pd.read_csv(tmp_path / "g.csv", index_col="gene")
    assert list(table.index[:6]) == list(order)
    np.testing.assert_allclose(table["jsd"], small_adata.var.loc[table.index, "jsd"])


def test_info(cells: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = cc.Classifier.load(model)
    facts = report(capsys, "info", model)
    assert facts["n_parameters"] == sum(weight.numel() for weight in made.network.parameters())
    assert facts["genes"] == list(made.genes)
    facts = report(capsys, "info", cells)
    assert (facts["n_cells"], facts["n_genes"], facts["label_candidates"]) == (120, 30, ["cell_type"])
    assert run("info", model) == 0
    assert "… (30)" in capsys.readouterr().out


def test_info_on_zarr(small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cc.tl.train(small_adata, fit=cc.Fit(epochs=2))
    for name, write in (("b.h5ad", small_adata.write_h5ad), ("b.zarr", small_adata.write_zarr)):
        write(tmp_path / name)
    facts = report(capsys, "info", tmp_path / "b.zarr")
    assert facts == report(capsys, "info", tmp_path / "b.h5ad")
    assert (facts["label_candidates"], facts["classifiers"]) == (["cell_type"], ["cellclf"])


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "CELLS", "--output", "CELLS"], "is read here and would be overwritten"),
        (["train", "CELLS", "--output", "nowhere/m"], "There is no folder"),
        (["train", "absent.h5ad", "--output", "m"], "There is no file 'absent.h5ad'"),
        (["train", "cells.loom", "--output", "m"], "is of no kind that is read"),
        (["train", "CELLS", "--output", "m", "--labels", "x.csv"], "--labels belongs to a .csv"),
        (["train", "CELLS", "--output", "m", "--read", "a=1"], "needs none. Leave it out."),
        (["train", "CELLS", "--output", "m", "--fit", "epoch=3"], "Fit has no setting 'epoch'. It has: epochs"),
        (["train", "CELLS", "--output", "m", "--fit", "epochs=0"], "Fit(epochs=0) is out of range"),
        (["train", "CELLS", "--output", "m", "--network", "perceptron"], "There is no network 'perceptron'"),
        (["train", "CELLS", "--output", "m", "--network", "cells", "hidden=1"], "takes no settings"),
        (["train", "CELLS", "--output", "m", "--label", "donor"], "label='donor' is not in adata.obs"),
        (["predict", "CELLS", "absent", "--output", "l.csv"], "There is no file 'absent'"),
        (["predict", "CELLS", "CELLS", "--output", "l.loom"], "is of no kind that is written"),
        (["predict", "CELLS", "CELLS", "--output", "l.zarr", "--proba"], "--proba adds columns to a table"),
        (["genes", "m.mat", "--backed", "--output", "g.csv"], "--backed leaves the matrix"),
        (["genes", "CELLS", "--n-genes", "0", "--output", "g.csv"], "n_genes"),
        (["info", "absent"], "There is no file 'absent'"),
        (["train", "CELLS", "--output", "m", "--annotated", "m"], "'m' is named for two results"),
        (["predict", "CELLS", "CELLS", "--output", "l.csv", "--report", "l.csv"], "'l.csv' is named for two results"),
        (["train", "CELLS", "--output", ".", "--force"], "'.' is a folder"),
        (["train", "CELLS", "--output", "m.h5ad"], "is the name of a data file, but a model is written"),
        (["train", "CELLS", "--output", "m", "--annotated", "a.csv"], "Give .h5ad or .zarr."),
        (["genes", "CELLS", "--output", "g.xlsx"], "Give .csv or .tsv."),
        (["evaluate", "CELLS", "CELLS", "--output", "r.xlsx"], "Give .csv or .tsv."),
        (["train", "CELLS", "--output", "m", "--genes", "absent.txt"], "There is no file 'absent.txt'"),
    ],
)
def test_bad_input(
    words: list[str],
    message: str,
    cells: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = cells.read_bytes()
    assert message in fails(capsys, *[str(cells) if word == "CELLS" else word for word in words])
    assert cells.read_bytes() == before
    assert list(tmp_path.iterdir()) == [cells]


@pytest.mark.parametrize("words", [["train", "x.h5ad", "--output", "m", "--fit", "epochs"], ["predict"], ["fly"]])
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 2
    assert "usage: cellclf" in capsys.readouterr().err


def test_an_error_can_be_traced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run("--debug", "info", tmp_path / "absent")


@pytest.mark.parametrize("name", ["demo", "train", "predict", "evaluate", "genes", "info"])
def test_help_ends_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(name, "--help")
    assert end.value.code == 0
    _, examples = capsys.readouterr().out.split("examples:\n")
    assert all(line.startswith(f"  cellclf {name}") for line in examples.splitlines())


def test_settings_may_be_given_one_by_one(cells: Path, tmp_path: Path) -> None:
    assert run("train", cells, "--output", tmp_path / "m", "--fit", "members=2", *QUICK) == 0
    fit = cc.Classifier.load(tmp_path / "m").options
    assert (fit.members, fit.epochs) == (2, 2)


def test_settings_are_read_as_json() -> None:
    fit = _train.fit_of(dict(map(_cli._options.setting, ["epochs=none", "members=2", "refit=false", "scale=minmax"])))
    assert fit == cc.Fit(epochs=None, members=2, refit=False, scale="minmax")
    assert _train.network_of(["MLP", "hidden=[16,4]", "batch_norm=None"]) == cc.nn.MLP(hidden=(16, 4), batch_norm=None)
    assert _train.network_of(None) is None
