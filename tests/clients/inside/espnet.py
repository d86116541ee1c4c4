"""Tiny Tacotron 2 and FastSpeech 2 of ESPnet that speak through vocoders of ours."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import torch

from tests.clients.inside import answer, refusal, run_snippet
from wavewright.audio.files import load_wav
from wavewright.interop import espnet
from wavewright.interop.espnet import ESPnetVocoder

# parallel_wavegan, for --vocoder_file, looks for it at its place before scipy 1.13.
scipy.signal.kaiser = scipy.signal.windows.kaiser

_TOKENS = ["<blank>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "<space>", "<sos/eos>"]
_TACOTRON2 = {
    "embed_dim": 8, "elayers": 1, "eunits": 8, "econv_layers": 1, "econv_chans": 8, "adim": 8,
    "aconv_chans": 2, "aconv_filts": 3, "dlayers": 1, "dunits": 8, "prenet_layers": 1,
    "prenet_units": 8, "postnet_layers": 1, "postnet_chans": 8,
}  # fmt: skip
_FASTSPEECH2 = {
    "adim": 8, "aheads": 2, "elayers": 1, "eunits": 8, "dlayers": 1, "dunits": 8,
    "postnet_layers": 1, "postnet_chans": 8, "duration_predictor_layers": 1,
    "duration_predictor_chans": 8, "pitch_predictor_layers": 1, "pitch_predictor_chans": 8,
    "energy_predictor_layers": 1, "energy_predictor_chans": 8,
}  # fmt: skip


def work(recording: str, weights: str, checkpoint: str, natural_checkpoint: str) -> dict[str, Any]:
    """Speech of both models, copies of a recording, and refusals."""
    shutil.copy(weights, "hifigan.safetensors")
    speech = torch.from_numpy(load_wav(recording, 22050)[0])
    feats = _make("tts", "tacotron2", _TACOTRON2, speech)
    names = run_snippet("ESPnet")
    text2speech = names["text2speech"]
    wav = names["wav"]
    copied = _features(text2speech, speech)
    assert torch.equal(copied, feats)
    written = _load("tts", vocoder_file=checkpoint)
    said = {
        "tacotron2": wav.numpy(),
        "rate": text2speech.fs,
        "copied": text2speech.vocoder(copied).numpy(),
        "copied_in_float64": text2speech.vocoder(copied.double()).numpy(),
        "copied_by_file": written.vocoder(copied).detach().numpy(),
        "by_file": written("good morning")["wav"].numpy(),
    }
    return {
        **said,
        **_natural(speech, natural_checkpoint),
        **_fastspeech2(speech),
        **_refusals(copied),
    }


def _make(
    folder: str, kind: str, sizes: Mapping[str, Any], speech: torch.Tensor, **features: Any
) -> torch.Tensor:
    """A random model with statistics of the recording; returns its features of that."""
    from espnet2.tasks.tts import TTSTask
    from espnet2.tts.feats_extract.log_mel_fbank import LogMelFbank
    from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

    torch.manual_seed(0)
    place = Path(folder)
    place.mkdir()
    arguments = TTSTask.get_default_config() | {
        "token_list": _TOKENS, "token_type": "char", "cleaner": None, "g2p": None,
        "tts": kind, "tts_conf": dict(sizes), "feats_extract": "fbank",
        "feats_extract_conf": {"fs": 22050, "n_fft": 1024, "hop_length": 256, **features},
        "normalize": "global_mvn", "normalize_conf": {"stats_file": str(place / "stats.npz")},
        "pitch_extract": None, "energy_extract": None,
    }  # fmt: skip
    extract = LogMelFbank(**arguments["feats_extract_conf"])
    feats: torch.Tensor = extract(speech[None], torch.tensor([len(speech)]))[0][0]
    np.savez(
        place / "stats.npz", count=len(feats), sum=feats.sum(0).numpy(),
        sum_square=feats.square().sum(0).numpy(),
    )  # fmt: skip
    model = TTSTask.build_model(Namespace(**arguments))
    torch.save(model.state_dict(), place / "model.pth")
    (place / "config.yaml").write_text(yaml_no_alias_safe_dump(arguments))
    return feats


def _load(folder: str, **options: Any) -> Any:
    from espnet2.bin.tts_inference import Text2Speech

    return Text2Speech(f"{folder}/config.yaml", f"{folder}/model.pth", **options)


def _features(text2speech: Any, speech: torch.Tensor) -> torch.Tensor:
    feats: torch.Tensor = text2speech.feats_extract(speech[None], torch.tensor([len(speech)]))[0]
    return feats[0]


def _natural(speech: torch.Tensor, checkpoint: str) -> dict[str, Any]:
    """A recipe of natural logarithms, whose base is in train_args alone."""
    _make("natural", "tacotron2", _TACOTRON2, speech, log_base=None)
    text2speech = _load("natural")
    espnet.attach(text2speech, "hifigan.safetensors")
    feats = _features(text2speech, speech)
    written = _load("natural", vocoder_file=checkpoint)
    return {
        "copied_natural": text2speech.vocoder(feats).numpy(),
        "copied_natural_by_file": written.vocoder(feats).detach().numpy(),
    }


def _fastspeech2(speech: torch.Tensor) -> dict[str, Any]:
    _make("fast", "fastspeech2", _FASTSPEECH2, speech)
    text2speech = _load("fast")
    espnet.attach(text2speech, "hifigan.safetensors")
    output = text2speech("good morning")
    assert len(output["wav"]) == 256 * len(output["feat_gen"])
    _make("wide", "fastspeech2", _FASTSPEECH2, speech, fmin=0, fmax=8000)
    wide = _load("wide")
    return {
        "fastspeech2": output["wav"].numpy(),
        "other_band": refusal(lambda: espnet.attach(wide, "hifigan.safetensors")),
    }


def _refusals(feats: torch.Tensor) -> dict[str, Any]:
    """Without settings the values tell."""
    blind = ESPnetVocoder("hifigan.safetensors", "espnet")
    normalised = _load("tts", prefer_normalized_feats=True)
    return {
        "blind": blind(feats).numpy(),
        "natural_as_log10": refusal(lambda: blind(feats * float(np.log(10)))),
        "normalised": refusal(lambda: espnet.attach(normalised, "hifigan.safetensors")),
    }


if __name__ == "__main__":
    answer(work)
