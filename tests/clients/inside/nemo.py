"""Tiny FastPitch models of NeMo's, at both rates, that speak through vocoders of ours."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import torch
from nemo.collections.tts.models import FastPitchModel
from nemo.collections.tts.models.base import Vocoder as NemoBase
from omegaconf import OmegaConf

from tests.clients.inside import answer, refusal, run_snippet
from wavewright.audio.files import load_wav
from wavewright.interop import nemo
from wavewright.interop.nemo import NemoVocoder

_FEATURES = {
    "_target_": "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor",
    "features": 80, "lowfreq": 0, "window": "hann", "normalize": None, "preemph": None,
    "dither": 0.0, "frame_splicing": 1, "log": True, "log_zero_guard_type": "add",
    "log_zero_guard_value": 1e-05, "mag_power": 1.0, "pad_to": 1, "pad_value": 0,
    "window_size": False, "window_stride": False,
}  # fmt: skip
_RATES: dict[str, dict[str, Any]] = {
    "22k": {"sample_rate": 22050, "n_fft": 1024, "n_window_size": 1024, "n_window_stride": 256,
            "highfreq": 8000},
    "44k": {"sample_rate": 44100, "n_fft": 2048, "n_window_size": 2048, "n_window_stride": 512,
            "highfreq": None},
}  # fmt: skip


def work(recording: str, weights: dict[str, str]) -> dict[str, Any]:
    """Speech of the models, copies of a recording, and refusals, at each rate."""
    answers: dict[str, Any] = {}
    for rate, features in _RATES.items():
        shutil.copy(weights[rate], "hifigan.safetensors")
        fastpitch = _fastpitch(features)
        tokens = torch.tensor([[1, 2, 3, 4, 5]])
        names = run_snippet("NeMo", fastpitch=fastpitch, tokens=tokens)
        vocoder, model = names["vocoder"], names["model"]
        assert isinstance(model, NemoBase)
        assert torch.equal(names["typed"], names["wav"])
        wav, _ = load_wav(recording, vocoder.sample_rate)
        mel, frames = _features(fastpitch, wav)
        copied = vocoder.convert_spectrogram_to_audio(spec=mel)
        answers |= {
            f"{rate}_said": names["wav"].numpy(),
            f"{rate}_frames": names["mel"].shape[-1],
            f"{rate}_copied": copied[0].numpy(),
            f"{rate}_missing": mel.shape[-1] - copied.shape[1] // vocoder.vocoder.hop_length,
            f"{rate}_padded": mel.shape[-1] - int(frames[0]),
            f"{rate}_sample_rate": (vocoder.sample_rate, model.sample_rate),
            f"{rate}_transposed": refusal(partial(vocoder.forward, mel.mT)),
        }
    hifigan = {**_FEATURES, **_RATES["44k"], "log_zero_guard_type": "clamp", "exact_pad": True}
    blind = NemoVocoder("hifigan.safetensors", "nemo-fastpitch-44k")
    in_log10 = mel / torch.tensor(10.0).log()
    return {
        **answers,
        "other_rate": refusal(lambda: nemo.vocoder_for(fastpitch, weights["22k"])),
        "other_framing": refusal(lambda: NemoVocoder(blind.vocoder, nemo.mel_spec_of(hifigan))),
        "log10": refusal(lambda: blind.convert_spectrogram_to_audio(spec=in_log10)),
    }


def _features(fastpitch: Any, wav: Any) -> tuple[torch.Tensor, torch.Tensor]:
    mel, frames = fastpitch.preprocessor(
        input_signal=torch.from_numpy(wav)[None], length=torch.tensor([len(wav)])
    )
    return mel, frames


def _fastpitch(features: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    transformer = {
        "n_layer": 1, "n_head": 1, "d_model": 16, "d_head": 8, "d_inner": 16, "kernel_size": 3,
        "dropout": 0.0, "dropatt": 0.0, "dropemb": 0.0,
    }  # fmt: skip
    predictor = {
        "_target_": "nemo.collections.tts.modules.fastpitch.TemporalPredictor",
        "input_size": 16, "kernel_size": 3, "filter_size": 16, "dropout": 0.0, "n_layers": 1,
    }  # fmt: skip
    modules = "nemo.collections.tts.modules.transformer"
    config = {
        "learn_alignment": False, "n_speakers": 0, "symbols_embedding_dim": 16,
        "pitch_embedding_kernel_size": 3, "n_mel_channels": 80, "min_token_duration": 2,
        "max_token_duration": 75, "preprocessor": {**_FEATURES, **features},
        "input_fft": {"_target_": f"{modules}.FFTransformerEncoder", **transformer,
                      "n_embed": 20, "d_embed": 16, "padding_idx": 0},
        "output_fft": {"_target_": f"{modules}.FFTransformerDecoder", **transformer},
        "duration_predictor": predictor, "pitch_predictor": predictor,
    }  # fmt: skip
    return FastPitchModel(cfg=OmegaConf.create(config)).eval()


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    answer(work)
