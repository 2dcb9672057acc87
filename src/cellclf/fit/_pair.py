"""A network and the linear one that it is held against, trained on the same batches in the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellclf.nn._network import Network

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("network", "linear")


class Pair(Network):
    """Two networks side by side that share no weight: it is the first that speaks, and that decides when to stop."""

    def __init__(self, network: Network, linear: Network) -> None:
        super().__init__()
        self.network, self.linear = network, linear
        self.reconstructs = network.reconstructs

    def forward(self, x: Tensor) -> Tensor:
        """Map cells to the network's logits (n_cells, n_classes)."""
        return self.network(x)

    def embed(self, x: Tensor) -> Tensor:
        """Map cells to what the network's last layer sees."""
        return self.network.embed(x)

    def loss(self, x: Tensor, y: Tensor, *, target: Tensor | None = None, **settings: Any) -> Tensor:
        """Return the network's loss, with the gradient of the linear one's for its own weights."""
        more: dict[str, Any] = {} if target is None else {"target": target}
        loss = self.network.loss(x, y, **settings, **more)
        self.batch_logits, self.network.batch_logits = self.network.batch_logits, None
        beside = self.linear.loss(x, y, **settings)
        self.linear.batch_logits = None
        return loss + (beside - beside.detach())  # adds nothing to the value


def parts(network: Network) -> tuple[Network, ...]:
    """Return the networks that learn, each for itself: a network, or both of a pair."""
    return (network.network, network.linear) if isinstance(network, Pair) else (network,)


def weights_of_parts(weights: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Part the weights of a pair."""
    return [
        {name.removeprefix(f"{part}."): weight for name, weight in weights.items() if name.startswith(f"{part}.")}
        for part in PARTS
    ]
