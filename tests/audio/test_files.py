"""Audio in and out: what is written is what was meant, and broken files are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavewright.audio.files import from_pcm16, load_wav, resample, save_wav, to_pcm16
from wavewright.errors import WavewrightError

RATE = 22050


def tone(frequency: float, rate: int = RATE, seconds: float = 0.5) -> np.ndarray:
    time = np.arange(int(rate * seconds)) / rate
    return np.asarray(0.5 * np.sin(2 * np.pi * frequency * time), dtype=np.float32)


def level_at(wav: np.ndarray, rate: int, frequency: float) -> float:
    """Amplitude of a sine in the middle of `wav`."""
    middle = wav[len(wav) // 4 : -len(wav) // 4]
    middle = middle * np.hanning(len(middle))
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(middle)) / rate)
    return float(4 * np.abs(np.sum(middle * turn)) / len(middle))


def test_sixteen_bits_survive_the_round_trip_exactly() -> None:
    every = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    np.testing.assert_array_equal(to_pcm16(from_pcm16(every)), every)
    assert from_pcm16(every).dtype == np.float32
    assert float(np.abs(from_pcm16(every)).max()) == 1.0


def test_too_loud_is_clipped_and_never_wraps() -> None:
    wav = np.array([-2.0, -1.0, 1.0, 2.0], dtype=np.float32)
    assert to_pcm16(wav).tolist() == [-32768, -32768, 32767, 32767]


def test_values_are_rounded_not_cut() -> None:
    steps = np.array([0.4, 0.6, -0.4, -0.6, 1.5], dtype=np.float64) / 32768
    assert to_pcm16(steps).tolist() == [0, 1, 0, -1, 2]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_wav(tmp_path / "a.wav", tone(440), RATE)
    wav, rate = load_wav(tmp_path / "a.wav")
    assert rate == RATE
    np.testing.assert_array_equal(to_pcm16(wav), to_pcm16(tone(440)))
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"], "no partial file stays"


def test_a_save_that_fails_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    save_wav(path, tone(440), RATE)
    before = path.read_bytes()
    with pytest.raises(WavewrightError, match=r"a\.wav: not written.*NaN"):
        save_wav(path, np.array([0.0, np.nan]), RATE)
    with pytest.raises(WavewrightError, match=r"no/b\.wav: could not be written"):
        save_wav(tmp_path / "no" / "b.wav", tone(440), RATE)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_channels_are_chosen_not_guessed(tmp_path: Path) -> None:
    stereo = np.stack([tone(440), -tone(440)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    left, _ = load_wav(tmp_path / "a.wav")
    np.testing.assert_array_equal(left, tone(440))
    mean, _ = load_wav(tmp_path / "a.wav", channel="mean")
    assert not mean.any(), "opposite channels cancel"


@pytest.mark.parametrize(("source", "target"), [(48000, 22050), (22050, 24000), (44100, 22050)])
def test_resampling_keeps_a_tone_and_its_length(source: int, target: int) -> None:
    wav = resample(tone(1000, source), source, target)
    assert wav.dtype == np.float32
    assert len(wav) == pytest.approx(0.5 * target, abs=1)
    assert level_at(wav, target, 1000) == pytest.approx(0.5, rel=1e-3)


def test_resampling_lets_nothing_alias() -> None:
    """A tone above the new half rate vanishes; one below it stays."""
    above = resample(tone(14000, 48000), 48000, 22050)
    assert float(np.abs(above[2000:-2000]).max()) < 1e-4
    below = resample(tone(9000, 48000), 48000, 22050)
    assert level_at(below, 22050, 9000) == pytest.approx(0.5, rel=1e-3)


def test_loading_at_a_rate_resamples(tmp_path: Path) -> None:
    save_wav(tmp_path / "a.wav", tone(440, 48000), 48000)
    wav, rate = load_wav(tmp_path / "a.wav", RATE)
    assert rate == RATE
    assert level_at(wav, RATE, 440) == pytest.approx(0.5, rel=1e-3)
    assert load_wav(tmp_path / "a.wav")[1] == 48000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zero-byte.wav", "the file is empty"),
        ("header-only.wav", "no samples"),
        ("float32-nan.wav", "NaN or infinite"),
        ("fmt-zero-channels.wav", "not readable as audio"),
        ("fmt-zero-samplerate.wav", "not readable as audio"),
        ("fmt-unknown-codec.wav", "not readable as audio"),
        ("git-lfs-pointer.wav", "not readable as audio"),
        ("flac-truncated.flac", "not readable as audio"),
        ("missing.wav", "no such audio file"),
    ],
)
def test_broken_files_are_named_with_what_is_wrong(shared: Path, name: str, words: str) -> None:
    path = shared / "corpora" / "bad-input" / "audio" / name
    with pytest.raises(WavewrightError) as caught:
        load_wav(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_good_file_is_accepted(shared: Path) -> None:
    folder = shared / "corpora" / "bad-input" / "audio"
    known = json.loads((folder.parent / "manifest.json").read_text())["files"]
    good = [e["file"] for e in known if e["group"] == "audio" and e["expect_class"] == "accept"]
    baseline, _ = load_wav(folder / "good-22k-mono.wav")
    for name in good:
        wav, rate = load_wav(folder.parent / name)
        assert (wav.ndim, str(wav.dtype), rate) == (1, "float32", RATE)
        if len(wav) == len(baseline):
            assert float(np.abs(wav - baseline).max()) < 2 / 32768, name


def test_a_folder_is_no_audio_file(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="no such audio file"):
        load_wav(tmp_path)
