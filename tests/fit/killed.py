"""Train, and end this process by SIGKILL: at a step of the optimiser, or in the middle of writing a checkpoint."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from cellclf.fit import Fit, Rows, train
from cellclf.fit._checkpoint import Checkpoint
from cellclf.fit._optimiser import Optimiser
from cellclf.nn import MLP

FITS = {
    "adamw": Fit(epochs=4, batch_size=40, members=2, group_l1=0.001, patience=3),
    "sgd": Fit(
        epochs=4, batch_size=40, optimiser="sgd", precision="float16", sampling="balanced", clip_norm=1.0, axes=4
    ),
}


def rows(seed):
    rng = np.random.default_rng(seed)
    return Rows(rng.normal(size=(120, 10)).astype(np.float32), np.arange(120) % 3)


def run(folder, kind):
    return train(
        MLP((8,)), rows(0), rows(1), FITS[kind], n_classes=3, seed=3, checkpoint=folder / "network.safetensors"
    )


def kill_at(calls, owner, name):
    """Let a function do its work, and end the process the given time it is called."""
    function, seen = getattr(owner, name), []

    def counted(*args, **kwargs):
        seen.append(1)
        if len(seen) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, counted)


def main(folder, kind, kills):
    """Run a training that is killed again and again, each time further on, in processes forked off this one."""
    torch.set_num_threads(1)
    codes = []
    for number in kills:
        child = os.fork()
        if child == 0:
            if number % 2 == 0:
                Checkpoint.due = lambda _: True  # within epochs too
            if number < 0:
                kill_at(-number, os, "fsync")
            else:
                kill_at(number, Optimiser, "step")
            run(folder, kind)
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert codes == [-signal.SIGKILL] * len(kills), codes


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(number) for number in sys.argv[3:]])
