"""Checks of training: losses, players, gradients, and whether a model learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from wavewright.mel.transform import log_mel, silent_mel
from wavewright.models.base import Update
from wavewright.models.batch import Batch
from wavewright.models.capabilities import HasLikelihood
from wavewright.models.config import OptimizerConfig
from wavewright.models.trainable import Trainable, require_trainable
from wavewright.models.vocoder import Vocoder
from wavewright.testing.inputs import (
    expect,
    noise_waves,
)

_LATE = 10**9  # a step by which every adversary has started


def check_overfit(
    vocoder: Vocoder,
    *,
    reaches: float,
    steps: int = 150,
    learning_rate: float = 2e-3,
    samples: int = 4096,
) -> None:
    """It learns a few crops by heart, and says nothing when the mel is of silence.

    The crops, half of which are silent, are learnt with `updates` at step 0 and Adam. How near it
    came is the mean distance between the log-mels (natural logarithm) of what it says and of the
    crops; a fresh network's is several times larger. One that tells likelihoods is asked for these
    instead, since what it says is drawn.

    Args:
        vocoder: small, and configured to learn by a reconstruction loss at step 0.
        reaches: the distance, or the bits per sample, that it must come down to. The vocoders of
            this package come to a distance of 0.3 to 0.5 in 100 to 300 steps.
        steps: of training.
        learning_rate: Adam's.
        samples: of a crop, at least.

    Raises:
        AssertionError: it learnt too little, speaks in silence, or its loss is no number.
    """
    if not isinstance(vocoder, Trainable) or vocoder.conditioning != "mel":
        return
    model = copy.deepcopy(vocoder).train()
    trainable = require_trainable(model)
    model.prepare_for_training()
    batch = _spoken_batch(model, samples)
    players: dict[str, nn.Module] = {"generator": model, **model.discriminators}
    optimizers = {
        name: torch.optim.Adam(player.parameters(), lr=learning_rate, betas=(0.8, 0.99))
        for name, player in players.items()
    }
    for step in range(steps):
        torch.manual_seed(step)
        for update in trainable.updates(batch, 0):
            expect(
                math.isfinite(float(update.loss.detach())),
                f"step {step}: the loss of '{update.player}' is {float(update.loss.detach())}; "
                "lower learning_rate, or bound what is exponentiated and divided by",
            )
            parameters = [p for p in players[update.player].parameters() if p.requires_grad]
            optimizers[update.player].zero_grad()
            update.loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
            optimizers[update.player].step()
    model.eval()
    if isinstance(model, HasLikelihood):
        bits = float(model.bits_per_sample(batch).mean())
        expect(bits <= reaches, f"after {steps} steps: expected {reaches:g} bits, found {bits:.3g}")
        return
    spec = model.mel_spec.model_copy(update={"log": "ln", "normalisation": None, "floor": 1e-3})
    samples = batch.mel.shape[-1] * model.hop_length
    said = model.generate(batch.mel, seed=3)
    distance = float((log_mel(said, spec) - log_mel(batch.wav[:, :samples], spec)).abs().mean())
    expect(
        distance <= reaches,
        f"after {steps} steps its log-mels must be within {reaches:g} of the crops', "
        f"found {distance:.3g}",
    )
    silence = torch.from_numpy(silent_mel(model.mel_spec, batch.mel.shape[-1]))[None]
    hushed = model.generate(silence, seed=3)[:, samples // 4 : -(samples // 4)]
    hushed = hushed - hushed.mean(dim=1, keepdim=True)  # a constant is not heard
    # In the mel's band: what lies below and above it, no loss teaches.
    fine = spec.model_copy(update={"floor": 1e-7})
    quiet, loud = (float(log_mel(wav, fine).exp().mean()) for wav in (hushed, batch.wav[:1]))
    expect(
        quiet < 0.05 * loud,
        f"the mel of silence must come out quiet: found a level of {quiet:.3g}, where speech has "
        f"{loud:.3g}",
    )


def check_training(vocoder: Vocoder, *, segment_length: int | None = None) -> None:
    """`updates` yields players that exist, with finite losses that reach their parameters.

    The loop's part is played with plain gradient descent, at the first step and at a late one.
    """
    model = copy.deepcopy(vocoder).train()
    batch = _example_batch(model, segment_length)
    _check_methods(type(model))
    if not isinstance(model, Trainable):
        return
    keys, count = model.inference_state().keys(), model.parameter_count()
    model.prepare_for_training()
    expect(
        model.inference_state().keys() == keys and model.parameter_count() == count,
        "prepare_for_training() must not change inference_state(): fold weight norm, and keep "
        "discriminators out of the modules",
    )
    players: dict[str, nn.Module] = {"generator": model, **model.discriminators}
    for name in players:
        rule = model.optimizer_config(name)
        expect(
            isinstance(rule, OptimizerConfig),
            f"optimisation('{name}') must be an OptimizerConfig, found {rule!r}",
        )
    seen = [name for step in (0, _LATE) for name in _train_once(model, players, batch, step)]
    idle = sorted(players.keys() - set(seen))
    expect(
        not idle,
        f"updates() never let {idle} step, neither at step 0 nor at step {_LATE}; every player "
        "must: yield an Update of its name, or leave it out of build_discriminators()",
    )


def _check_methods(system: type[Vocoder]) -> None:
    """Whoever has one of the methods of `Trainable` needs both."""
    methods = ("updates", "optimizer_config")
    missing = [name for name in methods if not hasattr(system, name)]
    expect(
        len(missing) != 1,
        f"{system.__name__} must have a method {''.join(missing)}(), as it has the other of "
        f"{' and '.join(methods)}; without either there is nothing to train",
    )


def _train_once(
    model: Trainable, players: dict[str, nn.Module], batch: Batch, step: int
) -> Iterator[str]:
    """Names of the players that stepped."""
    updates = model.updates(batch, step)
    expect(
        isinstance(updates, Iterator),
        f"updates() must yield one Update after the other, found a {type(updates).__name__}",
    )
    while True:
        born = _now()
        update = next(updates, None)
        if update is None:
            return
        where = f"update '{getattr(update, 'player', '?')}' of step {step}"
        expect(isinstance(update, Update), f"updates() must yield Update, found {update!r}")
        expect(
            update.player in players,
            f"{where}: no such player; there are {', '.join(players)}",
        )
        _check_loss(update, where, born)
        _descend(update.loss, players[update.player], where)
        yield update.player


def _check_loss(update: Update, where: str, born: int) -> None:
    loss = update.loss
    expect(loss.ndim == 0, f"{where}: the loss must be a scalar, found {tuple(loss.shape)}")
    value = float(loss.detach())
    expect(math.isfinite(value), f"{where}: the loss must be finite, found {value}")
    expect(
        loss.grad_fn is not None,
        f"{where}: the loss must have a graph: compute it outside torch.no_grad(), of what is "
        "not detached",
    )
    expect(
        _oldest(loss) >= born,
        f"{where}: its graph was partly made before the last yield; no graph may survive a yield, "
        "so compute what it needs again",
    )
    for name, logged in update.logs.items():
        number = float(torch.as_tensor(logged).detach())
        expect(math.isfinite(number), f"{where}: log '{name}' must be finite, found {number}")


def _descend(loss: Tensor, player: nn.Module, where: str) -> None:
    """One small step of this player alone, as the loop takes it."""
    parameters = [p for p in player.parameters() if p.requires_grad]
    expect(bool(parameters), f"{where}: the player has no parameters to train")
    player.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in parameters if p.grad is not None]
    expect(
        any(bool(g.any()) for g in gradients),
        f"{where}: the loss must reach that player's parameters; every gradient is zero. Is it "
        "another player's loss, or was what this one made detached?",
    )
    broken = [
        name
        for name, p in player.named_parameters()
        if p.grad is not None and not bool(p.grad.isfinite().all())
    ]
    expect(
        not broken,
        f"{where}: gradients must be finite, found others in {', '.join(broken[:3])}; look for "
        "roots, logarithms and divisions at zero, and for exponentials that nothing bounds",
    )
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-6)
    player.zero_grad(set_to_none=True)


def _now() -> int:
    """A number that every graph node made from here on exceeds (nodes are counted per thread)."""
    return int(torch.ones((), requires_grad=True).clone().grad_fn._sequence_nr())  # type: ignore[union-attr]


def _oldest(loss: Tensor) -> int:
    """The smallest such number in a loss's graph."""
    seen: set[Any] = set()
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return min(int(node._sequence_nr()) for node in seen)


def _example_batch(vocoder: Vocoder, segment_length: int | None) -> Batch:
    hop = vocoder.hop_length
    fewest = -(-max(4096, vocoder.mel_spec.n_fft) // hop) * hop
    samples = vocoder.crops.fixed_samples or segment_length or fewest
    wav = noise_waves(2, samples)
    mel = log_mel(wav, vocoder.mel_spec)[..., : samples // hop]
    f0 = torch.full((2, mel.shape[-1]), 150.0) if vocoder.crops.f0 else None
    return Batch(wav=wav, mel=mel, ids=["first", "second"], f0=f0)


def _spoken_batch(vocoder: Vocoder, at_least: int) -> Batch:
    """A gliding tone with harmonics, and silence."""
    spec = vocoder.mel_spec
    samples = -(-max(at_least, 2 * spec.n_fft) // spec.hop_length) * spec.hop_length
    time = torch.arange(samples) / spec.sample_rate
    pitch = 2 * math.pi * (150 * time + 60 * time.square())
    tone = sum((0.2 / n * torch.sin(n * pitch) for n in range(1, 6)), start=torch.zeros(samples))
    wav = torch.stack([tone, torch.zeros(samples)])
    mel = log_mel(wav, spec)[..., : samples // spec.hop_length]
    f0 = None
    if vocoder.crops.f0:
        rising = (150 + 120 * time)[spec.hop_length // 2 :: spec.hop_length]
        f0 = torch.stack([rising, torch.zeros_like(rising)])
    return Batch(wav=wav, mel=mel, ids=["tone", "silence"], f0=f0)
