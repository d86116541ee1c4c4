"""Stage 5: train a vocoder on natural mels, on GTA mels, or on one after the other."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from wavewright.errors import WavewrightError
from wavewright.melspec import MelSpec
from wavewright.stage import Budget, In, InMaybe, Out, Unkeyed, stage

if TYPE_CHECKING:
    from wavewright.crops import CropData
    from wavewright.journal import Journal
    from wavewright.vocoder import Vocoder

log = logging.getLogger("wavewright")
Features = Literal["natural", "gta", "natural-then-gta"]


def _inputs(options: Any) -> set[str]:
    natural = {"prepared", "mels"}
    return natural if options.features == "natural" else natural | {"gta"}


@stage(version=1, precious=True, foreach="vocoders", uses=_inputs)
def train(
    prepared: In,
    mels: In,
    gta: InMaybe,
    vocoder: Out,
    *,
    mel: MelSpec,
    seed: int,
    name: str,
    max_steps: Budget[PositiveInt],
    config: dict[str, Any] = {},  # noqa: B006 (never mutated; pydantic copies it)
    features: Features = "natural",
    gta_start: NonNegativeInt | None = None,
    adversary_start: NonNegativeInt = 0,
    init_from: Path | None = None,
    batch_size: PositiveInt = 16,
    segment_length: PositiveInt = 8192,
    validation_utterances: NonNegativeInt = 8,
    checkpoint_every: Unkeyed[PositiveInt] = 1000,
    keep: Unkeyed[PositiveInt] = 2,
    log_every: Unkeyed[PositiveInt] = 50,
    workers: Unkeyed[NonNegativeInt] = 0,
    device: Unkeyed[str] = "auto",
    precision: Unkeyed[Literal["float32", "bf16", "fp16"]] = "float32",
) -> None:
    """Train one vocoder until `max_steps`; a larger budget continues.

    Args:
        prepared: manifest and audio shards.
        mels: natural mels.
        gta: ground-truth-aligned mels, read only if `features` names them.
        vocoder: checkpoints, `validation.jsonl`, and `logs/tensorboard`.
        mel: the convention; must be that of `mels`.
        seed: of initial weights, order, crops and noise.
        name: `system[:variant]`.
        max_steps: training steps in all.
        config: changes to the published configuration.
        features: mels to learn from; validation always uses natural ones.
        gta_start: step at which natural-then-gta changes over.
        adversary_start: until this step the generator learns from its mel loss alone.
        init_from: checkpoint to start from, its adversaries included where it has them.
        batch_size: crops per step.
        segment_length: samples per crop.
        validation_utterances: how many dev utterances are vocoded whole at each validation.
        checkpoint_every: steps between checkpoints.
        keep: newest checkpoints to keep.
        log_every: steps between TensorBoard points.
        workers: data-loading processes.
        device: auto, cpu or cuda.
        precision: of the networks' arithmetic; weights stay in float32.
    """
    from wavewright.registry import create_vocoder
    from wavewright.training import TrainingOptions, seed_everything
    from wavewright.training import train as run_training

    if features == "natural-then-gta" and gta_start is None:
        raise WavewrightError("train.features is 'natural-then-gta': set train.gta_start to a step")
    crops = {"segment_length": segment_length, "batch_size": batch_size, "seed": seed}
    data = _crops(prepared, mels, gta, features, gta_start or 0, **crops)
    mel.require_equal(data.spec, mine="the recipe", theirs=f"the mels in {mels}")
    seed_everything(seed, 0)
    fields = {**config, "mel": mel}
    if adversary_start:
        fields["adversary_start"] = adversary_start
    model = create_vocoder(name, **fields)
    if not model.trains:
        raise WavewrightError(f"'{name}' has nothing to train; name it in evaluate.baselines")
    if init_from is not None:
        _start_from(model, init_from)
    run_training(
        model,
        data,
        run=vocoder,
        options=TrainingOptions(
            max_steps=max_steps,
            seed=seed,
            checkpoint_every=checkpoint_every,
            keep=keep,
            log_every=log_every,
            workers=workers,
            device=device,
            precision=precision,
        ),
        validate=_Validation(model, prepared, mels, validation_utterances),
    )


def _crops(
    prepared: Path, mels: Path, gta: Path | None, features: Features, gta_start: int, **options: Any
) -> CropData:
    from wavewright.crops import CropData
    from wavewright.manifest import read_manifest, usable
    from wavewright.shards import Shards

    ids = usable(read_manifest(prepared / "manifest.parquet"), "train")["id"].tolist()
    natural = Shards(mels)
    if gta is None:
        if features != "natural":
            raise WavewrightError(f"train.features is '{features}', but no GTA mels were made")
        return CropData(Shards(prepared / "audio"), natural, ids, **options)
    made = Shards(gta)
    ids = [id_ for id_ in ids if id_ in made]
    return CropData(
        Shards(prepared / "audio"),
        natural if features == "natural-then-gta" else made,
        ids,
        later_mels=made,
        switch_at=gta_start if features == "natural-then-gta" else 0,
        **options,
    )


def _start_from(model: Vocoder, path: Path) -> None:
    """Load weights of an earlier checkpoint, and its adversaries if they are there and fit."""
    from wavewright.checkpoint import latest_checkpoint, load_training, load_vocoder

    if path.is_dir() and not path.name.startswith("step-"):
        path = latest_checkpoint(path) or path
    source = load_vocoder(path)
    source.mel.require_equal(model.mel, mine=f"checkpoint {path}", theirs="this training")
    model.start_training()
    model.load_inference_state(source.inference_state())
    if not (path / "training.pt").is_file():
        return
    players = load_training(path)["players"]
    for player, adversary in model.adversaries.items():
        theirs = players.get(player, {})
        ours = {key: value.shape for key, value in adversary.state_dict().items()}
        if ours == {key: value.shape for key, value in theirs.items()}:
            adversary.load_state_dict(theirs)
        else:
            log.warning("%s: has no %s that fits; a new one starts", path, player)


class _Validation:
    """Vocodes whole dev utterances from natural mels; measures mel L1 against the recordings."""

    def __init__(self, model: Vocoder, prepared: Path, mels: Path, utterances: int) -> None:
        from wavewright.manifest import read_manifest, usable
        from wavewright.shards import Shards

        self.model = model
        self.audio, self.mels = Shards(prepared / "audio"), Shards(mels)
        dev = usable(read_manifest(prepared / "manifest.parquet"), "dev")["id"].tolist()
        self.ids = dev[:utterances]

    def __call__(self, step: int, journal: Journal) -> dict[str, float]:
        import torch

        from wavewright.audio import from_pcm16
        from wavewright.mel import log_mel
        from wavewright.metrics.mel_l1 import MelL1

        metric, values = MelL1(), []
        spec = self.model.mel
        for utterance in self.ids:
            mel = torch.from_numpy(self.mels.array(utterance).copy())[None]
            natural = from_pcm16(self.audio.array(utterance))
            wav = self.model.generate(mel, seed=0)[0].float().cpu()
            length = min(len(wav), len(natural))
            values.append(metric(natural[:length], wav[:length].numpy(), spec.sample_rate))
            if utterance == self.ids[0]:
                journal.audio(f"dev/{utterance}", wav, spec.sample_rate, step)
                journal.image(f"dev/{utterance}", log_mel(wav, spec), step)
        return {"mel_l1": math.fsum(values) / len(values)} if values else {}
