from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import anndata
import h5py
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _cli
from cellclf._cli import _demo as _demo_command
from cellclf._cli import _files, _write

FILES = {
    "adata.h5ad",
    "model.safetensors",
    "report.csv",
    "summary.csv",
    "history.png",
    "confusion.png",
    "gene_scores.png",
    "importance.png",
    "umap.png",
}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Run the demo on the shipped cells, as a user does."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "cellclf", "demo"]
    return folder / "cellclf-demo", subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def users_file(small_adata: AnnData, tmp_path: Path) -> Path:
    """Give a small file of a user, with X_pca and no UMAP."""
    small_adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    small_adata.write_h5ad(tmp_path / "mine.h5ad")
    return tmp_path / "mine.h5ad"


def _demo(*arguments: object) -> int:
    return _cli.main(["demo", *map(str, arguments)])


# -- The shipped cells ------------------------------------------------------------------------


def test_it_ends_well_and_is_quiet(shipped: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, run = shipped
    assert (run.returncode, run.stderr) == (0, "")


def test_it_leaves_all_files_and_no_other(shipped: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = shipped
    assert {path.name for path in folder.iterdir()} == FILES


def test_it_says_what_it_did(shipped: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, run = shipped
    assert "700 cells × 765 genes, label 'bulk_labels'" in run.stdout
    assert "X holds negative numbers (it is scaled): the values in .raw are used instead" in run.stdout
    table = cc.get.summary(anndata.read_h5ad(folder / "adata.h5ad"))[["accuracy", "macro_f1", "log_loss"]]
    printed = [line.split()[-3:] for line in run.stdout.split("log loss\n")[1].splitlines()[:3]]
    np.testing.assert_allclose(np.array(printed, dtype=float), table, atol=6e-4)
    assert max(map(len, run.stdout.splitlines())) < 120


def test_tables_and_model_are_those_of_the_h5ad(shipped: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = shipped
    adata = anndata.read_h5ad(folder / "adata.h5ad")
    pd.testing.assert_frame_equal(pd.read_csv(folder / "report.csv", index_col=0), cc.get.report(adata))
    pd.testing.assert_frame_equal(pd.read_csv(folder / "summary.csv", index_col=0), cc.get.summary(adata))
    again = adata.copy()
    cc.tl.predict(again, folder / "model.safetensors")
    np.testing.assert_array_equal(again.obsm["cellclf_proba"], adata.obsm["cellclf_proba"])
    assert {"mi", "jsd", "importance", "importance_se"} <= set(adata.var)
    assert cc.get.gene_scores(adata, n_genes=20).index.isin(["CST3", "LYZ", "CD74", "HLA-DRA"]).sum() == 4


def test_every_picture_shows_something(shipped: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = shipped
    for path in (folder / name for name in FILES if name.endswith(".png")):
        picture = matplotlib.image.imread(path)
        assert min(picture.shape[:2]) > 300, path.name
        assert picture[..., :3].std() > 0.05, path.name


# -- A user's file ------------------------------------------------------------------------------


def test_a_users_file(users_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, output = _hash(users_file), tmp_path / "new" / "out"
    assert _demo("--data", users_file, "--output", output, "--seed", 3) == 0
    assert {path.name for path in output.iterdir()} == FILES
    assert _hash(users_file) == before
    printed = capsys.readouterr().out
    assert "120 cells × 30 genes, label 'cell_type'" in printed
    assert "computed from obsm['X_pca']" in printed
    adata = anndata.read_h5ad(output / "adata.h5ad")
    assert adata.obsm["X_umap"].shape == (120, 2)
    assert '"rng": 3' in str(adata.uns["split"]["call"])


def test_its_own_files_are_replaced_when_told_and_no_others(
    users_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.csv").write_text("old")
    arguments = ["--data", users_file, "--label", "cell_type", "--output", tmp_path]
    assert "--force to replace it" in _fails(capsys, *arguments)
    assert (tmp_path / "report.csv").read_text() == "old"
    assert _demo(*arguments, "--force") == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"notes.txt", "mine.h5ad"}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "report.csv").read_text().startswith("class,precision")


def test_a_split_of_the_users_is_kept(small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_adata.obs["split"] = np.tile(["train", "train", "val", "test"], 30)
    small_adata.obs["cell_type"] = small_adata.obs["cell_type"].cat.codes  # whole numbers serve when named
    small_adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(120, 2))
    small_adata.write_h5ad(tmp_path / "mine.h5ad")
    assert _demo("--data", tmp_path / "mine.h5ad", "--label", "cell_type", "--output", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "60 train, 30 valid, 30 test rows, as marked in obs['split']" in printed
    assert "On the 30 test cells" in printed
    assert cc.get.confusion(anndata.read_h5ad(tmp_path / "out" / "adata.h5ad")).to_numpy().sum() == 30


def test_cells_without_a_class_are_shown_as_unseen(small_adata: AnnData) -> None:
    small_adata.obs["split"] = np.tile(["train", "valid", "test", "train"], 30)
    small_adata.obs.iloc[:8, small_adata.obs.columns.get_loc("cell_type")] = np.nan
    small_adata.obsm["X_umap"] = np.arange(240.0).reshape(120, 2)
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(16,)), fit=cc.Fit(epochs=12))
    cc.tl.predict(small_adata)
    cc.tl.evaluate(small_adata)
    cells = _files.picture(small_adata, "cell_type")
    unlabelled = small_adata.obs_names[:8]
    assert cells.obs.loc[unlabelled, "shown"].all()
    assert cells.obs["shown"].sum() == 8 + 28
    assert cells.obs["shown"].is_monotonic_increasing
    np.testing.assert_array_equal(cells.obsm["X_umap"], small_adata[cells.obs_names].obsm["X_umap"])
    assert list(cells.obs["prediction"]) == list(small_adata.obs.loc[cells.obs_names, "cellclf"])


# -- What cannot be done ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no-command"),
        pytest.param(["teach"], id="no-such-command"),
        pytest.param(["demo", "--seed", "-1"], id="negative-seed"),
        pytest.param(["demo", "--seed", "x"], id="seed-of-letters"),
        pytest.param(["demo", "--epochs", "3"], id="no-such-option"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        _cli.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: cellclf")


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert _demo(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("cellclf: ")
    assert error.count("\n") == 1
    return error


def _text(path: Path) -> None:
    path.write_text("hello")


def _empty_hdf5(path: Path) -> None:
    h5py.File(path, "w").close()


def _other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, "There is no file", id="absent"),
        pytest.param(lambda path: path.mkdir(), "not laid out as an AnnData", id="folder"),
        pytest.param(_text, "cannot be read as h5ad", id="text"),
        pytest.param(_empty_hdf5, "not laid out as an AnnData", id="empty-hdf5"),
        pytest.param(_other_hdf5, "not laid out as an AnnData", id="other-hdf5"),
    ],
)
def test_files_that_are_no_h5ad(make: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "a.h5ad")  # type: ignore[operator]
    assert message in _fails(capsys, "--data", tmp_path / "a.h5ad", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_that_cannot_be_found(small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_adata.obs["donor"] = np.tile(["a", "b"], 60)
    small_adata.write_h5ad(tmp_path / "a.h5ad")
    options = ["--data", tmp_path / "a.h5ad", "--output", tmp_path / "out"]
    assert "'cell_type', 'donor'. Name one with `--label`" in _fails(capsys, *options)
    assert "label='celltype' is not in adata.obs. It holds: 'cell_type'" in _fails(
        capsys, *options, "--label", "celltype"
    )


def test_values_that_cannot_be_learnt_from(
    small_adata: AnnData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_adata.X = small_adata.X.toarray()
    small_adata.X[3, 4] = np.nan
    small_adata.write_h5ad(tmp_path / "a.h5ad")
    assert "NaN" in _fails(capsys, "--data", tmp_path / "a.h5ad", "--output", tmp_path / "out")


def test_the_users_data_is_never_overwritten(
    users_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = users_file.rename(tmp_path / "adata.h5ad")
    before = _hash(data)
    assert "would be overwritten" in _fails(capsys, "--data", data, "--output", tmp_path)
    assert "is a file. Give a folder" in _fails(capsys, "--data", data, "--output", data)
    assert _hash(data) == before


def test_a_file_half_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail() -> None:
        with _write.replacing(path) as beside:
            beside.write_text("half")
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_stopping_it_is_no_error_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo_command, "demo", stop)
    assert _demo() == 130
    assert capsys.readouterr().err == "cellclf: stopped\n"


# -- The command itself ------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        _cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"cellclf {cc.__version__}\n"


def test_the_installed_command_is_the_same() -> None:
    (command,) = entry_points(group="console_scripts", name="cellclf")
    assert command.load() is _cli.main
