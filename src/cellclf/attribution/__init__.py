"""Listening: which inputs a trained network uses; tensors in, arrays out."""

from cellclf.attribution._curves import replacement_curve
from cellclf.attribution._gradients import Attributions, attributions
from cellclf.attribution._measures import Rises, rise_between
from cellclf.attribution._null import shadow_qvalues
from cellclf.attribution._permutation import Increases, permutation_importance
from cellclf.attribution._weight_values import weight_values
from cellclf.attribution._weights import first_layer_norms, path_weights

__all__ = [
    "Attributions",
    "Increases",
    "Rises",
    "attributions",
    "first_layer_norms",
    "path_weights",
    "permutation_importance",
    "replacement_curve",
    "rise_between",
    "shadow_qvalues",
    "weight_values",
]
