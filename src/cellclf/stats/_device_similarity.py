"""The same comparisons of genes on a torch device, tile by tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellclf.stats import _kernels
from cellclf.stats import _similarity_measures as on_processor
from cellclf.stats._device import checked
from cellclf.stats._gene_forms import bin_codes, distributions, expressed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins
    from cellclf.stats._gene_forms import Codes, Distributions
    from cellclf.stats._gene_values import GeneValues

TILE = 256
TILE_BYTES = 2**27  # of a tile laid out
AT_ONCE = 2**26  # (pair, cell) at a time: a quarter of a GiB in float32
INDICATOR_BYTES = 4  # of a cell in a bin


def device_measure(
    values: GeneValues, metric: str, genes: NDArray[np.int64], bins: Bins | None, *, device: str
) -> on_processor.Measure:
    """Choose how to compare on a device; whatever the share of zeros, genes are laid out."""
    place = checked(device)
    if metric == "jsd":
        return _Divergence(distributions(values, genes), place)
    if metric == "correlation":
        return _Correlation(values, place)
    return _Jaccard(expressed(values), place) if bins is None else _Information(bin_codes(values, bins), place)


class _OnDevice(on_processor.Tiled):
    """What tiles have in common is computed on the device, one pair of them after another."""

    in_threads = False
    place: torch.device

    def cells_at_once(self, cell_bytes: float) -> int:
        """Choose how many cells to lay out at a time."""
        return max(1, int(TILE_BYTES / (self.tile * cell_bytes)))


class _Correlation(_OnDevice, on_processor.Correlation):
    """Matrix products on the device, without its shortened floats."""

    _compare_tiles = on_processor.Tiled._compare_tiles

    def __init__(self, values: GeneValues, place: torch.device) -> None:
        super().__init__(values)
        self.place = place

    def lay_out(self, first: int, stop: int, start: int, end: int) -> Any:
        """Centre genes, and bring them to the device."""
        return torch.from_numpy(super().lay_out(first, stop, start, end)).to(self.place)

    def add(self, total: Any, up: int, across: int, one: Any, other: Any) -> Any:
        """Multiply."""
        return total + (one.double() @ other.T.double()).cpu().numpy()


class _Divergence(_OnDevice, on_processor.Divergence):
    """Logarithms of mixtures in float32, sums of them in float64."""

    def __init__(self, shares: Distributions, place: torch.device) -> None:
        self.tile, self.band = TILE, 2 * TILE
        super().__init__(shares)
        self.place = place

    def lay_out(self, first: int, stop: int, start: int, end: int) -> Any:
        """Bring shares to the device."""
        return torch.from_numpy(super().lay_out(first, stop, start, end)).to(self.place)

    def add(self, total: Any, up: int, across: int, one: Any, other: Any) -> Any:
        """Sum (p + q) log2(p + q), a few genes of one tile at a time."""
        step = max(1, AT_ONCE // (other.shape[0] * other.shape[1]))
        found = [
            torch.xlogy(mixed, mixed).sum(-1, dtype=torch.float64)
            for first in range(0, one.shape[0], step)
            for mixed in [one[first : first + step, None] + other]
        ]
        return total + torch.cat(found).cpu().numpy() / on_processor.LOG_2


class _Jaccard(_OnDevice, on_processor.Jaccard):
    """Counts of shared cells as products of zeros and ones."""

    cell_bytes = INDICATOR_BYTES

    def __init__(self, codes: Codes, place: torch.device) -> None:
        self.tile, self.band = TILE, 2 * TILE
        super().__init__(codes)
        self.place = place

    def lay_out(self, first: int, stop: int, start: int, end: int) -> Any:
        """Bring indicators of the bins to the device (genes × planes × cells), in a type in which their counts are exact."""
        matrix, codes = self.codes.values.matrix, np.empty((stop - first, end - start), np.uint8)
        _kernels.lay_out(self.codes.codes, matrix.indices, matrix.indptr, start, first, first, stop, codes)
        planes = torch.arange(1, self.codes.n_planes + 1, device=self.place, dtype=torch.uint8)
        exact = torch.float32 if codes.shape[1] <= 2**24 else torch.float64
        return (torch.from_numpy(codes).to(self.place)[:, None] == planes[:, None]).to(exact)

    def begin(self, up: int, across: int) -> Any:
        """Return zeros for all pairs of bins."""
        return torch.from_numpy(super().begin(up, across)).to(self.place, torch.float64)

    def add(self, total: Any, up: int, across: int, one: Any, other: Any) -> Any:
        """Count the cells of each pair of bins."""
        flat = one.flatten(0, 1) @ other.flatten(0, 1).T
        shape = (one.shape[0], one.shape[1], other.shape[0], other.shape[1])
        return total + flat.to(torch.float64).reshape(shape).transpose(1, 2)

    def finish(self, total: Any, up: int, across: int) -> NDArray[np.float64]:
        """Divide those in both by those in either."""
        return super().finish(total.cpu().numpy(), up, across)


class _Information(_Jaccard):
    """Tables of pairs from the same products; the bins of zero by subtraction."""

    itself = on_processor.Information.itself

    def __init__(self, codes: Codes, place: torch.device) -> None:
        super().__init__(codes, place)
        self.n_log_n = on_processor.n_log_n(codes.values.n_cells)

    def finish(self, total: Any, up: int, across: int) -> NDArray[np.float64]:
        """Fill the tables."""
        sizes = torch.from_numpy(self.codes.sizes.astype(np.float64)).to(self.place)
        upper = sizes[up : self._stop(up), None]
        lower = sizes[None, across : self._stop(across)]
        right = upper[..., :-1] - total.sum(3)
        below = lower[..., :-1] - total.sum(2)
        corner = upper[..., -1] - below.sum(2)
        tables = torch.cat([total.flatten(2), right, below, corner[..., None]], dim=2)
        margins = torch.xlogy(upper, upper).sum(2) + torch.xlogy(lower, lower).sum(2)
        n_cells = self.codes.values.n_cells
        found = torch.xlogy(tables, tables).sum(2) - margins + float(self.n_log_n[n_cells])
        return (found.clamp(min=0) / n_cells).cpu().numpy()
