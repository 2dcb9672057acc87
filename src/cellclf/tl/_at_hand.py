"""The values that a training reads at random: in memory where they fit, else in a file that is written once."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from cellclf import _slots, stats
from cellclf.fit import Cells, Store, digest, read_store, write_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellclf.stats._dense import DenseBlock
    from cellclf.tl._attempt import Problem

logger = logging.getLogger("cellclf")

SHARE = 1 / 8  # of the free memory: draft and final training, raw and scaled, take up to four times the values
UNKNOWN_MEMORY = 4 * 2.0**30  # bytes taken to be free where the system does not say
N_LOOKED, RUN = 256, 32  # rows by which kept cells are recognised, in runs: little of a file is read for them


@contextmanager
def at_hand(problem: Problem, *masks: np.ndarray) -> Iterator[Problem]:
    """Lay out what trainings on some rows (masks) will read; by default the draft and the final one.

    All that they need is written to a file if it does not fit in memory, or if a folder is named for it or half precision
    is asked for. The file of a folder that the user named stays; any other is removed at the end.
    """
    problem = replace(problem, columns_for=_once(problem.columns_for))
    masks = masks or (problem.rows.train, problem.rows.final)
    rows = np.flatnonzero(np.logical_or.reduce([*masks, problem.rows.valid]))
    columns = np.unique(np.concatenate([problem.columns_for(mask) for mask in masks]))
    if problem.cache is not None:
        yield replace(problem, store=_kept(problem, rows, columns, problem.cache))
    elif problem.half or 4 * len(rows) * len(columns) > SHARE * _free_memory():
        with TemporaryDirectory(prefix="cellclf-") as folder:
            logger.info("%d genes of %d cells are written to a file in %s.", len(columns), len(rows), folder)
            yield replace(problem, store=_written(problem, rows, columns, Path(folder)))
    else:
        yield problem


def cells(problem: Problem, rows: np.ndarray, columns: np.ndarray, *, counts: bool) -> Cells:
    """Return the values of some rows (mask) and columns as stored, refusing what cannot be learnt from."""
    if problem.store is not None:
        found = problem.store.cells(rows, columns)
    else:
        found = Cells.of(*stats.dense(problem.x, rows, columns))
        _check_finite(found.values, problem.names[columns])
    if counts and found.values.dtype.kind == "f" and any((block < 0).any() for block in found.blocks()):
        msg = "The matrix holds negative numbers, which are no counts. Name the layer with counts, or Fit(preprocess='none')."
        raise ValueError(msg)
    return found


def folder(argument: str, name: str | os.PathLike[str] | None) -> Path | None:
    """Make the folder that an argument names."""
    if name is None:
        return None
    path = Path(name)
    if path.exists() and not path.is_dir():
        msg = f"{argument}={str(path)!r} is a file. Give the name of a folder."
        raise ValueError(msg)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _once(columns_for: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Remember the genes that were chosen for some rows, since choosing reads the whole matrix."""
    chosen: dict[bytes, np.ndarray] = {}

    def remembered(mask: np.ndarray) -> np.ndarray:
        key = np.packbits(mask).tobytes()
        if key not in chosen:
            chosen[key] = columns_for(mask)
        return chosen[key]

    return remembered


def _kept(problem: Problem, rows: np.ndarray, columns: np.ndarray, path: Path) -> Store:
    """Open the file in a folder if it holds these cells, or write it; one of other cells is refused."""
    store = read_store(path)
    if store is None:
        return _written(problem, rows, columns, path)
    other = _differences(problem, store, rows, columns)
    if other:
        msg = (
            f"{str(path)!r} keeps the cells of another training: it differs in {', '.join(other)}. Give another folder as "
            "cache=, or delete this one."
        )
        raise ValueError(msg)
    logger.info("%d genes of %d cells are read from the file in %s.", len(columns), len(rows), path)
    return store


def _differences(problem: Problem, store: Store, rows: np.ndarray, columns: np.ndarray) -> list[str]:
    """Name what tells kept cells from those of a problem; fewer rows and genes than are kept will do."""
    if store.header["shape"] != list(problem.x.shape):
        return ["the shape of the matrix"]
    same = {
        "half": store.header["half"] == problem.half,
        "the cells": np.isin(rows, store.rows).all(),
        "the genes": np.isin(columns, store.columns).all()
        and store.header["genes"] == digest(problem.names[store.columns]),
    }
    other = [name for name, value in same.items() if not value]
    return other or ([] if _same_values(problem, store, rows, columns) else ["the values"])


def _same_values(problem: Problem, store: Store, rows: np.ndarray, columns: np.ndarray) -> bool:
    """Compare kept values with those of the matrix, in some of the rows."""
    starts = np.arange(N_LOOKED // RUN) * max(0, len(rows) - RUN) // (N_LOOKED // RUN - 1)
    looked = np.zeros(problem.x.shape[0], dtype=bool)
    looked[rows[np.minimum(starts[:, None] + np.arange(RUN), len(rows) - 1)]] = True
    values, totals = stats.dense(problem.x, looked, columns)
    kept = store.cells(looked, columns)
    if kept.values.dtype == np.float16:
        with np.errstate(over="ignore"):
            values = values.astype(np.float16).astype(np.float32)
    return np.array_equal(kept[:], values) and np.allclose(kept.totals[kept.rows], totals, rtol=1e-9)


def _written(problem: Problem, rows: np.ndarray, columns: np.ndarray, path: Path) -> Store:
    """Write the file in one pass over the matrix."""
    mask = np.zeros(problem.x.shape[0], dtype=bool)
    mask[rows] = True
    header = {
        "shape": list(problem.x.shape),
        "half": problem.half,
        "genes": digest(problem.names[columns]),
    }
    blocks = _checked(stats.dense_blocks(problem.x, mask, columns), problem.names[columns])
    return write_store(path, blocks, rows=rows, columns=columns, half=problem.half, header=header)


def _checked(blocks: Iterator[DenseBlock], names: np.ndarray) -> Iterator[DenseBlock]:
    """Go through blocks of which none may hold what cannot be learnt from."""
    for block in blocks:
        _check_finite(block.values, names)
        yield block


def _check_finite(values: np.ndarray, names: np.ndarray) -> None:
    """Refuse what is missing or without end."""
    if not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        where = _slots.listing(names[bad.any(axis=0)], 3)
        msg = (
            f"{int(bad.any(axis=1).sum())} cells have NaN or infinite values (genes {where}). "
            "Remove or replace them first."
        )
        raise ValueError(msg)


def _free_memory() -> float:
    """Return the bytes that programs can still have: free ones, and those that the system lends to files."""
    facts = Path("/proc/meminfo")
    if facts.exists():
        lines = dict(line.split(":", 1) for line in facts.read_text(encoding="ascii").splitlines())
        return 1024 * float(lines["MemAvailable"].split()[0])
    if not hasattr(os, "sysconf"):  # Windows does not say
        return UNKNOWN_MEMORY
    return 0.5 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
