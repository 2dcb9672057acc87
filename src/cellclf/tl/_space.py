"""Where to search for settings: distributions in frozen records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

from cellclf.fit import Fit


@dataclass(frozen=True)
class Uniform:
    """Any number between two, all equally likely.

    Parameters
    ----------
    low
        The smallest.
    high
        The largest.

    Raises
    ------
    ValueError
        These are no two numbers in order.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.tl.Uniform(0.0, 0.5)
    Uniform(low=0.0, high=0.5)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the order."""
        _check_order(self, 0 if isinstance(self, LogUniform) else None)


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Any positive number between two, all orders of magnitude equally likely.

    Parameters
    ----------
    low
        The smallest, above 0.
    high
        The largest.

    Raises
    ------
    ValueError
        These are no two positive numbers in order.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.tl.LogUniform(1e-4, 1e-2)
    LogUniform(low=0.0001, high=0.01)
    """


@dataclass(frozen=True)
class Integers:
    """Any whole number from one to another, both included.

    Parameters
    ----------
    low
        The smallest.
    high
        The largest.

    Raises
    ------
    ValueError
        These are no two whole numbers in order.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.tl.Integers(8, 40)
    Integers(low=8, high=40)
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        """Check the order."""
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            msg = f"{self} holds a number that is not whole. Give two whole numbers, or take Uniform."
            raise ValueError(msg)
        _check_order(self, None)


@dataclass(frozen=True)
class Choice:
    """One of several values, of any kind that the setting takes.

    Parameters
    ----------
    options
        The values, at least two.

    Raises
    ------
    ValueError
        Fewer than two values, or one of them twice.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.tl.Choice([(128,), (256,), (256, 64)]).options
    ((128,), (256,), (256, 64))
    """

    options: Sequence[Any]

    def __post_init__(self) -> None:
        """Keep the values as a tuple."""
        object.__setattr__(self, "options", tuple(self.options))
        if len(self.options) < 2 or len({repr(option) for option in self.options}) < len(self.options):
            msg = f"{self} leaves no choice, or holds a value twice. Give two or more different values."
            raise ValueError(msg)


Distribution = Uniform | Integers | Choice


@dataclass(frozen=True)
class Space:
    """Where to search for settings.

    Parameters
    ----------
    fit
        A distribution for each setting of :class:`cellclf.Fit` to be chosen.
    network
        A distribution for each setting of the network to be chosen. `None`: the number of hidden units, where the network
        is a :class:`cellclf.nn.MLP`, else none.

    Raises
    ------
    TypeError
        Something is no distribution.
    ValueError
        :class:`cellclf.Fit` has no such setting.

    Examples
    --------
    >>> import cellclf as cc
    >>> space = cc.tl.Space(fit={"learning_rate": cc.tl.LogUniform(1e-4, 1e-2)}, network={})
    >>> dict(space.fit)
    {'learning_rate': LogUniform(low=0.0001, high=0.01)}
    """

    fit: Mapping[str, Distribution] | Sequence[tuple[str, Distribution]] = field(
        default_factory=lambda: {
            "learning_rate": LogUniform(5e-4, 1e-2),
            "weight_decay": LogUniform(1e-3, 1e-1),
            "input_dropout": Uniform(0.0, 0.5),
            "information_power": Uniform(0.0, 1.5),
        }
    )
    network: Mapping[str, Distribution] | Sequence[tuple[str, Distribution]] | None = None

    def __post_init__(self) -> None:
        """Keep the mappings as pairs, so that the record stays hashable."""
        known = {entry.name for entry in fields(Fit)}
        for name in ("fit", "network"):
            value = getattr(self, name)
            if value is None:
                continue
            pairs = tuple(dict(value).items())
            object.__setattr__(self, name, pairs)
            for setting, distribution in pairs:
                if not isinstance(distribution, Distribution):
                    msg = f"Space({name}={{{setting!r}: {distribution!r}}}) is no distribution. Give Uniform, LogUniform, Integers or Choice."
                    raise TypeError(msg)
        unknown = [setting for setting in dict(self.fit) if setting not in known]
        if unknown:
            msg = f"Fit has no setting {unknown[0]!r}. It has: {', '.join(sorted(known))}."
            raise ValueError(msg)


def _check_order(distribution: Any, least: float | None) -> None:
    """Refuse bounds that are no numbers or not in order."""
    low, high = distribution.low, distribution.high
    numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in (low, high))
    if not numbers or not -float("inf") < low < high < float("inf") or (least is not None and low <= least):
        above = "" if least is None else f" above {least}"
        msg = f"{distribution} holds no two numbers{above} in order. Give the smaller first."
        raise ValueError(msg)
