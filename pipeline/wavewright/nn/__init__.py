"""Layers and losses for vocoders; names are imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavewright.nn.autocast import in_float32 as in_float32
    from wavewright.nn.discriminator import DiscriminatorGroup as DiscriminatorGroup
    from wavewright.nn.gan_losses import clipped_hinge_generator as clipped_hinge_generator
    from wavewright.nn.gan_losses import feature_matching as feature_matching
    from wavewright.nn.gan_losses import gradient_penalty as gradient_penalty
    from wavewright.nn.gan_losses import hinge_discriminator as hinge_discriminator
    from wavewright.nn.gan_losses import hinge_generator as hinge_generator
    from wavewright.nn.gan_losses import least_squares_discriminator as least_squares_discriminator
    from wavewright.nn.gan_losses import least_squares_generator as least_squares_generator
    from wavewright.nn.gan_losses import wasserstein_critic as wasserstein_critic
    from wavewright.nn.inverse_stft import InverseSTFT as InverseSTFT
    from wavewright.nn.likelihood import categorical_nll as categorical_nll
    from wavewright.nn.likelihood import gaussian_nll as gaussian_nll
    from wavewright.nn.likelihood import logistics_nll as logistics_nll
    from wavewright.nn.mel_consistency import MelConsistency as MelConsistency
    from wavewright.nn.melgan_discriminator import MelGANDiscriminator as MelGANDiscriminator
    from wavewright.nn.multi_period import MultiPeriodDiscriminator as MultiPeriodDiscriminator
    from wavewright.nn.multi_resolution import BandDiscriminator as BandDiscriminator
    from wavewright.nn.multi_resolution import MagnitudeDiscriminator as MagnitudeDiscriminator
    from wavewright.nn.multi_scale import HiFiGANScaleDiscriminator as HiFiGANScaleDiscriminator
    from wavewright.nn.multi_scale import MultiScaleDiscriminator as MultiScaleDiscriminator
    from wavewright.nn.noise import item_seeds as item_seeds
    from wavewright.nn.noise import normal_noise as normal_noise
    from wavewright.nn.noise import uniform_noise as uniform_noise
    from wavewright.nn.pqmf import PQMF as PQMF
    from wavewright.nn.quantization import mu_law_decode as mu_law_decode
    from wavewright.nn.quantization import mu_law_encode as mu_law_encode
    from wavewright.nn.real_stft import RealSTFT as RealSTFT
    from wavewright.nn.receptive_field import ReceptiveField as ReceptiveField
    from wavewright.nn.receptive_field import Span as Span
    from wavewright.nn.receptive_field import input_span as input_span
    from wavewright.nn.spectral import loss_spec as loss_spec
    from wavewright.nn.spectral import mel_l1 as mel_l1
    from wavewright.nn.spectral import stft_losses as stft_losses
    from wavewright.nn.upsample_network import ContextStretch as ContextStretch
    from wavewright.nn.upsample_network import Stretch as Stretch
    from wavewright.nn.upsample_rates import fit_rates as fit_rates
    from wavewright.nn.upsample_rates import fit_upsampling as fit_upsampling
    from wavewright.nn.upsample_rates import require_rates as require_rates
    from wavewright.nn.upsample_rates import require_upsampling as require_upsampling
    from wavewright.nn.weight_norm import add_weight_norm as add_weight_norm

_PUBLIC = {
    "BandDiscriminator": "multi_resolution",
    "ContextStretch": "upsample_network",
    "DiscriminatorGroup": "discriminator",
    "HiFiGANScaleDiscriminator": "multi_scale",
    "InverseSTFT": "inverse_stft",
    "MagnitudeDiscriminator": "multi_resolution",
    "MelGANDiscriminator": "melgan_discriminator",
    "MultiPeriodDiscriminator": "multi_period",
    "MultiScaleDiscriminator": "multi_scale",
    "PQMF": "pqmf",
    "RealSTFT": "real_stft",
    "ReceptiveField": "receptive_field",
    "Span": "receptive_field",
    "Stretch": "upsample_network",
    "add_weight_norm": "weight_norm",
    "categorical_nll": "likelihood",
    "clipped_hinge_generator": "gan_losses",
    "feature_matching": "gan_losses",
    "fit_rates": "upsample_rates",
    "fit_upsampling": "upsample_rates",
    "gaussian_nll": "likelihood",
    "gradient_penalty": "gan_losses",
    "hinge_discriminator": "gan_losses",
    "hinge_generator": "gan_losses",
    "in_float32": "autocast",
    "input_span": "receptive_field",
    "item_seeds": "noise",
    "least_squares_discriminator": "gan_losses",
    "least_squares_generator": "gan_losses",
    "logistics_nll": "likelihood",
    "loss_spec": "spectral",
    "mel_l1": "spectral",
    "mu_law_decode": "quantization",
    "mu_law_encode": "quantization",
    "normal_noise": "noise",
    "require_rates": "upsample_rates",
    "require_upsampling": "upsample_rates",
    "stft_losses": "spectral",
    "uniform_noise": "noise",
    "wasserstein_critic": "gan_losses",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'wavewright.nn' has no attribute '{name}'")
    return getattr(importlib.import_module(f"wavewright.nn.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
