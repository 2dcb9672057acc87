"""The numbers: arrays in, arrays out."""

from __future__ import annotations

from cellclf.stats._agreement import (
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    classification_report,
    confusion,
    macro_f1,
    median_f1,
)
from cellclf.stats._audit import LabelAudit, audit
from cellclf.stats._axes import principal_axes, with_class_means
from cellclf.stats._bin_edges import SMALLEST, bin_edges
from cellclf.stats._bins import Bins
from cellclf.stats._bootstrap import bootstrap_confusion
from cellclf.stats._calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability,
)
from cellclf.stats._conformal import Conformal, check_error_rate, nonconformity
from cellclf.stats._contingency import ContingencyTable, contingency
from cellclf.stats._coverage import covering, turns
from cellclf.stats._dense import dense, dense_blocks
from cellclf.stats._description import describe, sign_bins, zeros_of
from cellclf.stats._discriminant import N_AXES, discriminant
from cellclf.stats._distributed import on_workers
from cellclf.stats._extremes import extremes, holds_counts
from cellclf.stats._findings import BadValueError
from cellclf.stats._folds import stratified_folds
from cellclf.stats._forward import forward_selection
from cellclf.stats._information import (
    jensen_shannon,
    mutual_information,
    mutual_information_by_class,
    normalised_information,
)
from cellclf.stats._intervals import MEASURES, Judged, bootstrap
from cellclf.stats._moments import mean_std, row_sums
from cellclf.stats._novelty import N_LEARNT, Novelty, evenly
from cellclf.stats._order import by_score, holding, in_turn
from cellclf.stats._redundancy import decorrelated
from cellclf.stats._sample import sample_rows
from cellclf.stats._significance import Independence, benjamini_hochberg, independence, mutual_information_pvalue
from cellclf.stats._similarity import similarity
from cellclf.stats._stacking import stacking_weights
from cellclf.stats._table import cut_and_count, cut_and_count_within

__all__ = [
    "MEASURES",
    "N_AXES",
    "N_LEARNT",
    "SMALLEST",
    "BadValueError",
    "Bins",
    "Conformal",
    "ContingencyTable",
    "Independence",
    "Judged",
    "LabelAudit",
    "Novelty",
    "accuracy",
    "audit",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "benjamini_hochberg",
    "bin_edges",
    "bootstrap",
    "bootstrap_confusion",
    "brier_score",
    "by_score",
    "check_error_rate",
    "classification_report",
    "confusion",
    "contingency",
    "covering",
    "cut_and_count",
    "cut_and_count_within",
    "decorrelated",
    "dense",
    "dense_blocks",
    "describe",
    "discriminant",
    "evenly",
    "expected_calibration_error",
    "extremes",
    "fit_temperature",
    "forward_selection",
    "holding",
    "holds_counts",
    "in_turn",
    "independence",
    "jensen_shannon",
    "log_loss",
    "macro_f1",
    "mean_std",
    "median_f1",
    "mutual_information",
    "mutual_information_by_class",
    "mutual_information_pvalue",
    "nonconformity",
    "normalised_information",
    "on_workers",
    "principal_axes",
    "reliability",
    "row_sums",
    "sample_rows",
    "sign_bins",
    "similarity",
    "stacking_weights",
    "stratified_folds",
    "turns",
    "with_class_means",
    "zeros_of",
]
