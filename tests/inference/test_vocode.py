"""vocode and copy: one file in, one WAV out, and wrong files refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import tiny
from wavewright.audio.files import from_pcm16, load_wav, save_wav
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.errors import MelMismatch, UnknownName, WavewrightError
from wavewright.inference.vocode import open_vocoder, resynthesize_file, vocode_mel_file
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.registry import create_vocoder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("vocoder")
    save_checkpoint(run, 7, tiny.hifigan())
    return run


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    save_wav(tmp_path / "in.wav", from_pcm16(tiny.tone("tone3")), 8000)
    return tmp_path / "in.wav"


def test_vocode_writes_what_generate_says(checkpoint: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mel.npy", tiny.mel("tone3"))
    out = tmp_path / "out.wav"
    summary = vocode_mel_file(checkpoint, tmp_path / "mel.npy", out, seed=0)
    expected = tiny.hifigan().generate(torch.from_numpy(tiny.mel("tone3"))[None])[0].numpy()
    samples, rate = load_wav(out)
    assert rate == 8000
    # A quick vocoder's rounding may tip a sample over a step of 16 bits.
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1.01 / 32768)
    assert summary.startswith(f"{out}: {len(expected) / 8000:.2f} s of speech in ")
    assert summary.endswith("(hifigan)")


@pytest.mark.parametrize("change", ["fortran", "half"])
def test_vocode_takes_any_floating_layout(checkpoint: Path, tmp_path: Path, change: str) -> None:
    mel = tiny.mel("tone3")
    np.save(tmp_path / "a.npy", mel)
    np.save(tmp_path / "b.npy", np.asfortranarray(mel) if change == "fortran" else mel.astype("f2"))
    for name in ("a", "b"):
        vocode_mel_file(checkpoint, tmp_path / f"{name}.npy", tmp_path / f"{name}.wav", seed=0)
    a, b = (load_wav(tmp_path / f"{name}.wav")[0] for name in ("a", "b"))
    assert float(np.abs(a - b).max()) <= (0.0 if change == "fortran" else 0.02)


def broken_mels() -> dict[str, Any]:
    mel = np.zeros((8, 5), dtype=np.float32)
    return {
        "transposed": mel.T,
        "other bands": np.zeros((80, 5), np.float32),
        "one dimension": mel[0],
        "no frames": mel[:, :0],
        "integers": mel.astype(np.int16),
        "infinite": mel + np.inf,
        "nan": mel * np.nan,
        "objects": mel.astype(object),
    }


@pytest.mark.parametrize("kind", broken_mels())
def test_vocode_refuses_what_is_no_mel(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mel.npy"
    np.save(path, broken_mels()[kind], allow_pickle=True)
    with pytest.raises(WavewrightError) as caught:
        vocode_mel_file(checkpoint, path, tmp_path / "out.wav", seed=0)
    assert str(caught.value).startswith(f"{path}: ")
    assert ("looks transposed" in str(caught.value)) == (kind == "transposed")
    assert not (tmp_path / "out.wav").exists()


def test_vocode_refuses_files_of_other_kinds(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("words")
    np.savez(tmp_path / "many.npz", a=tiny.mel("tone3"), b=tiny.mel("tone3"))
    summary = {
        "empty.npy": "not a readable .npy file",
        "text.npy": "not a readable .npy file",
        "many.npz": r"an archive of 2 arrays \(a, b\); name one with --key",
        "missing.npy": "no such file",
        ".": "unknown kind of mel file",
    }
    for name, words in summary.items():
        with pytest.raises(WavewrightError, match=words):
            vocode_mel_file(checkpoint, tmp_path / name, tmp_path / "out.wav", seed=0)


@pytest.mark.parametrize(
    "name", ["huge-shape", "object-pickle", "truncated", "zero-frames", "one-dim", "int16"]
)
def test_vocode_refuses_bad_input(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "corpora" / "bad-input" / "mels" / f"{name}.npy"
    with pytest.raises(WavewrightError) as caught:
        vocode_mel_file(Path("griffinlim"), path, tmp_path / "out.wav", seed=0)
    assert str(caught.value).startswith(f"{path}: ")
    assert not list(Path.cwd().glob("*.marker"))


def test_vocode_converts_what_is_exact_and_refuses_the_rest(
    checkpoint: Path, shared: Path, tmp_path: Path
) -> None:
    wav, _ = load_wav(shared / "corpora" / "ljspeech-mini" / "wavs" / "LJ001-0002.wav")
    for name in ("hifigan", "matcha-normalised", "espnet"):
        spec = MelSpec.preset(name)
        np.save(tmp_path / f"{name}.npy", log_mel(torch.from_numpy(wav), spec).numpy())
    for name in ("hifigan", "matcha-normalised"):
        path, out = tmp_path / f"{name}.npy", tmp_path / f"{name}.wav"
        vocode_mel_file(Path("griffinlim"), path, out, seed=0, mel_preset=name)
    plain, undone = (
        load_wav(tmp_path / f"{name}.wav")[0] for name in ("hifigan", "matcha-normalised")
    )
    assert float(np.abs(plain - undone).mean()) < 1e-3 * float(np.abs(plain).max())
    path = tmp_path / "espnet.npy"
    with pytest.raises(MelMismatch, match=r"framing center vs hop.*wavewright doctor --mel"):
        vocode_mel_file(checkpoint, path, tmp_path / "no.wav", seed=0, mel_preset="espnet")
    assert not (tmp_path / "no.wav").exists()
    vocode_mel_file(Path("griffinlim"), path, tmp_path / "yes.wav", seed=0, mel_preset="espnet")
    summary, rate = load_wav(tmp_path / "yes.wav")
    assert rate == 22050
    assert len(summary) == (1 + len(wav) // 256) * 256, "it needs no training, so it speaks any mel"


def test_vocode_takes_the_stated_layout_only(checkpoint: Path, tmp_path: Path) -> None:
    mel = tiny.mel("tone3")
    np.save(tmp_path / "a.npy", mel)
    np.save(tmp_path / "b.npy", mel.T)
    vocode_mel_file(checkpoint, tmp_path / "a.npy", tmp_path / "a.wav", seed=0)
    order = "frames_first"
    vocode_mel_file(checkpoint, tmp_path / "b.npy", tmp_path / "b.wav", seed=0, layout=order)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with pytest.raises(WavewrightError, match="--layout frames_first"):
        vocode_mel_file(checkpoint, tmp_path / "b.npy", tmp_path / "c.wav", seed=0)


def test_copy_analyses_in_the_vocoders_own_convention(
    checkpoint: Path, recording: Path, tmp_path: Path
) -> None:
    summary = resynthesize_file(checkpoint, recording, tmp_path / "copy.wav", seed=0)
    samples, _ = load_wav(tmp_path / "copy.wav")
    mel = log_mel(torch.from_numpy(load_wav(recording)[0]), tiny.SPEC)
    expected = tiny.hifigan().generate(mel[None])[0].numpy()
    # A quick vocoder's rounding may tip a sample over a step of 16 bits.
    np.testing.assert_allclose(samples, expected, rtol=0, atol=1.01 / 32768)
    assert "s of speech" in summary


def test_a_refined_copy_has_the_recordings_mel(
    checkpoint: Path, recording: Path, tmp_path: Path
) -> None:
    mel = log_mel(torch.from_numpy(load_wav(recording)[0]), tiny.SPEC)
    errors = []
    for refine in (0, 20):
        out = tmp_path / f"{refine}.wav"
        summary = resynthesize_file(checkpoint, recording, out, seed=0, refine=refine)
        assert ("refined 20 times" in summary) == (refine == 20)
        again = log_mel(torch.from_numpy(load_wav(out)[0]), tiny.SPEC)[:, : mel.shape[1]]
        errors.append(float((again - mel)[:, 4:-4].abs().mean()))
    assert errors[1] < 0.3 * errors[0]


def test_copy_resamples_and_needs_no_checkpoint_for_griffinlim(
    recording: Path, tmp_path: Path
) -> None:
    resynthesize_file(Path("griffinlim"), recording, tmp_path / "copy.wav", seed=0)
    wav, rate = load_wav(tmp_path / "copy.wav")
    assert rate == MelSpec.preset("hifigan").sample_rate == 22050
    spectrum = np.abs(np.fft.rfft(wav * np.hanning(len(wav))))
    pitch = 200 * 2 ** (3 / 5)
    assert float(np.argmax(spectrum)) * rate / len(wav) == pytest.approx(pitch, abs=15)


def test_the_same_seed_writes_the_same_bytes(recording: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        resynthesize_file(Path("griffinlim"), recording, tmp_path / f"{name}.wav", seed=seed)
    a, b, c = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert a == b != c


def test_copy_names_a_recording_that_is_too_short(checkpoint: Path, tmp_path: Path) -> None:
    save_wav(tmp_path / "click.wav", np.ones(10, np.float32), 8000)
    with pytest.raises(WavewrightError, match=r"click\.wav: .*10 samples is too short"):
        resynthesize_file(checkpoint, tmp_path / "click.wav", tmp_path / "out.wav", seed=0)


def test_a_folder_that_is_not_there_is_named(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"no/out\.wav: could not be written"):
        resynthesize_file(Path("griffinlim"), recording, tmp_path / "no" / "out.wav", seed=0)


def test_open_vocoder_tells_names_from_places(checkpoint: Path, tmp_path: Path) -> None:
    assert open_vocoder(Path("griffinlim")).name == create_vocoder("griffinlim").name
    assert open_vocoder(checkpoint).name == "hifigan"
    with pytest.raises(WavewrightError, match="'hifigan:v1' must be trained first"):
        open_vocoder(Path("hifigan:v1"))
    with pytest.raises(UnknownName, match="has no variant 'v9'"):
        open_vocoder(Path("hifigan:v9"))
    with pytest.raises(WavewrightError, match="no such checkpoint"):
        open_vocoder(tmp_path / "nowhere")
