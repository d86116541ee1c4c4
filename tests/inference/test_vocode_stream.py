"""vocode --stream: mels out of a pipe, sound as it is made, and the same as of the whole file."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch

from tests.support import tiny
from wavewright.audio.files import load_wav, streaming_wav_header, wav_writer
from wavewright.audio.wav_header import header_flags
from wavewright.checkpoints.checkpoint import save_checkpoint
from wavewright.cli import app as cli
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.inference.vocode import vocode_mel_file, vocode_mel_stream
from wavewright.mel.pipe import read_mel_chunks
from wavewright.registry import create_vocoder

MEL = tiny.mel("tone5")
FRAMES: bytes = MEL.T.astype("<f4").tobytes()
SIZE = 4 * tiny.SPEC.n_mels


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("vocoder")
    save_checkpoint(run, 7, tiny.hifigan())
    return run


def arrays(*mels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    for mel in mels:
        np.save(stream, mel)
    return stream.getvalue()


def read(data: bytes, **options: Any) -> np.ndarray:
    return np.concatenate(list(read_mel_chunks(io.BytesIO(data), tiny.SPEC, **options)), axis=1)


def trickle(data: bytes, sizes: Iterator[int]) -> BinaryIO:
    """A pipe into which a thread writes so many bytes at a time."""
    reader, writer = os.pipe()

    def write() -> None:
        place = 0
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            while place < len(data):
                place += pipe.write(data[place : place + next(sizes)]) or 0

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(reader, "rb")


def test_frames_come_out_as_they_went_in_however_the_pipe_cuts_them() -> None:
    random = np.random.default_rng(0)
    cuts = iter(lambda: int(random.integers(1, 100)), 0)
    with trickle(FRAMES, cuts) as pipe:
        result = np.concatenate(list(read_mel_chunks(pipe, tiny.SPEC)), axis=1)
    np.testing.assert_array_equal(result, MEL)


def test_arrays_may_follow_each_other() -> None:
    np.testing.assert_array_equal(read(arrays(MEL)), MEL)
    np.testing.assert_array_equal(read(arrays(MEL[:, :1], MEL[:, 1:9], MEL[:, 9:])), MEL)
    turned = arrays(MEL[:, :7].T, np.asfortranarray(MEL[:, 7:].T), MEL[:, :2].T.astype("f8"))
    result = read(turned, layout="frames_first")
    np.testing.assert_array_equal(result, np.concatenate([MEL, MEL[:, :2]], axis=1))


def test_minus_infinity_is_silence_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    mel = MEL.copy()
    mel[3, :5] = -np.inf
    result = read(arrays(mel[:, :2], mel[:, 2:]))
    np.testing.assert_allclose(result[3, :5], tiny.SPEC.silence[3], rtol=1e-6)
    assert caplog.text.count("values of -inf") == 1


WRONG = {
    "nothing": (b"", "holds no frames"),
    "less than a frame": (FRAMES[:3], "ends within a frame, 3 bytes after the last whole one"),
    "within a frame": (FRAMES[: 3 * SIZE - 4], r"28 bytes after .* 32 bytes, 8 float32 numbers"),
    "no numbers": (FRAMES[:SIZE] + b"\xff" * SIZE, r"found NaN or infinity \(after [01] frames\)"),
    "other bands": (arrays(MEL[:7]), r"expected a mel of shape \(8, frames\), found \(7, "),
    "turned": (arrays(MEL.T), "say --layout frames_first"),
    "later no numbers": (
        arrays(MEL[:, :5], MEL * np.nan),
        r"found NaN or infinity \(after 5 frames\)",
    ),
    "whole numbers": (arrays(MEL.astype(np.int16)), "must hold floating-point numbers"),
    "objects": (arrays(MEL[:, :2]) + arrays(MEL.astype(object)), "array 2: holds Python objects"),
    "a short array": (arrays(MEL)[:-8], "array 1: truncated"),
    "a short header": (arrays(MEL)[:20], "array 1: not a readable .npy header"),
    "other bytes after": (arrays(MEL) + b"words", "what follows it is no .npy array"),
    "a giant": (
        arrays(MEL).replace(f"(8, {MEL.shape[1]})".encode(), b"(8, 99999999999)"),
        "more than the 268,435,456 values",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_mel_is_refused_and_leaves_no_file(
    checkpoint: Path, tmp_path: Path, kind: str
) -> None:
    mel_source, words = WRONG[kind]
    with pytest.raises(WavewrightError, match=words) as caught:
        vocode_mel_stream(checkpoint, io.BytesIO(mel_source), tmp_path / "out.wav", seed=0)
    assert str(caught.value).startswith("standard input")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["file", "frames", "arrays"])
def test_a_stream_writes_what_the_whole_does(checkpoint: Path, tmp_path: Path, source: str) -> None:
    np.save(tmp_path / "mel.npy", MEL)
    vocode_mel_file(checkpoint, tmp_path / "mel.npy", tmp_path / "whole.wav", seed=0)
    out = tmp_path / "out.wav"
    pipes = {"frames": FRAMES, "arrays": arrays(MEL[:, :1], MEL[:, 1:])}
    mel_source = io.BytesIO(pipes[source]) if source in pipes else tmp_path / "mel.npy"
    summary = vocode_mel_stream(checkpoint, mel_source, out, seed=0)
    result, rate = load_wav(out)
    assert rate == 8000
    np.testing.assert_allclose(
        result, load_wav(tmp_path / "whole.wav")[0], rtol=0, atol=1.01 / 32768
    )
    assert summary.startswith(f"{out}: {len(result) / 8000:.2f} s of speech in ")
    assert "the first of it after" in summary
    assert not list(header_flags(out))


def test_one_that_makes_sample_after_sample_streams_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "v", 1, create_vocoder("wavernn", **tiny.SMALL["wavernn"]))
    np.save(tmp_path / "mel.npy", MEL)
    vocode_mel_file(tmp_path / "v", tmp_path / "mel.npy", tmp_path / "whole.wav", seed=3)
    vocode_mel_stream(tmp_path / "v", io.BytesIO(FRAMES), tmp_path / "out.wav", seed=3)
    a, b = (load_wav(tmp_path / f"{name}.wav")[0] for name in ("whole", "out"))
    np.testing.assert_array_equal(a, b)


def test_another_convention_is_refused_before_the_pipe_is_read(
    checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(MelMismatch, match=r"^standard input: .*wavewright doctor"):
        vocode_mel_stream(checkpoint, Unread(), tmp_path / "no.wav", seed=0, mel_preset="espnet")
    assert not list(tmp_path.iterdir())


class Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("it was read")


def test_what_cannot_stream_says_so_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="'griffinlim' does not stream"):
        vocode_mel_stream(Path("griffinlim"), io.BytesIO(FRAMES), tmp_path / "out.wav", seed=0)
    assert not list(tmp_path.iterdir())


def test_a_wav_without_a_length_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "endless.wav"
    with path.open("wb") as stream, wav_writer(stream, 8000) as write:
        for piece in np.split(np.linspace(-1, 1, 1000), 4):
            write(piece)
    assert path.read_bytes().startswith(streaming_wav_header(8000))
    wav, rate = load_wav(path)
    assert rate == 8000
    np.testing.assert_allclose(wav, np.linspace(-1, 1, 1000), atol=1.01 / 32768)
    assert list(header_flags(path)) == ["unknown_size"]


def test_a_broken_stream_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def write_all() -> None:
        with wav_writer(path, 8000) as write:
            write(np.zeros(5))
            write(np.full(3, np.nan))

    with pytest.raises(WavewrightError, match=r"a\.wav: the waveform holds NaN"):
        write_all()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Live:
    """`wavewright vocode --stream` in a process of its own, fed and heard through pipes."""

    def __init__(self, checkpoint: Path, environment: dict[str, str], *more: str) -> None:
        arguments = ["--checkpoint", str(checkpoint), "--stream", "--mel", "-", "--out", "-"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wavewright", "vocode", *arguments, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.mel, self.sound = self.process.stdin, self.process.stdout
        self.words = self.process.stderr


@pytest.mark.slow
def test_sound_comes_out_while_the_mel_still_goes_in(
    checkpoint: Path, source_environment: dict[str, str]
) -> None:
    look_ahead = tiny.hifigan().look_ahead
    assert look_ahead is not None
    live = Live(checkpoint, source_environment)
    live.mel.write(FRAMES[: (look_ahead + 1) * SIZE])
    live.mel.flush()
    assert live.sound.read(44) == streaming_wav_header(8000)
    first = live.sound.read(2 * tiny.SPEC.hop_length)  # its frame is spoken, the pipe is open
    live.mel.write(FRAMES[(look_ahead + 1) * SIZE :])
    live.mel.close()
    pcm = np.frombuffer(first + live.sound.read(), dtype="<i2")
    words = live.words.read().decode()
    assert live.process.wait() == 0
    expected = tiny.hifigan().generate(torch.from_numpy(MEL)[None])[0].numpy()
    np.testing.assert_allclose(pcm / 32768, expected, rtol=0, atol=1.01 / 32768)
    assert words.startswith("standard output: ")


@pytest.mark.slow
def test_a_listener_who_leaves_is_no_error(
    checkpoint: Path, source_environment: dict[str, str]
) -> None:
    live = Live(checkpoint, source_environment)
    live.mel.write(FRAMES[: 30 * SIZE])
    live.mel.flush()
    live.sound.read(50)
    live.sound.close()
    live.mel.write(FRAMES)
    live.mel.close()
    words = live.words.read().decode()
    assert live.process.wait() == 141
    assert words == ""


@pytest.mark.slow
def test_errors_of_a_live_stream_are_a_sentence(
    checkpoint: Path, source_environment: dict[str, str]
) -> None:
    live = Live(checkpoint, source_environment)
    live.mel.write(FRAMES[:-1])
    live.mel.close()
    received, words = live.sound.read(), live.words.read().decode()
    assert live.process.wait() == 2
    assert words.startswith("error: standard input: ends within a frame")
    assert len(received) > 44, "what could be said has been"


def test_pipes_need_a_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["vocode", "--checkpoint", "griffinlim", "--mel", "-", "--out", "a.wav"]
    monkeypatch.setattr(sys, "argv", ["wavewright", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: --mel - needs --stream\n"


def test_a_named_pipe_is_written_to_and_not_replaced(checkpoint: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    listener = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    listener.start()
    vocode_mel_stream(checkpoint, io.BytesIO(FRAMES), pipe, seed=0)
    listener.join(20)
    assert pipe.is_fifo()
    assert len(received[0]) == 44 + 2 * tiny.SPEC.hop_length * MEL.shape[1]
