"""Listening: which inputs a trained network uses; tensors in, arrays out."""

from cellclf.attribution._permutation import Increases, permutation_importance
from cellclf.attribution._weights import first_layer_norms

__all__ = ["Increases", "first_layer_norms", "permutation_importance"]
