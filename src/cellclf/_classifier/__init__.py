"""A trained classifier on plain arrays: network, genes, classes, preprocessing and calibration in one file."""

from __future__ import annotations

from cellclf._classifier._classifier import BLOCK, Classifier
from cellclf._classifier._impression import impression

__all__ = ["BLOCK", "Classifier", "impression"]
