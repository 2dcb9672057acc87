"""Exact permutation importance: how much worse a network gets when the values of inputs are shuffled among the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from cellclf.attribution._measures import judge
from cellclf.attribution._probe import Block, RankOne, probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cellclf.attribution._measures import MacroF1, Mean, Measure, Rise
    from cellclf.attribution._probe import Whole
    from cellclf.nn._network import Network

PAIRS = 2**19  # (gene, row) pairs looked at together: a few MB of values, masks and losses
RUNS = 256  # runs of the network in a block of inputs, all repeats together, at most: Ctrl-C loses the block at work
DENSE = 0.75  # share of changed rows above which computing every row is cheaper than gathering the changed ones
COMMON = 0.5  # share of rows with the same value above which losing the others is computed once for all repeats


class Increases(NamedTuple):
    """How much worse the network gets when an input, or a group of inputs, is shuffled.

    `by_repeat` (n_inputs, n_repeats) is the rise of the loss, or the fall of accuracy or macro-F1, over all rows;
    `by_class` (n_inputs, n_classes) the same for the rows of each class, averaged over the repeats (of macro-F1: the fall
    of the class's own F1), NaN for a class without rows; `baseline` is the measure with nothing shuffled. All float64.
    If `interrupted`, Ctrl-C came before all inputs were done; those that were not are NaN.
    """

    by_repeat: np.ndarray
    by_class: np.ndarray
    baseline: float
    interrupted: bool = False


@torch.inference_mode()
def permutation_importance(
    network: Network,
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray,
    *,
    n_repeats: int = 5,
    seed: int = 0,
    temperature: float = 1.0,
    measure: Measure = "loss",
    groups: Sequence[np.ndarray] | None = None,
    strata: np.ndarray | None = None,
) -> Increases:
    r"""Measure how much worse a network gets when one input is shuffled, for every input.

    With :math:`H = X W^\top + b` the first layer, shuffling column j by :math:`\pi` gives
    :math:`H' = H + (x_{\pi j} - x_j) w_j^\top`: only the layers after the first are run, and only for rows whose value
    changed. This equals running the whole network on the shuffled column, up to rounding. A network without a
    `first_linear` is run whole. All inputs share one permutation per repeat, drawn from (`seed`, repeat), so the
    result does not depend on the order of the inputs.

    Where most rows have the same value (such as zero counts), the rows that lose theirs to it are the same in every
    repeat, and are computed once.

    Ctrl-C ends the work with the inputs (or groups) that are finished, each in all its repeats, and the result says so.

    Parameters
    ----------
    network
        The network; it is put into evaluation mode.
    x
        Inputs (n_rows, n_inputs) of the network's type; they are brought to its device.
    y
        Class of each row (n_rows), int64 from 0.
    n_repeats
        Number of permutations.
    seed
        Where the permutations start from; a whole number of 0 or more.
    temperature
        The logits are divided by this number.
    measure
        ``"loss"``: cross-entropy; ``"accuracy"``; or ``"macro_f1"``.
    groups
        Inputs that are shuffled together, one array of columns for each line of the result; `None`: each by itself.
    strata
        Values are shuffled among rows with the same number only (n_rows); `None`: among all.

    Returns
    -------
    The increases; inputs that are constant over the rows, or that have no weight, score exactly 0.

    Raises
    ------
    ValueError
        `measure` is not known.
    KeyboardInterrupt
        The work was stopped before any input was finished.

    Examples
    --------
    >>> import cellclf as cc, torch
    >>> network, x = cc.nn.Linear().build(4, 3), torch.eye(4)
    >>> permutation_importance(network, x, torch.tensor([0, 1, 2, 0])).by_repeat.shape
    (4, 5)
    """
    network.eval()
    device = next(network.parameters(), torch.empty(0)).device
    x, y = torch.as_tensor(x, device=device), torch.as_tensor(y, device=device)
    prober = probe(network, x)
    logits = prober.logits()
    judged = judge(logits, y, temperature, measure)
    sets = list(np.arange(x.shape[1])[:, None]) if groups is None else [np.asarray(group) for group in groups]
    orders = [torch.from_numpy(shuffled(len(x), seed, repeat, strata)).to(device) for repeat in range(n_repeats)]
    by_repeat, by_class = np.full((len(sets), n_repeats), np.nan), np.full((len(sets), logits.shape[1]), np.nan)
    done = np.zeros(len(sets), dtype=bool)
    width = max(1, min(PAIRS, RUNS * prober.n_together // max(1, n_repeats)) // len(x))
    try:
        with tqdm(total=len(sets) * n_repeats, desc="importance", unit="gene", leave=False, delay=1) as bar:
            for lines in _lines(sets, width):
                rises = _rises(prober, judged, [sets[line] for line in lines], orders)
                by_repeat[lines] = np.stack([rise.total.cpu().numpy() for rise in rises], axis=1)
                by_class[lines] = np.mean([rise.by_class.cpu().numpy() for rise in rises], axis=0)
                done[lines] = True
                bar.update(len(lines) * n_repeats)
    except KeyboardInterrupt:
        if not done.any():
            raise
        by_repeat[~done], by_class[~done] = np.nan, np.nan
    return Increases(by_repeat, by_class, judged.baseline, interrupted=not done.all())


def shuffled(n_rows: int, seed: int, repeat: int, strata: np.ndarray | None = None) -> np.ndarray:
    """Draw the permutation of a repeat; with `strata` each row receives from a row of its own stratum."""
    generator = np.random.default_rng([seed, repeat])
    if strata is None:
        return generator.permutation(n_rows)
    order = np.arange(n_rows)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        order[rows] = generator.permutation(rows)
    return order


def _lines(sets: list[np.ndarray], width: int) -> list[list[int]]:
    """Part the lines of the result into blocks of single inputs, and groups, which stand alone."""
    single = [line for line, inputs in enumerate(sets) if len(inputs) == 1]
    blocks = [single[start : start + width] for start in range(0, len(single), width)]
    return blocks + [[line] for line, inputs in enumerate(sets) if len(inputs) != 1]


def _rises(prober: RankOne | Whole, judged: Mean | MacroF1, sets: list[np.ndarray], orders: list[Tensor]) -> list[Rise]:
    """Shuffle single inputs, or one group, once in each order."""
    inputs = torch.from_numpy(np.concatenate(sets)).to(prober.x.device)
    of_sets = _of_block if len(sets[0]) == 1 else _of_group
    return of_sets(prober, judged, inputs, orders)


def _of_block(prober: RankOne | Whole, judged: Mean | MacroF1, inputs: Tensor, orders: list[Tensor]) -> list[Rise]:
    """Shuffle each of some inputs by itself, once in each order."""
    own = prober.x.index_select(1, inputs).T.contiguous()
    heard = prober.heard[inputs]
    common, lost = _common(own), None
    if len(orders) > 1:
        rare = (own != common) & heard
        if rare.mean(dtype=torch.float32) < 1 - COMMON:
            values = common.expand_as(own)
            lost = _judged(prober, judged, Block(inputs, values, values - own), rare)
    rises = []
    for order in orders:
        new = own.index_select(1, order)
        block = Block(inputs, new, new - own)
        changed = (block.delta != 0) & heard
        if lost is None:
            rises.append(judged.rise(_judged(prober, judged, block, changed)))
            continue
        known = new == common
        after = _judged(prober, judged, block, changed & ~known)
        rises.append(judged.rise(torch.where(changed & known, lost, after)))
    return rises


def _common(own: Tensor) -> Tensor:
    """Guess the most frequent value of each line (n_inputs, 1): the median, which it is where it holds half of the rows."""
    return own.median(dim=1, keepdim=True).values


def _of_group(prober: RankOne | Whole, judged: Mean | MacroF1, inputs: Tensor, orders: list[Tensor]) -> list[Rise]:
    """Shuffle some inputs together, once in each order."""
    own, rises = prober.x[:, inputs[prober.heard[inputs, 0]]], []
    inputs = inputs[prober.heard[inputs, 0]]
    for order in orders:
        new, after = own[order], judged.rows.clone()
        changed = (new != own).any(dim=1).nonzero()[:, 0]
        for rows in changed.split(prober.n_together):
            after[rows] = judged.value(prober.together(inputs, new[rows], rows), rows)
        rises.append(judged.rise(after[None]))
    return rises


def _judged(prober: RankOne | Whole, judged: Mean | MacroF1, block: Block, changed: Tensor) -> Tensor:
    """Judge each row for each input of a block (n_inputs, n_rows), anew where `changed`, else as it was."""
    after = judged.rows.repeat(len(changed), 1)
    if isinstance(prober, RankOne) and changed.mean(dtype=torch.float32) > DENSE:
        n_rows, every = changed.shape[1], torch.arange(changed.shape[1], device=changed.device)
        for genes in _slices(len(after), max(1, prober.n_together // n_rows)):
            for rows in _slices(n_rows, prober.n_together):
                part = after[genes, rows]
                value = judged.value(prober.grid(block, genes, rows), every[rows].repeat(len(part)))
                after[genes, rows] = torch.where(changed[genes, rows], value.view(part.shape), part)
        return after
    for genes, rows in zip(*(part.split(prober.n_together) for part in changed.nonzero(as_tuple=True)), strict=True):
        after[genes, rows] = judged.value(prober.pairs(block, genes, rows), rows)
    return after


def _slices(length: int, step: int) -> list[slice]:
    """Cut a range into slices; the last one ends with the range."""
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
