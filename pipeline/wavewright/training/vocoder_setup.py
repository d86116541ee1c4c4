"""Parts of a vocoder's training made from its options: model, crops, choice of checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from wavewright import registry
from wavewright.data.manifest import labels_by_id, read_manifest, usable_rows
from wavewright.data.pitch import PitchTracks
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.models.trainable import Trainable
from wavewright.models.vocoder import Vocoder
from wavewright.training.crops import CropData
from wavewright.training.fit_to_mel import changes_for
from wavewright.training.init_from import InitFrom
from wavewright.training.loop import Selection
from wavewright.training.optimizers import Restart
from wavewright.training.options import VocoderTrainingOptions
from wavewright.training.vocoder_validation import VocoderValidation

log = logging.getLogger("wavewright")


def require_consistent(options: VocoderTrainingOptions) -> None:
    """Refuse options of GTA mels that contradict each other."""
    later = options.features == "natural-then-gta"
    if later and options.gta_start is None:
        raise WavewrightError("train.features is 'natural-then-gta': set train.gta_start to a step")
    if not later and options.gta_learning_rate is not None:
        raise WavewrightError(
            "train.gta_learning_rate is for features 'natural-then-gta', "
            f"found '{options.features}'"
        )


def build_vocoder(
    name: str,
    mel: MelSpec,
    config: dict[str, Any],
    adversary_start: int,
    source: InitFrom | None,
) -> Vocoder:
    """Build the vocoder to train, its configuration fitted to the mel.

    Args:
        name: `system[:variant]`.
        mel: convention of the training mels.
        config: changes to the published configuration; they take precedence over those made here.
        adversary_start: step until which the generator learns alone.
        source: checkpoint to start from, whose discriminators' configuration is taken over.

    Raises:
        WavewrightError: nothing makes it fit, or it has nothing to train.
    """
    fields = {
        **_changes_to_fit(name, mel, config),
        **_changes_to_learn_alone(name, adversary_start),
        **config,
        "mel": mel,
    }
    if source is not None and "adversary" not in config:
        fields |= source.discriminator_fields(name)
    model = registry.create_vocoder(name, **fields)
    if not isinstance(model, Trainable):
        raise WavewrightError(f"'{name}' has nothing to train; name it in evaluate.baselines")
    if model.crops.fixed_samples is not None:
        log.info("%s: segment_length is %d, its own", name, model.crops.fixed_samples)
    return model


def build_crops(
    model: Vocoder,
    prepared: Path,
    mels: Path,
    gta: Path | None,
    options: VocoderTrainingOptions,
    pitch: Path | None = None,
) -> CropData:
    """Crops of the training split, of natural mels, GTA mels, or one after the other.

    Args:
        model: decides crop length, context and labels.
        prepared: manifest and audio shards.
        mels: natural mels.
        gta: GTA mels; needed unless `options.features` is natural.
        options: features, batch size and crops.
        pitch: F0 tracks; needed by vocoders whose `crops` ask for them.
    """
    audio, natural = Shards(prepared / "audio"), Shards(mels)
    ids = usable_rows(read_manifest(prepared / "manifest.parquet"), "train")["id"].tolist()
    fields: dict[str, Any] = {
        "segment_length": model.crops.fixed_samples or options.segment_length,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "crops_per_utterance": options.crops_per_utterance,
        "compute_mels": options.compute_mels,
        "context_frames": model.crops.context_frames,
        "padding": model.crops.padding,
    }
    if model.crops.label_column:
        fields["labels"] = labels_by_id(prepared, model.crops.label_column)
    if model.crops.f0:
        if pitch is None:
            raise WavewrightError(
                f"'{model.name}' learns from F0 tracks: put the stage 'pitch' after 'mels' into "
                "the recipe's stages"
            )
        fields["pitch"] = PitchTracks(pitch)
    if gta is None:
        if options.features != "natural":
            raise WavewrightError(
                f"train.features is '{options.features}', but no GTA mels were made"
            )
        return CropData(audio, natural, ids, **fields)
    aligned, later = Shards(gta), options.features == "natural-then-gta"
    return CropData(
        audio,
        natural if later else aligned,
        [id_ for id_ in ids if id_ in aligned],
        later_mels=aligned,
        switch_at=(options.gta_start or 0) if later else 0,
        **fields,
    )


def select_checkpoints(
    model: Vocoder, validation: VocoderValidation, options: VocoderTrainingOptions
) -> Selection:
    """Metrics that pick the best checkpoint, and the first step that may be the best.

    Raises:
        WavewrightError: `best_by` names a metric that this validation does not measure.
    """
    pruning = getattr(model.config, "pruning", None)  # before its end, weights are too many
    starts = [options.gta_start or 0, getattr(model.config, "adversary_start", 0)]
    starts.append(pruning.stop if pruning else 0)
    return Selection(
        best_by=_best_by(validation, options),
        best_from=max((start for start in starts if start < options.max_steps), default=0),
        health_metric=validation.main_metric + ("_gta" if validation.gta_ids else ""),
    )


def gta_restart(options: VocoderTrainingOptions) -> Restart | None:
    """Restart of the learning rates at the change to GTA mels, if the options ask for one."""
    if not options.gta_learning_rate:
        return None
    return Restart(options.gta_start or 0, options.gta_learning_rate)


def _best_by(validation: VocoderValidation, options: VocoderTrainingOptions) -> str:
    asked = options.best_by
    if asked == "latest" or not validation.ids or not validation.metric_names:
        return ""
    if asked == "auto":
        from_gta = options.features != "natural" and validation.gta_ids
        return validation.main_metric + ("_gta" if from_gta else "")
    if asked not in validation.metric_names:
        raise WavewrightError(
            f"train.best_by is '{asked}'; allowed are auto, latest, "
            f"{', '.join(validation.metric_names)}"
        )
    return asked


def _changes_to_fit(name: str, mel: MelSpec, config: dict[str, Any]) -> dict[str, Any]:
    """Changes that fit a published configuration to the mel, but for fields in `config`."""
    changes = {
        key: value for key, value in changes_for(name, mel, config).items() if key not in config
    }
    for key, value in changes.items():
        log.info("%s: %s is %s, to fit hop_length %d", name, key, value, mel.hop_length)
    return changes


def _changes_to_learn_alone(name: str, adversary_start: int) -> dict[str, Any]:
    """Changes that let a generator learn without its discriminators until `adversary_start`."""
    system = registry.find("vocoders", name.partition(":")[0])
    if not adversary_start or "adversary_start" not in system.Config.model_fields:
        return {}
    for key, value in system.Config.generator_only_overrides.items():
        log.info("%s: %s is %s, to learn alone before adversary_start", name, key, value)
    return {**system.Config.generator_only_overrides, "adversary_start": adversary_start}
