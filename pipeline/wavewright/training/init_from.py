"""A training that starts from an earlier checkpoint: one of ours, or an imported one."""

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
from wavewright.checkpoints.discriminators import Players, read_adversaries
from wavewright.errors import WavewrightError
from wavewright.models.vocoder import Vocoder

log = logging.getLogger("wavewright")
_FRAMES = 8  # of a mel by which two networks are compared
_AGREE = 1e-4  # in samples


class Start:
    """A vocoder to start from, and the adversaries it was trained against.

    Args:
        path: a file of ours (adversaries stand beside it), a step folder, or a run folder, whose
            newest step counts: training goes on from there.

    Raises:
        WavewrightError: no checkpoint, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir() and not path.name.startswith("step-"):
            path = latest_checkpoint(path) or path
        self.path = path
        self.vocoder = load_vocoder(path)

    @cached_property
    def adversaries(self) -> Players:
        """State dicts of its adversaries, by player; none where it has none."""
        if not self.path.is_dir():
            return read_adversaries(weights_file(self.path))
        if not (self.path / "training.pt").is_file():
            return {}
        players = load_training(self.path)["players"]
        return {name: state for name, state in players.items() if name != "generator"}

    def adversary_fields(self, name: str) -> dict[str, Any]:
        """Its configuration of adversaries, for a training of `name` that does not say its own."""
        fields = self.vocoder.config.model_dump(mode="json")
        if not self.adversaries or "adversary" not in fields or not self._is(name):
            return {}
        return {"adversary": fields["adversary"]}

    def _is(self, name: str) -> bool:
        return self.vocoder.name.partition(":")[0] == name.partition(":")[0]

    def give(self, model: Vocoder) -> None:
        """Make a fresh model ready for training, with these weights and adversaries that fit.

        Raises:
            WavewrightError: another system or configuration, with the field that differs.
            MelMismatch: another mel.
        """
        source = self.vocoder
        if not self._is(model.name):
            raise WavewrightError(
                f"{self.path}: holds the vocoder '{source.name}', and this training is of "
                f"'{model.name}'; name train.init_from of that system"
            )
        source.mel.require_equal(model.mel, mine=f"checkpoint {self.path}", theirs="this training")
        model.prepare_for_training()
        try:
            model.load_inference_state(source.inference_state())
        except WavewrightError as error:
            raise WavewrightError(self._difference(model) or f"{self.path}: {error}") from error
        if (difference := self._difference(model)) and not _agree(source, model):
            raise WavewrightError(difference)
        self._give_adversaries(model)

    def _difference(self, model: Vocoder) -> str:
        """The first field of the network that differs, and what to set; "" where none does."""
        ours = model.config.model_dump(mode="json")
        theirs = self.vocoder.config.model_dump(mode="json")
        for field in ours:
            if field == "adversary":  # how it learns stands from here on
                break
            if ours[field] != theirs.get(field):
                return (
                    f"{self.path}: {field} is {theirs.get(field)}, and this training of "
                    f"'{model.name}' has {ours[field]}; set "
                    f"train.vocoders.{model.name}.config.{field} to that of the checkpoint"
                )
        return ""

    def _give_adversaries(self, model: Vocoder) -> None:
        for player, adversary in model.discriminators.items():
            theirs = self.adversaries.get(player)
            ours = {key: value.shape for key, value in adversary.state_dict().items()}
            if theirs is None:
                log.warning("%s: has no %s; a fresh one starts", self.path, player)
            elif ours == {key: value.shape for key, value in theirs.items()}:
                adversary.load_state_dict(theirs)
                log.info("%s: the %s goes on from its own weights", self.path, player)
            else:
                log.warning("%s: has no %s that fits; a new one starts", self.path, player)


@torch.no_grad()
def _agree(source: Vocoder, model: Vocoder) -> bool:
    """Whether two networks say the same, which equal shapes do not tell: dilations have none."""
    mel = torch.randn(1, model.mel.n_mels, _FRAMES, generator=torch.Generator().manual_seed(0))
    said = []
    for vocoder in (source, model):
        training = vocoder.training
        vocoder.eval()
        speaker = vocoder._speaker
        if vocoder.speakers:
            vocoder.speaker = vocoder.speakers[0]
        if vocoder.conditioning == "mel":
            said.append(vocoder.generate(mel, seed=0))
        else:
            said.append(vocoder.sample(1, seed=0))
        vocoder.train(training)
        vocoder._speaker = speaker
    return said[0].shape == said[1].shape and bool((said[0] - said[1]).abs().max() < _AGREE)
