"""Cells per second of the training loop against the same network in a bare loop and in skorch; prediction against CellTypist.

python benchmarks/training_speed.py [--cells 20000] [--genes 2000] [--classes 20] [--repeats 5] [--members 1 2 4 8] [--celltypist PYTHON]

All three loops train `MLP()` on the same float32 array with the same batch size, optimiser, schedule of the learning rate, class weights,
label smoothing and share of inputs left out, for the same epochs, in turn, `--repeats` times; the table holds the medians. The bare loop
draws the masks of the inputs as ours does (`--torch-masks`: by torch, which is slower on a CPU); it keeps no history, no best weights and
no counts of right predictions. skorch gets the same steps through its callbacks. No loop sees validation rows. The last line is what
`tl.train` does: network and linear network in one pass.
With `--members` only these numbers of networks side by side (`Fit(members=...)`) are timed, in turn; asked for is no more than k times on a processor.
Prediction starts from sparse counts of 20,000 genes in memory and ends with labels and probabilities. CellTypist's model is linear however it is
trained; here it is trained by stochastic gradient descent, to be done in time.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from gene_scores import simulate
from peers import ask
from torch.nn.functional import cross_entropy

import cellclf as cc
from cellclf.fit import Fit, Rows, train
from cellclf.fit._axes import read_through_axes
from cellclf.fit._balance import class_weights
from cellclf.fit._dropout import drop_inputs
from cellclf.fit._schedule import learning_rate
from cellclf.nn import MLP, Linear

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = Fit()


def simulated_rows(n_cells: int, n_genes: int, n_classes: int) -> Rows:
    """Draw scaled values of which some tell the classes apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_cells)
    x = rng.standard_normal((n_cells, n_genes), dtype=np.float32)
    x[:, :n_classes][np.arange(n_cells), y] += 3
    return Rows(x, y)


def by_cellclf(rows: Rows, n_classes: int, epochs: int, *, beside: Linear | None = None, members: int = 1) -> None:
    """Train as `tl.train` does, which has a linear network beside."""
    train(MLP(), rows, None, Fit(epochs=epochs, members=members), n_classes=n_classes, seed=0, beside=beside)


def cut(n_rows: int, epoch: int) -> list[np.ndarray]:
    """Shuffle the rows and cut them into batches."""
    order = np.random.default_rng([0, epoch]).permutation(n_rows)
    return np.array_split(order, -(-n_rows // OPTIONS.batch_size))


def masked(inputs: torch.Tensor, generator: np.random.Generator | None) -> torch.Tensor:
    """Leave a share of the inputs out."""
    if generator is None:
        return torch.nn.functional.dropout(inputs, OPTIONS.input_dropout)
    return drop_inputs(inputs, OPTIONS.input_dropout, generator)


def optimiser_of(weights: object) -> torch.optim.Optimizer:
    """Make the optimiser that `tl.train` uses by default."""
    return torch.optim.AdamW(
        weights, lr=OPTIONS.learning_rate, betas=(0.9, 0.99), weight_decay=OPTIONS.weight_decay, fused=True
    )


def through_axes(rows: Rows, n_classes: int) -> torch.nn.Module:
    """Make the network that `tl.train` learns by default."""
    network = MLP().build(rows.x.shape[1], n_classes)
    read_through_axes(network, rows, OPTIONS.axes, members=1)
    return network


def by_bare_loop(rows: Rows, n_classes: int, epochs: int, *, torch_masks: bool) -> None:
    """Train in the fewest lines of torch."""
    torch.manual_seed(0)
    network = through_axes(rows, n_classes).train()
    x, y = torch.from_numpy(rows.x), torch.from_numpy(rows.y)
    weight = class_weights(rows.y, n_classes, OPTIONS.class_weight)
    optimiser = optimiser_of(network.parameters())
    generator = None if torch_masks else np.random.default_rng(0)
    steps = epochs * len(cut(len(y), 1))
    step = 0
    for epoch in range(1, epochs + 1):
        for index in map(torch.from_numpy, cut(len(y), epoch)):
            optimiser.param_groups[0]["lr"] = learning_rate(OPTIONS, step, steps)
            inputs = masked(x[index], generator)
            loss = cross_entropy(network(inputs), y[index], weight=weight, label_smoothing=OPTIONS.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            step += 1
        float(loss.detach())


def by_skorch(rows: Rows, n_classes: int, epochs: int) -> None:
    """Train with skorch: its loader, its loop, a callback for the rate; the masks as a layer before the network."""
    from skorch import NeuralNet
    from skorch.callbacks import LRScheduler

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Dropout(OPTIONS.input_dropout), through_axes(rows, n_classes))
    steps = epochs * -(-len(rows.y) // OPTIONS.batch_size)
    NeuralNet(
        network,
        criterion=torch.nn.CrossEntropyLoss,
        criterion__weight=class_weights(rows.y, n_classes, OPTIONS.class_weight),
        criterion__label_smoothing=OPTIONS.label_smoothing,
        optimizer=torch.optim.AdamW,
        optimizer__betas=(0.9, 0.99),
        optimizer__weight_decay=OPTIONS.weight_decay,
        optimizer__fused=True,
        lr=OPTIONS.learning_rate,
        batch_size=OPTIONS.batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        callbacks=[
            LRScheduler(
                policy=torch.optim.lr_scheduler.LambdaLR,
                lr_lambda=lambda step: learning_rate(OPTIONS, min(step, steps - 1), steps) / OPTIONS.learning_rate,
                step_every="batch",
            )
        ],
    ).fit(rows.x, rows.y)


def training(n_cells: int, n_genes: int, n_classes: int, epochs: int, repeats: int, *, torch_masks: bool) -> None:
    """Time the loops in turn and print the table."""
    rows = simulated_rows(n_cells, n_genes, n_classes)
    loops: dict[str, Callable[[], None]] = {
        "cellclf": lambda: by_cellclf(rows, n_classes, epochs),
        "bare PyTorch loop": lambda: by_bare_loop(rows, n_classes, epochs, torch_masks=torch_masks),
        "skorch": lambda: by_skorch(rows, n_classes, epochs),
        "cellclf, a linear network beside": lambda: by_cellclf(rows, n_classes, epochs, beside=Linear()),
    }
    taken = {name: np.empty((repeats, 2)) for name in loops}
    for repeat in range(-1, repeats):  # the first round warms up
        for name, run in loops.items():
            start = clock()
            run()
            taken[name][max(repeat, 0)] = clock() - start
    done = n_cells * epochs
    bare = taken["bare PyTorch loop"]
    print(
        f"{n_cells:,} cells × {n_genes:,} genes, {n_classes} classes, {epochs} epochs, batches of {OPTIONS.batch_size}"
    )
    print(f"{torch.get_num_threads()} threads, {repeats} rounds\n")
    print(
        "| loop | cells per second | of the bare loop | the same, rounds | CPU seconds | of the bare loop |\n|---|---|---|---|---|---|"
    )
    for name, seconds in taken.items():
        wall, cpu = np.median(seconds, axis=0)
        shares = bare[:, 0] / seconds[:, 0]
        rounds = ", ".join(f"{100 * share:.0f} %" for share in shares)
        less = np.median(bare[:, 1] / seconds[:, 1])
        print(
            f"| {name} | {done / wall:,.0f} | {100 * np.median(shares):.0f} % | {rounds} | {cpu:.2f} | {100 * less:.0f} % |"
        )


def side_by_side(n_cells: int, n_genes: int, n_classes: int, epochs: int, repeats: int, members: list[int]) -> None:
    """Time networks side by side, in turn, and print the table."""
    rows = simulated_rows(n_cells, n_genes, n_classes)
    taken = {n: np.empty((repeats, 2)) for n in members}
    for repeat in range(-1, repeats):  # the first round warms up
        for n in members:
            start = clock()
            by_cellclf(rows, n_classes, epochs, members=n)
            taken[n][max(repeat, 0)] = clock() - start
    print(
        f"{n_cells:,} cells × {n_genes:,} genes, {n_classes} classes, {epochs} epochs, batches of {OPTIONS.batch_size}"
    )
    print(f"{torch.get_num_threads()} threads, {repeats} rounds\n")
    print(
        f"| members | seconds | CPU seconds | × {members[0]} | the same, rounds | × by CPU |\n|---|---|---|---|---|---|"
    )
    for n, seconds in taken.items():
        wall, cpu = np.median(seconds, axis=0)
        times = seconds / taken[members[0]]
        rounds = ", ".join(f"{ratio:.2f}" for ratio in times[:, 0])
        of_wall, of_cpu = np.median(times, axis=0)
        print(f"| {n} | {wall:.2f} | {cpu:.2f} | {of_wall:.2f} | {rounds} | {of_cpu:.2f} |")


def clock() -> np.ndarray:
    """Return the seconds on the wall and those of all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def prediction(n_cells: int, n_classes: int, repeats: int, celltypist: str | None) -> None:
    """Time the prediction of all cells by a classifier trained on some, and print the table."""
    adata = simulate(n_cells, 20_000, n_classes)
    adata.obs["label"] = adata.obs.iloc[:, 0]
    test = np.arange(n_cells) >= min(2000, n_cells // 2)
    classifier = cc.tl.train(adata[~test].copy(), "label", split=None)
    query = adata[test].copy()
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        cc.tl.predict(query, classifier)
        seconds.append(time.perf_counter() - start)
    taken = float(np.median(seconds[1:]))
    truth = adata.obs["label"].astype(str).to_numpy()[test]
    print(
        f"\n{test.sum():,} cells × 20,000 genes, {n_classes} classes; both trained on {(~test).sum():,} other cells\n"
    )
    print("| prediction | cells per second | accuracy |\n|---|---|---|")
    right = np.mean(query.obs["cellclf"].astype(str).to_numpy() == truth)
    print(
        f"| `cc.tl.predict`: label, probabilities, embedding, unknown score | {test.sum() / taken:,.0f} | {right:.4f} |"
    )
    if celltypist:
        found = ask(celltypist, "celltypist", adata, test, "--sgd", "--repeats", str(repeats))
        right = np.mean(np.array(found["labels"]) == truth)
        print(f"| CellTypist: label, probabilities | {test.sum() / found['predict']:,.0f} | {right:.4f} |")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--torch-masks", action="store_true")
    parser.add_argument("--members", type=int, nargs="+")
    parser.add_argument("--celltypist", metavar="PYTHON")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    sizes = options.cells, options.genes, options.classes
    if options.members:
        side_by_side(*sizes, options.epochs, options.repeats, options.members)
        return
    training(*sizes, options.epochs, options.repeats, torch_masks=options.torch_masks)
    prediction(options.cells, options.classes, options.repeats, options.celltypist)


if __name__ == "__main__":
    main()
