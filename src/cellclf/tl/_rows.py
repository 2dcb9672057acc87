"""Which rows a classifier learns from, and which judge it while it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.pp import _split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from cellclf.fit import Fit

MISSING = {"", "nan", "NaN", "NA", "N/A", "<NA>"}


class LearningRows(NamedTuple):
    """Who learns from what: the labels (classes of the training rows), masks, and whether to train again on both."""

    found: _slots.Labels
    train: np.ndarray
    valid: np.ndarray
    refit: bool

    @property
    def final(self) -> np.ndarray:
        """The rows that the finished network has learnt from."""
        return self.train | self.valid if self.refit else self.train


def plan(
    adata: AnnData, found: _slots.Labels | None, split: str | None, fit: Fit, seed: int
) -> tuple[LearningRows, dict[str, dict[str, Any]]]:
    """Decide which rows train and which validate, making the split that is missing; `found` None: there is no label."""
    if found is None:
        return _without_label(adata, split, fit, seed), {}
    slots: dict[str, dict[str, Any]] = {}
    masks = _slots.split_rows(adata, split)
    if masks is None and split is not None:
        codes = _split.assign_rows(found.codes, fractions=_split.FRACTIONS, rng=seed)
        masks = {name: codes == k for k, name in enumerate(_split.NAMES)}
        slots = _split.slots(codes, {"label": found.name, "rng": seed})
    labelled = found.codes >= 0
    train = labelled if masks is None else labelled & masks["train"]
    found = _of_training_rows(found, train)
    known = found.codes >= 0
    valid = np.zeros_like(known) if masks is None else known & masks["valid"]
    if valid.any():
        return LearningRows(found, train, valid, refit=False), slots
    return _taken_out(found, train, fit, seed), slots


def test_rows(
    adata: AnnData, split: str | None, slots: Mapping[str, Mapping[str, Any]], rows: LearningRows
) -> np.ndarray:
    """Mark the test rows whose class the training rows know, of a split that stands or (in `slots`) has just been made."""
    if "obs" in slots:
        marked = np.asarray(slots["obs"]["split"], dtype=object) == "test"
    else:
        masks = _slots.split_rows(adata, split)
        marked = np.zeros(adata.n_obs, dtype=bool) if masks is None else masks["test"]
    return marked & (rows.found.codes >= 0)


def split_digest(
    adata: AnnData, split: str | None, slots: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, str] | None:
    """Digest the names of all cells and of those marked train or valid, in any order; None where no split is asked for.

    The split stands in `adata` or (in `slots`) has just been made; where it is not there, no cell is marked.
    """
    if split is None:
        return None
    marks = (slots or {}).get("obs", {}).get("split", adata.obs.get(split))
    parts = np.full(adata.n_obs, None) if marks is None else np.asarray(marks, dtype=object)
    learnt = np.array([_slots.SPLIT_NAMES.get(str(part)) in {"train", "valid"} for part in parts], dtype=bool)
    names = pd.util.hash_array(adata.obs_names.astype(str).to_numpy(dtype=object), categorize=False)
    return {
        part: f"{names[rows].sum(dtype=np.uint64):016x}" for part, rows in (("cells", slice(None)), ("learnt", learnt))
    }


def _of_training_rows(found: _slots.Labels, train: np.ndarray) -> _slots.Labels:
    """Keep the classes of the training rows, and say which ones they lack."""
    kept = _slots.keep_classes(found, train, what="training rows")
    lacking = [name for name in found.classes if name not in kept.classes]
    if lacking:
        msg = (
            f"No training row has the class {_slots.listing(lacking, 3)}; the classifier will never predict it. "
            "Mark some of its cells as training rows, or remove the label from them."
        )
        _slots.warn(msg)
    _say_if_missing(kept)
    return kept


def _say_if_missing(found: _slots.Labels) -> None:
    """Warn of classes that seem to be missing values which were made words, as `astype(str)` does."""
    words = [name for name in found.classes if name.strip() in MISSING]
    if words:
        msg = (
            f"label={found.name!r} has the class {_slots.listing(words, 3)}, which looks like a missing value and is learnt as any "
            f"other. If it is missing: adata.obs.loc[adata.obs[{found.name!r}].isin({words}), {found.name!r}] = None."
        )
        _slots.warn(msg)


def within(found: _slots.Labels, train: np.ndarray, fit: Fit, seed: int) -> LearningRows:
    """Decide which of some labelled rows (mask) train and which validate, where nothing but these may be learnt from."""
    return _taken_out(_slots.restrict(found, train, what="training rows"), train, fit, seed)


def _without_label(adata: AnnData, split: str | None, fit: Fit, seed: int) -> LearningRows:
    """Decide the same where no class matters: all rows are alike, and no split is written."""
    masks = _slots.split_rows(adata, split)
    train = np.ones(adata.n_obs, dtype=bool) if masks is None else masks["train"]
    if not train.any():
        msg = f"adata has {adata.n_obs} cells, none to train on."
        raise ValueError(msg)
    everything = _slots.Labels("", np.zeros(adata.n_obs, dtype=np.int64), np.array([], dtype=object))
    if masks is not None and masks["valid"].any():
        return LearningRows(everything, train, masks["valid"], refit=False)
    return _taken_out(everything, train, fit, seed)


def _taken_out(found: _slots.Labels, train: np.ndarray, fit: Fit, seed: int) -> LearningRows:
    """Take validation rows out of the training rows of each class."""
    shares = (1 - fit.valid_fraction, fit.valid_fraction, 0.0)
    codes = _split.assign_rows(np.where(train, found.codes, -1), fractions=shares, rng=seed)
    return LearningRows(found, codes == 0, codes == 1, refit=fit.refit and bool((codes == 1).any()))
