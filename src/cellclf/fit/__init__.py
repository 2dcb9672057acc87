"""How weights come to be: options, batches, devices and the loop."""

from cellclf.fit._options import Fit
from cellclf.fit._rows import Rows
from cellclf.fit._task import Trained
from cellclf.fit._train import train

__all__ = ["Fit", "Rows", "Trained", "train"]
