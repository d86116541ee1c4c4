"""Synthesis of the sentences of an evaluation: from recordings' mels, GTA mels or text to WAV.

Files lie at `FOLDER/wavs/SYSTEM/CONDITION/ID.wav`, the recordings at
`FOLDER/wavs/natural/recording/ID.wav`, all 16 bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from wavewright.acoustic import synthesis
from wavewright.acoustic.data import model_text
from wavewright.audio.files import from_pcm16, save_wav
from wavewright.audio.levels import clipped_share
from wavewright.checkpoints.checkpoint import (
    inference_checkpoint,
    load_model,
    load_vocoder,
    weights_file,
)
from wavewright.data.manifest import id_slug
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.results import NATURAL, Event, System, Utterance
from wavewright.inference.optimize import optimize_for_inference
from wavewright.io.files import sha256_of
from wavewright.io.progress import progress
from wavewright.mel.spec import MelSpec
from wavewright.metrics.metric import Condition
from wavewright.models.acoustic import AcousticModel, utterance_seed
from wavewright.models.capabilities import speakers_of
from wavewright.models.trainable import Trainable
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

_CLIPPED_SHARE = 0.001  # share of samples that are clipped


class Sentence(NamedTuple):
    """One test sentence: `text` for readers, the other fields for the acoustic model."""

    id: str
    text: str
    normalised_text: str
    speaker: str = ""
    alignment: Path | None = None


class SourceMel(NamedTuple):
    """One mel (n_mels, frames) and a remark on it; None with the reason where there is no mel."""

    mel: np.ndarray | None
    remark: str = ""


@dataclass(frozen=True)
class MelSource:
    """Source of the mels of one condition."""

    condition: Condition
    mel_of: Callable[[Sentence], SourceMel]


@dataclass(frozen=True)
class EvalSystem:
    """A vocoder under test, and its entry in the report.

    One that is refined is tested on mels of recordings alone.
    """

    system: System
    vocoder: Vocoder


def load_eval_systems(
    trained: Mapping[str, Path],
    baselines: Sequence[str],
    mel: MelSpec,
    device: torch.device,
    precision: str = "float32",
    refine: int = 0,
) -> list[EvalSystem]:
    """Load baselines by registry name, then trained vocoders by name and run folder.

    Trained vocoders are optimized for inference. With `refine`, each has a second entry whose
    waveforms are refined by so many iterations.

    Raises:
        MelMismatch: a vocoder was trained on another mel than `mel`.
        WavewrightError: no system at all, two of one name, or a baseline that has to be trained.
    """
    eval_systems = []
    for name in baselines:
        vocoder = create_vocoder(name, mel=mel).to(device).eval()
        if isinstance(vocoder, Trainable):
            raise WavewrightError(f"'{name}' has to be trained: name it in train.vocoders instead")
        eval_systems.append(_eval_system(name, vocoder, "baseline"))
    for name, run in trained.items():
        vocoder = load_vocoder(run, device)
        mel.require_equal(vocoder.mel_spec, mine="the recipe", theirs=f"vocoder '{name}' in {run}")
        checkpoint = inference_checkpoint(run)
        step = int(checkpoint.name.removeprefix("step-")) if checkpoint else None
        digest = sha256_of(weights_file(run))
        plain = _eval_system(name, vocoder, "vocoder", step, digest)
        eval_systems.append(plain)
        if refine:
            eval_systems.append(_refined(plain, refine))
        optimize_for_inference(vocoder, precision)
    if not eval_systems:
        raise WavewrightError("nothing to evaluate: no trained vocoder and no baseline")
    names = [one.system.id for one in eval_systems]
    duplicates = sorted({name for name in names if names.count(name) > 1 or name == NATURAL})
    if duplicates:
        raise WavewrightError(
            f"two systems would be called '{duplicates[0]}' in the report; rename one"
        )
    return eval_systems


def _eval_system(
    name: str, vocoder: Vocoder, kind: str, step: int | None = None, digest: str = ""
) -> EvalSystem:
    if vocoder.conditioning != "mel":
        raise WavewrightError(f"'{name}' takes no mels, so it cannot synthesize the test sentences")
    system = System.model_validate(
        {
            "id": id_slug(name),
            "title": name,
            "kind": kind,
            "parameters": vocoder.parameter_count(),
            "step": step,
            "digest": digest,
        }
    )
    return EvalSystem(system, vocoder)


def _refined(plain: EvalSystem, iterations: int) -> EvalSystem:
    changes = {
        "id": f"{plain.system.id}-refined",
        "title": f"{plain.system.title}, refined",
        "refine": iterations,
    }
    return EvalSystem(plain.system.model_copy(update=changes), plain.vocoder)


def shard_mel_source(condition: Condition, folder: Path, mel: MelSpec) -> MelSource:
    """Source of mels that an earlier stage wrote as shards."""
    shards = Shards(folder)
    if shards.mel is None:
        raise WavewrightError(f"{folder}: holds audio, not mels")
    mel.require_equal(shards.mel, mine="the recipe", theirs=f"the mels in {folder}")

    def read_shard(sentence: Sentence) -> SourceMel:
        if sentence.id not in shards:
            return SourceMel(None, "no mel was made of it")
        return SourceMel(shards.array(sentence.id))

    return MelSource(condition, read_shard)


def acoustic_mel_source(
    run: Path, mel: MelSpec, device: torch.device, *, seed: int, max_seconds: float | None
) -> MelSource:
    """Source of mels that an acoustic model predicts freely from the text."""
    model = load_model(run, device)
    if not isinstance(model, AcousticModel):
        raise WavewrightError(f"{run}: holds the vocoder '{model.name}', not an acoustic model")
    mel.require_equal(model.mel_spec, mine="the recipe", theirs=f"the acoustic model in {run}")

    def predict(sentence: Sentence) -> SourceMel:
        try:
            result = synthesis.synthesize_sentence(
                model,
                model_text(model, sentence.normalised_text or sentence.text, sentence.alignment),
                seed=utterance_seed(seed, sentence.id),
                max_seconds=max_seconds,
                speaker=sentence.speaker if model.speakers else "",
            )
        except WavewrightError as error:
            return SourceMel(None, str(error))
        predicted = result.output.mel
        remark = ""
        if result.failure:
            seconds = predicted.shape[-1] * mel.hop_length / mel.sample_rate
            remark = f"the acoustic model {result.failure} (after {seconds:.1f} s)"
        elif result.tries > 1:
            remark = f"the acoustic model took {result.tries} tries to read it well"
        return SourceMel(predicted.float().cpu().numpy(), remark)

    return MelSource("tts", predict)


def write_recordings(folder: Path, audio: Path, sentences: Iterable[Sentence]) -> list[Utterance]:
    """Copy the recordings from the prepared shards into the report's folder."""
    shards = Shards(audio)
    utterances = []
    for sentence in sentences:
        wav = from_pcm16(shards.array(sentence.id))
        path = folder / wav_file(NATURAL, "", sentence.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_wav(path, wav, shards.sample_rate)
        utterances.append(
            Utterance(
                id=sentence.id,
                text=sentence.text,
                seconds=len(wav) / shards.sample_rate,
                speaker=sentence.speaker,
            )
        )
    return utterances


def synthesize_sentences(
    folder: Path,
    sentences: Sequence[Sentence],
    sources: Sequence[MelSource],
    eval_systems: Sequence[EvalSystem],
    *,
    seed: int,
) -> list[Event]:
    """Synthesize every sentence with every system under every condition, and write the wavs.

    Returns:
        Failures and suspicious outputs, in order; a sentence that failed has no file.
    """
    events: list[Event] = []
    total = len(sentences) * len(sources) * len(eval_systems)
    with progress("speech", total=total) as bar:
        for source in sources:
            for sentence in sentences:
                source_mel = source.mel_of(sentence)
                event = partial(Event, utterance=sentence.id, condition=source.condition)
                if source_mel.remark:
                    events.append(event(reason=source_mel.remark))
                for one in eval_systems:
                    name = one.system.id
                    path = folder / wav_file(name, source.condition, sentence.id)
                    path.unlink(missing_ok=True)  # an interrupted run may have left one
                    trusted = source.condition == "copy" or not one.system.refine
                    if source_mel.mel is not None and trusted:
                        noise_seed = utterance_seed(seed, sentence.id)
                        speaker = sentence.speaker if speakers_of(one.vocoder) else ""
                        remark = _synthesize_file(
                            one, source_mel.mel, path, seed=noise_seed, speaker=speaker
                        )
                        if remark:
                            events.append(event(system=name, reason=remark))
                    bar.advance(note=one.system.title)
    return events


def _synthesize_file(
    one: EvalSystem, mel: np.ndarray, path: Path, *, seed: int, speaker: str
) -> str:
    """Synthesize one mel (n_mels, frames) into a WAV file; return a remark if something is wrong.

    A waveform with values that are not finite is not written.
    """
    if not mel.shape[-1]:
        return "the mel has no frames"
    vocoder = one.vocoder
    batch = torch.tensor(mel, dtype=torch.float32, device=vocoder.device)[None]
    with torch.inference_mode():
        wavs = vocoder.generate(batch, seed=seed, speaker=speaker, refine=one.system.refine)
    wav = wavs[0].float().cpu().numpy()
    if not np.isfinite(wav).all():
        return "the vocoder gave values that are not finite"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_wav(path, wav, vocoder.sample_rate)
    clipped = clipped_share(wav)
    return f"{clipped:.2%} of the samples are clipped" if clipped > _CLIPPED_SHARE else ""
