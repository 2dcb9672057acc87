"""Networks trained side by side learn what each would learn alone."""

from __future__ import annotations

import pytest
import torch

from cellclf.fit import Fit, train
from cellclf.nn import MLP, Autoencoder, CNN1d

MEMBERS = 3


def of_member(state, description, member):
    """Cut the weights of one member out of those of all."""
    own = {}
    for name, weight in state.items():
        if name.startswith("first_linear"):
            n_skip = MEMBERS * 3 if getattr(description, "skip", False) else 0
            parts = weight.split([len(weight) - n_skip, n_skip])
            own[name] = torch.cat([part.unflatten(0, (MEMBERS, -1))[member] for part in parts if len(part)])
        elif ".linears." in f".{name}":
            own[name] = weight[member : member + 1]
        else:
            own[name] = weight.unflatten(0, (MEMBERS, -1))[member] if weight.ndim else weight
    return own


@pytest.mark.parametrize(
    "description",
    [
        pytest.param(MLP((8, 6), dropout=0.0), id="mlp"),
        pytest.param(MLP((8,), dropout=0.0, batch_norm=None, skip=False), id="mlp, plain"),
        pytest.param(CNN1d((2,), kernels=3, pools=2, hidden=(6,), dropout=0.0), id="cnn1d"),
        pytest.param(Autoencoder(4, hidden=(8,), dropout=0.0), id="autoencoder"),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="adamw"),
        pytest.param({"optimiser": "adam", "weight_decay": 0.0}, id="adam"),
        pytest.param({"sampling": "balanced"}, id="balanced"),
        pytest.param({"optimiser": "adam", "weight_decay": 0.1}, id="adam, decay"),
        pytest.param({"optimiser": "sgd", "weight_decay": 0.1}, id="sgd"),
    ],
)
def test_each_member_learns_as_if_it_were_alone(description, options, blobs, one_thread):
    rows, x = blobs(), torch.from_numpy(blobs(seed=1).x)
    fit = {"epochs": 4, "batch_size": 30, "learning_rate": 0.01, "input_dropout": 0.0, "device": "cpu"} | options
    torch.manual_seed(0)
    first = description.build(12, 3, members=MEMBERS).state_dict()
    together = train(description, rows, None, Fit(**fit, members=MEMBERS), n_classes=3, seed=5, initial=first).network
    found = together.train().by_member(x).detach()  # by batch: a bias before a normalisation drifts, and means nothing
    for member in range(MEMBERS):
        begun = of_member(first, description, member)
        alone = train(description, rows, None, Fit(**fit), n_classes=3, seed=5, initial=begun).network.train()
        assert alone(x).std() > 0.1
        torch.testing.assert_close(found[:, member], alone(x), rtol=0, atol=1e-4)
    assert (found[:, 0] - found[:, 1]).abs().max() > 0.05  # from other first weights
