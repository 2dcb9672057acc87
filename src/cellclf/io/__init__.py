"""Files become AnnData: one reader for each kind of file, all checked alike."""

from __future__ import annotations

from cellclf.io._bunch import from_bunch
from cellclf.io._csv_pair import read_csv_pair
from cellclf.io._depmap import read_depmap
from cellclf.io._mat import read_mat
from cellclf.io._motifs import read_motifs

__all__ = ["from_bunch", "read_csv_pair", "read_depmap", "read_mat", "read_motifs"]
