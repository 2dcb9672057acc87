"""The autoencoder: a narrow layer from which the inputs can be had back, with or without classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, final

from torch import nn

from cellclf.nn import _settings
from cellclf.nn._layers import (
    ACTIVATIONS,
    INITIALISATIONS,
    NORMS,
    Activation,
    Initialisation,
    Norm,
    between,
    initialise,
)
from cellclf.nn._network import MemberLinear, Network, mean_of_members

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Autoencoder:
    r"""An encoder to a latent layer, its mirror image back to the genes, and a head that classifies.

    All are trained together on

    .. math::

        L = L_\text{class} + \lambda \cdot \frac{1}{NG} \sum_{ig} (\hat x_{ig} - x_{ig})^2,

    with the :math:`N \times G` inputs :math:`x` as they were preprocessed, before any was dropped. Without a head
    there is no first term, and training needs no label; :func:`cellclf.tl.predict` then writes the latent layer as an
    embedding, on which any network can be trained afterwards (``use_rep="X_cellclf"``).

    Parameters
    ----------
    latent
        Number of latent units. They are linear, and are what :func:`cellclf.tl.predict` writes as the embedding.
    hidden
        Width of each hidden layer of the encoder, from the genes to the latent layer; the decoder has the same in
        reverse. Empty: encoder and decoder are linear.
    head
        Classify from the latent layer.
    head_hidden
        Width of each hidden layer between the latent layer and the classes.
    reconstruction
        Weight :math:`\lambda` of the reconstruction loss; 0 leaves the decoder out.
    activation
        Function applied in each hidden layer.
    dropout
        Share of hidden units switched off in each training step, 0 ≤ dropout < 1.
    batch_norm
        Where each hidden layer is normalised over the batch: ``"before"`` or ``"after"`` its activation, or not (`None`).
    initialisation
        How weights are drawn: ``"default"`` as :class:`torch.nn.Linear` does; otherwise by the named rule of
        :mod:`torch.nn.init`, with biases at zero.

    Raises
    ------
    ValueError
        A width below 1, a dropout outside [0, 1), an unknown name, `head_hidden` without a head, or neither a head nor
        a reconstruction.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.nn.Autoencoder(latent=32, head=False).needs_label
    False
    """

    latent: int = 512
    hidden: Sequence[int] = (1024,)
    head: bool = True
    head_hidden: Sequence[int] = ()
    reconstruction: float = 1.0
    activation: Activation = "relu"
    dropout: float = 0.1
    batch_norm: Norm | None = "before"
    initialisation: Initialisation = "default"

    def __post_init__(self) -> None:
        """Check the values; lists (as read from JSON) become tuples."""
        object.__setattr__(self, "latent", _settings.whole("latent", self.latent))
        for name in ("hidden", "head_hidden"):
            object.__setattr__(self, name, _settings.widths(name, getattr(self, name), least=0))
        _settings.shares("dropout", self.dropout, 1)
        _settings.choice("activation", self.activation, ACTIVATIONS)
        _settings.choice("batch_norm", self.batch_norm, NORMS)
        _settings.choice("initialisation", self.initialisation, INITIALISATIONS)
        if not 0 <= self.reconstruction < float("inf"):
            msg = f"reconstruction={self.reconstruction!r} is no weight. Give 0 or a positive number."
            raise ValueError(msg)
        if not self.head and self.reconstruction == 0:
            msg = "Autoencoder(head=False, reconstruction=0) has nothing to learn. Give it a head, or a weight above 0."
            raise ValueError(msg)
        if not self.head and self.head_hidden:
            msg = f"head_hidden={self.head_hidden} are layers of a head, but head=False. Leave one of the two out."
            raise ValueError(msg)

    @property
    def needs_label(self) -> bool:
        """Whether training needs a label, as only a head does."""
        return self.head

    def build(self, n_genes: int, n_classes: int, *, members: int = 1) -> Network:
        """Make the module with random weights, drawn from torch's current generator.

        Parameters
        ----------
        n_genes
            Number of inputs.
        n_classes
            Number of outputs; without a head there is none, whatever this number is.
        members
            Number of networks trained side by side; their probabilities and reconstructions are averaged.

        Returns
        -------
        The module.
        """
        return AutoencoderNetwork(self, n_genes, n_classes, members)


@final
class AutoencoderNetwork(Network):
    """The module behind :class:`Autoencoder`; members lie side by side in each layer."""

    first_linear: nn.Linear

    def __init__(self, description: Autoencoder, n_genes: int, n_classes: int, members: int) -> None:
        super().__init__()
        widths = [*description.hidden, description.latent]
        self.members, self.weight_of_reconstruction = members, description.reconstruction
        self.reconstructs = description.reconstruction > 0
        self.first_linear = nn.Linear(n_genes, members * widths[0])
        normalised = description.batch_norm == "before" and bool(description.hidden)
        self.n_normalised = members * widths[0] if normalised else 0
        self.encoder = _Stack(description, members, widths, starts_with_activation=True)
        decoder, head = [*reversed(widths), n_genes], [description.latent, *description.head_hidden, n_classes]
        self.decoder = _Stack(description, members, decoder) if self.reconstructs else None
        self.head = _Stack(description, members, head) if description.head else None
        initialise(description.initialisation, self, members=members)

    def _latent(self, hidden: Tensor) -> Tensor:
        """Map what `first_linear` gives to the latent layer, (n_cells, members, latent)."""
        return self.encoder(hidden.unflatten(1, (self.members, -1)))

    def _member_logits(self, latent: Tensor) -> Tensor:
        """Map the latent layer to each member's logits, (n_cells, members, n_classes); no classes without a head."""
        return latent.new_empty(len(latent), self.members, 0) if self.head is None else self.head(latent)

    def _decoded(self, latent: Tensor) -> Tensor:
        """Map the latent layer to each member's reconstruction, (n_cells, members, n_genes)."""
        if self.decoder is None:
            msg = "This autoencoder has no decoder (reconstruction=0). Train one with reconstruction above 0."
            raise TypeError(msg)
        return self.decoder(latent)

    def after_first(self, hidden: Tensor) -> Tensor:
        """Average the members' probabilities."""
        return mean_of_members(self._member_logits(self._latent(hidden)))

    def by_member(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, members, n_classes); no classes without a head."""
        return self._member_logits(self._latent(self.first_linear(x)))

    def embed(self, x: Tensor) -> Tensor:
        """Return the latent layer, members side by side."""
        return self._latent(self.first_linear(x)).flatten(1)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the inputs as the latent layer remembers them (n_cells, n_genes), averaged over members."""
        return self._decoded(self._latent(self.first_linear(x))).mean(dim=1)

    def row_losses(self, x: Tensor) -> Tensor:
        """Return each cell's mean squared error of the reconstruction (n_cells), averaged over members."""
        return (self._decoded(self._latent(self.first_linear(x))) - x[:, None]).square().mean(dim=(1, 2))

    def loss(
        self,
        x: Tensor,
        y: Tensor,
        *,
        weight: Tensor | None = None,
        label_smoothing: float = 0.0,
        target: Tensor | None = None,
    ) -> Tensor:
        """Add the members' cross-entropies and the error of their reconstruction of `target` (by default `x` itself)."""
        latent = self._latent(self.first_linear(x))
        parts = []
        if self.head is not None:
            logits = self._member_logits(latent)
            parts.append(self._loss_of_members(logits, y, weight=weight, label_smoothing=label_smoothing))
        if self.decoder is not None:
            error = self._decoded(latent) - (x if target is None else target)[:, None]
            parts.append(self.weight_of_reconstruction * error.square().mean())
        return sum(parts[1:], start=parts[0])


class _Stack(nn.Module):
    """Linear layers of each member with activations between them, (n_cells, members, n_in) → (n_cells, members, n_out)."""

    def __init__(
        self, description: Autoencoder, members: int, widths: Sequence[int], *, starts_with_activation: bool = False
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleList(MemberLinear(members, before, after) for before, after in pairwise(widths))
        activated = widths[:-1] if starts_with_activation else widths[1:-1]
        self.activations = nn.ModuleList(
            between(description.activation, description.batch_norm, description.dropout, members * width)
            for width in activated
        )
        self.starts_with_activation = starts_with_activation

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        for number, linear in enumerate(self.linears):
            place = number if self.starts_with_activation else number - 1
            if place >= 0:
                x = self.activations[place](x.flatten(1)).view_as(x)
            x = linear(x)
        return x
