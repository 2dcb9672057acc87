from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from cellclf.fit import Fit, train
from cellclf.fit._batches import batches
from cellclf.fit._schedule import learning_rate
from cellclf.nn import MLP, Linear

RULES = {
    "adamw": lambda w, fit: torch.optim.AdamW(w, betas=(0.9, 0.99), weight_decay=fit.weight_decay),
    "adam": lambda w, fit: torch.optim.Adam(w, weight_decay=fit.weight_decay),
    "sgd": lambda w, fit: torch.optim.SGD(w, lr=1.0, momentum=0.9, weight_decay=fit.weight_decay),
}


@pytest.mark.parametrize("clip_norm", [None, 0.05], ids=["any length", "clipped"])
@pytest.mark.parametrize("optimiser", RULES)
def test_equals_a_bare_loop(blobs, optimiser, clip_norm):
    """The obvious lines of PyTorch, without dropout, give the same weights."""
    rows = blobs()
    fit = Fit(epochs=4, batch_size=32, input_dropout=0.0, optimiser=optimiser, clip_norm=clip_norm, weight_decay=0.1)
    trained = train(Linear(), rows, None, fit, n_classes=3, seed=7)
    weight, bias = torch.zeros(3, 12, requires_grad=True), torch.zeros(3, requires_grad=True)
    rule, step = RULES[optimiser]([weight, bias], fit), 0
    for epoch in range(1, 5):
        for batch in batches(90, 32, seed=7, epoch=epoch):
            rule.param_groups[0]["lr"] = learning_rate(fit, step, 12)
            logits = torch.from_numpy(rows.x[batch]) @ weight.T + bias
            target = torch.from_numpy(rows.y[batch])
            loss = functional.cross_entropy(logits, target, label_smoothing=fit.label_smoothing)
            rule.zero_grad()
            loss.backward()
            if clip_norm is not None:
                length = torch.cat([weight.grad.ravel(), bias.grad.ravel()]).norm()
                assert length > clip_norm  # else nothing is tested
                for gradient in (weight.grad, bias.grad):
                    gradient *= clip_norm / length
            rule.step()
            step += 1
    torch.testing.assert_close(trained.network.first_linear.weight, weight.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("penalty", [{"l1": 30.0}, {"l2": {"first_linear": 0.3}}], ids=["l1", "l2"])
def test_penalties_are_part_of_every_step(blobs, penalty):
    """The same lines with the penalty written out: λ·Σ|w|/n over the weights, or λ·Σw² of the layer, not of its biases."""
    rows = blobs()
    fit = Fit(
        epochs=4, batch_size=32, input_dropout=0.0, weight_decay=0.0, optimiser="sgd", learning_rate=0.05, **penalty
    )
    trained = train(Linear(), rows, None, fit, n_classes=3, seed=7)
    plain = train(Linear(), rows, None, Fit(**{**vars(fit), "l1": 0.0, "l2": ()}), n_classes=3, seed=7)
    weight, bias = torch.zeros(3, 12, requires_grad=True), torch.zeros(3, requires_grad=True)
    rule, step = torch.optim.SGD([weight, bias], lr=1.0, momentum=0.9), 0
    for epoch in range(1, 5):
        for batch in batches(90, 32, seed=7, epoch=epoch):
            rule.param_groups[0]["lr"] = learning_rate(fit, step, 12)
            logits = torch.from_numpy(rows.x[batch]) @ weight.T + bias
            loss = functional.cross_entropy(
                logits, torch.from_numpy(rows.y[batch]), label_smoothing=fit.label_smoothing
            )
            size = 30 * weight.abs().sum() / 36 if "l1" in penalty else 0.3 * (weight**2).sum()
            rule.zero_grad()
            (loss + size).backward()
            rule.step()
            step += 1
    layer = trained.network.first_linear
    torch.testing.assert_close(layer.weight, weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(layer.bias, bias.detach(), rtol=1e-4, atol=1e-6)
    assert (layer.weight - plain.network.first_linear.weight).abs().max() > 0.01  # else nothing is tested


class TestSchedule:
    @pytest.mark.parametrize(("schedule", "peak"), [("one_cycle", {19, 20}), ("cosine", {0})])
    def test_rises_and_falls(self, schedule, peak):
        rates = [learning_rate(Fit(learning_rate=1.0, schedule=schedule), step, 100) for step in range(100)]
        top = int(np.argmax(rates))
        assert top in peak
        assert np.all(np.diff(rates[:top]) > 0)
        assert np.all(np.diff(rates[top + 1 :]) < 0)
        assert rates[top] > 0.97
        assert rates[-1] < 0.001

    def test_constant(self):
        assert {learning_rate(Fit(schedule="constant"), step, 9) for step in range(9)} == {2e-3}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_the_same_with_weights_in_float32(blobs, precision):
    runs = {}
    for name in ("float32", precision):
        fit = Fit(epochs=15, batch_size=32, precision=name, clip_norm=5.0, learning_rate=0.01)
        runs[name] = train(MLP((16,)), blobs(300), blobs(seed=1), fit, n_classes=3, seed=0)
    half, full = runs[precision], runs["float32"]
    assert {weight.dtype for weight in half.network.parameters()} == {torch.float32}
    assert not torch.equal(half.network.first_linear.weight, full.network.first_linear.weight)
    np.testing.assert_allclose(half.history["train_loss"], full.history["train_loss"], rtol=0.05)
    assert half.history["valid_accuracy"][-1] > 0.9


def test_half_precision_of_a_loss_is_kept_fine(blobs):
    """Averages over batches of a loss in bfloat16 alone would lie on a grid of 1/128."""
    fit = Fit(epochs=3, batch_size=None, precision="bfloat16")
    history = train(MLP((16,)), blobs(), None, fit, n_classes=3, seed=0).history
    assert (history["train_loss"] * 256 % 1 != 0).all()
