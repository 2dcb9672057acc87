"""Predict every cell by a classifier that has not seen it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.tl import _answers, _controls, _folds, _study
from cellclf.tl._inputs import check_number
from cellclf.tl._tables import columns as columns_of
from cellclf.tl._tables import confusion_table, report_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData

    from cellclf._types import Rng
    from cellclf.fit import Fit
    from cellclf.nn._registry import Description
    from cellclf.tl._answers import Judged
    from cellclf.tl._folds import Fold
    from cellclf.tl._study import Study


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """How well classifiers do on cells that they have not seen.

    Parameters
    ----------
    summary
        One row per scheme (``"random"``, ``"grouped"``, ``"batch"``, ``"shuffled"``) and model (`network`; `linear`, a
        linear network on the same genes and rows; `prior`, the class frequencies). `accuracy`, `balanced_accuracy`,
        `macro_f1` and `log_loss` (nats) of the predictions of all folds together, means over the repeats; their standard
        deviations over the folds (`accuracy_sd` and so on); `seconds` of a fold.
    folds
        The same measures for each fold and model, with `repeat`, `fold`, `n_train` and `n_test`.
    report
        One row per class: precision, recall, f1, support of the predictions that were written.
    confusion
        Number of cells by true class (rows) and predicted class (columns).
    leakage
        With `groups` or `batch`: accuracy, balanced accuracy and macro-F1 under `random` folds and under those `apart`,
        and their difference (`gap`) with its standard error, from drawing whole groups with replacement. `None` otherwise.
    interrupted
        Whether the user stopped the work; the folds that were finished are there.
    """

    summary: pd.DataFrame
    folds: pd.DataFrame
    report: pd.DataFrame
    confusion: pd.DataFrame
    leakage: pd.DataFrame | None
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the models side by side, and the leakage."""
        shown = self.summary[["scheme", "model", *_answers.METRICS]]
        text = shown.to_string(index=False, float_format="{:.3f}".format)
        if self.leakage is not None:
            gap = self.leakage.loc["macro_f1"]
            text += (
                f"\nMacro-F1 is {gap['gap']:.3f} higher where folds share groups (standard error {gap['gap_se']:.3f})"
            )
        return f"{text}\nunfinished: stopped by the user" if self.interrupted else text


def cross_validate(
    adata: AnnData,
    label: str | None = None,
    *,
    network: Description | None = None,
    fit: Fit | None = None,
    genes: str | Sequence[str] = "auto",
    n_folds: int = 5,
    n_repeats: int = 1,
    groups: str | None = None,
    batch: str | None = None,
    layer: str | None = None,
    use_rep: str | None = None,
    shuffled_label: bool = False,
    rng: Rng = 0,
    key_added: str = "cellclf_cv",
) -> CrossValidation:
    """Predict every cell by a classifier that has not seen it.

    The labelled cells are dealt into folds. Each fold in turn is left out, and a classifier is trained on the others as
    :func:`cellclf.tl.train` does: genes, scaling, information, epoch and temperature are chosen anew, from the rows of that
    training alone. What it says of the fold is written, so that each cell has a prediction, a probability and a
    confidence that no label of its own has touched.

    Cells of one donor resemble each other more than cells of two. With `groups` the cells of a group are left out together,
    with `batch` one batch at a time, and what is measured is how well a *new* donor or batch is predicted. Random folds
    are then run beside, and the difference is reported as leakage: what one would have believed wrongly.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded on
        this AnnData, else the only column that can be a label.
    network
        What to train, such as :class:`cellclf.nn.MLP` (default) or :class:`cellclf.nn.Linear`.
    fit
        How to train it; `None` for the defaults of :class:`cellclf.Fit`.
    genes
        ``"auto"``: the 2000 genes with the highest mutual information with the label, chosen within each training;
        `adata.var['selected']` is not used, since the cells to be judged may have had a part in it. ``"all"``; a list of
        names; or the name of a boolean column of `adata.var`, which must not have been learnt from these labels.
    n_folds
        Number of folds. With `batch`: the largest number of random folds beside.
    n_repeats
        How often to deal the cells anew. Predictions are averaged over the repeats. Not with `batch`.
    groups
        Column of `adata.obs` with groups of cells (donors, patients) that are left out together.
    batch
        Column of `adata.obs` with batches that are left out one at a time.
    layer
        Layer to use instead of X.
    use_rep
        Embedding in `adata.obsm` to use instead of genes. If labels had a part in it, so have those of the left-out cells.
    shuffled_label
        Run random folds with shuffled labels, too: nothing can be learnt then, so that more than the class frequencies
        reach would show a mistake.
    rng
        Seed or generator; the same seed gives the same folds and trainings.
    key_added
        Name of the written fields; it stands for `cellclf_cv` in each of them.

    Returns
    -------
    A :class:`cellclf.tl.CrossValidation`. Sets the following fields:

    `adata.obs['cellclf_cv']` : :class:`pandas.Series` (n_obs, category)
        The most probable class, by a classifier that has not seen the cell; missing for cells that were not judged.
    `adata.obs['cellclf_cv_confidence']` : :class:`pandas.Series` (n_obs, float32)
        The probability of that class; NaN for cells that were not judged.
    `adata.obs['cellclf_cv_fold']` : :class:`pandas.Series` (n_obs, category)
        The fold, or batch, with which the cell was left out, in the first repeat; missing for cells that never were.
    `adata.obsm['cellclf_cv_proba']` : :class:`numpy.ndarray` (n_obs × n_classes, float32)
        Probability of each class, in the order of `classes` in the record; rows of cells that were not judged are NaN.
    `adata.uns['cellclf_cv']` : dict
        Record of the call; the columns of `summary`, `folds`, `report` and, if there is one, `leakage`; `confusion`
        (n_classes × n_classes, rows = truth); `classes`; `interrupted`.
    `adata.uns['cellclf_cv_colors']` : :class:`numpy.ndarray` (n_classes, str)
        The label's colours, where it has some.

    Raises
    ------
    KeyError
        `label`, `groups`, `batch`, `layer`, `use_rep` or a gene is not in `adata` (the message lists what is).
    KeyboardInterrupt
        The work was stopped before a fold was finished; later, the finished folds are returned.
    ValueError
        Fewer rows or groups than folds, a cell without a group, all cells of a class in one group or fold, both `groups`
        and `batch`, or as for :func:`cellclf.tl.train`.

    Warns
    -----
    UserWarning
        A class has a single cell, which always trains and is never judged.

    See Also
    --------
    cellclf.tl.baselines : other models on the same folds.
    cellclf.tl.audit_labels : cells whose label these predictions contradict.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> found = cc.tl.cross_validate(adata, "bulk_labels", n_folds=3, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> found.summary["model"].tolist()
    ['network', 'linear', 'prior']
    >>> adata.obsm["cellclf_cv_proba"].shape
    (700, 10)
    """
    check_number("n_repeats", n_repeats, "repeats")
    _slots.check_key(key_added)
    study = _study.study(adata, label, network=network, fit=fit, genes=genes, layer=layer, use_rep=use_rep)
    _slots.spare_label(adata, key_added, study.found.name)
    generator = np.random.default_rng(rng)
    folds = _folds.deal(
        adata, study.found, n_folds=n_folds, n_repeats=n_repeats, groups=groups, batch=batch, generator=generator
    )
    main, apart = folds[0].scheme, groups or batch
    if apart is not None:
        n_random = n_folds if groups else min(n_folds, len(folds))
        for repeat in range(n_repeats):
            folds += _folds.at_random(study.found, n_random, repeat, generator)
    done, interrupted = _study.judge_in_turn(study.judged, [[fold] for fold in folds], generator)
    leakage = None
    if apart is not None and not interrupted:
        codes, _ = _folds.column_codes(adata, apart, "groups", study.found.codes)
        leakage = _controls.leakage(done, codes, len(study.found.classes), generator)
    if shuffled_label and not interrupted:
        more, interrupted = _controls.judge_shuffled(study, n_folds, generator)
        done += more
    result, proba = _result(done, study, main, leakage, interrupted)
    call: dict[str, Any] = {"label": label, "network": network, "fit": fit, "genes": genes, "n_folds": n_folds}
    call |= {"n_repeats": n_repeats, "groups": groups, "batch": batch, "layer": layer, "use_rep": use_rep}
    call |= {"shuffled_label": shuffled_label, "rng": rng, "key_added": key_added}
    _slots.write(adata, _written(result, proba, study, folds, call, key_added))
    return result


def _result(
    done: Sequence[Judged], study: Study, main: str, leakage: pd.DataFrame | None, interrupted: bool
) -> tuple[CrossValidation, np.ndarray]:
    """Put the folds together: the tables, and the probabilities of every cell."""
    codes, classes = study.found.codes, study.found.classes
    folds = _answers.by_fold(done, len(classes)).drop(columns="settings")
    proba = _averaged([judged for judged in done if judged.fold.scheme == main], len(codes), len(classes))
    there = ~np.isnan(proba[:, 0])
    table = stats.confusion(codes[there], proba[there].argmax(axis=1), len(classes))
    result = CrossValidation(
        summary=_answers.summarised(done, folds, len(classes)),
        folds=folds,
        report=report_table(table, classes),
        confusion=confusion_table(table, classes),
        leakage=leakage,
        interrupted=interrupted,
    )
    return result, proba


def _averaged(done: Iterable[Judged], n_rows: int, n_classes: int) -> np.ndarray:
    """Average the network's probabilities for each row over the repeats; NaN where there are none."""
    total, times = np.zeros((n_rows, n_classes)), np.zeros(n_rows)
    for fold, answers, _ in done:
        total[fold.test] += answers["network"].proba
        times[fold.test] += 1
    total[times == 0] = np.nan
    return (total / np.maximum(times, 1)[:, None]).astype(np.float32)


def _written(
    result: CrossValidation,
    proba: np.ndarray,
    study: Study,
    folds: Sequence[Fold],
    call: dict[str, Any],
    key: str,
) -> dict[str, dict[str, Any]]:
    """Lay out what is written."""
    there, classes = ~np.isnan(proba[:, 0]), study.found.classes
    best = np.where(there, np.nan_to_num(proba).argmax(axis=1), -1)
    first = [fold for fold in folds if (fold.scheme, fold.repeat) == (folds[0].scheme, 0)]
    left_out = np.full(len(proba), -1)
    for number, fold in enumerate(first):
        left_out[fold.test] = number
    obs = {
        key: pd.Categorical.from_codes(best, categories=pd.Index(classes)),
        f"{key}_confidence": proba.max(axis=1),
        f"{key}_fold": pd.Categorical.from_codes(left_out, categories=pd.Index([fold.name for fold in first])),
    }
    tables = {"summary": result.summary, "folds": result.folds, "report": result.report.reset_index(drop=True)}
    if result.leakage is not None:
        tables["leakage"] = result.leakage.reset_index()
    record = _slots.record(
        "tl.cross_validate",
        call,
        classes=classes,
        written_obs=obs,
        label=study.found.name,
        confusion=result.confusion.to_numpy(),
        interrupted=result.interrupted,
        **{name: columns_of(table) for name, table in tables.items()},
    )
    uns: dict[str, Any] = {key: record}
    if colors := _slots.label_colors(study.adata, study.found.name, classes):
        uns[f"{key}_colors"] = np.array(colors, dtype=object)
    return {"obs": obs, "obsm": {f"{key}_proba": proba}, "uns": uns}
