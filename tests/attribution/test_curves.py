from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import f1_score

from cellclf.attribution import _probe, replacement_curve
from cellclf.nn import MLP
from cellclf.nn._network import Network


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
@pytest.mark.parametrize("together", [pytest.param(2**22, id="at-once"), pytest.param(1, id="row-by-row")])
def test_equals_replacing_by_hand(
    kind: str, together: int, randomise: Callable[[Network], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_probe, "CPU_BYTES", together)
    network = randomise(MLP(hidden=(9,)).build(6, 3))
    generator = np.random.default_rng(0)
    x, y, fill = generator.normal(size=(31, 6)), generator.integers(0, 3, 31), generator.normal(size=6)
    order, sizes = np.array([4, 0, 5, 1]), [0, 1, 3, 4]
    found = replacement_curve(network, x, y, order, sizes, fill, kind=kind, temperature=1.5)
    for size, (loss, accuracy, macro_f1) in zip(sizes, found, strict=True):
        first = np.isin(np.arange(6), order[:size])
        changed = np.where(first if kind == "deletion" else ~first, fill, x)
        with torch.no_grad():
            logits = network(torch.from_numpy(changed)).numpy() / 1.5
        assert loss == pytest.approx(-log_softmax(logits, axis=1)[np.arange(31), y].mean(), abs=1e-12)
        assert accuracy == pytest.approx((logits.argmax(axis=1) == y).mean())
        assert macro_f1 == pytest.approx(f1_score(y, logits.argmax(axis=1), average="macro"))
