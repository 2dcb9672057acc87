"""The numbers: arrays in, arrays out."""

from __future__ import annotations

from cellclf.stats._agreement import accuracy, balanced_accuracy, classification_report, confusion, macro_f1
from cellclf.stats._bins import SMALLEST, Bins, bin_edges
from cellclf.stats._bootstrap import bootstrap_confusion
from cellclf.stats._calibration import expected_calibration_error, fit_temperature, log_loss
from cellclf.stats._contingency import ContingencyTable, contingency
from cellclf.stats._coverage import covering
from cellclf.stats._dense import dense, dense_blocks
from cellclf.stats._description import describe, sign_bins, zeros_of
from cellclf.stats._distributed import on_workers
from cellclf.stats._extremes import extremes, holds_counts
from cellclf.stats._findings import BadValueError
from cellclf.stats._forward import forward_selection
from cellclf.stats._information import (
    jensen_shannon,
    mutual_information,
    mutual_information_by_class,
    normalised_information,
)
from cellclf.stats._moments import mean_std, row_sums
from cellclf.stats._novelty import Novelty
from cellclf.stats._order import by_score, holding, in_turn
from cellclf.stats._redundancy import decorrelated
from cellclf.stats._sample import sample_rows
from cellclf.stats._significance import Independence, benjamini_hochberg, independence, mutual_information_pvalue
from cellclf.stats._similarity import similarity
from cellclf.stats._table import cut_and_count, cut_and_count_within

__all__ = [
    "SMALLEST",
    "BadValueError",
    "Bins",
    "ContingencyTable",
    "Independence",
    "Novelty",
    "accuracy",
    "balanced_accuracy",
    "benjamini_hochberg",
    "bin_edges",
    "bootstrap_confusion",
    "by_score",
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
    "mutual_information",
    "mutual_information_by_class",
    "mutual_information_pvalue",
    "normalised_information",
    "on_workers",
    "row_sums",
    "sample_rows",
    "sign_bins",
    "similarity",
    "zeros_of",
]
