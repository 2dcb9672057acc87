"""Preparation: which rows learn, what each gene tells, which genes are kept."""

from __future__ import annotations

from cellclf.pp._gene_scores import gene_scores
from cellclf.pp._select_genes import select_genes
from cellclf.pp._split import split

__all__ = ["gene_scores", "select_genes", "split"]
