"""Two processes on a CPU stand for two devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from cellclf.fit import Fit, Rows, train
from cellclf.fit import _together as together
from cellclf.fit._batches import batches
from cellclf.fit._checkpoint import Checkpoint
from cellclf.fit._hardware import Together
from cellclf.nn import MLP

pytest.importorskip("lightning_fabric")

# sgd: Adam would make much of the rounding in weights whose gradient is zero, such as biases before batch normalisation
FIT = Fit(
    epochs=3,
    batch_size=33,
    optimiser="sgd",
    learning_rate=0.05,
    input_dropout=0.0,
    members=2,
    l1=0.5,
    group_l1=0.001,
    device="cpu",
)
NETWORK = MLP((8, 6), dropout=0.0)


@pytest.fixture
def rows(blobs):
    """131 rows of unequal classes: batches and halves of them are uneven."""
    made = blobs(160, shift=1.0)
    keep = np.r_[:102, np.flatnonzero(made.y[102:] == 0) + 102]
    return Rows(made.x[keep], made.y[keep])


@pytest.mark.parametrize(
    "fit", [FIT, replace(FIT, l1=0.0, group_l1=0.0, axes=3)], ids=["penalties", "through three axes"]
)
def test_two_processes_come_to_the_same_as_one(fit, rows, blobs, tmp_path):
    arguments = {"n_classes": 3, "seed": 1}
    one = train(NETWORK, rows, blobs(seed=1), fit, **arguments)
    two = train(NETWORK, rows, blobs(seed=1), replace(fit, devices=2), **arguments, checkpoint=tmp_path / "a")
    for name, weight in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[name], weight, rtol=1e-4, atol=1e-5, msg=name)
    for name in (
        "epoch",
        "train_loss",
        "valid_loss",
        "valid_accuracy",
        "valid_macro_f1",
        "learning_rate",
        *(["genes_left"] if fit.group_l1 else []),
    ):
        np.testing.assert_allclose(two.history[name], one.history[name], rtol=1e-4, err_msg=name)
    assert (two.best_epoch, two.interrupted, two.batch_size) == (one.best_epoch, False, 33)
    again = train(NETWORK, rows, blobs(seed=1), replace(fit, devices=2), **arguments, checkpoint=tmp_path / "a")
    for name, weight in two.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight)


def test_what_goes_wrong_in_a_process_is_raised_here(rows):
    broken = Rows(rows.x.copy(), rows.y)
    broken.x[7] = np.nan
    with pytest.raises(FloatingPointError, match=r"not finite at step .* Lower the learning rate"):
        train(NETWORK, broken, None, replace(FIT, devices=2), n_classes=3, seed=1)


def test_a_killed_process_is_said_and_the_same_call_goes_on_with_the_same_bits(rows, blobs, tmp_path, monkeypatch):
    """Dropout and all: after each epoch the generators are those of the epoch, whichever process draws them."""
    fit = Fit(epochs=12, batch_size=66, device="cpu", devices=2, axes=4)
    arguments = MLP((8,)), rows, blobs(seed=1), fit
    whole = train(*arguments, n_classes=3, seed=1, checkpoint=tmp_path / "whole")
    follow = together._follow

    def kill(processes, folder, task):
        while not (tmp_path / "cut").exists():
            assert all(process.poll() is None for process in processes)
            time.sleep(0.001)
        processes[1].kill()
        follow(processes, folder, task)

    monkeypatch.setattr(together, "_follow", kill)
    with pytest.raises(RuntimeError, match=r"Process 1 was killed.*with checkpoint= training goes on"):
        train(*arguments, n_classes=3, seed=1, checkpoint=tmp_path / "cut")
    monkeypatch.undo()
    done = Checkpoint(tmp_path / "cut", {}).result()[0]
    assert not done.finished
    assert 1 <= len(done.history.rows) < 12
    again = train(*arguments, n_classes=3, seed=1, checkpoint=tmp_path / "cut")
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], weight), name
    np.testing.assert_array_equal(again.history["valid_loss"], whole.history["valid_loss"])


def test_memory_that_is_short_in_a_process_halves_the_batch(rows, monkeypatch):
    """The processes leave a note; the training starts again, here without any."""
    sizes = []

    def run(task, _):
        sizes.append(task.options.batch_size)
        if len(sizes) == 2:
            return "trained"
        with TemporaryDirectory() as name:
            note = {"type": "OutOfMemoryError", "message": "CUDA out of memory."}
            (Path(name) / "error-1.json").write_text(json.dumps(note))
            raise together._failure(Path(name), 0, 1)

    monkeypatch.setattr(together, "run_together", run)
    with pytest.warns(UserWarning, match="again with batches of 16"):
        assert train(NETWORK, rows, None, replace(FIT, devices=2), n_classes=3, seed=1) == "trained"
    assert sizes == [33, 16]


def test_what_torch_says_in_a_folder_of_our_name_is_not_ours():
    from cellclf.fit._worker import _of_this_package

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for file in (together.__file__, "/home/me/cellclf/.venv/lib/python3.11/site-packages/torch/nn/parallel.py"):
            warnings.warn_explicit(file, UserWarning, file, 1)
    assert _of_this_package(found) == [together.__file__]


class FakeFabric:
    world_size = 3

    def __init__(self, rank):
        self.global_rank = rank


def test_each_row_is_counted_once_and_the_parts_make_the_whole(rows, tmp_path):
    importance = np.array([1.0, 2.0, 5.0])[rows.y]
    values = np.random.default_rng(0).normal(size=len(rows.y))
    for index in batches(len(rows.y), 20, seed=0, epoch=1):
        devices = [Together(torch.device("cpu"), FakeFabric(rank), tmp_path) for rank in range(3)]
        parts = [device.share(index) for device in devices]
        assert sorted(np.concatenate(parts)) == sorted(index)
        means = [np.average(values[part], weights=importance[part]) for part in parts]
        weighed = [
            d.weigh(torch.tensor(m), importance, p, index) for d, m, p in zip(devices, means, parts, strict=True)
        ]
        assert float(torch.stack(weighed).mean()) == pytest.approx(np.average(values[index], weights=importance[index]))


@dataclass(frozen=True)
class Own:
    def build(self, n_genes, n_classes):
        return MLP((4,)).build(n_genes, n_classes)


class TestRefused:
    @pytest.mark.parametrize(
        ("description", "options", "error", "word"),
        [
            (Own(), {}, ValueError, "not Own. Give devices=1"),
            (NETWORK, {"batch_size": 1}, ValueError, "Batches of 1 rows"),
            (NETWORK, {"device": "cuda:0", "devices": 1}, ValueError, "not there"),
        ],
        ids=["a network of one's own", "too few rows", "no such device"],
    )
    def test_before_any_process_starts(self, rows, monkeypatch, description, options, error, word):
        if "device" in options and torch.cuda.is_available():
            pytest.skip("the device is there")
        monkeypatch.setattr(together, "_processes", lambda *_: pytest.fail("processes were started"))
        fit = replace(FIT, **({"devices": 2, "members": 1} | options))
        with pytest.raises(error, match=word):
            train(description, rows, None, fit, n_classes=3, seed=1)

    def test_more_devices_than_there_are(self, rows, monkeypatch):
        monkeypatch.setattr(together, "device_of", lambda _: torch.device("cuda"))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        with pytest.raises(ValueError, match="more than the 1 cuda devices"):
            train(NETWORK, rows, None, replace(FIT, device="cuda", devices=4), n_classes=3, seed=1)

    def test_without_the_package(self, rows, monkeypatch):
        monkeypatch.setattr(together, "find_spec", lambda _: None)
        with pytest.raises(ModuleNotFoundError, match=r"cellclf\[devices\]"):
            train(NETWORK, rows, None, replace(FIT, devices=2), n_classes=3, seed=1)


def test_a_script_needs_no_guard_and_ctrl_c_keeps_the_best(tmp_path):
    """The script itself starts processes at its top level; then the same with an interruption after an epoch."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import numpy as np
from cellclf.fit import Fit, Rows, train
from cellclf.fit import _together as together
from cellclf.nn import MLP

rng = np.random.default_rng(0)
rows = Rows(rng.normal(size=(80, 6)).astype(np.float32), np.arange(80) % 2)
follow = together._follow

def interrupt(processes, folder, task):
    while not (folder / "epochs").exists():
        assert all(process.poll() is None for process in processes)
    raise KeyboardInterrupt

together._follow = interrupt
fit = Fit(epochs=100000, device="cpu", devices=2, patience=None)
trained = train(MLP((4,)), rows, rows, fit, n_classes=2, seed=0)
assert trained.interrupted
assert 1 <= len(trained.history["epoch"]) < 100000
assert np.isfinite(trained.network.first_linear.weight.detach().numpy()).all()
"""
    )
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unused_imports_stay_out():
    code = "import sys, cellclf.fit; assert 'lightning_fabric' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_no_process_outlives_the_one_that_started_it(tmp_path):
    script = """
import os, signal, sys
import numpy as np
from cellclf.fit import Fit, Rows, train
from cellclf.fit import _together as together
from cellclf.nn import MLP

def die(processes, folder, task):
    while not (folder / "epochs").exists():
        pass
    print(*(process.pid for process in processes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

together._follow = die
rows = Rows(np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32), np.arange(80) % 2)
train(MLP((4,)), rows, None, Fit(epochs=10**7, device="cpu", devices=2), n_classes=2, seed=0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def alive(pid):
    """Tell whether a process runs (one that has ended but was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
