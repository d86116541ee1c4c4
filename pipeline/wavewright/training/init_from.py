"""Start of a training from an earlier checkpoint: one of ours, or an imported one."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from wavewright.checkpoints.checkpoint import (
    latest_checkpoint,
    load_training,
    load_vocoder,
    weights_file,
)
from wavewright.checkpoints.discriminators import Players, read_discriminators
from wavewright.errors import WavewrightError
from wavewright.models.vocoder import Vocoder

log = logging.getLogger("wavewright")
_FRAMES = 8  # length of the mel by which two networks are compared
_TOLERANCE = 1e-4  # largest difference of a sample


class InitFrom:
    """Vocoder to start from, with the discriminators it was trained against.

    Args:
        path: a file of ours (its discriminators beside it), a step folder, or a run folder, whose
            newest step is used: training continues from there.

    Raises:
        WavewrightError: no checkpoint, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir() and not path.name.startswith("step-"):
            path = latest_checkpoint(path) or path
        self.path = path
        self.vocoder = load_vocoder(path)

    @cached_property
    def discriminators(self) -> Players:
        """State dicts of its discriminators, by player; empty where it has none."""
        if not self.path.is_dir():
            return read_discriminators(weights_file(self.path))
        if not (self.path / "training.pt").is_file():
            return {}
        players = load_training(self.path)["players"]
        return {name: state for name, state in players.items() if name != "generator"}

    def discriminator_fields(self, name: str) -> dict[str, Any]:
        """Discriminators' configuration, for a training of `name` that sets none of its own."""
        fields = self.vocoder.config.model_dump(mode="json")
        if not self.discriminators or "adversary" not in fields or not self._same_system(name):
            return {}
        return {"adversary": fields["adversary"]}

    def _same_system(self, name: str) -> bool:
        return self.vocoder.name.partition(":")[0] == name.partition(":")[0]

    def apply(self, model: Vocoder) -> None:
        """Prepare a fresh model for training, with these weights and the discriminators that fit.

        Raises:
            WavewrightError: another system or configuration, with the field that differs.
            MelMismatch: another mel.
        """
        source = self.vocoder
        if not self._same_system(model.name):
            raise WavewrightError(
                f"{self.path}: holds the vocoder '{source.name}', and this training is of "
                f"'{model.name}'; name train.init_from of that system"
            )
        source.mel_spec.require_equal(
            model.mel_spec, mine=f"checkpoint {self.path}", theirs="this training"
        )
        model.prepare_for_training()
        try:
            model.load_inference_state(source.inference_state())
        except WavewrightError as error:
            raise WavewrightError(self._difference(model) or f"{self.path}: {error}") from error
        if (difference := self._difference(model)) and not _agree(source, model):
            raise WavewrightError(difference)
        self._load_discriminators(model)

    def _difference(self, model: Vocoder) -> str:
        """First field of the network that differs, and what to set; "" where none does."""
        ours = model.config.model_dump(mode="json")
        theirs = self.vocoder.config.model_dump(mode="json")
        for field in ours:
            if field == "adversary":  # the fields from here on only affect training
                break
            if ours[field] != theirs.get(field):
                return (
                    f"{self.path}: {field} is {theirs.get(field)}, and this training of "
                    f"'{model.name}' has {ours[field]}; set "
                    f"train.vocoders.{model.name}.config.{field} to that of the checkpoint"
                )
        return ""

    def _load_discriminators(self, model: Vocoder) -> None:
        for player, adversary in model.discriminators.items():
            theirs = self.discriminators.get(player)
            ours = {key: value.shape for key, value in adversary.state_dict().items()}
            if theirs is None:
                log.warning("%s: has no %s; starting a fresh one", self.path, player)
            elif ours == {key: value.shape for key, value in theirs.items()}:
                adversary.load_state_dict(theirs)
                log.info("%s: the %s continues from its weights", self.path, player)
            else:
                log.warning("%s: has no %s that fits; starting a fresh one", self.path, player)


@torch.no_grad()
def _agree(source: Vocoder, model: Vocoder) -> bool:
    """Compare two networks' output; equal shapes are not enough, dilations do not show in them."""
    mel = torch.randn(1, model.mel_spec.n_mels, _FRAMES, generator=torch.Generator().manual_seed(0))
    wavs = []
    for vocoder in (source, model):
        training = vocoder.training
        vocoder.eval()
        speaker = vocoder._speaker
        if vocoder.speakers:
            vocoder.speaker = vocoder.speakers[0]
        if vocoder.conditioning == "mel":
            wavs.append(vocoder.generate(mel, seed=0))
        else:
            wavs.append(vocoder.sample(1, seed=0))
        vocoder.train(training)
        vocoder._speaker = speaker
    return wavs[0].shape == wavs[1].shape and bool((wavs[0] - wavs[1]).abs().max() < _TOLERANCE)
