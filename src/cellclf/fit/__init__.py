"""How weights come to be: options, batches, devices and the loop."""

from cellclf.fit._cells import Cells
from cellclf.fit._checkpoint import digest
from cellclf.fit._options import Fit
from cellclf.fit._rows import Rows
from cellclf.fit._store import Store, read_store, write_store
from cellclf.fit._task import Trained
from cellclf.fit._train import train

__all__ = ["Cells", "Fit", "Rows", "Store", "Trained", "digest", "read_store", "train", "write_store"]
