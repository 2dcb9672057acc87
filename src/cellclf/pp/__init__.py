"""Preparation: which rows learn, what each gene tells, which genes are kept."""

from __future__ import annotations

from cellclf.pp._filter_genes import filter_genes
from cellclf.pp._gene_scores import gene_scores
from cellclf.pp._gene_similarity import gene_similarity
from cellclf.pp._select_genes import select_genes
from cellclf.pp._split import split
from cellclf.pp._summary import summary

__all__ = ["filter_genes", "gene_scores", "gene_similarity", "select_genes", "split", "summary"]
