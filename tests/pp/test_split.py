from __future__ import annotations

from collections import Counter

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

import cellclf as cc
from cellclf.pp._split import _sizes, assign_rows


def labelled(sizes: dict[str, int], *, missing: int = 0, **columns) -> AnnData:
    values = [name for name, n in sizes.items() for _ in range(n)] + [None] * missing
    values = np.array(values, dtype=object)[np.random.default_rng(1).permutation(len(values))]
    obs = pd.DataFrame({"kind": pd.Categorical(values), **columns}, index=[f"c{i}" for i in range(len(values))])
    return AnnData(np.zeros((len(values), 1), np.float32), obs=obs)


def sizes_of(adata: AnnData, kind: str) -> dict[str, int]:
    return dict(Counter(adata.obs["split"][adata.obs["kind"] == kind]))


def test_each_class_is_divided_in_proportion():
    adata = labelled({"a": 100, "b": 50, "c": 30})
    cc.pp.split(adata, "kind")
    assert sizes_of(adata, "a") == {"train": 80, "valid": 10, "test": 10}
    assert sizes_of(adata, "b") == {"train": 40, "valid": 5, "test": 5}
    assert sizes_of(adata, "c") == {"train": 24, "valid": 3, "test": 3}
    assert list(adata.obs["split"].cat.categories) == ["train", "valid", "test"]


@pytest.mark.parametrize(
    ("n", "fractions", "expected"),
    [
        (1, (0.8, 0.1, 0.1), [1, 0, 0]),
        (1, (0.2, 0.4, 0.4), [1, 0, 0]),
        (2, (0.8, 0.1, 0.1), [1, 0, 1]),
        (2, (0.2, 0.4, 0.4), [1, 0, 1]),
        (2, (0.8, 0.2, 0.0), [1, 1, 0]),
        (2, (1.0, 0.0, 0.0), [2, 0, 0]),
        (3, (0.8, 0.1, 0.1), [1, 1, 1]),
        (9, (0.8, 0.1, 0.1), [7, 1, 1]),
        (14, (0.8, 0.1, 0.1), [11, 2, 1]),
        (10, (0.5, 0.25, 0.25), [5, 3, 2]),
        (10, (0.7, 0.0, 0.3), [7, 0, 3]),
    ],
)
def test_rounding(n, fractions, expected):
    assert _sizes(n, np.array(fractions)).tolist() == expected


@given(st.integers(1, 400), st.integers(1, 10), st.integers(0, 10), st.integers(0, 10))
def test_rounding_is_complete_and_fair(n, a, b, c):
    shares = np.array([a, b, c]) / (a + b + c)
    sizes = _sizes(n, shares)
    assert sizes.sum() == n
    assert sizes[0] >= 1
    assert (sizes[shares == 0] == 0).all()
    if n >= 3 * (a + b + c):
        assert (np.abs(sizes - n * shares) < 1).all()


def test_singletons_go_to_train_and_pairs_to_train_and_test():
    adata = labelled({"a": 40, "single": 1, "pair": 2})
    cc.pp.split(adata, "kind")
    assert sizes_of(adata, "single") == {"train": 1}
    assert sizes_of(adata, "pair") == {"train": 1, "test": 1}


def test_cells_without_a_class_are_in_no_part():
    adata = labelled({"a": 20, "b": 20}, missing=7)
    cc.pp.split(adata, "kind")
    assert adata.obs["split"].isna().equals(adata.obs["kind"].isna())
    assert adata.obs["split"].notna().sum() == 40


def test_the_seed_decides():
    adata = labelled({"a": 60, "b": 30})
    splits = []
    for rng in (0, 0, 1, np.random.default_rng(0)):
        cc.pp.split(adata, "kind", rng=rng)
        splits.append(adata.obs["split"].astype(str).to_list())
    assert splits[0] == splits[1] == splits[3] != splits[2]


def test_unused_categories_do_not_matter():
    adata = labelled({"a": 20, "b": 20})
    cc.pp.split(adata, "kind")
    first = adata.obs["split"].copy()
    adata.obs["kind"] = adata.obs["kind"].cat.set_categories(["none", "a", "b", "c"])
    cc.pp.split(adata, "kind")
    assert adata.obs["split"].equals(first)


@pytest.fixture
def donors() -> AnnData:
    """Give 30 donors of 5 to 40 cells in four classes, one of them in two donors only, one in a single donor."""
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(30), rng.integers(5, 40, 30))
    kind = rng.choice(["a", "b"], p=[0.7, 0.3], size=donor.size).astype(object)
    kind[np.flatnonzero(np.isin(donor, [3, 4]))[:20]] = "few"
    kind[np.flatnonzero(donor == 7)[:3]] = "one"
    obs = pd.DataFrame({"kind": kind, "donor": [f"d{i}" for i in donor]}, index=[f"c{i}" for i in range(donor.size)])
    return AnnData(np.zeros((donor.size, 1), np.float32), obs=obs)


def test_groups_stay_together_and_classes_in_proportion(donors):
    cc.pp.split(donors, "kind", groups="donor", fractions=(0.6, 0.2, 0.2))
    assert (donors.obs.groupby("donor")["split"].nunique() == 1).all()
    for kind in ("a", "b"):
        shares = donors.obs["split"][donors.obs["kind"] == kind].value_counts(normalize=True)
        assert shares["train"] == pytest.approx(0.6, abs=0.06)
        assert shares["valid"] == pytest.approx(0.2, abs=0.06)
        assert shares["test"] == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("rng", range(5))
def test_every_class_is_taught_even_in_groups(donors, rng):
    cc.pp.split(donors, "kind", groups="donor", rng=rng)
    train = donors.obs["split"] == "train"
    assert set(donors.obs["kind"][train]) == {"a", "b", "few", "one"}


@pytest.mark.parametrize("rng", range(3))
@pytest.mark.parametrize("n_donors", [2, 3, 4, 5, 7])
def test_few_groups_leave_no_part_empty_that_could_have_one(n_donors, rng):
    adata = labelled({"a": 200, "b": 300})
    adata.obs["donor"] = np.random.default_rng(rng).integers(n_donors, size=500).astype(str)
    cc.pp.split(adata, "kind", groups="donor", rng=rng)
    donors = adata.obs.groupby("split", observed=False)["donor"].nunique()
    assert donors["test"] == 1
    assert donors["valid"] == (n_donors > 2)
    assert donors["train"] == n_donors - donors["test"] - donors["valid"]
    cc.pp.split(adata, "kind", groups="donor", fractions=(0.9, 0.1, 0), rng=rng)
    assert set(adata.obs["split"]) == {"train", "valid"}


def test_the_largest_share_stays_with_train():
    adata = labelled({"a": 300, "b": 300})
    adata.obs["donor"] = np.where(adata.obs.groupby("kind", observed=True).cumcount() < 50, "small", "large")
    cc.pp.split(adata, "kind", groups="donor")
    assert adata.obs["split"].astype(str).eq(adata.obs["donor"].map({"large": "train", "small": "test"})).all()


def test_groups_that_train_needs_leave_no_test_cells_and_it_is_said():
    adata = labelled({"a": 30, "b": 30})
    adata.obs["donor"] = adata.obs["kind"].map({"a": "d1", "b": "d2"}).astype(str)
    with pytest.warns(UserWarning, match="No cell is marked test: train needs every group of groups='donor'"):
        cc.pp.split(adata, "kind", groups="donor")
    assert (adata.obs["split"] == "train").all()


def test_groups_may_be_missing_only_where_the_class_is(donors):
    donors.obs["donor"] = donors.obs["donor"].astype(object)
    donors.obs.iloc[:3, donors.obs.columns.get_loc("donor")] = None
    with pytest.raises(ValueError, match="'donor' is missing in 3 cells"):
        cc.pp.split(donors, "kind", groups="donor")
    donors.obs.iloc[:3, donors.obs.columns.get_loc("kind")] = None
    cc.pp.split(donors, "kind", groups="donor")
    assert donors.obs["split"].isna().sum() == 3


@pytest.mark.parametrize(
    "fractions",
    [(0.8, 0.2), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0, 0.5, 0.5), (np.nan, 0.5, 0.5), (80, 10, 10), "most"],
)
def test_fractions_must_be_shares(fractions):
    adata = labelled({"a": 20, "b": 20})
    with pytest.raises(ValueError, match="fractions="):
        cc.pp.split(adata, "kind", fractions=fractions)
    assert list(adata.obs) == ["kind"]
    assert not adata.uns


@pytest.mark.parametrize("options", [{"label": "nope"}, {"label": "kind", "groups": "nope"}])
def test_absent_columns_are_named(options):
    with pytest.raises(KeyError, match=r"'nope' is not in adata\.obs\. It holds: 'kind'"):
        cc.pp.split(labelled({"a": 20, "b": 20}), **options)


def test_some_cell_must_have_a_class():
    with pytest.raises(ValueError, match="missing in every cell"):
        cc.pp.split(labelled({}, missing=5), "kind")


def test_another_key_and_a_copy():
    adata = labelled({"a": 20, "b": 20})
    copy = cc.pp.split(adata, key_added="part", copy=True)
    assert list(adata.obs) == ["kind"]
    assert list(copy.obs) == ["kind", "part"]
    assert copy.uns["part"]["function"] == "cellclf.pp.split"
    assert copy.uns["part"]["written_obs"].tolist() == ["part"]


def test_a_view_becomes_an_anndata_of_its_own():
    adata = labelled({"a": 20, "b": 20})
    view = adata[:30]
    cc.pp.split(view, "kind")
    assert view.obs["split"].notna().all()
    assert "split" not in adata.obs


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(form, tmp_path):
    adata = labelled({"a": 20, "b": 20}, missing=3)
    cc.pp.split(adata, "kind")
    path = tmp_path / f"x.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path)
    assert back.obs["split"].astype(object).equals(adata.obs["split"].astype(object))
    assert str(back.uns["split"]["call"]) == adata.uns["split"]["call"]


def test_rows_without_code_are_minus_one():
    parts = assign_rows(np.array([0, -1, 0, 1, 1, 1, -1]))
    assert parts.dtype == np.int8
    assert (parts == -1).tolist() == [False, True, False, False, False, False, True]
