"""Rates and kernels of transposed convolutions that fit a hop length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import prod

#: Products of these rates, in the order that generators use them, the largest first.
_RATES = (16, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)
_MOST_STAGES = 6


def propose_rates(hop_length: int, stages: int) -> tuple[int, ...]:
    """Upsampling rates whose product is the hop length, in falling order.

    As many as `stages` if that is possible, else the nearest number; of those the most even, as in
    published configurations, whose steps are small and whose last ones are the smallest.

    Raises:
        ValueError: the hop length has a prime factor beyond 11.
    """
    found = [
        rates
        for count in range(1, _MOST_STAGES + 1)
        for rates in combinations_with_replacement(_RATES, count)
        if prod(rates) == hop_length
    ]
    if not found:
        raise ValueError(
            f"hop_length {hop_length} is no product of rates up to {_RATES[0]}; choose one that "
            "is, such as 256, 275 or 300"
        )
    return min(found, key=lambda rates: (abs(len(rates) - stages), max(rates), -min(rates)))


def propose_kernels(rates: Sequence[int]) -> tuple[int, ...]:
    """Kernels for rates: twice the rate, one more for odd rates, so that padding is whole."""
    return tuple(2 * rate + rate % 2 for rate in rates)


def fit_rates(hop_length: int, rates: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The change to a configuration with such rates that makes it fit a hop length; may be none."""
    if prod(rates) == hop_length:
        return {}
    return {"upsample_rates": propose_rates(hop_length, len(rates))}


def fit_upsampling(
    hop_length: int, rates: Sequence[int], channels: int
) -> dict[str, tuple[int, ...] | int]:
    """`fit_rates` with kernels, and with channels where they could not be halved so often."""
    changes: dict[str, tuple[int, ...] | int] = {**fit_rates(hop_length, rates)}
    if not changes:
        return {}
    fitted = propose_rates(hop_length, len(rates))
    changes["upsample_kernel_sizes"] = propose_kernels(fitted)
    halvings = 2 ** len(fitted)
    if channels % halvings:
        changes["upsample_initial_channel"] = max(1, round(channels / halvings)) * halvings
    return changes


def require_rates(hop_length: int, rates: Sequence[int]) -> None:
    """Raise a ValueError, with rates that fit, unless they multiply to the hop length."""
    if prod(rates) == hop_length:
        return
    raise ValueError(
        f"upsample_rates {tuple(rates)} multiply to {prod(rates)}, but mel.hop_length is "
        f"{hop_length}; {_advice(hop_length, len(rates))}"
    )


def require_upsampling(
    hop_length: int,
    rates: Sequence[int],
    kernels: Sequence[int],
    channels: int,
    *,
    doubled: bool = False,
) -> None:
    """Raise a ValueError, with what would fit, for upsamplers that do not give whole frames.

    Args:
        hop_length: samples of a frame.
        rates: of each upsampler.
        kernels: of each.
        channels: before the first; every upsampler halves them.
        doubled: whether a kernel may be twice an odd rate.
    """
    require_rates(hop_length, rates)
    if len(rates) != len(kernels):
        raise ValueError(
            f"upsample_rates has {len(rates)} entries and upsample_kernel_sizes {len(kernels)}; "
            f"such rates take kernels {propose_kernels(rates)}"
        )
    for rate, kernel in zip(rates, kernels, strict=True):
        if doubled and kernel == 2 * rate:
            continue
        if kernel < rate or (kernel - rate) % 2:
            raise ValueError(
                f"upsample kernel {kernel} must exceed its rate {rate} by an even number; "
                f"such rates take kernels {propose_kernels(rates)}"
            )
    halvings = 2 ** len(rates)
    if channels % halvings:
        raise ValueError(
            f"upsample_initial_channel {channels} must be a multiple of {halvings}, because it "
            f"halves at each of {len(rates)} upsamplings; nearest: "
            f"{max(1, round(channels / halvings)) * halvings}"
        )


def _advice(hop_length: int, stages: int) -> str:
    try:
        rates = propose_rates(hop_length, stages)
    except ValueError as error:
        return str(error)
    return f"such as {rates} with kernels {propose_kernels(rates)}"
