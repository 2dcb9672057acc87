from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from cellclf.fit import Fit, Rows, train
from cellclf.fit._hardware import Hardware
from cellclf.fit._optimiser import Optimiser
from cellclf.fit._penalty import Penalty
from cellclf.nn import MLP, CNN1d, Linear


def network(members=1, batch_norm=None):
    torch.manual_seed(0)
    return MLP((4, 3), batch_norm=batch_norm).build(6, 2, members=members)


class TestAdded:
    def test_l1_is_that_of_the_first_seed(self):
        """λ·Σ|w|/n over every parameter whose name does not say bias."""
        module, total, n_weights = network(batch_norm="before"), 0.0, 0
        for name, weight in module.named_parameters():
            if "bias" not in name:
                total += weight.abs().double().sum().item()
                n_weights += weight.numel()
        loss = Penalty(module, Fit(l1=3.0)).add(torch.tensor(2.0))
        assert loss.item() == pytest.approx(2 + 3 * total / n_weights, rel=1e-6)

    @pytest.mark.parametrize("members", [1, 2])
    def test_l2_of_chosen_layers(self, members):
        module = network(members)
        loss = Penalty(module, Fit(l2={"first_linear": 0.5, "linears.1": 2.0, "linears.0": 0.0}, members=members)).add(
            torch.tensor(0.0)
        )
        expected = 0.5 * module.first_linear.weight.square().sum() + 2 * module.linears[1].weight.square().sum()
        torch.testing.assert_close(loss, expected / members)

    def test_nothing_asked_for_nothing_added(self):
        loss = torch.tensor(1.5)
        assert Penalty(network(), Fit()).add(loss) is loss

    def test_unknown_layers_are_refused_with_those_there_are(self):
        with pytest.raises(ValueError, match=r"'linear'.*'first_linear', .*'linears.1'"):
            Penalty(network(), Fit(l2={"linear": 1.0}))

    def test_stronger_penalties_give_smaller_weights(self, blobs):
        sizes = []
        for l1 in (0.0, 10.0, 100.0):
            fit = Fit(epochs=20, l1=l1, weight_decay=0.0)
            weight = train(Linear(), blobs(), None, fit, n_classes=3, seed=0).network.first_linear.weight
            sizes.append(float(weight.detach().abs().sum()))
        assert sizes[0] > 1.2 * sizes[1] > 2 * sizes[2]


class TestGroup:
    @pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
    def test_a_gene_goes_where_the_pull_is_stronger(self, optimiser):
        """One step from known weights: the rule written out for each gene."""
        module, rate, strength = network(), 0.1, 0.02
        hardware = Hardware(torch.device("cpu"))
        stepper = Optimiser(module, Fit(group_l1=strength, optimiser=optimiser, weight_decay=0.0), hardware)
        x = torch.randn(20, 6) * torch.tensor([1.0, 1.0, 1e-3, 1.0, 1.0, 1.0])
        module.first_linear.weight.data[:, [2, 4]] *= 1e-6
        before = module.first_linear.weight.detach().numpy().astype(np.float64)
        stepper.step(module.loss(x, torch.arange(20) % 2), rate)
        gradient = module.first_linear.weight.grad.numpy().astype(np.float64)
        divisor = np.abs(gradient) + 1e-8 if optimiser == "adamw" else np.full_like(gradient, 0.1)
        step = gradient / divisor if optimiser == "adamw" else gradient
        moved, pull = before - rate * step, rate * strength * np.sqrt(len(before))
        gone = []
        for gene, new in enumerate(module.first_linear.weight.detach().numpy().T):
            u, d = moved[:, gene], divisor[:, gene]
            gone.append(np.linalg.norm(u * d) <= pull)
            remains = np.linalg.norm(u) * (1 - pull / np.linalg.norm(u * d))
            expected = np.zeros_like(u) if gone[-1] else u / (1 + pull / d / remains)
            np.testing.assert_allclose(new, expected, rtol=1e-3, atol=1e-7)
        assert gone[2]
        assert not all(gone)

    def test_a_gene_of_zeros_stays_without_a_nan(self):
        module = network()
        module.first_linear.weight.data.zero_()
        stepper = Optimiser(module, Fit(group_l1=50.0), Hardware(torch.device("cpu")))
        stepper.step(module.loss(torch.randn(8, 6), torch.arange(8) % 2), 0.1)
        assert (module.first_linear.weight == 0).all()
        assert stepper.penalty.genes_left() == {"genes_left": 0}

    @pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.05), ("adam", 0.01), ("adamw", 0.01)])
    def test_the_solution_is_that_of_the_penalised_loss(self, optimiser, rate):
        """Training to the end: where a gene is out its gradient is below the strength, elsewhere it equals it."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=(60, 8)).astype(np.float32)
        y = (x[:, 0] + x[:, 1] + 0.8 * rng.normal(size=60) > 0).astype(np.int64)
        strength = 0.04
        fit = Fit(
            epochs=2000,
            batch_size=None,
            optimiser=optimiser,
            schedule="cosine",
            learning_rate=rate,
            weight_decay=0.0,
            input_dropout=0.0,
            label_smoothing=0.0,
            class_weight=None,
            group_l1=strength,
        )
        trained = train(Linear(), Rows(x, y), None, fit, n_classes=2, seed=0)
        layer = trained.network.first_linear
        weight = layer.weight.detach().clone().requires_grad_()
        loss = functional.cross_entropy(torch.from_numpy(x) @ weight.T + layer.bias.detach(), torch.from_numpy(y))
        (gradient,) = torch.autograd.grad(loss, weight)
        norms, limit = weight.detach().norm(dim=0), strength * 2**0.5
        assert (norms[:2] > 0).all()
        assert 1 <= int((norms == 0).sum()) <= 6
        for gene in range(8):
            if norms[gene] == 0:
                assert gradient[:, gene].norm() <= limit * 1.01
            else:
                direction = weight.detach()[:, gene] / norms[gene]
                torch.testing.assert_close(gradient[:, gene], -limit * direction, rtol=0.02, atol=1e-4)
        assert trained.history["genes_left"][-1] == int((norms > 0).sum())

    @pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
    @pytest.mark.parametrize(
        "description",
        [MLP((8,)), MLP((8,), skip=False), MLP((8,), batch_norm=None, dropout=0.0), Linear()],
        ids=["skip", "no skip", "no batch norm", "linear"],
    )
    def test_genes_leave_exactly_and_those_that_tell_something_stay(self, blobs, description, optimiser):
        """Under batch normalisation too, which would undo a shrinking of whole units."""
        fit = Fit(epochs=30, group_l1=0.02, learning_rate=0.02, batch_size=32, optimiser=optimiser)
        trained = train(description, blobs(300), blobs(seed=1), fit, n_classes=3, seed=0)
        left = (trained.network.first_linear.weight != 0).any(dim=0).numpy()
        assert left[:3].all()
        assert left.sum() <= 7
        assert trained.history["genes_left"][trained.best_epoch - 1] == left.sum()
        changed = blobs(seed=2).x
        before = trained.network(torch.from_numpy(changed))
        changed[:, ~left] = 77
        assert torch.equal(trained.network(torch.from_numpy(changed)), before)

    def test_units_before_batch_norm_keep_their_length(self):
        module = network(batch_norm="before")
        stepper = Optimiser(module, Fit(group_l1=0.05, optimiser="sgd"), Hardware(torch.device("cpu")))
        x, y = torch.randn(20, 6), torch.arange(20) % 2
        for _ in range(20):
            before = module.first_linear.weight.detach().clone()
            stepper.step(module.loss(x, y), 0.01)
        after = module.first_linear.weight.detach()
        torch.testing.assert_close(after[:4].norm(dim=1), before[:4].norm(dim=1), rtol=0.01, atol=0)
        assert (after[4:].norm(dim=1) < 0.5).all()

    def test_a_network_without_a_first_linear_layer_is_refused(self, blobs):
        with pytest.raises(TypeError, match=r"group_l1.*cc\.nn\.MLP"):
            train(CNN1d(), blobs(n_genes=300), None, Fit(epochs=1, group_l1=0.1), n_classes=3, seed=0)

    def test_history_counts_genes_only_where_they_can_leave(self, blobs):
        assert "genes_left" not in train(Linear(), blobs(), None, Fit(epochs=1), n_classes=3, seed=0).history
