from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest
import torch
from scipy.linalg import blas  # noqa: F401 - loads SciPy's library
from threadpoolctl import threadpool_info, threadpool_limits

import cellclf as cc
from cellclf.fit._threads import LIBRARIES, one_torch_thread, torch_alone
from cellclf.tl import _learn


def threads():
    """Count those of each library of linear algebra that is loaded."""
    return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info() if lib["prefix"] in LIBRARIES}


def test_linear_algebra_keeps_to_one_thread_within_and_has_them_back_afterwards():
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        assert set(before.values()) == {2}
        with pytest.raises(KeyboardInterrupt), torch_alone():  # noqa: PT012
            assert set(threads().values()) == {1}
            raise KeyboardInterrupt
        assert threads() == before


def test_who_leaves_first_takes_nothing_from_who_stays():
    """As two trainings in threads of Python would come and go."""
    with threadpool_limits(2, user_api="blas"):
        before, one, other = threads(), torch_alone(), torch_alone()
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        assert set(threads().values()) == {1}
        other.__exit__(None, None, None)
        assert threads() == before


def test_one_thread_here_leaves_other_threads_of_python_theirs():
    before, elsewhere = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        with one_torch_thread():
            assert torch.get_num_threads() == 1
            other = Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
            other.start()
            other.join()
        assert [*elsewhere, torch.get_num_threads()] == [2, 2]
    finally:
        torch.set_num_threads(before)


def test_a_classifier_is_trained_so(monkeypatch, small_adata):
    seen, attempt = [], _learn.attempt
    monkeypatch.setattr(_learn, "attempt", lambda *args, **named: (seen.append(threads()), attempt(*args, **named))[1])
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        cc.tl.train(small_adata, fit=cc.Fit(epochs=1))
        assert threads() == before
    assert seen
    assert all(set(one.values()) == {1} for one in seen)


def test_trainings_in_several_threads_are_those_of_one(small_adata):
    def weights(seed):
        classifier = cc.tl.train(small_adata.copy(), fit=cc.Fit(epochs=8, batch_size=8), rng=seed)
        return {name: weight.numpy() for name, weight in classifier.network.state_dict().items()}

    before = torch.get_rng_state()
    alone = [weights(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads_of_python:
        beside = list(threads_of_python.map(weights, range(4)))
    for one, other in zip(alone, beside, strict=True):
        for name, weight in one.items():
            np.testing.assert_array_equal(weight, other[name])
    assert torch.equal(torch.get_rng_state(), before)
