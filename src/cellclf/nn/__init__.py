"""Networks: frozen descriptions that build torch modules."""

from cellclf.nn._autoencoder import Autoencoder
from cellclf.nn._cnn1d import CNN1d
from cellclf.nn._linear import Linear
from cellclf.nn._mlp import MLP
from cellclf.nn._n_parameters import n_parameters
from cellclf.nn._named import named
from cellclf.nn._network import Network
from cellclf.nn._registry import register

__all__ = ["MLP", "Autoencoder", "CNN1d", "Linear", "Network", "n_parameters", "named", "register"]
