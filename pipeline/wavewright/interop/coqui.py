"""Vocoders for Coqui TTS's `Synthesizer`, which calls `vocoder_model.inference(mel)`.

    from wavewright.interop import coqui

    synthesizer = Synthesizer(tts_checkpoint="tts.pth", tts_config_path="config.json")
    coqui.attach(synthesizer, "hifigan.safetensors")
    wav = synthesizer.tts("Good morning.")

The synthesizer undoes the acoustic model's normalisation of mels and applies that of the vocoder's
audio configuration. `attach` gives it the acoustic model's, so that mels arrive as predicted, and
converts them itself.

Source: coqui-tts 0.28.0, TTS/utils/synthesizer.py, TTS/utils/audio/processor.py (MPL-2.0; its
behaviour).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from wavewright.errors import WavewrightError
from wavewright.interop.adapter import ClientVocoder, require_no_unknown
from wavewright.mel.spec import MelSpec
from wavewright.models.vocoder import Vocoder

#: (gain, base of the logarithm, rounded) of Coqui's processor, in our words.
_LOGS = {(20.0, 10.0): "db", (1.0, 10.0): "log10", (1.0, 2.718): "ln"}


class CoquiVocoder(ClientVocoder):
    """Vocoder to put in `synthesizer.vocoder_model`; `attach` makes one that fits."""

    client = "Coqui"

    def inference(self, mel: Tensor) -> Tensor:
        """Vocode (B, n_mels, frames) to (B, 1, frames * hop_length) float32 in [-1, 1]."""
        return self.vocode(mel)[:, None]

    forward = inference


def attach(
    synthesizer: Any, vocoder: Vocoder | str | Path, *, seed: int | None = None
) -> CoquiVocoder:
    """Attach a vocoder to a Synthesizer, if its mels can be converted to the vocoder's.

    Args:
        synthesizer: a `TTS.utils.synthesizer.Synthesizer` with an acoustic model.
        vocoder: a loaded one, or what `load_vocoder` takes.
        seed: seed of the vocoder's noise.

    Raises:
        MelMismatch: the two mels differ in what cannot be converted.
        WavewrightError: no MelSpec can express the model's mels.
    """
    processor = getattr(synthesizer.tts_model, "ap", None)
    if processor is None:
        raise WavewrightError(
            "this Coqui model has no audio processor (ap), which defines its mels: those that make "
            "their waveform themselves need no vocoder"
        )
    adapter = CoquiVocoder(vocoder, mel_spec_of(processor), seed=seed, check=False)
    device = next((value.device for value in synthesizer.tts_model.parameters()), adapter.device)
    synthesizer.vocoder_model = adapter.to(device)
    synthesizer.vocoder_ap = processor
    synthesizer.vocoder_config = {"audio": {"sample_rate": adapter.sample_rate}}
    synthesizer.output_sample_rate = adapter.sample_rate
    return adapter


def mel_spec_of(processor: Any) -> MelSpec:
    """Mel convention of a `TTS.utils.audio.AudioProcessor`, normalisation included.

    Raises:
        WavewrightError: no MelSpec can express its mels.
    """
    log = _LOGS.get((processor.spec_gain, round(processor.base, 3)))
    unknown = {} if log else {"spec_gain": processor.spec_gain, "log_func base": processor.base}
    if processor.preemphasis:
        unknown["preemphasis"] = processor.preemphasis
    if not processor.do_amp_to_db_mel:
        unknown["do_amp_to_db_mel"] = False
    if processor.stft_pad_mode not in ("reflect", "constant"):
        unknown["stft_pad_mode"] = processor.stft_pad_mode
    require_no_unknown(unknown, "Coqui's audio configuration")
    return MelSpec.model_validate(
        {
            "sample_rate": processor.sample_rate,
            "n_fft": processor.fft_size,
            "hop_length": processor.hop_length,
            "win_length": processor.win_length,
            "n_mels": processor.num_mels,
            "fmin": processor.mel_fmin or 0.0,
            "fmax": processor.mel_fmax,
            "log": log,
            "floor": 1e-8,
            "pad_mode": processor.stft_pad_mode,
            "normalisation": _normalisation(processor),
        }
    )


def _normalisation(processor: Any) -> dict[str, Any] | None:
    if not processor.signal_norm:
        return None
    if hasattr(processor, "mel_scaler"):
        scaler = processor.mel_scaler
        return {"mean": tuple(map(float, scaler.mean_)), "scale": tuple(map(float, scaler.scale_))}
    span = processor.max_norm * (2 if processor.symmetric_norm else 1)
    low = -processor.max_norm if processor.symmetric_norm else 0.0
    scale = span / -processor.min_level_db
    shift = round(low - scale * (processor.ref_level_db + processor.min_level_db), 9)
    if not processor.clip_norm:
        return {"mean": (-shift / scale,), "scale": (1 / scale,)}
    return {"scale": scale, "shift": shift, "low": low, "high": float(processor.max_norm)}
