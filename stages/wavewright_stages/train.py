"""Stage 5: train a vocoder on natural mels, on GTA mels, or on one after the other."""

from __future__ import annotations

from typing import Any

from wavewright.mel.spec import MelSpec
from wavewright.registry import learns_from_pitch
from wavewright.stage import In, InMaybe, Out, stage
from wavewright.training.options import VocoderTrainingOptions


def _inputs(options: Any) -> set[str]:
    inputs = {"prepared", "mels"}
    if options.features != "natural":
        inputs.add("gta")
    if learns_from_pitch(options.name):
        inputs.add("pitch")
    return inputs


@stage(version=1, precious=True, foreach="vocoders", uses=_inputs)
def train(
    prepared: In,
    mels: In,
    gta: InMaybe,
    pitch: InMaybe,
    vocoder: Out,
    *,
    mel: MelSpec,
    name: str,
    config: dict[str, Any] = {},  # noqa: B006 (never mutated; pydantic copies it)
    options: VocoderTrainingOptions,
) -> None:
    """Train one vocoder until `max_steps`; a larger budget continues.

    Args:
        prepared: manifest and audio shards.
        mels: natural mels.
        gta: ground-truth-aligned mels, read only if `features` names them.
        pitch: F0 tracks, read only by vocoders that learn from them.
        vocoder: checkpoints, `validation.jsonl`, and `logs/tensorboard`.
        mel: Mel convention; must be that of `mels`.
        name: `system[:variant]`.
        config: Changes to the published configuration.
        options: see `wavewright.training.options`.
    """
    from wavewright.checkpoints.checkpoint import latest_checkpoint
    from wavewright.data.shards import Shards
    from wavewright.models.capabilities import NeedsStatistics
    from wavewright.training import loop, vocoder_setup
    from wavewright.training.init_from import InitFrom
    from wavewright.training.seeding import seed_everything
    from wavewright.training.vocoder_validation import VocoderValidation

    vocoder_setup.require_consistent(options)
    mels_spec = Shards(mels).mel
    if mels_spec is not None:
        mel.require_equal(mels_spec, mine="the recipe", theirs=f"the mels in {mels}")
    seed_everything(options.seed, 0)
    source = InitFrom(options.init_from) if options.init_from is not None else None
    model = vocoder_setup.build_vocoder(name, mel, config, options.adversary_start, source)
    data = vocoder_setup.build_crops(model, prepared, mels, gta, options, pitch)
    if source is not None:
        source.apply(model)
    elif isinstance(model, NeedsStatistics) and latest_checkpoint(vocoder) is None:
        model.fit_statistics(data.wavs())
    validation = VocoderValidation(
        model,
        prepared,
        mels,
        utterances=options.validation_utterances,
        logged=options.logged_utterances,
        gta=None if options.features == "natural" else gta,
    )
    loop.train(
        model,
        data,
        run=vocoder,
        options=options,
        validate=validation,
        selection=vocoder_setup.select_checkpoints(model, validation, options),
        ema_decay=options.ema_decay,
        restart=vocoder_setup.gta_restart(options),
    )
