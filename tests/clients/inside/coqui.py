"""A tiny GlowTTS of Coqui's, whose Synthesizer speaks through a vocoder of ours."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from TTS.tts.configs.glow_tts_config import GlowTTSConfig
from TTS.tts.models.glow_tts import GlowTTS
from TTS.utils.synthesizer import Synthesizer

from tests.clients.inside import answer, refusal, run_snippet
from wavewright.audio.files import load_wav
from wavewright.interop import coqui


def work(recording: str, weights: str) -> dict[str, Any]:
    """Its speech, a recording's copy by its own features, and refusals."""
    torch.manual_seed(0)
    shutil.copy(weights, "hifigan.safetensors")
    synthesizer = _synthesizer("default")
    said = run_snippet("Coqui TTS", synthesizer=synthesizer)["wav"]
    processor = synthesizer.tts_model.ap
    wav, _ = load_wav(recording, 22050)  # theirs trims it
    mel = torch.from_numpy(processor.melspectrogram(wav))
    copied = synthesizer._run_vocoder(mel.mT, "cpu")
    plain = _synthesizer("plain", log_func="np.log", spec_gain=1.0, signal_norm=False)
    coqui.attach(plain, "hifigan.safetensors")
    natural = plain.tts_model.ap.melspectrogram(wav)
    narrow = _synthesizer("narrow", mel_fmax=8000.0)
    return {
        "said": said,
        "rate": synthesizer.output_sample_rate,
        "copied": copied.numpy().squeeze(),
        "copied_natural": plain._run_vocoder(torch.from_numpy(natural).mT, "cpu").numpy().squeeze(),
        "narrow": refusal(lambda: coqui.attach(narrow, "hifigan.safetensors")),
    }


def _synthesizer(folder: str, **audio: Any) -> Any:
    config = GlowTTSConfig(
        text_cleaner="basic_cleaners", hidden_channels_enc=8, hidden_channels_dec=8,
        hidden_channels_dp=8, num_flow_blocks_dec=1, use_phonemes=False,
        encoder_params={"kernel_size": 3, "dropout_p": 0.0, "num_layers": 1, "num_heads": 2,
                        "hidden_channels_ffn": 8, "input_length": None},
    )  # fmt: skip
    for name, value in audio.items():
        setattr(config.audio, name, value)
    model = GlowTTS.init_from_config(config)
    torch.save({"model": model.state_dict()}, f"{folder}.pth")
    config.save_json(f"{folder}.json")
    return Synthesizer(tts_checkpoint=f"{folder}.pth", tts_config_path=f"{folder}.json")


if __name__ == "__main__":
    answer(work)
