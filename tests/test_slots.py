from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellclf import _slots
from cellclf.fit import Fit


def adata_with(**obs) -> ad.AnnData:
    n = len(next(iter(obs.values())))
    frame = pd.DataFrame(obs, index=[f"cell{i}" for i in range(n)])
    return ad.AnnData(np.ones((n, 3), dtype=np.float32), obs=frame)


EIGHT = ["a", "a", "b", "b", "a", "b", "a", "b"]


class TestLabel:
    def test_the_only_candidate_is_found(self):
        adata = adata_with(kind=EIGHT, barcode=list("abcdefgh"), depth=np.arange(8.0), batch=np.arange(8) % 2)
        assert _slots.label_name(adata, None) == "kind"

    def test_booleans_and_categories_are_candidates_but_splits_are_not(self):
        adata = adata_with(alive=[True, False] * 4, part=["train", "test"] * 4)
        assert _slots.label_candidates(adata) == ["alive"]

    def test_several_candidates_are_listed(self):
        adata = adata_with(kind=EIGHT, other=pd.Categorical(EIGHT))
        with pytest.raises(ValueError, match="'kind', 'other'"):
            _slots.label_name(adata, None)

    def test_none_is_said_with_what_there_is(self):
        with pytest.raises(ValueError, match="'depth'"):
            _slots.label_name(adata_with(depth=np.arange(8.0)), None)

    def test_the_recorded_label_comes_first(self):
        adata = adata_with(kind=EIGHT, other=EIGHT)
        adata.uns["cellclf_label"] = "other"
        assert _slots.label_name(adata, None) == "other"

    def test_what_cellclf_wrote_is_no_candidate(self):
        adata = adata_with(kind=EIGHT, cellclf=EIGHT)
        adata.uns["cellclf_predict"] = _slots.record("tl.predict", {}, written_obs=["cellclf"])
        assert _slots.label_name(adata, None) == "kind"

    def test_unknown_name_lists_the_columns(self):
        with pytest.raises(KeyError, match="'kind'"):
            _slots.labels(adata_with(kind=EIGHT), "cell_type")


class TestLabels:
    @pytest.mark.parametrize(
        ("values", "classes", "codes"),
        [
            pytest.param(["b", "a", None], ["a", "b"], [1, 0, -1], id="strings with a missing one"),
            pytest.param([2, 1, 2], ["1", "2"], [1, 0, 1], id="whole numbers"),
            pytest.param([True, False, True], ["False", "True"], [1, 0, 1], id="booleans"),
            pytest.param(
                pd.Categorical(["x", None, "z"], categories=["z", "y", "x"]),
                ["z", "x"],
                [1, -1, 0],
                id="categories keep their order, unused ones go",
            ),
            pytest.param(pd.Categorical([3, 1, 3]), ["1", "3"], [1, 0, 1], id="categories of numbers"),
        ],
    )
    def test_codes_and_classes(self, values, classes, codes):
        found = _slots.labels(adata_with(kind=values), "kind")
        assert list(found.classes) == classes
        assert list(found.codes) == codes

    def test_decimal_numbers_are_refused(self):
        with pytest.raises(ValueError, match="decimal numbers"):
            _slots.labels(adata_with(kind=[0.5, 1.5, 0.5]), "kind")

    def test_classes_that_differ_in_type_only_are_refused(self):
        with pytest.raises(ValueError, match="differ in type only"):
            _slots.labels(adata_with(kind=pd.Series([1, "1", 1], dtype=object).to_numpy()), "kind")

    def test_keep_classes_forgets_classes_outside_the_rows(self):
        found = _slots.labels(adata_with(kind=["a", "b", "c", "c"]), "kind")
        kept = _slots.keep_classes(found, np.array([True, False, True, False]), what="training rows")
        assert list(kept.classes) == ["a", "c"]
        assert list(kept.codes) == [0, -1, 1, 1]

    def test_one_class_is_not_enough(self):
        found = _slots.labels(adata_with(kind=["a", "a", "b"]), "kind")
        with pytest.raises(ValueError, match="only 'a' among the training rows"):
            _slots.restrict(found, np.array([True, True, False]), what="training rows")


class TestSplit:
    def test_spellings_and_missing_values(self):
        adata = adata_with(split=["train", "val", "validation", "valid", "test", None])
        masks = _slots.split_rows(adata, "split")
        assert masks is not None
        assert [name for row in range(6) for name in masks if masks[name][row]] == [
            "train",
            "valid",
            "valid",
            "valid",
            "test",
        ]

    def test_the_default_may_be_absent_another_name_may_not(self):
        adata = adata_with(kind=EIGHT)
        assert _slots.split_rows(adata, "split") is None
        with pytest.raises(KeyError, match="'kind'"):
            _slots.split_rows(adata, "fold")

    def test_other_words_are_refused(self):
        with pytest.raises(ValueError, match="'holdout'"):
            _slots.split_rows(adata_with(split=["train", "holdout"]), "split")

    def test_no_training_row_is_an_error(self):
        with pytest.raises(ValueError, match="no row as 'train'"):
            _slots.split_rows(adata_with(split=["test", "test"]), "split")

    @pytest.mark.parametrize(
        ("split", "expected"),
        [(["train", "valid", "test"], [False, False, True]), (["train", "valid", "train"], [False, True, False])],
        ids=["test first", "else valid"],
    )
    def test_default_rows(self, split, expected):
        chosen = _slots.chosen_rows(adata_with(split=split), None, "split", np.ones(3, dtype=bool))
        assert list(chosen) == expected

    def test_default_rows_without_a_split_are_the_labelled_ones(self):
        labelled = np.array([True, False, True])
        assert list(_slots.chosen_rows(adata_with(kind=["a", "b", "a"]), None, "split", labelled)) == list(labelled)

    def test_a_query_may_hold_test_rows_only_but_a_named_split_must_be_there(self):
        adata, every = adata_with(split=["test", "test"]), np.ones(2, dtype=bool)
        assert _slots.chosen_rows(adata, "test", "split", every).all()
        assert _slots.chosen_rows(adata, None, "split", every).all()
        with pytest.raises(KeyError, match="split='fold'"):
            _slots.chosen_rows(adata, None, "fold", every)

    @pytest.mark.parametrize("rows", ["all", [0, 1], np.array([True])], ids=["word", "numbers", "length"])
    def test_other_rows_are_refused(self, rows):
        with pytest.raises(ValueError, match="Give"):
            _slots.chosen_rows(adata_with(split=["train", "test"]), rows, "split", np.ones(2, dtype=bool))

    def test_a_column_in_another_order_is_refused(self):
        adata = adata_with(kind=EIGHT)
        mask, everything = adata.obs["kind"] == "a", np.ones(8, dtype=bool)
        np.testing.assert_array_equal(_slots.chosen_rows(adata, mask, "split", everything), mask.to_numpy())
        for rows in (mask[::-1], mask.reset_index(drop=True)):
            with pytest.raises(ValueError, match=r"rows\.reindex\(adata\.obs_names\)"):
                _slots.chosen_rows(adata, rows, "split", everything)


class TestGenes:
    @pytest.fixture
    def adata(self):
        var = pd.DataFrame({"symbol": ["X", "Y", "X"]}, index=["ENSG01.3", "ENSG02.1", "ENSG03.7"])
        return ad.AnnData(np.ones((2, 3), dtype=np.float32), var=var)

    def test_any_order_and_absent_ones(self, adata):
        columns, changed = _slots.match_genes(adata, np.array(["ENSG03.7", "none", "ENSG01.3"], dtype=object))
        assert (list(columns), changed) == ([2, -1, 0], False)

    def test_versions_are_ignored_where_needed(self, adata):
        columns, changed = _slots.match_genes(adata, np.array(["ENSG02", "ENSG01.9"], dtype=object))
        assert (list(columns), changed) == ([1, 0], True)

    def test_versions_stay_where_they_tell_genes_apart(self):
        adata = ad.AnnData(np.ones((2, 2), dtype=np.float32), var=pd.DataFrame(index=["ENSG01.1", "ENSG01.2"]))
        columns, changed = _slots.match_genes(adata, np.array(["ENSG01.3"], dtype=object))
        assert (list(columns), changed) == ([-1], False)

    def test_another_column_may_hold_duplicates_that_nobody_asks_for(self, adata):
        columns, _ = _slots.match_genes(adata, np.array(["Y"], dtype=object), gene_symbols="symbol")
        assert list(columns) == [1]
        with pytest.raises(ValueError, match="more than once"):
            _slots.match_genes(adata, np.array(["X"], dtype=object), gene_symbols="symbol")


class TestRecord:
    def test_is_plain_and_survives_files(self, tmp_path):
        entry = _slots.record(
            "tl.train",
            {"fit": Fit(epochs=3), "genes": np.array(["a"]), "rng": np.random.default_rng(0), "network": None},
            classes=["T/CD4", "B"],
            written_obs=["cellclf"],
        )
        call = json.loads(entry["call"])
        assert call["fit"]["epochs"] == 3
        assert (call["genes"], call["rng"], call["network"]) == (["a"], "Generator", None)
        adata = adata_with(kind=EIGHT)
        adata.uns["x"] = entry
        for name, write, read in [
            ("a.h5ad", adata.write_h5ad, ad.read_h5ad),
            ("a.zarr", adata.write_zarr, ad.read_zarr),
        ]:
            write(tmp_path / name)
            back = read(tmp_path / name)
            assert _slots.strings(back.uns["x"]["classes"]) == ["T/CD4", "B"]
            assert _slots.written_columns(back) == {"cellclf"}

    def test_a_key_that_files_cannot_hold_is_refused_and_nothing_is_written(self):
        adata = adata_with(kind=EIGHT)
        with pytest.raises(ValueError, match="'T/B_by_class' holds '/'"):
            _slots.write(adata, {"var": {"T": np.ones(3)}, "varm": {"T/B_by_class": np.ones((3, 2))}})
        assert list(adata.var) == []

    def test_absent_record_names_the_verb(self):
        with pytest.raises(KeyError, match=r"cc\.tl\.evaluate"):
            _slots.fetch_record(adata_with(kind=EIGHT), "cellclf_evaluation", "tl.evaluate")


def test_warning_points_at_the_user(small_adata):
    small_adata.raw = small_adata
    small_adata.X = small_adata.X.toarray() - 1
    with pytest.warns(UserWarning, match=r"adata\.raw\.to_adata\(\)") as caught:
        _slots.warn_if_scaled(small_adata, None)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("layer", ["counts", "spliced"])
def test_absent_layer_lists_the_layers(small_adata, layer):
    small_adata.layers["raw"] = small_adata.X
    with pytest.raises(KeyError, match="'raw'"):
        _slots.matrix(small_adata, layer=layer)


def test_matrix_refuses_what_is_empty():
    with pytest.raises(ValueError, match="0 cells"):
        _slots.matrix(ad.AnnData(np.ones((0, 3), dtype=np.float32)))
    with pytest.raises(ValueError, match="empty"):
        _slots.matrix(ad.AnnData(obs=pd.DataFrame(index=["a"]), var=pd.DataFrame(index=["g"])))
