from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scanpy as sc
from sklearn.datasets import load_breast_cancer

import cellclf as cc
from cellclf.datasets import _depmap, _tcga_pancan

if TYPE_CHECKING:
    from anndata import AnnData
    from conftest import Server


@pytest.mark.parametrize("name", ["breast_cancer", "pbmc68k", "chromatin"])
def test_examples_run(name: str) -> None:
    parser = doctest.DocTestParser()
    test = parser.get_doctest(getattr(cc.datasets, name).__doc__, {}, name, None, None)
    problems: list[str] = []
    assert doctest.DocTestRunner().run(test, out=problems.append).attempted > 1
    assert problems == []


X = np.array([[0.5, 1.25, 0], [2, 0.75, 3], [1, 0.5, 0], [4, 0, 8]], dtype=np.float32)


def test_breast_cancer() -> None:
    adata, bunch = cc.datasets.breast_cancer(), load_breast_cancer()
    np.testing.assert_array_equal(adata.X, bunch.data.astype(np.float32))
    assert list(adata.var_names) == list(bunch.feature_names)
    assert adata.obs["diagnosis"].to_list() == [bunch.target_names[code] for code in bunch.target]
    assert adata.uns["cellclf_label"] == "diagnosis"


def test_pbmc68k_holds_the_values_of_raw() -> None:
    adata, reduced = cc.datasets.pbmc68k(), sc.datasets.pbmc68k_reduced()
    assert abs(adata.X - reduced.raw.X).nnz == 0
    assert adata.X.min() == 0
    assert adata.raw is None
    assert adata.obs.equals(reduced.obs)
    assert adata.uns["cellclf_label"] == "bulk_labels"


# -- Tumours ---------------------------------------------------------------------


def check_pair(adata: AnnData) -> None:
    """Compare with the two tables, joined by the names of the samples."""
    np.testing.assert_array_equal(np.asarray(adata.X), X)
    assert list(adata.obs_names) == [f"sample_{i}" for i in range(4)]
    assert adata.obs["Class"].to_list() == ["BRCA", "LUAD", "BRCA", "LUAD"]
    assert adata.uns["cellclf_label"] == "Class"


@pytest.mark.parametrize("kind", ["zip-of-tar", "tar.gz", "zip"])
def test_tcga_pancan_from_an_archive(kind: str, make_archive: Callable[[str], Path]) -> None:
    check_pair(cc.datasets.tcga_pancan(make_archive(kind)))


def test_nothing_is_written_beside_the_archive(make_archive: Callable[[str], Path]) -> None:
    archive = make_archive("tar.gz")
    before = sorted(archive.parent.parent.rglob("*"))
    cc.datasets.tcga_pancan(archive)
    assert sorted(archive.parent.parent.rglob("*")) == before


@pytest.mark.parametrize("below", ["", "TCGA-PANCAN-HiSeq-801x20531"], ids=["folder", "folder-in-folder"])
def test_tcga_pancan_from_a_folder(below: str, tables: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "kept" / below
    folder.mkdir(parents=True)
    for name, text in tables.items():
        (folder / name).write_text(text)
    check_pair(cc.datasets.tcga_pancan(tmp_path / "kept"))


def test_tcga_pancan_from_a_folder_with_the_archive(make_archive: Callable[[str], Path]) -> None:
    check_pair(cc.datasets.tcga_pancan(str(make_archive("tar.gz").parent)))


def test_tcga_pancan_is_downloaded_once(
    server: Server, cache: Path, make_archive: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/a.zip"] = make_archive("zip-of-tar").read_bytes()
    monkeypatch.setattr(_tcga_pancan, "ARCHIVE", _tcga_pancan.ARCHIVE._replace(url=server.url("/a.zip")))
    check_pair(cc.datasets.tcga_pancan())
    check_pair(cc.datasets.tcga_pancan())
    assert server.asked == ["/a.zip"]
    assert [path.name for path in cache.iterdir()] == ["gene+expression+cancer+rna+seq.zip"]


def test_a_path_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"path='/no/such' does not exist\. Give the file or folder"):
        cc.datasets.tcga_pancan("/no/such")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not hold data\.csv and labels\.csv\. Give the folder"):
        cc.datasets.tcga_pancan(tmp_path)


@pytest.mark.parametrize("kind", ["half.tar.gz", "empty.zip"])
def test_an_archive_without_the_tables(kind: str, make_archive: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"does not hold data\.csv and labels\.csv"):
        cc.datasets.tcga_pancan(make_archive(kind))


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "zip-of-tar"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_damaged_archive(kind: str, share: float, make_archive: Callable[[str], Path]) -> None:
    archive = make_archive(kind)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"is a damaged or incomplete archive.*Delete it and get it again"):
        cc.datasets.tcga_pancan(archive)


# -- Cell lines --------------------------------------------------------------------

EXPRESSION = ",TSPAN6 (7105),TP53 (7157)\nACH-2,3.5,4.25\nACH-1,2.5,0.5\nACH-9,1.5,0.25\n"
SAMPLES = (
    "DepMap_ID,sex,age,sample_collection_site,lineage\nACH-1,Female,61,lung,lung\nACH-2,Male,45,skin,skin\n"
    "ACH-3,,50,skin,skin\n"
)


@pytest.fixture
def depmap_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "depmap"
    folder.mkdir()
    (folder / "CCLE_expression.csv").write_text(EXPRESSION)
    (folder / "sample_info.csv").write_text(SAMPLES)
    return folder


def test_depmap_from_a_folder(depmap_folder: Path) -> None:
    adata = cc.datasets.depmap(depmap_folder)
    assert adata.uns["cellclf_label"] == "sample_collection_site"
    assert adata.obs["sample_collection_site"].astype(object).fillna("none").to_list() == ["skin", "lung", "none"]
    assert list(adata.var_names) == ["TSPAN6", "TP53"]
    np.testing.assert_array_equal(np.asarray(adata.X), np.array([[3.5, 4.25], [2.5, 0.5], [1.5, 0.25]], np.float32))
    assert cc.datasets.depmap(depmap_folder, label="lineage").uns["cellclf_label"] == "lineage"


def test_depmap_is_downloaded(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files |= {"/1": EXPRESSION.encode(), "/2": SAMPLES.encode()}
    monkeypatch.setattr(_depmap, "EXPRESSION", _depmap.EXPRESSION._replace(url=server.url("/1")))
    monkeypatch.setattr(_depmap, "SAMPLES", _depmap.SAMPLES._replace(url=server.url("/2")))
    assert cc.datasets.depmap(label="lineage").shape == (3, 2)
    assert sorted(path.name for path in cache.iterdir()) == ["CCLE_expression.csv", "sample_info.csv"]


def test_a_label_that_depmap_does_not_have(depmap_folder: Path) -> None:
    with pytest.raises(KeyError, match="tissue"):
        cc.datasets.depmap(depmap_folder, label="tissue")
