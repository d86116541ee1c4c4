"""Stage 5: train a vocoder on natural mels, on GTA mels, or on one after the other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from wavewright.data.manifest import labels_by_id
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.stage import Budget, In, InMaybe, Out, Unkeyed, stage
from wavewright.training.vocoder_validation import VocoderValidation

if TYPE_CHECKING:
    from wavewright.training.crops import CropData

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
    gta_learning_rate: PositiveFloat | None = None,
    adversary_start: NonNegativeInt = 0,
    init_from: Path | None = None,
    batch_size: PositiveInt = 16,
    segment_length: PositiveInt = 8192,
    crops_per_utterance: PositiveInt = 1,
    ema_decay: float | None = None,
    best_by: str = "auto",
    validation_utterances: NonNegativeInt = 8,
    shown_utterances: Unkeyed[NonNegativeInt] = 3,
    checkpoint_every: Unkeyed[PositiveInt] = 1000,
    keep: Unkeyed[PositiveInt] = 2,
    log_every: Unkeyed[PositiveInt] = 50,
    workers: Unkeyed[NonNegativeInt] = 0,
    device: Unkeyed[str] = "auto",
    precision: Unkeyed[Literal["float32", "bf16", "fp16"]] = "float32",
    accumulate: Unkeyed[PositiveInt] = 1,
    compute_mels: Unkeyed[bool] = False,
    deterministic: Unkeyed[bool] = False,
    profile: Unkeyed[NonNegativeInt] = 0,
    on_bad_step: Unkeyed[Literal["stop", "skip"]] = "stop",
    loss_leap: Unkeyed[float | None] = None,
    most_bad_steps: Unkeyed[PositiveInt] = 10,
    relaunches: Unkeyed[NonNegativeInt | None] = None,
    gpus: Unkeyed[PositiveInt] = 1,
    nodes: Unkeyed[PositiveInt] = 1,
    rendezvous: Unkeyed[str] = "",
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
        features: mels to learn from; validation uses natural ones, and GTA mels too if these are
            learnt from.
        gta_start: step at which natural-then-gta changes over.
        gta_learning_rate: the generator's from there on, where its schedule then starts anew (the
            adversaries' keep their ratio to it); None lets the one schedule run on.
        adversary_start: until this step the generator learns from its reconstruction loss alone;
            a vocoder without adversaries does not mind.
        init_from: checkpoint to start from, its adversaries included where it has them.
        batch_size: crops per step, over all processes.
        segment_length: samples per crop, of vocoders that learn from any length.
        crops_per_utterance: crops that a step draws from each utterance.
        ema_decay: of the averaged weights that inference uses; None is the model's own.
        best_by: validation metric whose best checkpoint later stages use: mel_l1, mstft,
            bits_per_sample, or with `_gta` from GTA mels; ltas_db, of what no mel drives; `latest`
            is the newest; `auto` is bits_per_sample of vocoders that have it, else the first of
            the others, of the mels learnt from.
            Only steps after adversary_start, gta_start and pruning count.
        validation_utterances: how many dev utterances are vocoded whole at each validation; one
            that makes sample after sample tells their likelihoods, and speaks those shown alone.
        shown_utterances: how many of them TensorBoard plays and shows.
        checkpoint_every: steps between checkpoints.
        keep: newest checkpoints to keep.
        log_every: steps between TensorBoard points.
        workers: data-loading processes.
        device: auto, cpu or cuda.
        precision: of the networks' arithmetic; weights stay in float32.
        accumulate: parts of a batch that are learnt from one after the other, to save memory.
        compute_mels: make natural mels of the crops on the training's device, not from shards.
        deterministic: the same bits at every run on a GPU, where torch knows how.
        profile: steps to trace, into logs/profile.
        on_bad_step: where a loss or gradient is not finite, or a loss leaps: stop, or skip that
            step; its utterances are in logs/bad_steps.jsonl.
        loss_leap: a loss leaps at so many times its running median; None lets it.
        most_bad_steps: in a row, before skipping them becomes stopping.
        relaunches: how often a training whose processes die or stand still is started again
            without a new checkpoint in between; None is 3 times with several processes, and never
            with one, which then is only said to stand still.
        gpus: processes that train together here, each on a GPU of its own.
        nodes: machines that train together.
        rendezvous: HOST:PORT where they meet.
    """
    from wavewright.checkpoints.checkpoint import latest_checkpoint
    from wavewright.data.shards import Shards
    from wavewright.registry import create_vocoder
    from wavewright.training.init_from import Start
    from wavewright.training.loop import TrainingOptions
    from wavewright.training.loop import train as run_training
    from wavewright.training.state import Restart, seed_everything

    if features == "natural-then-gta" and gta_start is None:
        raise WavewrightError("train.features is 'natural-then-gta': set train.gta_start to a step")
    if features != "natural-then-gta" and gta_learning_rate is not None:
        raise WavewrightError(
            f"train.gta_learning_rate is for features 'natural-then-gta', found '{features}'"
        )
    natural = Shards(mels)
    if natural.mel is not None:
        mel.require_equal(natural.mel, mine="the recipe", theirs=f"the mels in {mels}")
    seed_everything(seed, 0)
    fields = {**_fitted(name, mel, config), **_alone(name, adversary_start), **config, "mel": mel}
    start = Start(init_from) if init_from is not None else None
    if start is not None and "adversary" not in config:
        fields |= start.adversary_fields(name)
    model = create_vocoder(name, **fields)
    if not model.trains:
        raise WavewrightError(f"'{name}' has nothing to train; name it in evaluate.baselines")
    if model.crop_samples is not None:
        log.info("%s: segment_length is %d, its own", name, model.crop_samples)
    crops: dict[str, Any] = {
        "segment_length": model.crop_samples or segment_length,
        "batch_size": batch_size,
        "seed": seed,
        "crops_per_utterance": crops_per_utterance,
        "compute_mels": compute_mels,
        "context_frames": model.own_context,
        "padding": model.padding,
    }
    if model.labelled_by:
        crops["labels"] = labels_by_id(prepared, model.labelled_by)
    data = _crops(prepared, mels, gta, features, gta_start or 0, **crops)
    if start is not None:
        start.give(model)
    elif latest_checkpoint(vocoder) is None:
        model.fit_statistics(data.wavs())
    pruning = getattr(model.config, "pruning", None)  # before its end, weights are too many
    starts = [gta_start or 0, getattr(model.config, "adversary_start", 0)]
    starts.append(pruning.stop if pruning else 0)
    validation = VocoderValidation(
        model,
        prepared,
        mels,
        validation_utterances,
        shown_utterances,
        None if features == "natural" else gta,
    )
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
            accumulate=accumulate,
            ema_decay=ema_decay,
            restart=Restart(gta_start or 0, gta_learning_rate) if gta_learning_rate else None,
            deterministic=deterministic,
            best_by=_best_by(best_by, features, validation),
            judged_by=validation.tell_by + ("_gta" if validation.gta_ids else ""),
            best_from=max((start for start in starts if start < max_steps), default=0),
            profile=profile,
            on_bad_step=on_bad_step,
            loss_leap=loss_leap,
            most_bad_steps=most_bad_steps,
        ),
        validate=validation,
    )


def _fitted(name: str, mel: MelSpec, config: dict[str, Any]) -> dict[str, Any]:
    """What makes a published configuration fit the recipe's mel; the recipe's own words stand."""
    from wavewright.training.fit_to_mel import changes_for

    changes = {
        key: value for key, value in changes_for(name, mel, config).items() if key not in config
    }
    for key, value in changes.items():
        log.info("%s: %s is %s, to fit hop_length %d", name, key, value, mel.hop_length)
    return changes


def _alone(name: str, adversary_start: int) -> dict[str, Any]:
    """What lets a generator learn without its adversaries for a while."""
    from wavewright.registry import find

    system = find("vocoders", name.partition(":")[0])
    if not adversary_start or "adversary_start" not in system.Config.model_fields:
        return {}
    for key, value in system.learning_alone.items():
        log.info("%s: %s is %s, to learn alone before adversary_start", name, key, value)
    return {**system.learning_alone, "adversary_start": adversary_start}


def _crops(
    prepared: Path, mels: Path, gta: Path | None, features: Features, gta_start: int, **options: Any
) -> CropData:
    from wavewright.data.manifest import read_manifest, usable_rows
    from wavewright.data.shards import Shards
    from wavewright.training.crops import CropData

    ids = usable_rows(read_manifest(prepared / "manifest.parquet"), "train")["id"].tolist()
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


def _best_by(asked: str, features: Features, validation: VocoderValidation) -> str:
    if asked == "latest" or not validation.ids or not validation.names:
        return ""
    if asked == "auto":
        return validation.tell_by + ("_gta" if features != "natural" and validation.gta_ids else "")
    if asked not in validation.names:
        raise WavewrightError(
            f"train.best_by is '{asked}'; allowed are auto, latest, {', '.join(validation.names)}"
        )
    return asked
