"""Training from a file of the cells: the same classifier, bit for bit, and nothing left behind."""

from __future__ import annotations

import shutil
import tempfile
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import cellclf as cc
from cellclf import stats
from cellclf.fit import Cells
from cellclf.tl import _at_hand, _genes

from .test_train import MLP, learnt

pytestmark = pytest.mark.filterwarnings("ignore:The network's log loss")  # these trainings are short

FIT = cc.Fit(epochs=2, batch_size=16, learning_rate=0.02)


@pytest.fixture
def few_genes(monkeypatch):
    """Let draft and final training choose eight genes each, not all the same ones."""
    monkeypatch.setattr(_genes, "N_GENES", 8)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Give the folder where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def no_memory(monkeypatch):
    """Leave no memory for the values."""
    monkeypatch.setattr(_at_hand, "_free_memory", lambda: 0.0)

    def refuse(self):
        pytest.fail("all values were made at once")

    monkeypatch.setattr(Cells, "in_memory", refuse)


def train(adata, **options):
    return cc.tl.train(adata, "cell_type", **{"network": MLP, "fit": FIT, **options})


def changed(adata, row, column, value):
    """Give a copy with other values in some places."""
    x = adata.X.toarray()
    x[row, column] = value
    return ad.AnnData(sp.csr_matrix(x), obs=adata.obs.copy(), var=adata.var.copy(), uns=adata.uns.copy())


def backed_h5ad(adata, folder):
    adata.write_h5ad(folder / "cells.h5ad")
    return ad.read_h5ad(folder / "cells.h5ad", backed="r")


def backed_csc(adata, folder):
    columns = adata.copy()
    columns.X = sp.csc_matrix(columns.X)
    return backed_h5ad(columns, folder)


def lazy_zarr(adata, folder):
    adata.write_zarr(folder / "cells.zarr")
    return ad.experimental.read_lazy(folder / "cells.zarr")


def dask(adata, folder):
    import dask.array as da

    chunked = adata.copy()
    chunked.X = da.from_array(adata.X.toarray(), chunks=(50, 7))
    return chunked


STORAGES = {
    "CSR": lambda adata, folder: adata.copy(),
    "h5ad": backed_h5ad,
    "h5ad-csc": backed_csc,
    "zarr": lazy_zarr,
    "dask": dask,
}


class TestSameBits:
    @pytest.mark.parametrize("storage", STORAGES)
    def test_however_the_matrix_is_stored(self, small_adata, few_genes, tmp_path, storage):
        stored = STORAGES[storage](small_adata, tmp_path)
        expected = train(small_adata)
        found = train(stored, cache=tmp_path / "cache")
        assert learnt(found) == learnt(expected)
        np.testing.assert_array_equal(stored.obs["split"].astype(str), small_adata.obs["split"].astype(str))
        assert np.load(tmp_path / "cache" / "cells.npy", mmap_mode="r").dtype == np.uint8

    @pytest.mark.parametrize("scale", ["minmax", "maxabs", "none"])
    def test_however_it_is_scaled(self, small_adata, tmp_path, scale):
        fit = cc.Fit(epochs=1, batch_size=16, scale=scale)
        small_adata.X = small_adata.X * np.float32(0.3)
        assert learnt(train(small_adata.copy(), fit=fit)) == learnt(train(small_adata, fit=fit, cache=tmp_path))

    def test_genes_in_an_order_of_their_own(self, small_adata, tmp_path):
        genes = [f"gene{j}" for j in (7, 3, 12, 0, 1)]
        expected, found = train(small_adata.copy(), genes=genes), train(small_adata, genes=genes, cache=tmp_path)
        assert learnt(found) == learnt(expected)
        assert list(found.genes) == genes

    def test_an_embedding(self, small_adata, tmp_path):
        small_adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(120, 4))
        expected = train(small_adata.copy(), use_rep="X_pca")
        assert learnt(train(small_adata, use_rep="X_pca", cache=tmp_path)) == learnt(expected)

    def test_a_network_without_a_label(self, small_adata, tmp_path):
        options = {"network": cc.nn.Autoencoder(latent=3, head=False), "fit": cc.Fit(epochs=1, batch_size=16)}
        found = [cc.tl.train(small_adata.copy(), **options, **cache) for cache in ({}, {"cache": tmp_path})]
        weights = [
            {name: weight.numpy().tobytes() for name, weight in classifier.network.state_dict().items()}
            for classifier in found
        ]
        assert weights[0] == weights[1]

    def test_rows_marked_test_are_not_looked_at(self, small_adata, few_genes, tmp_path):
        cc.pp.split(small_adata)
        test = np.flatnonzero(small_adata.obs["split"] == "test")
        other = changed(small_adata, test, slice(None), 70000.5)
        first, second = train(small_adata, cache=tmp_path / "a"), train(other, cache=tmp_path / "b")
        assert learnt(first) == learnt(second)
        assert len(np.load(tmp_path / "b" / "cells.npy")) == 120 - len(test)


def test_the_matrix_is_read_once_for_the_file(small_adata, few_genes, tmp_path, monkeypatch):
    """Each row in use once, in order, though draft and final training read other genes; test rows never."""
    small_adata.obs["split"] = np.resize(["train", "train", "test", "train"], 120)
    backed, read, written = backed_h5ad(small_adata, tmp_path), [], stats.dense_blocks

    def spy(*arguments):
        for block in written(*arguments):
            read.extend(block.rows)
            yield block

    monkeypatch.setattr(stats, "dense_blocks", spy)
    train(backed, cache=tmp_path / "cache")
    assert read == list(np.flatnonzero(small_adata.obs["split"] == "train"))


class TestTemporaryFile:
    def test_where_memory_is_short_and_removed_afterwards(self, small_adata, few_genes, temporary, request):
        expected = learnt(train(small_adata.copy()))
        request.getfixturevalue("no_memory")
        found = train(small_adata)
        assert learnt(found) == expected
        assert list(temporary.glob("cellclf-*")) == []

    def test_none_where_there_is_room(self, small_adata, monkeypatch):
        monkeypatch.setattr(_at_hand, "write_store", None)
        train(small_adata)

    def test_removed_after_an_error(self, small_adata, temporary, no_memory):
        with pytest.raises(FloatingPointError):
            train(small_adata, fit=cc.Fit(epochs=2, learning_rate=1e30, optimiser="sgd"))
        assert list(temporary.glob("cellclf-*")) == []

    def test_removed_after_an_interrupted_training(self, small_adata, temporary, no_memory, monkeypatch):
        read, batches = Cells.__getitem__, []

        def interrupted(self, index):
            batches.extend([index] * isinstance(index, np.ndarray))
            if len(batches) == 9 and index is batches[-1]:
                raise KeyboardInterrupt
            return read(self, index)

        monkeypatch.setattr(Cells, "__getitem__", interrupted)
        found = train(small_adata, split=None)
        assert found.facts["interrupted"]
        assert len(found.history) == 1
        assert list(temporary.glob("cellclf-*")) == []

    def test_free_memory_is_a_plausible_number(self, monkeypatch):
        assert 2**20 < _at_hand._free_memory() < 2**50
        monkeypatch.setattr(_at_hand.Path, "exists", lambda _: False)
        assert 2**20 < _at_hand._free_memory() < 2**50


class TestHalfPrecision:
    def test_within_tolerance(self, small_adata, tmp_path):
        small_adata.X = np.log1p(small_adata.X.toarray() / 3)
        exact, half = train(small_adata.copy()), train(small_adata, half=True, cache=tmp_path)
        assert np.load(tmp_path / "cells.npy", mmap_mode="r").dtype == np.float16
        assert half.preprocessing.offset.tobytes() != exact.preprocessing.offset.tobytes()
        np.testing.assert_allclose(half.preprocessing.offset, exact.preprocessing.offset, rtol=2**-11)
        x = small_adata.X
        np.testing.assert_allclose(half.predict_proba(x), exact.predict_proba(x), atol=0.01)

    def test_whole_numbers_stay_exact_and_no_file_is_left(self, small_adata, temporary):
        assert learnt(train(small_adata.copy())) == learnt(train(small_adata, half=True))
        assert list(temporary.glob("cellclf-*")) == []


class TestKeptFile:
    def test_used_again(self, small_adata, tmp_path, monkeypatch):
        expected = train(small_adata, cache=tmp_path)
        monkeypatch.setattr(_at_hand, "write_store", None)
        assert learnt(train(small_adata, cache=tmp_path)) == learnt(expected)

    def test_used_for_some_of_the_genes_and_cells(self, small_adata, tmp_path, monkeypatch):
        cc.pp.split(small_adata)
        train(small_adata, genes="all", cache=tmp_path)
        small_adata.obs.loc[small_adata.obs_names[::4], "split"] = "test"
        genes = ["gene4", "gene1", "gene8"]
        expected = learnt(train(small_adata.copy(), genes=genes))
        monkeypatch.setattr(_at_hand, "write_store", None)
        assert learnt(train(small_adata, genes=genes, cache=tmp_path)) == expected

    @pytest.mark.parametrize(
        ("what", "named"),
        [
            ("half", "half"),
            ("cells", "the cells"),
            ("genes", "the genes"),
            ("names", "the genes"),
            ("shape", "the shape of the matrix"),
            ("values", "the values"),
            ("totals", "the values"),
        ],
    )
    def test_other_cells_are_refused(self, small_adata, tmp_path, what, named):
        cc.pp.split(small_adata)
        used = {"genes": [f"gene{j}" for j in range(9)], "cache": tmp_path}
        train(small_adata, **used)
        other, options = small_adata.copy(), dict(used)
        if what == "half":
            options["half"] = True
        elif what == "cells":
            other.obs["split"] = "train"
        elif what == "genes":
            options["genes"] = ["gene3", "gene20"]
        elif what == "names":
            other.var_names = [f"gene{j}" for j in (*range(9, 18), *range(9), *range(18, 30))]
        elif what == "shape":
            other = other[:, :29].copy()
        else:
            row = np.flatnonzero(other.obs["split"] == "train")[3]
            other = changed(other, row, 5 if what == "values" else 25, 40)
        before = other.obs.copy()
        with pytest.raises(ValueError, match=f"another training: it differs in {named}. Give another folder"):
            train(other, **options)
        assert other.obs.equals(before)

    @pytest.mark.parametrize("n_cells", [20, 120])
    def test_cells_by_which_it_is_known(self, small_adata, tmp_path, monkeypatch, n_cells):
        monkeypatch.setattr(_at_hand, "N_LOOKED", 64)
        some = small_adata[:n_cells].copy()
        train(some, split=None, cache=tmp_path)
        for row in (0, n_cells - 1):
            with pytest.raises(ValueError, match="differs in the values"):
                train(changed(some, row, 5, 40), split=None, genes="all", cache=tmp_path)


class TestBadInput:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, small_adata, tmp_path, value):
        small_adata.var["selected"] = True
        small_adata = changed(small_adata, 3, 7, value)
        before = small_adata.copy()
        with pytest.raises(ValueError, match=r"1 cells have NaN or infinite values \(genes 'gene7'\)"):
            train(small_adata, split=None, cache=tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert list(small_adata.uns) == list(before.uns)

    @pytest.mark.parametrize("cached", [False, True])
    def test_negative_numbers_are_no_counts(self, small_adata, tmp_path, cached):
        small_adata.X = small_adata.X.toarray() - 1
        fit = cc.Fit(epochs=1, preprocess="counts")
        with pytest.raises(ValueError, match="negative numbers, which are no counts"):
            train(small_adata, fit=fit, cache=tmp_path if cached else None)

    def test_a_full_disk(self, small_adata, monkeypatch, temporary, no_memory):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        before = list(small_adata.uns), list(small_adata.obs), list(small_adata.var)
        with pytest.raises(OSError, match=r"take [\d,]+ bytes, but .* has 1,000 free\. Make room"):
            train(small_adata)
        assert list(temporary.glob("cellclf-*")) == []
        assert (list(small_adata.uns), list(small_adata.obs), list(small_adata.var)) == before

    def test_an_interruption(self, small_adata, monkeypatch, tmp_path):
        def interrupted(*_):
            raise KeyboardInterrupt
            yield

        monkeypatch.setattr("cellclf.stats.dense_blocks", interrupted)
        before = list(small_adata.uns), list(small_adata.obs)
        with pytest.raises(KeyboardInterrupt):
            train(small_adata, cache=tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert (list(small_adata.uns), list(small_adata.obs)) == before

    def test_a_cache_that_is_a_file(self, small_adata, tmp_path):
        (tmp_path / "cache").write_text("")
        with pytest.raises(ValueError, match=r"cache=.*is a file\. Give the name of a folder"):
            train(small_adata, cache=tmp_path / "cache")


def test_the_record_survives_files(small_adata, tmp_path):
    train(small_adata, half=True, cache=tmp_path / "cache")
    small_adata.write_h5ad(tmp_path / "x.h5ad")
    small_adata.write_zarr(tmp_path / "x.zarr")
    for found in (ad.read_h5ad(tmp_path / "x.h5ad"), ad.read_zarr(tmp_path / "x.zarr")):
        assert '"half": true' in str(found.uns["cellclf"]["call"])
        assert str(tmp_path) not in str(found.uns["cellclf"]["call"])
        cc.tl.predict(found)
