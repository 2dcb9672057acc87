from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellclf.fit import Fit, train
from cellclf.fit._balance import balanced_order, class_weights
from cellclf.fit._batches import batches
from cellclf.nn import Linear


class TestClassWeights:
    y = np.repeat([0, 1, 2], [1, 4, 16])

    @pytest.mark.parametrize(("kind", "ratio"), [(None, [1, 1, 1]), ("sqrt", [4, 2, 1]), ("balanced", [16, 4, 1])])
    def test_ratios_and_mean(self, kind, ratio):
        weight = class_weights(self.y, 3, kind).numpy()
        np.testing.assert_allclose(weight / weight[-1], ratio, rtol=1e-6)
        np.testing.assert_allclose(weight[self.y].mean(), 1, rtol=1e-6)

    def test_absent_class_weighs_nothing(self):
        assert class_weights(np.array([0, 2, 2]), 3, "balanced").numpy()[1] == 0


@given(
    y=st.lists(st.sampled_from([0, 1, 3, 4]), min_size=2, max_size=60).map(np.array),
    size=st.integers(2, 20),
    seed=st.integers(0, 2**32),
)
def test_every_batch_holds_all_classes_equally(y, size, seed):
    there = np.unique(y)
    for batch in batches(len(y), size, seed=seed, epoch=1, balanced=y):
        assert np.ptp([np.sum(y[batch] == k) for k in there]) <= 1
    order = balanced_order(y, np.random.default_rng(seed))
    assert len(order) == len(y)
    for k in there:
        times = np.bincount(order, minlength=len(y))[y == k]
        assert np.ptp(times) <= 1  # no row is drawn again before all others of its class were


def test_balanced_training_listens_to_a_small_class(blobs):
    """Two overlapping classes at 1 : 30: drawn as they come, the small one is passed over."""
    rows = blobs(310, n_genes=2, n_classes=2, shift=1.0)
    keep = np.r_[np.flatnonzero(rows.y == 0), np.flatnonzero(rows.y == 1)[:5]]
    rows, judge = replace(rows, x=rows.x[keep], y=rows.y[keep]), blobs(400, n_genes=2, n_classes=2, seed=1, shift=1.0)
    recall = {}
    for sampling, weight in (("shuffle", None), ("balanced", None), ("balanced", "sqrt")):
        fit = Fit(epochs=60, batch_size=16, sampling=sampling, class_weight=weight, learning_rate=0.02)
        network = train(Linear(), rows, None, fit, n_classes=2, seed=0).network
        import torch

        predicted = network(torch.from_numpy(judge.x)).argmax(1).numpy()
        recall[sampling, weight] = np.mean(predicted[judge.y == 1] == 1)
    assert recall["shuffle", None] < 0.3
    assert recall["balanced", None] > 0.5
    assert recall["balanced", "sqrt"] == recall["balanced", None]  # equally many rows weigh the same
