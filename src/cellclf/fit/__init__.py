"""How weights come to be: options, batches, devices and the loop."""

from cellclf.fit._loop import Rows, Trained, train
from cellclf.fit._options import Fit

__all__ = ["Fit", "Rows", "Trained", "train"]
