from __future__ import annotations

import numpy as np
import pytest
import torch

from cellclf.fit import Fit, Rows, train
from cellclf.fit import _hardware as hardware
from cellclf.fit import _loop as loop
from cellclf.fit._batches import batches
from cellclf.fit._dropout import drop_inputs
from cellclf.fit._hardware import device_of
from cellclf.fit._optimiser import Optimiser
from cellclf.nn import MLP, Linear


class TestBatches:
    @pytest.mark.parametrize(("n", "size"), [(10, 3), (129, 128), (5, None), (1, 4), (6, 1), (9, 2)])
    def test_every_row_once_and_even(self, n, size):
        cut = batches(n, size, seed=1, epoch=2)
        assert sorted(np.concatenate(cut)) == list(range(n))
        assert np.ptp([len(batch) for batch in cut]) <= 1
        assert max(len(batch) for batch in cut) <= (size or n) + 1
        assert min(len(batch) for batch in cut) >= min(size or n, 2, n)

    def test_epochs_and_seeds_differ_but_repeat(self):
        first = np.concatenate(batches(50, 8, seed=1, epoch=1))
        np.testing.assert_array_equal(first, np.concatenate(batches(50, 8, seed=1, epoch=1)))
        assert (first != np.concatenate(batches(50, 8, seed=1, epoch=2))).any()
        assert (first != np.concatenate(batches(50, 8, seed=2, epoch=1))).any()


class TestInputDropout:
    def test_share_scale_and_repetition(self):
        x = torch.ones(400, 500)
        runs = [drop_inputs(x.clone(), 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2)]
        assert torch.equal(runs[0], runs[1])
        assert not torch.equal(runs[0], runs[2])
        zero = (runs[0] == 0).double()
        assert abs(zero.mean() - 0.3) < 5 * (0.21 / x.numel()) ** 0.5
        assert zero.mean(dim=0).std() < 1.2 * (0.21 / 400) ** 0.5  # as independent draws scatter
        np.testing.assert_allclose(runs[0].unique(), [0, 1 / 0.7], rtol=1e-4)

    def test_none_leaves_inputs_as_they_are(self):
        x = torch.randn(4, 5)
        assert torch.equal(drop_inputs(x.clone(), 0.0, np.random.default_rng(0)), x)


class TestEpochs:
    @pytest.mark.parametrize(("n", "epochs"), [(100_000, 6), (256, 50), (100, 100)])
    def test_at_least_100_steps_and_6_epochs(self, n, epochs):
        assert loop.default_epochs(n, Fit()) == epochs


class TestTraining:
    def test_same_seed_same_weights_other_seed_other_weights(self, blobs, weights):
        runs = [train(MLP((8,)), blobs(), blobs(seed=1), Fit(epochs=3), n_classes=3, seed=s) for s in (5, 5, 6)]
        assert weights(runs[0]) == weights(runs[1]) != weights(runs[2])

    def test_global_generators_are_left_alone(self, blobs):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 (that it is not touched is the point)
        before = torch.random.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
        train(MLP((8,)), blobs(), None, Fit(epochs=2), n_classes=3, seed=0)
        assert torch.equal(before[0], torch.random.get_rng_state())
        assert before[1] == np.random.get_state()[1].tobytes()  # noqa: NPY002

    def test_history_has_a_row_per_epoch_and_measures_the_kept_weights(self, blobs):
        valid = blobs(seed=3)
        trained = train(MLP((8,)), blobs(), valid, Fit(epochs=6), n_classes=3, seed=0)
        history = trained.history
        assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6]
        kept = trained.best_epoch - 1
        predicted = trained.network(torch.from_numpy(valid.x)).argmax(1).numpy()
        assert history["valid_accuracy"][kept] == np.mean(predicted == valid.y)
        assert history["valid_loss"][kept] <= history["valid_loss"].min() * 1.2
        assert all(np.isfinite(column).all() for column in history.values())

    def test_without_validation_rows_the_last_epoch_is_kept(self, blobs):
        trained = train(MLP((8,)), blobs(), None, Fit(epochs=3), n_classes=3, seed=0)
        assert trained.best_epoch == 3
        assert np.isnan(trained.history["valid_loss"]).all()

    def test_patience_stops_when_validation_gets_worse(self, blobs):
        """Validation rows whose classes are all wrong: the better it learns, the worse it does there."""
        wrong = blobs(n=900, seed=9)
        wrong = Rows(wrong.x, (wrong.y + 1) % 3)
        fit = Fit(epochs=60, patience=2, learning_rate=0.05, schedule="constant", label_smoothing=0.0, weight_decay=0.0)
        trained = train(Linear(), blobs(), wrong, fit, n_classes=3, seed=0)
        assert len(trained.history["epoch"]) == trained.best_epoch + 2 < 60

    def test_small_set_is_memorised(self):
        """A network that cannot learn thirty rows of noise by heart has a fault (the fate of one of the seeds)."""
        rng = np.random.default_rng(0)
        rows = Rows(rng.normal(size=(30, 40)).astype(np.float32), rng.integers(0, 3, 30))
        fit = Fit(epochs=150, batch_size=None, input_dropout=0.0, label_smoothing=0.0, learning_rate=0.01)
        trained = train(MLP((32,), dropout=0.0), rows, None, fit, n_classes=3, seed=0)
        assert (trained.network(torch.from_numpy(rows.x)).argmax(1).numpy() == rows.y).all()

    def test_start_from_given_weights(self, blobs):
        first = train(MLP((8,)), blobs(), None, Fit(epochs=3), n_classes=3, seed=0)
        fit = Fit(epochs=1, learning_rate=1e-12, weight_decay=0.0)
        again = train(MLP((8,)), blobs(), None, fit, n_classes=3, seed=1, initial=first.network.state_dict())
        torch.testing.assert_close(again.network.first_linear.weight, first.network.first_linear.weight)

    def test_loss_that_is_not_finite_stops_with_a_remedy(self, blobs):
        rows = blobs()
        huge = Rows(np.sign(rows.x) * np.float32(3e38), rows.y)
        with pytest.raises(FloatingPointError, match=r"epoch 1 .*Lower the learning rate"):
            train(Linear(), huge, None, Fit(epochs=2), n_classes=3, seed=0)

    def test_interruption_returns_the_best_network_so_far(self, monkeypatch, blobs, weights):
        judge, calls = loop.judge, []

        def interrupt_in_third_epoch(*args):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return judge(*args)

        whole = train(MLP((8,)), blobs(), blobs(seed=1), Fit(epochs=2, schedule="constant"), n_classes=3, seed=0)
        monkeypatch.setattr(loop, "judge", interrupt_in_third_epoch)
        cut = train(MLP((8,)), blobs(), blobs(seed=1), Fit(epochs=9, schedule="constant"), n_classes=3, seed=0)
        assert cut.interrupted
        assert not whole.interrupted
        assert len(cut.history["epoch"]) == 2
        assert weights(cut) == weights(whole)


def test_a_row_left_over_does_not_break_batch_norm(blobs):
    trained = train(MLP((8,)), blobs(n=129), None, Fit(epochs=1, batch_size=2), n_classes=3, seed=0)
    assert np.isfinite(trained.history["train_loss"]).all()


def test_one_row_per_batch_is_refused_under_batch_norm_only(blobs):
    with pytest.raises(ValueError, match=r"batch_norm=None"):
        train(MLP((8,)), blobs(), None, Fit(epochs=1, batch_size=1), n_classes=3, seed=0)
    train(MLP((8,), batch_norm=None), blobs(n=9), None, Fit(epochs=1, batch_size=1), n_classes=3, seed=0)


def test_absent_device_is_an_error():
    with pytest.raises(ValueError, match="'cuda:17'"):
        device_of("cuda:17")
    with pytest.raises(ValueError, match="'abacus'"):
        device_of("abacus")
    assert device_of("cpu").type == "cpu"


@pytest.mark.gpu
def test_gpu_learns_what_the_cpu_learns(blobs):
    runs = {}
    for device in ("cpu", "cuda"):
        fit = Fit(epochs=20, device=device, input_dropout=0.0)
        runs[device] = train(MLP((16,), dropout=0.0), blobs(), blobs(seed=1), fit, n_classes=3, seed=0)
    assert runs["cuda"].network.first_linear.weight.device.type == "cpu"
    np.testing.assert_allclose(runs["cuda"].history["train_loss"], runs["cpu"].history["train_loss"], rtol=0.05)


class TestOutOfMemory:
    def run(self, blobs, monkeypatch, failures, **options):
        step, left = Optimiser.step, [1] * failures

        def short_of_memory(*args):
            if left:
                left.pop()
                msg = "CUDA out of memory. Tried to allocate 2.00 GiB."
                raise torch.OutOfMemoryError(msg)
            step(*args)

        monkeypatch.setattr(Optimiser, "step", short_of_memory)
        try:
            return train(MLP((8,)), blobs(), blobs(seed=1), Fit(**options), n_classes=3, seed=0)
        finally:
            monkeypatch.undo()

    @pytest.mark.parametrize(("failures", "asked", "ended"), [(1, 32, 16), (2, 40, 10), (1, None, 45), (1, 1000, 45)])
    def test_the_batch_is_halved_and_that_is_said(self, blobs, weights, monkeypatch, failures, asked, ended):
        with pytest.warns(UserWarning, match="again with batches") as said:
            trained = self.run(blobs, monkeypatch, failures, batch_size=asked, epochs=3)
        assert f"batches of {ended}. Give Fit(batch_size={ended})" in str(said[-1].message)
        assert len(said) == failures
        assert trained.batch_size == ended
        other = train(MLP((8,)), blobs(), blobs(seed=1), Fit(batch_size=ended, epochs=3), n_classes=3, seed=0)
        assert weights(trained) == weights(other)

    @pytest.mark.filterwarnings("ignore:A batch of:UserWarning")
    def test_there_is_an_end_to_halving(self, blobs, monkeypatch):
        with pytest.raises(RuntimeError, match="do not fit the memory"):
            self.run(blobs, monkeypatch, 99, batch_size=8, epochs=1)

    def test_other_errors_of_torch_pass(self, blobs, monkeypatch):
        def broken(*_):
            msg = "shapes do not match"
            raise RuntimeError(msg)

        monkeypatch.setattr(Optimiser, "step", broken)
        with pytest.raises(RuntimeError, match="shapes do not match"):
            train(MLP((8,)), blobs(), None, Fit(epochs=1), n_classes=3, seed=0)


def test_rows_that_do_not_fit_the_device_stay_outside(blobs, weights, monkeypatch):
    whole = train(MLP((8,)), blobs(), None, Fit(epochs=2), n_classes=3, seed=0)
    monkeypatch.setattr(hardware, "free_memory", lambda _: 0)
    assert weights(train(MLP((8,)), blobs(), None, Fit(epochs=2), n_classes=3, seed=0)) == weights(whole)


def test_weights_spoiled_by_the_very_last_step_are_refused(blobs, monkeypatch):
    step, calls = Optimiser.step, []

    def spoil(self, loss, rate):
        step(self, loss, rate)
        calls.append(1)
        if len(calls) == 3:
            self._weights[0][0].data[0] = float("nan")

    monkeypatch.setattr(Optimiser, "step", spoil)
    with pytest.raises(FloatingPointError, match=r"after the last step.*Lower the learning rate"):
        train(Linear(), blobs(), None, Fit(epochs=3), n_classes=3, seed=0)
    calls.clear()
    with pytest.raises(
        FloatingPointError,
        match=r"After epoch 3 \(learning rate 0.*90 of 90 validation rows is not finite. Lower the learning rate",
    ):
        train(Linear(), blobs(), blobs(seed=1), Fit(epochs=3), n_classes=3, seed=0)


def test_the_step_whose_loss_is_not_finite_is_named_with_its_rate(blobs):
    rows = blobs()
    rows.x[int(batches(90, 30, seed=0, epoch=1)[1][4])] = np.inf
    with pytest.raises(FloatingPointError, match=r"step 2 of epoch 1 \(learning rate 0\.5\).*Lower the learning rate"):
        train(
            Linear(),
            rows,
            None,
            Fit(epochs=2, batch_size=30, learning_rate=0.5, schedule="constant"),
            n_classes=3,
            seed=0,
        )


def test_a_class_without_a_row_is_never_predicted_and_breaks_nothing(blobs):
    rows = blobs()
    keep = rows.y != 1
    for sampling in ("shuffle", "balanced"):
        fit = Fit(epochs=20, sampling=sampling, batch_size=8, learning_rate=0.02)
        trained = train(MLP((8,)), Rows(rows.x[keep], rows.y[keep]), None, fit, n_classes=3, seed=0)
        assert set(trained.network(torch.from_numpy(rows.x[keep])).argmax(1).tolist()) == {0, 2}
