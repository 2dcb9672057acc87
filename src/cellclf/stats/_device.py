"""The same table, counted by torch on a device such as a graphics card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellclf.stats import _kernels
from cellclf.stats._findings import NO_GENE, Findings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins
    from cellclf.stats._blocks import Block

VALUES = 2**22  # counted at a time: what comparing each with its cuts takes stays small


def tally(
    blocks: Iterable[Block], codes: NDArray[np.int32], bins: Bins, n_classes: int, device: str
) -> tuple[NDArray[Any], Findings]:
    """Count the stored values of all blocks; the same integers as the compiled loops count."""
    place = checked(device)
    counts = torch.zeros(n_classes * bins.edges.size, dtype=torch.int64, device=place)
    findings = Findings()
    for block in blocks:
        block = block.in_order()
        counter = _Counter(block, codes[block.rows], bins, counts)
        for first in range(0, block.data.size, VALUES):
            findings |= counter.add(first, min(first + VALUES, block.data.size))
    table = counts.cpu().numpy().reshape(n_classes, bins.edges.size)
    return table.astype(np.int32) if codes.size <= np.iinfo(np.int32).max else table, findings


def checked(device: str) -> torch.device:
    """Refuse a device that torch does not know, that this machine does not have or that has no float64."""
    try:
        torch.empty(0, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        msg = f"device={device!r} cannot be used here ({error}). Give None to compute on the processor."
        raise ValueError(msg) from error
    return torch.device(device)


class _Counter:
    """Adds the values of one block to the table."""

    def __init__(self, block: Block, codes: NDArray[np.int32], bins: Bins, counts: torch.Tensor) -> None:
        self.block, self.counts, self.n_bins = block, counts, bins.edges.size
        device = counts.device
        self.kind, lookup, cuts = bins.columns(block.columns).search(_compared(block.data.dtype))
        self.lookup = torch.from_numpy(lookup.astype(np.int64)).to(device)
        self.cuts = torch.from_numpy(cuts).to(device)
        self.offsets = torch.from_numpy(bins.offsets[block.columns.start : block.columns.stop + 1].copy()).to(device)
        self.codes = torch.from_numpy(codes.copy()).to(device).long()
        self.indptr = torch.from_numpy(block.indptr.copy()).to(device)
        self.indices = torch.from_numpy(block.indices.astype(np.int64)).to(device) if block.shared else None

    def add(self, first: int, stop: int) -> Findings:
        """Add the stored values from `first` to `stop`."""
        values, genes, codes = self._places(first, stop)
        counted = codes >= 0
        values, genes, codes = values[counted], genes[counted], codes[counted]
        finite = torch.isfinite(values)
        whole = finite & (values >= 0) & (torch.floor(values) == values)
        usable = whole if self.kind == _kernels.WHOLE else finite
        found = self._found(genes, finite, whole)
        values, genes, codes = values[usable], genes[usable], codes[usable]
        keys = codes * self.n_bins + self.offsets[genes] + self._bins_of(values, genes)
        self.counts.scatter_add_(0, keys, torch.ones_like(keys))
        return found

    def _places(self, first: int, stop: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return values with their genes and the classes of their rows."""
        device, block = self.counts.device, self.block
        dtype = _compared(block.data.dtype)
        values = torch.from_numpy(block.data[first:stop].astype(dtype)).to(device)
        numbers = torch.arange(first, stop, device=device)
        lines = torch.searchsorted(self.indptr, numbers, right=True) - 1
        if self.indices is not None:
            minor = self.indices[numbers - self.indptr[lines]]
        else:
            minor = torch.from_numpy(block.indices[first:stop].copy()).to(device).long()
        rows, genes = (lines, minor) if block.by_rows else (minor, lines)
        return values, genes, self.codes[rows]

    def _bins_of(self, values: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return the bin of each value within its gene."""
        if self.kind == _kernels.WHOLE:
            last = self.offsets[genes + 1] - self.offsets[genes] - 1
            return torch.minimum(values, last.to(values.dtype)).to(torch.int64)
        if self.kind == _kernels.TABLE:
            return self.lookup[values.clamp(0, self.lookup.numel() - 1).to(torch.int64)]
        found = torch.zeros_like(genes)
        for k in range(self.cuts.shape[1]):
            found += values >= self.cuts[genes, k]
        return found

    def _found(self, genes: torch.Tensor, finite: torch.Tensor, whole: torch.Tensor) -> Findings:
        """Report values without a bin."""
        if bool(whole.all() if self.kind == _kernels.WHOLE else finite.all()):
            return Findings()
        infinite, uneven = genes[~finite], genes[finite & ~whole]
        uneven = uneven if self.kind == _kernels.WHOLE else uneven[:0]
        return Findings(infinite.numel(), _first(infinite), uneven.numel(), _first(uneven)).shifted(
            self.block.columns.start
        )


def _first(genes: torch.Tensor) -> int:
    """Return the smallest number, if there is one."""
    return int(genes.min()) if genes.numel() else NO_GENE


def _compared(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which values are compared: whole numbers fit float64 as far as any bin reaches."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)
