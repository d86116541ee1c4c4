"""Let vocoders speak a set of sentences, from recordings' mels, GTA mels or text, into WAV files.

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

from wavewright.acoustic import synthesis as reading
from wavewright.acoustic.data import script
from wavewright.audio.files import from_pcm16, save_wav
from wavewright.audio.levels import clipped_share
from wavewright.checkpoints.checkpoint import (
    chosen_checkpoint,
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
from wavewright.models.vocoder import Vocoder
from wavewright.registry import create_vocoder

_WORTH_TELLING = 0.001  # share of samples that are clipped


class Sentence(NamedTuple):
    """One utterance to speak: `text` for readers, the others for the acoustic model."""

    id: str
    text: str
    normalised_text: str
    speaker: str = ""
    alignment: Path | None = None


class Given(NamedTuple):
    """A mel (n_mels, frames), or None with the reason why there is none; or a remark on it."""

    mel: np.ndarray | None
    remark: str = ""


@dataclass(frozen=True)
class Source:
    """Where the mels of one condition come from."""

    condition: Condition
    mel_of: Callable[[Sentence], Given]


@dataclass(frozen=True)
class Speaker:
    """A vocoder that takes part, and what the report says of it."""

    system: System
    vocoder: Vocoder


def load_speakers(
    trained: Mapping[str, Path],
    baselines: Sequence[str],
    mel: MelSpec,
    device: torch.device,
    precision: str = "float32",
) -> list[Speaker]:
    """Baselines by registry name, then trained vocoders by name and run folder, made quick.

    Raises:
        MelMismatch: a vocoder was trained on another mel than `mel`.
        WavewrightError: no system at all, two of one name, or a baseline that has to be trained.
    """
    speakers = []
    for name in baselines:
        vocoder = create_vocoder(name, mel=mel).to(device).eval()
        if vocoder.trains:
            raise WavewrightError(f"'{name}' has to be trained: name it in train.vocoders instead")
        speakers.append(_speaker(name, vocoder, "baseline"))
    for name, run in trained.items():
        vocoder = load_vocoder(run, device)
        mel.require_equal(vocoder.mel, mine="the recipe", theirs=f"vocoder '{name}' in {run}")
        chosen = chosen_checkpoint(run)
        step = int(chosen.name.removeprefix("step-")) if chosen else None
        digest = sha256_of(weights_file(run))
        speakers.append(_speaker(name, vocoder, "vocoder", step, digest))
        optimize_for_inference(vocoder, precision)
    if not speakers:
        raise WavewrightError("nothing to evaluate: no trained vocoder and no baseline")
    folders = [speaker.system.id for speaker in speakers]
    twice = sorted({name for name in folders if folders.count(name) > 1 or name == NATURAL})
    if twice:
        raise WavewrightError(f"two systems would be called '{twice[0]}' in the report; rename one")
    return speakers


def _speaker(
    name: str, vocoder: Vocoder, kind: str, step: int | None = None, digest: str = ""
) -> Speaker:
    if vocoder.conditioning != "mel":
        raise WavewrightError(f"'{name}' is not driven by mels, so it cannot speak given sentences")
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
    return Speaker(system, vocoder)


def shard_source(condition: Condition, folder: Path, mel: MelSpec) -> Source:
    """Mels that an earlier stage stored."""
    shards = Shards(folder)
    if shards.mel is None:
        raise WavewrightError(f"{folder}: holds audio, not mels")
    mel.require_equal(shards.mel, mine="the recipe", theirs=f"the mels in {folder}")

    def stored(sentence: Sentence) -> Given:
        if sentence.id not in shards:
            return Given(None, "no mel was made of it")
        return Given(shards.array(sentence.id))

    return Source(condition, stored)


def acoustic_source(
    run: Path, mel: MelSpec, device: torch.device, *, seed: int, max_seconds: float | None
) -> Source:
    """Mels that an acoustic model speaks freely from the text."""
    model = load_model(run, device)
    if not isinstance(model, AcousticModel):
        raise WavewrightError(f"{run}: holds the vocoder '{model.name}', not an acoustic model")
    mel.require_equal(model.mel, mine="the recipe", theirs=f"the acoustic model in {run}")

    def read(sentence: Sentence) -> Given:
        try:
            said = reading.say(
                model,
                script(model, sentence.normalised_text or sentence.text, sentence.alignment),
                seed=utterance_seed(seed, sentence.id),
                max_seconds=max_seconds,
                speaker=sentence.speaker if model.speakers else "",
            )
        except WavewrightError as error:
            return Given(None, str(error))
        spoken = said.speech.mel
        remark = ""
        if said.problem:
            seconds = spoken.shape[-1] * mel.hop_length / mel.sample_rate
            remark = f"the acoustic model {said.problem} (after {seconds:.1f} s)"
        elif said.tries > 1:
            remark = f"the acoustic model took {said.tries} tries to read it well"
        return Given(spoken.float().cpu().numpy(), remark)

    return Source("tts", read)


def write_recordings(folder: Path, audio: Path, sentences: Iterable[Sentence]) -> list[Utterance]:
    """Copy the recordings out of the prepared shards, so that the report stands alone."""
    shards = Shards(audio)
    spoken = []
    for sentence in sentences:
        wav = from_pcm16(shards.array(sentence.id))
        path = folder / wav_file(NATURAL, "", sentence.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_wav(path, wav, shards.sample_rate)
        spoken.append(
            Utterance(
                id=sentence.id,
                text=sentence.text,
                seconds=len(wav) / shards.sample_rate,
                speaker=sentence.speaker,
            )
        )
    return spoken


def speak(
    folder: Path,
    sentences: Sequence[Sentence],
    sources: Sequence[Source],
    speakers: Sequence[Speaker],
    *,
    seed: int,
) -> list[Event]:
    """Write every sentence of every speaker under every condition.

    Returns:
        What went wrong or looks suspicious, in order; a sentence that failed has no file.
    """
    events: list[Event] = []
    total = len(sentences) * len(sources) * len(speakers)
    with progress("speech", total=total) as bar:
        for source in sources:
            for sentence in sentences:
                given = source.mel_of(sentence)
                failed = partial(Event, utterance=sentence.id, condition=source.condition)
                if given.remark:
                    events.append(failed(reason=given.remark))
                for speaker in speakers:
                    name = speaker.system.id
                    path = folder / wav_file(name, source.condition, sentence.id)
                    path.unlink(missing_ok=True)  # an interrupted run may have left one
                    if given.mel is not None:
                        noise = utterance_seed(seed, sentence.id)
                        if speaker.vocoder.speakers:
                            speaker.vocoder.speaker = sentence.speaker
                        remark = vocode(speaker.vocoder, given.mel, path, seed=noise)
                        if remark:
                            events.append(failed(system=name, reason=remark))
                    bar.advance(note=speaker.system.title)
    return events


def vocode(vocoder: Vocoder, mel: np.ndarray, path: Path, *, seed: int) -> str:
    """Speak one mel (n_mels, frames) into a WAV file; returns a remark if something is wrong.

    A waveform with values that are not finite is not written.
    """
    if not mel.shape[-1]:
        return "the mel has no frames"
    batch = torch.tensor(mel, dtype=torch.float32, device=vocoder.device)[None]
    with torch.inference_mode():
        wav = vocoder.generate(batch, seed=seed)[0].float().cpu().numpy()
    if not np.isfinite(wav).all():
        return "the vocoder gave values that are not finite"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_wav(path, wav, vocoder.sample_rate)
    clipped = clipped_share(wav)
    return f"{clipped:.2%} of the samples are clipped" if clipped > _WORTH_TELLING else ""
