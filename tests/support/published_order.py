"""Training steps in the order of operations that the authors of HiFi-GAN and MelGAN published.

The generator speaks once; its graph stays while the discriminators learn. In the generator's own
step the whole loss goes backward, so that the discriminators' weight gradients are computed and
thrown away, and HiFi-GAN's real branch has a graph as well. Tests and benchmarks hold the loop's
step against these: the losses must be the same, and the time is the difference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wavewright.models.batch import Batch
from wavewright.nn.gan_losses import (
    feature_matching,
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
)
from wavewright.nn.spectral import mel_l1
from wavewright.training.state import TrainState
from wavewright.vocoders.hifigan import HiFiGAN
from wavewright.vocoders.melgan import MelGAN, weighted_matching

Losses = dict[str, Tensor]


def hifigan_step(state: TrainState, batch: Batch) -> Losses:
    """One step as in the authors' train.py, at the state's present learning rates."""
    model, optimizers = state.model, state.optimizers
    assert isinstance(model, HiFiGAN)
    discriminator = model.discriminators["discriminator"]
    fake = model(batch.mel)

    optimizers["discriminator"].zero_grad()
    real_scores, _ = discriminator(batch.wav)
    fake_scores, _ = discriminator(fake.detach())
    critic = least_squares_discriminator(real_scores, fake_scores)
    critic.backward()  # type: ignore[no-untyped-call]
    optimizers["discriminator"].step()

    optimizers["generator"].zero_grad()
    distance = mel_l1(fake, batch.wav, model.loss_spec)
    _, real_features = discriminator(batch.wav)
    scores, features = discriminator(fake)
    adversarial = least_squares_generator(scores)
    matching = feature_matching(real_features, features)
    config = model.config
    loss = config.mel_weight * distance + adversarial + config.feature_weight * matching
    loss.backward()  # type: ignore[no-untyped-call]
    optimizers["generator"].step()
    return {"critic": critic, "mel_l1": distance, "adversarial": adversarial, "features": matching}


def melgan_step(state: TrainState, batch: Batch) -> Losses:
    """One step as in the authors' scripts/train.py."""
    model, optimizers = state.model, state.optimizers
    assert isinstance(model, MelGAN)
    discriminator = model.discriminators["discriminator"]
    fake = model(batch.mel)
    with torch.no_grad():
        distance = mel_l1(fake, batch.wav, model.loss_spec)

    fake_scores, _ = discriminator(fake.detach())
    real_scores, real_features = discriminator(batch.wav)
    critic = hinge_discriminator(real_scores, fake_scores)
    optimizers["discriminator"].zero_grad()
    critic.backward()  # type: ignore[no-untyped-call]
    optimizers["discriminator"].step()

    scores, features = discriminator(fake)
    constants = [[feature.detach() for feature in scale] for scale in real_features]
    adversarial = hinge_generator(scores)
    matching = weighted_matching(constants, features)
    loss = adversarial + model.config.feature_weight * matching
    optimizers["generator"].zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizers["generator"].step()
    return {"critic": critic, "mel_l1": distance, "adversarial": adversarial, "features": matching}


STEPS = {"hifigan": hifigan_step, "melgan": melgan_step}
