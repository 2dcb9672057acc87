"""Networks: frozen descriptions that build torch modules."""

from cellclf.nn._linear import Linear
from cellclf.nn._mlp import MLP

__all__ = ["MLP", "Linear"]
