"""Which epoch is kept, what the history says of each, and what is shown meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional

from cellclf.fit import Fit, Rows, train
from cellclf.fit import _hardware as hardware
from cellclf.fit import _loop as loop
from cellclf.fit._batches import batches
from cellclf.fit._history import COLUMNS
from cellclf.fit._judge import Judgement
from cellclf.fit._schedule import learning_rate
from cellclf.nn import MLP, Linear


@pytest.fixture
def told(monkeypatch):
    """Let the validation rows have given losses in each epoch, and keep the weights of each."""

    def tell(losses):
        seen = []

        def judge(network, *_):
            seen.append({name: weight.detach().clone() for name, weight in network.state_dict().items()})
            found = np.asarray(losses[len(seen) - 1], dtype=np.float64)
            return Judgement(found, {"valid_loss": float(found.mean())})

        monkeypatch.setattr(loop, "judge", judge)
        return seen

    return tell


class TestWhichEpochIsKept:
    """Sixteen rows whose losses scatter by 1: two standard errors of a difference are half of its scatter."""

    scatter = np.tile([1.0, -1.0], 8)

    def run(self, blobs, epochs, **options):
        fit = Fit(epochs=epochs, learning_rate=0.05, schedule="constant", **options)
        return train(MLP((8,)), blobs(), blobs(), fit, n_classes=3, seed=0)

    @pytest.mark.parametrize(
        ("means", "kept"),
        [
            pytest.param([5, 3, 3.49, 3.51], 3, id="a later one within two errors, not the next"),
            pytest.param([5, 3, 3.51, 4.0], 2, id="none within two errors"),
            pytest.param([5, 4.9, 4.8, 4.7], 4, id="the lowest is the last"),
            pytest.param([3, 3.4, 3.8, 3.45], 4, id="one that was clearly worse in between"),
            pytest.param([3, 3.4, 3.45, 2.5], 4, id="the bar is the lowest so far"),
            pytest.param([3, 9, 8, 7], 1, id="the first"),
        ],
    )
    def test_the_last_that_is_no_worse_than_the_lowest_by_two_standard_errors(self, blobs, told, means, kept):
        lowest = int(np.argmin(means))
        losses = [mean + (0 if epoch == lowest else self.scatter) for epoch, mean in enumerate(means)]
        seen = told([np.broadcast_to(own, 16) for own in losses])
        trained = self.run(blobs, len(means))
        assert trained.best_epoch == kept
        np.testing.assert_allclose(trained.history["valid_loss"], means)
        for name, weight in trained.network.state_dict().items():
            assert torch.equal(weight, seen[kept - 1][name]), name

    def test_the_error_is_that_of_the_difference_row_by_row(self, blobs, told):
        """Rows differ much from each other; an epoch that is a little worse in each of them is worse for sure."""
        hard = np.linspace(0, 100, 16)
        told([hard, hard + 0.01, hard + np.linspace(0.01, 0.011, 16)])
        assert self.run(blobs, 3).best_epoch == 1

    def test_patience_counts_epochs_that_could_not_be_kept(self, blobs, told):
        told([np.full(16, mean) for mean in (5, 6, 4, 6, 6, 6, 1)])
        trained = self.run(blobs, 7, patience=3)
        assert (trained.best_epoch, len(trained.history["epoch"])) == (3, 6)

    def test_ctrl_c_gives_back_the_best_epoch_rather_than_the_last(self, blobs, told):
        seen = told([np.full(16, mean) for mean in (5, 3, 8, 9)])
        judge = loop.judge

        def interrupted(*arguments):
            if len(seen) == 4:
                raise KeyboardInterrupt
            return judge(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "judge", interrupted)
            trained = self.run(blobs, 9)
        assert trained.interrupted
        assert (trained.best_epoch, len(trained.history["epoch"])) == (2, 4)
        for name, weight in trained.network.state_dict().items():
            assert torch.equal(weight, seen[1][name]), name


class TestHistory:
    fit = Fit(epochs=5, batch_size=32, axes=0, input_dropout=0.0)

    def test_every_number_of_every_epoch(self, blobs, monkeypatch):
        """A linear network, so that the bare loop beside it is a few lines; judged with scikit-learn."""
        rows, valid, seen = blobs(shift=1.0), blobs(60, seed=1, shift=1.0), []
        judge = loop.judge
        monkeypatch.setattr(
            loop, "judge", lambda net, *more: (seen.append(net(torch.from_numpy(valid.x))), judge(net, *more))[1]
        )
        history = train(Linear(), rows, valid, self.fit, n_classes=3, seed=3).history
        assert tuple(history) == COLUMNS
        assert {len(column) for column in history.values()} == {5}
        weight, bias = torch.zeros(3, 12, requires_grad=True), torch.zeros(3, requires_grad=True)
        rule, step = torch.optim.AdamW([weight, bias], betas=(0.9, 0.99), weight_decay=0.01), 0
        for epoch in range(1, 6):
            losses, told, truth = [], [], []
            for batch in batches(90, 32, seed=3, epoch=epoch):
                rule.param_groups[0]["lr"] = rate = learning_rate(self.fit, step, 15)
                logits, y = torch.from_numpy(rows.x[batch]) @ weight.T + bias, torch.from_numpy(rows.y[batch])
                loss = functional.cross_entropy(logits, y, label_smoothing=self.fit.label_smoothing)
                rule.zero_grad()
                loss.backward()
                rule.step()
                step += 1
                losses.append(loss.item())
                told.append(logits.argmax(1).numpy())
                truth.append(rows.y[batch])
            told, truth = np.concatenate(told), np.concatenate(truth)
            calls = seen[epoch - 1].argmax(1).numpy()
            expected = {
                "epoch": epoch,
                "train_loss": np.mean(losses),
                "train_accuracy": accuracy_score(truth, told),
                "train_macro_f1": f1_score(truth, told, average="macro"),
                "valid_accuracy": accuracy_score(valid.y, calls),
                "valid_macro_f1": f1_score(valid.y, calls, average="macro"),
                "learning_rate": rate,
            }
            for name, value in expected.items():
                assert history[name][epoch - 1] == pytest.approx(value, rel=1e-4), (name, epoch)
            scores = seen[epoch - 1].double()
            best = min(
                functional.cross_entropy(scores / t, torch.from_numpy(valid.y)).item()
                for t in np.geomspace(0.05, 20, 2000)
            )
            assert history["valid_loss"][epoch - 1] == pytest.approx(best, rel=1e-3)
        assert (history["seconds"] > 0).all()
        np.testing.assert_allclose(history["cells_per_second"] * history["seconds"], 90)

    def test_seconds_are_those_of_the_epoch(self, blobs, monkeypatch):
        clock = iter(range(1000))
        monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock))
        history = train(Linear(), blobs(), None, self.fit, n_classes=3, seed=0).history
        assert history["seconds"].tolist() == [1] * 5  # two looks at the clock an epoch


class TestBar:
    @pytest.fixture
    def bars(self, monkeypatch):
        """Note what the bars show."""
        made = []

        class Bar:
            def __init__(self, **settings):
                self.settings, self.updates, self.closed = settings, [], False
                made.append(self)

            def update(self, n):
                self.updates.append(n)

            def close(self):
                self.closed = True

        monkeypatch.setattr(hardware, "tqdm", Bar)
        return made

    def test_it_shows_the_epochs(self, blobs, bars):
        train(Linear(), blobs(), None, Fit(epochs=4), n_classes=3, seed=0, title="my training")
        (bar,) = bars
        assert (bar.settings["total"], bar.settings["desc"], bar.settings["initial"]) == (4, "my training", 0)
        assert bar.updates == [1] * 4
        assert bar.closed

    def test_it_goes_on_where_the_training_does(self, blobs, bars, tmp_path, monkeypatch):
        judge, calls = loop.judge, []

        def interrupt(*arguments):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return judge(*arguments)

        monkeypatch.setattr(loop, "judge", interrupt)
        for _ in range(2):
            train(Linear(), blobs(), blobs(), Fit(epochs=4), n_classes=3, seed=0, checkpoint=tmp_path / "a")
        assert [(bar.settings["initial"], sum(bar.updates)) for bar in bars] == [(0, 2), (2, 2)]

    def test_it_is_closed_by_an_error_too(self, blobs, bars):
        rows = Rows(np.full_like(blobs().x, np.nan), blobs().y)
        with pytest.raises(FloatingPointError):
            train(Linear(), rows, None, Fit(epochs=2), n_classes=3, seed=0)
        assert bars[0].closed
