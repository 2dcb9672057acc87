"""Exact permutation importance of every gene, against captum and scikit-learn with the same network and loss.

python benchmarks/importance.py            both problems at full size (about two minutes on two cores)
python benchmarks/importance.py --small    a tenth of the genes
python benchmarks/importance.py --tumours  20 531 genes on 81 held-out rows of a 5000-1000-100-10 network (minutes; 2 GB)

The peers are timed on a sample of genes and scaled to all of them. Captum shuffles with cellclf's own permutation, so
its numbers must be ours; scikit-learn draws its own. On a machine that others use, set OMP_WAIT_POLICY=passive: threads
that spin while they wait for one another slow each other down, and short steps (ours) most. There the processor time,
of all threads together, says more than the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from captum.attr import FeaturePermutation
from sklearn.inspection import permutation_importance as sklearn_importance
from torch.nn.functional import cross_entropy

from cellclf.attribution import permutation_importance
from cellclf.fit import Fit, Rows, train
from cellclf.nn import MLP, named
from cellclf.nn._network import Network

N_CLASSES, N_PLANTED, REPEATS = 5, 50, 5


class Times(NamedTuple):
    """Seconds by the clock, and of the processor in all threads."""

    clock: float
    processor: float

    def since(self, start: Times, number: int) -> Times:
        """Return how much time has passed for each of a number of things."""
        return Times((self.clock - start.clock) / number, (self.processor - start.processor) / number)


def now() -> Times:
    """Look at both clocks."""
    return Times(time.perf_counter(), time.process_time())


@dataclass(frozen=True)
class Problem:
    """Cells with planted genes, and a network that learnt them."""

    name: str
    x: torch.Tensor
    y: torch.Tensor
    network: Network


def problem(name: str, n_rows: int, n_genes: int, density: float) -> Problem:
    """Simulate scaled log-expression, of which a share differs from zero counts, and train the network on it."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, N_CLASSES, n_rows)
    x = rng.gamma(2.0, 0.5, (n_rows, n_genes)).astype(np.float32)
    if density < 1:
        x *= rng.random((n_rows, n_genes), dtype=np.float32) < density
    for gene in range(N_PLANTED):
        x[:, gene] += np.where(y == gene % N_CLASSES, rng.gamma(1.0, 1.0, n_rows), 0) * (rng.random(n_rows) < density)
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    options = Fit(epochs=3, members=1, device="cpu")
    trained = train(MLP(hidden=(512, 128)), Rows(x, y), None, options, n_classes=N_CLASSES, seed=0)
    return Problem(name, torch.from_numpy(x), torch.from_numpy(y), trained.network)


def time_captum(task: Problem, genes: np.ndarray) -> tuple[Times, np.ndarray]:
    """Return captum's times per gene, and the importance of each."""
    order = torch.from_numpy(np.random.default_rng([0, 0]).permutation(len(task.x)))
    mask = torch.zeros(1, task.x.shape[1], dtype=torch.long)  # group 0: all other genes together, one pass more
    mask[0, genes] = torch.arange(1, len(genes) + 1)
    peer = FeaturePermutation(
        lambda inputs: cross_entropy(task.network(inputs), task.y),
        perm_func=lambda inputs, chosen: torch.where(chosen.bool(), inputs[order], inputs),
    )
    start = now()
    with torch.inference_mode():
        found = peer.attribute(task.x, feature_mask=mask)
    return now().since(start, len(genes) + 2), -found[0, genes].numpy()  # 2: nothing, and group 0


class _EnoughError(Exception):
    """The sample is done."""


class _Predictor:
    """What scikit-learn sees: a fitted estimator, which notes when it is asked and stops after the sample."""

    def __init__(self, task: Problem, n_sample: int) -> None:
        self.task, self.n_sample = task, n_sample
        self.times: list[Times] = []

    def fit(self, x: np.ndarray, y: np.ndarray) -> _Predictor:
        return self

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        with torch.inference_mode():
            loss = float(cross_entropy(self.task.network(torch.from_numpy(x)), self.task.y))
        self.times.append(now())
        if len(self.times) > self.n_sample:
            raise _EnoughError
        return -loss


def time_sklearn(task: Problem, n_sample: int) -> Times:
    """Return scikit-learn's times per gene, from its score with nothing shuffled to that of the last gene sampled."""
    predictor = _Predictor(task, n_sample)
    with contextlib.suppress(_EnoughError):
        sklearn_importance(predictor, task.x.numpy(), task.y.numpy(), n_repeats=1, random_state=0)
    return predictor.times[-1].since(predictor.times[0], n_sample)


def compare(task: Problem, n_sample: int) -> list[str]:
    """Time cellclf on all genes and the peers on a sample, and write the rows of the table."""
    n_genes = task.x.shape[1]
    start = now()
    ours = permutation_importance(task.network, task.x, task.y, n_repeats=1)
    once = now().since(start, n_genes)
    start = now()
    permutation_importance(task.network, task.x, task.y, n_repeats=REPEATS)
    repeated = now().since(start, n_genes * REPEATS)
    genes = np.sort(np.random.default_rng(1).choice(n_genes, n_sample, replace=False))
    genes[: n_sample // 4] = np.arange(n_sample // 4)  # some planted ones among them
    captum, theirs = time_captum(task, genes)
    sklearn = time_sklearn(task, n_sample)
    difference = np.abs(theirs - ours.by_repeat[genes, 0]).max()
    top = np.argsort(-ours.by_repeat[:, 0])[:N_PLANTED]
    print(
        f"{task.name}: loss {ours.baseline:.4f}; {np.mean(top < N_PLANTED):.0%} of the top {N_PLANTED} genes are planted; "
        f"largest rise {ours.by_repeat.max():.2e}; largest difference from captum {difference:.1e}",
        flush=True,
    )
    rows = [
        ("cellclf", once, "all genes, one repeat"),
        (f"cellclf, each of {REPEATS} repeats", repeated, f"all genes, {REPEATS} repeats"),
        ("captum FeaturePermutation", captum, f"{n_sample} genes, scaled"),
        ("sklearn permutation_importance", sklearn, f"{n_sample} genes, scaled"),
    ]
    return [
        f"| {task.name} | {name} | {each.clock * 1e3:.2f} ({each.processor * 1e3:.2f}) | {each.clock * n_genes:.0f} | "
        f"{' | '.join(_ratio(each, other) for other in (once, repeated))} | {measured} |"
        for name, each, measured in rows
    ]


def _ratio(one: Times, other: Times) -> str:
    """Write how much longer one takes, by the clock and in processor time."""
    return f"{one.clock / other.clock:.1f} ({one.processor / other.processor:.1f}) ×"


def time_tumours() -> None:
    """Time every gene of the largest network of earlier work on held-out rows; its weights do not matter for that."""
    description, device = named("tumours"), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        network = description.build(20_531, N_CLASSES).to(device)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(81, 20_531)).astype(np.float32), rng.integers(0, N_CLASSES, 81)
    start = time.perf_counter()
    permutation_importance(network, x, y, n_repeats=1)
    seconds = time.perf_counter() - start
    print(f"81 × 20531, {description}: {seconds:.1f} s for all genes, one repeat, on {device}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of the genes")
    parser.add_argument("--sample", type=int, default=20, help="genes on which the peers are timed")
    parser.add_argument("--tumours", action="store_true", help="only the largest network, on held-out rows")
    arguments = parser.parse_args()
    if arguments.tumours:
        time_tumours()
        return
    share = 10 if arguments.small else 1
    sizes = [(801, 20531 // share, 1.0), (20_000, 2000 // share, 0.1)]
    lines: list[str] = []
    for n_rows, n_genes, density in sizes:
        task = problem(f"{n_rows} × {n_genes}, {density:.0%} nonzero", n_rows, n_genes, density)
        lines += compare(task, arguments.sample)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"\nMLP 512-128, {N_CLASSES} classes; {torch.get_num_threads()} threads, {os.cpu_count()} cores, "
        f"{memory:.0f} GB, torch {torch.__version__}\n"
    )
    print(
        "| problem | tool | ms per gene (processor) | seconds for all genes | against one repeat (processor) | "
        f"against {REPEATS} repeats (processor) | measured on |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
