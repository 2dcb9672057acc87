"""Real data by name, and one simulation: every one a checked AnnData with its label recorded."""

from __future__ import annotations

from cellclf.datasets._breast_cancer import breast_cancer
from cellclf.datasets._chromatin import chromatin
from cellclf.datasets._depmap import depmap
from cellclf.datasets._pbmc68k import pbmc68k
from cellclf.datasets._tcga_pancan import tcga_pancan

__all__ = ["breast_cancer", "chromatin", "depmap", "pbmc68k", "tcga_pancan"]
