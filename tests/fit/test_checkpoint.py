from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cellclf.fit import Fit, Rows, train
from cellclf.fit import _loop as loop
from cellclf.fit._checkpoint import Checkpoint, digest
from cellclf.fit._optimiser import Optimiser
from cellclf.nn import MLP, Linear

SCRIPT = Path(__file__).with_name("killed.py")
spec = importlib.util.spec_from_file_location("killed", SCRIPT)
killed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(killed)


def same(one, other):
    for name, column in one.history.items():
        if name not in {"seconds", "cells_per_second"}:
            np.testing.assert_array_equal(column, other.history[name], err_msg=name)
    assert one.best_epoch == other.best_epoch
    states = [{k: w.numpy().tobytes() for k, w in t.network.state_dict().items()} for t in (one, other)]
    return states[0] == states[1]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("kind", killed.FITS)
def test_killed_at_any_step_it_ends_with_the_same_bits(tmp_path, kind, one_thread):
    """Twelve steps; killed before the first checkpoint, within epochs, between them, and (-n) while writing one."""
    (tmp_path / "whole").mkdir()
    whole = killed.run(tmp_path / "whole", kind)
    steps = ["1", "2", "5", "-1", "4", "-2", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, kind, *steps],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    calls = []
    step = Optimiser.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimiser, "step", lambda *args: (calls.append(1), step(*args))[1])
        resumed = killed.run(tmp_path, kind)
    assert len(calls) < 12  # it did go on, rather than start anew
    assert same(resumed, whole)


def test_a_finished_training_is_not_done_again(tmp_path, blobs, monkeypatch):
    fit = Fit(epochs=3, patience=1)
    first = train(MLP((8,)), blobs(), blobs(seed=1), fit, n_classes=3, seed=0, checkpoint=tmp_path / "a")
    monkeypatch.setattr(Optimiser, "step", lambda *_: pytest.fail("a step was made"))
    again = train(MLP((8,)), blobs(), blobs(seed=1), fit, n_classes=3, seed=0, checkpoint=tmp_path / "a")
    assert same(first, again)


def test_an_interrupted_training_goes_on(tmp_path, blobs, monkeypatch):
    def run():
        return train(MLP((8,)), blobs(), blobs(seed=1), Fit(epochs=4), n_classes=3, seed=0, checkpoint=tmp_path / "a")

    judge, calls = loop.judge, []

    def interrupt(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(*args)

    monkeypatch.setattr(loop, "judge", interrupt)
    assert run().interrupted
    monkeypatch.undo()
    whole = train(MLP((8,)), blobs(), blobs(seed=1), Fit(epochs=4), n_classes=3, seed=0)
    resumed = run()
    assert not resumed.interrupted
    assert same(resumed, whole)


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tmp_path, blobs, monkeypatch):
    path, fsync, calls = tmp_path / "a", os.fsync, []

    def full(descriptor):
        calls.append(path.read_bytes() if path.exists() else b"")
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"could not be written \(No space left.*the one before stands") as said:
        trained = train(MLP((8,)), blobs(), None, Fit(epochs=4), n_classes=3, seed=0, checkpoint=path)
    monkeypatch.undo()
    assert len(said) == 2
    assert path.read_bytes() == calls[2] != b""
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert same(trained, train(MLP((8,)), blobs(), None, Fit(epochs=4), n_classes=3, seed=0))
    assert same(trained, train(MLP((8,)), blobs(), None, Fit(epochs=4), n_classes=3, seed=0, checkpoint=path))


class TestOfAnotherTraining:
    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"options": Fit(epochs=2, learning_rate=0.1)}, "learning_rate"),
            ({"options": Fit(epochs=2, l2={"linears.0": 1.0})}, "l2"),
            ({"description": MLP((9,))}, "network"),
            ({"description": Linear()}, "network"),
            ({"seed": 1}, "rng"),
            ({"n_classes": 4}, "number of classes"),
            ({"valid": None}, "validation rows"),
            ({"rows": "other values"}, "training rows"),
            ({"rows": "other classes"}, "training rows"),
            ({"epochs": 1}, "epochs"),
            ({"initial": True}, "first weights"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else None,
    )
    def test_it_is_refused(self, tmp_path, blobs, changes, word):
        arguments = {"description": MLP((8,)), "rows": blobs(), "valid": blobs(seed=1), "options": Fit(epochs=2)}
        arguments |= {"n_classes": 3, "seed": 0, "checkpoint": tmp_path / "a"}
        trained = train(**arguments)
        before = (tmp_path / "a").read_bytes()
        changes = dict(changes)
        if changes.get("rows") == "other values":
            changes["rows"] = Rows(np.nextafter(blobs().x, 9), blobs().y)
        if changes.get("rows") == "other classes":
            changes["rows"] = Rows(blobs().x, blobs().y[::-1].copy())
        if "initial" in changes:
            changes["initial"] = trained.network.state_dict()
        with pytest.raises(ValueError, match=rf"another training: it differs in .*{word}.*Give another folder"):
            train(**(arguments | changes))
        assert (tmp_path / "a").read_bytes() == before

    @pytest.mark.parametrize("content", [b"", b"nothing of the kind", "cut"], ids=["empty", "text", "cut off"])
    def test_a_damaged_file_is_refused(self, tmp_path, blobs, content):
        arguments = {"n_classes": 3, "seed": 0, "checkpoint": tmp_path / "a"}
        if content == "cut":
            train(MLP((8,)), blobs(), None, Fit(epochs=1), **arguments)
            content = (tmp_path / "a").read_bytes()[:-9]
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(ValueError, match="no checkpoint, or a damaged one"):
            train(MLP((8,)), blobs(), None, Fit(epochs=1), **arguments)


def test_digest_tells_arrays_apart():
    x = np.arange(6.0)
    kinds = [(x,), (x.reshape(2, 3),), (x.astype(np.float32),), (x, x), (None,), (), (np.array(["a", "b"], object),)]
    assert len({digest(*arrays) for arrays in kinds}) == len(kinds)
    assert digest(x[::2]) == digest(x[::2].copy())


def test_within_an_epoch_by_the_clock(tmp_path):
    assert not Checkpoint(tmp_path / "a", {}).due()
    assert Checkpoint(tmp_path / "a", {}, every=0.0).due()


def test_a_halved_batch_is_remembered(tmp_path, blobs, monkeypatch):
    step, calls = Optimiser.step, []

    def short_of_memory(*args):
        calls.append(1)
        if len(calls) == 4:
            msg = "CUDA out of memory. Tried to allocate 1 GiB"
            raise torch.OutOfMemoryError(msg)
        if len(calls) == 11:
            raise KeyboardInterrupt
        step(*args)

    fit, arguments = Fit(epochs=3, batch_size=45), {"n_classes": 3, "seed": 0}
    monkeypatch.setattr(Optimiser, "step", short_of_memory)
    with pytest.warns(UserWarning, match="batches of 22"):
        assert train(MLP((8,)), blobs(), None, fit, **arguments, checkpoint=tmp_path / "a").interrupted
    monkeypatch.undo()
    resumed = train(MLP((8,)), blobs(), None, fit, **arguments, checkpoint=tmp_path / "a")
    assert resumed.batch_size == 22
    assert same(resumed, train(MLP((8,)), blobs(), None, replace(fit, batch_size=22), **arguments))
