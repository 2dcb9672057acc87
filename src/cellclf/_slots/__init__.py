"""Every touch of an AnnData slot: fetch with errors that help, write all at once, record the call."""

from __future__ import annotations

from cellclf._slots._genes import match_genes, unique_genes
from cellclf._slots._labels import (
    LABEL_KEY,
    Labels,
    keep_classes,
    label_candidates,
    label_colors,
    label_name,
    labels,
    restrict,
    spare_label,
)
from cellclf._slots._lazy import load_tables
from cellclf._slots._matrix import matrix, warn_if_scaled
from cellclf._slots._messages import listing, member, warn
from cellclf._slots._records import check_key, fetch_record, merge, record, strings, write, written_columns
from cellclf._slots._rows import SPLIT_NAMES, chosen_rows, split_rows

__all__ = [
    "LABEL_KEY",
    "SPLIT_NAMES",
    "Labels",
    "check_key",
    "chosen_rows",
    "fetch_record",
    "keep_classes",
    "label_candidates",
    "label_colors",
    "label_name",
    "labels",
    "listing",
    "load_tables",
    "match_genes",
    "matrix",
    "member",
    "merge",
    "record",
    "restrict",
    "spare_label",
    "split_rows",
    "strings",
    "unique_genes",
    "warn",
    "warn_if_scaled",
    "write",
    "written_columns",
]
