"""Compiled loops: the only room that imports numba.

Each kernel is serial, releases the GIL and works on its own part of the data, so that parts run in plain threads: any
number of callers may be inside at once, and a process may fork afterwards.
"""

from cellclf.stats._kernels._compile import n_threads
from cellclf.stats._kernels._counting import (
    CUTS,
    LANE,
    NOT_FINITE,
    NOT_WHOLE,
    TABLE,
    WHOLE,
    add_planes,
    count_classes,
    count_rows,
)
from cellclf.stats._kernels._counting_columns import count_columns, fill_zeros
from cellclf.stats._kernels._extremes import extremes_columns, extremes_rows
from cellclf.stats._kernels._gather import (
    append_rows,
    centre,
    count_places,
    lay_out,
    lay_out_by_cell,
    pack,
    standardise,
)
from cellclf.stats._kernels._information import divergence, information, information_by_class
from cellclf.stats._kernels._lines import has_duplicates, order
from cellclf.stats._kernels._moments import sums_columns, sums_rows, welford_rows
from cellclf.stats._kernels._null import SERIES, SPAN, bin_excess
from cellclf.stats._kernels._null_variance import DEGREES, bin_laws, describe, information_variance
from cellclf.stats._kernels._pairs import (
    WORD,
    joint_information,
    pack_columns,
    pack_rows,
    segment_counts,
    shared_information,
)
from cellclf.stats._kernels._similarity import (
    count_common,
    keep_nearest,
    pair_information,
    shared_divergence,
    shared_products,
    sums_log_sums,
)

__all__ = [
    "CUTS",
    "DEGREES",
    "LANE",
    "NOT_FINITE",
    "NOT_WHOLE",
    "SERIES",
    "SPAN",
    "TABLE",
    "WHOLE",
    "WORD",
    "add_planes",
    "append_rows",
    "bin_excess",
    "bin_laws",
    "centre",
    "count_classes",
    "count_columns",
    "count_common",
    "count_places",
    "count_rows",
    "describe",
    "divergence",
    "extremes_columns",
    "extremes_rows",
    "fill_zeros",
    "has_duplicates",
    "information",
    "information_by_class",
    "information_variance",
    "joint_information",
    "keep_nearest",
    "lay_out",
    "lay_out_by_cell",
    "n_threads",
    "order",
    "pack",
    "pack_columns",
    "pack_rows",
    "pair_information",
    "segment_counts",
    "shared_divergence",
    "shared_information",
    "shared_products",
    "standardise",
    "sums_columns",
    "sums_log_sums",
    "sums_rows",
    "welford_rows",
]
