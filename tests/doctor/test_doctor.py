"""The doctor names conventions on real speech, says when it cannot, and never errs confidently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from tests.support import tiny
from wavewright.audio.files import load_wav, resample, save_wav
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.cli.app import app
from wavewright.doctor import mel_alone, mel_and_wav
from wavewright.doctor.diagnosis import Diagnosis
from wavewright.doctor.examine import examine
from wavewright.doctor.fit import Recording, align
from wavewright.doctor.identify import preset_groups
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform_numpy import log_mel_numpy

Floats = npt.NDArray[np.float32]
EQUAL = {name: set(names) for names, _ in preset_groups() for name in names}
GROUPS = [names[0] for names, _ in preset_groups()]
PLAIN = [name for name in GROUPS if MelSpec.preset(name).normalisation is None]


@pytest.fixture(scope="module")
def speech(shared: Path) -> Path:
    return shared / "corpora" / "ljspeech-mini" / "wavs" / "LJ001-0002.wav"


@pytest.fixture(scope="module")
def recording(speech: Path) -> Recording:
    return Recording(*load_wav(speech))


def mel_of(name: str, recording: Recording, **steps: Any) -> Floats:
    """The preset's mel of the recording in its own layout."""
    spec = MelSpec.preset(name)
    wav = resample(recording.wav, recording.rate, spec.sample_rate)
    wav = wav[int(steps.get("late", 0) * spec.hop_length) :] * np.float32(steps.get("gain", 1.0))
    return log_mel_numpy(np.ascontiguousarray(wav), spec)


def require_honest(diagnosis: Diagnosis, name: str) -> None:
    """The preset is named, alone or as one of several with what would decide."""
    assert name in diagnosis.names, diagnosis.lines()
    if not EQUAL[name] >= set(diagnosis.names):
        assert diagnosis.decide or diagnosis.differences
        assert diagnosis.confidence != "high"


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_every_preset_is_named_from_mel_and_recording(name: str, recording: Recording) -> None:
    mel = mel_of(name, recording)
    for array in (mel, mel.T):
        require_honest(mel_and_wav.diagnose(array, recording)[0], name)


@pytest.mark.parametrize("name", GROUPS)
def test_every_preset_is_among_those_that_a_mel_alone_allows(
    name: str, recording: Recording
) -> None:
    mel = mel_of(name, recording)
    diagnosis, _ = mel_alone.diagnose(mel)
    require_honest(diagnosis, name)
    assert "--wav" in diagnosis.decide
    layout = next(f.found for f in diagnosis.findings if f.what == "layout")
    assert layout.startswith(MelSpec.preset(name).layout)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if number % 2 else ())
        for number, name in enumerate(PLAIN[::3])
    ],
)
def test_statistics_cuts_and_gains_are_seen_through(name: str, recording: Recording) -> None:
    mel = mel_of(name, recording)
    axis = 1 if MelSpec.preset(name).layout == "bands_first" else 0
    deviation = np.maximum(mel.std(axis, keepdims=True), 1e-3)
    normalised = (mel - mel.mean(axis, keepdims=True)) / deviation
    result, _ = mel_and_wav.diagnose(normalised, recording)
    require_honest(result, name)
    assert any("per band" in f.found for f in result.findings)
    require_honest(mel_alone.diagnose(normalised)[0], name)
    cut, explained = mel_and_wav.diagnose(np.take(mel, range(40, 100), axis), recording)
    require_honest(cut, name)
    assert explained is not None
    assert explained.fit.lag == 40
    louder, explained = mel_and_wav.diagnose(mel_of(name, recording, gain=1.9), recording)
    require_honest(louder, name)
    assert explained is not None
    assert explained.fit.gain == pytest.approx(1.9, rel=1e-2)


def test_half_a_hop_is_found_and_does_not_fit(recording: Recording) -> None:
    result, explained = mel_and_wav.diagnose(mel_of("hifigan", recording, late=0.5), recording)
    require_honest(result, "hifigan")
    assert explained is not None
    assert (explained.fit.lag + explained.fit.shift / 256) % 1 == pytest.approx(0.5)
    assert result.fits is False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hifigan", "tacotron2", "espnet", "r9y9", "coqui"])
def test_a_recording_trimmed_before_its_mel_is_placed_to_the_sample(
    name: str, recording: Recording
) -> None:
    trimmed = Recording(recording.wav[1234:-900], recording.rate)
    result, explained = mel_and_wav.diagnose(mel_of(name, trimmed), recording)
    require_honest(result, name)
    assert explained is not None
    fit = explained.fit
    assert fit.lag * fit.spec.hop_length + fit.shift == 1234
    assert result.fits is False
    assert any("sample 1234" in line for line in result.mend)


def test_loud_padding_is_found(recording: Recording) -> None:
    mel = np.pad(mel_of("hifigan", recording), ((0, 0), (0, 7)))
    result, _ = mel_and_wav.diagnose(mel, recording)
    require_honest(result, "hifigan")
    padding = next(f.found for f in result.findings if f.what == "padding")
    assert "last 7 frame(s) are 0" in padding
    assert "loud" in padding
    assert result.fits is False
    assert any("loud" in f.found for f in mel_alone.diagnose(mel)[0].findings)


def test_nemos_overwritten_last_frame_is_found(recording: Recording) -> None:
    mel = mel_of("nemo-hifigan-22k", recording)
    mel[:, -1] = -11.52
    result, _ = mel_and_wav.diagnose(mel, recording)
    require_honest(result, "nemo-hifigan-22k")
    assert any("overwritten" in f.found for f in result.findings)


def test_linear_magnitudes_and_other_logarithms_are_told(recording: Recording) -> None:
    mel = mel_of("hifigan", recording)
    linear, _ = mel_and_wav.diagnose(np.exp(mel), recording)
    require_honest(linear, "hifigan")
    assert linear.fits is False
    assert any("no logarithm" in f.found for f in linear.findings)
    tens, _ = mel_and_wav.diagnose(mel / np.float32(np.log(10)), recording)
    require_honest(tens, "hifigan")
    assert any(f.found == "log base log10" for f in tens.findings)


@pytest.mark.slow
def test_a_convention_beside_the_presets_is_named_by_its_differences(recording: Recording) -> None:
    spec = MelSpec.model_validate({"preset": "hifigan", "n_mels": 64, "fmax": 7600.0})
    result, _ = mel_and_wav.diagnose(log_mel_numpy(recording.wav, spec), recording)
    assert "hifigan" in result.names
    assert result.differences == {"n_mels": ["64", "80"], "fmax": ["7600.0", "8000.0"]}
    spec = MelSpec.model_validate({"preset": "hifigan", "mel_scale": "htk", "mel_norm": None})
    result, _ = mel_and_wav.diagnose(log_mel_numpy(recording.wav, spec), recording)
    assert "hifigan" in result.names
    assert set(result.differences) == {"mel_scale", "mel_norm"}


@pytest.mark.slow
def test_another_recordings_mel_is_not_explained(shared: Path, recording: Recording) -> None:
    other = Recording(*load_wav(shared / "corpora" / "ljspeech-mini" / "wavs" / "LJ001-0007.wav"))
    result, _ = mel_and_wav.diagnose(mel_of("hifigan", other)[:, :200], recording)
    assert result.fits is False
    assert result.confidence == "low"


OFFICIAL = {
    "hifigan_fmax8000": ("hifigan", set()),
    "hifigan_fmaxNone_loss": ("hifigan-loss", set()),
    "hifigan_train_normalized": ("hifigan", set()),
    "nvidia_tacotron2_waveglow": ("tacotron2", set()),
    "descript_melgan": ("melgan", set()),
    "fatchord_wavernn": ("wavernn", set()),
    "fatchord_wavernn_padreflect": ("wavernn-reflect", set()),
    "r9y9_wavenet_plain": ("r9y9-plain", set()),
    "r9y9_wavenet_pipeline": ("r9y9", set()),
    "pwg_logmelfilterbank": ("parallel-wavegan", set()),
    "bigvgan_22khz_80band_fmax8k": ("bigvgan-22k", set()),
    "bigvgan_100band_fmaxNone": ("bigvgan-24k", {"sample_rate", "fmax"}),
    "vocos_100band_center": ("vocos-24k", {"sample_rate", "fmax"}),
    "vocos_100band_same": ("vocos-24k", {"sample_rate", "fmax", "framing"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("fixture", OFFICIAL)
def test_official_extractors_are_named(shared: Path, recording: Recording, fixture: str) -> None:
    mels = np.load(shared / "fixtures" / "mels" / f"{fixture}.npz")
    result, _ = mel_and_wav.diagnose(mels["LJ001_0002"], recording)
    name, differing = OFFICIAL[fixture]
    assert name in result.names
    assert set(result.differences) == differing
    assert result.fits


def test_align_finds_the_lag_of_a_part() -> None:
    whole = np.random.default_rng(0).normal(size=(5, 90))
    lag, correlation = align(whole[:, 31:60] * 3 + 1, whole)
    assert lag == 31
    assert correlation == pytest.approx(1.0, abs=0.05)


def cli(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


@pytest.mark.slow
def test_a_mel_is_compared_with_a_checkpoint(
    speech: Path, recording: Recording, tmp_path: Path
) -> None:
    for name in ("hifigan", "matcha-normalised", "tacotron2"):
        np.save(tmp_path / f"{name}.npy", mel_of(name, recording))
    fits = cli("--mel", tmp_path / "hifigan.npy", "--wav", speech, "--checkpoint", "griffinlim")
    assert fits.exit_code == 0
    assert "fits the checkpoint griffinlim" in fits.output
    mel = tmp_path / "matcha-normalised.npy"
    mendable = cli("--mel", mel, "--wav", speech, "--checkpoint", "griffinlim")
    assert mendable.exit_code == 1
    assert f"vocode --checkpoint griffinlim --mel {mel} --mel-preset matcha-norm" in mendable.output
    unmatched = cli("--mel", tmp_path / "tacotron2.npy", "--wav", speech, "--mel-preset", "hifigan")
    assert unmatched.exit_code == 1
    assert "framing center vs hop" in unmatched.output
    assert "recompute" in unmatched.output


def test_the_values_alone_are_compared_too(recording: Recording, tmp_path: Path) -> None:
    np.save(tmp_path / "mel.npy", mel_of("espnet", recording))
    assert examine(mel=tmp_path / "mel.npy", mel_preset="espnet").fits
    assert examine(mel=tmp_path / "mel.npy", mel_preset="wavernn").fits is False


def test_a_checkpoint_is_described(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 7, tiny.hifigan())
    result = examine(checkpoint=tmp_path)
    assert result.fits is None
    assert result.differences["sample_rate"][0] == "8000"
    assert examine(checkpoint=Path("griffinlim")).names[1] == "hifigan"


def test_a_presets_mels_are_judged_for_a_checkpoint() -> None:
    same = examine(checkpoint=Path("griffinlim"), mel_preset="hifigan")
    assert same.fits
    scaled = examine(checkpoint=Path("griffinlim"), mel_preset="matcha-normalised")
    assert scaled.fits is False
    assert "--mel-preset matcha-normalised" in scaled.mend[0]
    assert (
        "framing center vs hop"
        in cli("--checkpoint", "griffinlim", "--mel-preset", "vocos-24k").output
    )


def test_frames_between_a_checkpoints_do_not_fit(
    speech: Path, recording: Recording, tmp_path: Path
) -> None:
    np.save(tmp_path / "late.npy", mel_of("hifigan", recording, late=0.5))
    result = examine(recording=speech, mel=tmp_path / "late.npy", checkpoint=Path("griffinlim"))
    assert result.fits is False
    assert any(f.found.startswith("does not fit") for f in result.findings)


def test_a_recording_is_described(speech: Path, tmp_path: Path) -> None:
    result = {f.what: f.found for f in examine(recording=speech).findings}
    assert result["file"].startswith("22050 Hz, 1 channel(s), PCM_16")
    assert "hifigan" in result["presets"]
    wav, rate = load_wav(speech)
    loud = np.clip(wav * 20, -1, 1)
    loud[: rate // 2] = 0
    save_wav(tmp_path / "loud.wav", loud + np.float32(0.0), rate)
    result = {f.what: f.found for f in examine(recording=tmp_path / "loud.wav").findings}
    assert "flat peaks" in result["clipping"]
    assert "without dither" in result["digital silence"]
    save_wav(tmp_path / "narrow.wav", resample(resample(wav, rate, 8000), 8000, rate), rate)
    width = {f.what: f.found for f in examine(recording=tmp_path / "narrow.wav").findings}
    assert 3500 < float(width["bandwidth"].split()[0]) < 4500
    assert "hifigan" in width["beyond"]


def test_json_is_for_machines(speech: Path, recording: Recording, tmp_path: Path) -> None:
    np.save(tmp_path / "mel.npy", mel_of("melgan", recording))
    output = cli("--mel", tmp_path / "mel.npy", "--wav", speech, "--json")
    assert output.exit_code == 0
    assert json.loads(output.output)["names"] == ["melgan"]


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="nothing to examine"):
        examine()
    with pytest.raises(WavewrightError, match="no such file"):
        examine(mel=tmp_path / "no.npy")
    np.save(tmp_path / "nothing.npy", np.full((80, 30), -np.inf, np.float32))
    with pytest.raises(WavewrightError, match="nothing but -inf"):
        examine(mel=tmp_path / "nothing.npy")
