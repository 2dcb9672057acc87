"""Networks that others have used, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellclf.nn._autoencoder import Autoencoder
from cellclf.nn._cnn1d import CNN1d
from cellclf.nn._mlp import MLP

if TYPE_CHECKING:
    from cellclf.nn._registry import Description

NAMED: dict[str, Description] = {
    "tumours": MLP(
        hidden=(5000, 1000, 100, 10),
        dropout=0.0,
        batch_norm=("after", "after", "after", None),
        skip=False,
    ),
    "cells": MLP(hidden=(2048, 512), dropout=(0.0, 0.5), batch_norm=None, skip=False, initialisation="xavier_uniform"),
    "cells_cnn": CNN1d(
        channels=(16, 32, 64, 128),
        kernels=(10, 10, 2, 5),
        padding=("same", "same", "valid", "same"),
        pools=(4, 4, 4, 3),
        hidden=(512,),
        dropout=0.5,
        batch_norm=None,
        initialisation="xavier_uniform",
    ),
    "breast_cancer": MLP(hidden=(30,), dropout=0.0, batch_norm=None, skip=False),
    "cell_lines": Autoencoder(latent=512, hidden=(2048,), head_hidden=(128,)),
    "chromatin": MLP(hidden=(5, 5), dropout=0.0, batch_norm=None, skip=False, initialisation="xavier_uniform"),
}


def named(
    name: Literal["tumours", "cells", "cells_cnn", "breast_cancer", "cell_lines", "chromatin"],
) -> Description:
    """Return a network of one of the five classifiers that this package grew from.

    Parameters
    ----------
    name
        ``"tumours"``: 5000-1000-100-10 units, batch normalisation after the first three activations. ``"cells"``:
        2048-512 units with dropout. ``"cells_cnn"``: four convolutional blocks over all genes. ``"breast_cancer"``: one
        layer of 30 units. ``"cell_lines"``: an autoencoder with 512 latent units and a classifier on them.
        ``"chromatin"``: 5-5 units, for 1372 motifs.

    Returns
    -------
    The description, for `network=` of :func:`cellclf.tl.train`; vary it with :func:`dataclasses.replace`.

    Raises
    ------
    ValueError
        The name is not one of these.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.nn.named("cells").hidden
    (2048, 512)
    """
    if name not in NAMED:
        msg = f"There is no network {name!r}. Choose one of {', '.join(map(repr, NAMED))}."
        raise ValueError(msg)
    return NAMED[name]
