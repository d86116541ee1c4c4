"""say: free text through both models into files, folders of files and pipes."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import tiny
from wavewright.audio.files import load_wav, streaming_wav_header, to_pcm16
from wavewright.checkpoints.checkpoint import load_model, load_vocoder, save_checkpoint
from wavewright.cli.app import main
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.inference.text_lines import read_text_lines, stream_text_lines
from wavewright.inference.tts import TTS, load_tts
from wavewright.inference.tts_files import synthesize_lines, synthesize_to_file
from wavewright.inference.tts_stream import fade_edges, stream_speech
from wavewright.mel.spec import StatisticsNormalisation
from wavewright.models.acoustic import AcousticModel, AcousticOutput
from wavewright.models.streamable import can_stream
from wavewright.registry import create_model, create_vocoder

PAUSE = 100 * tiny.SPEC.hop_length  # samples of 0.2 s


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("vocoder")
    save_checkpoint(run, 7, tiny.hifigan())
    return run


@pytest.fixture(scope="module")
def acoustic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("acoustic")
    torch.manual_seed(0)
    short = {"frames_per_step": 5, "seconds_per_symbol": 0.02}  # it never finds the end
    model = create_model(
        "acoustic", "tacotron2", mel=tiny.SPEC, gate_threshold=0.999, **tiny.TACOTRON, **short
    )
    save_checkpoint(run, 1, model)
    return run


@pytest.fixture
def voice(acoustic: Path, checkpoint: Path) -> TTS:
    return load_tts(acoustic, checkpoint)


@pytest.mark.slow
def test_say_speaks_through_both_models(acoustic: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.wav"
    summary = synthesize_to_file("a b", load_tts(acoustic, checkpoint), out, seed=0)
    wav, rate = load_wav(out)
    assert rate == 8000
    assert len(wav) % tiny.SPEC.hop_length == 0
    assert summary.endswith("'a b': the model did not find the end and was cut off.")


@pytest.mark.slow
def test_say_lets_griffinlim_speak_any_convention(acoustic: Path, tmp_path: Path) -> None:
    synthesize_to_file("a", load_tts(acoustic, Path("griffinlim")), tmp_path / "said.wav", seed=0)
    assert load_wav(tmp_path / "said.wav")[1] == 8000


@pytest.mark.slow
def test_say_converts_what_is_exact(acoustic: Path, tmp_path: Path) -> None:
    normalised = tiny.SPEC.model_copy(
        update={
            "log": "log10",
            "normalisation": StatisticsNormalisation(mean=(-2.0,), scale=(0.5,)),
        }
    )
    save_checkpoint(tmp_path / "own", 1, tiny.hifigan())
    save_checkpoint(tmp_path / "other", 1, tiny.hifigan(mel=normalised))
    synthesize_to_file("a b", load_tts(acoustic, tmp_path / "other"), tmp_path / "said.wav", seed=0)
    speaker = load_model(acoustic)
    assert isinstance(speaker, AcousticModel)
    speech = speaker.generate(speaker.encode_text("a b"), seed=0)
    mel = (speech.mel / np.log(10) + 2.0) / 0.5
    expected = load_vocoder(tmp_path / "other").generate(mel[None])[0].numpy()
    wav_out, _ = load_wav(tmp_path / "said.wav")
    np.testing.assert_allclose(wav_out, expected, atol=1e-4)
    synthesize_to_file("a b", load_tts(acoustic, tmp_path / "own"), tmp_path / "own.wav", seed=0)
    assert not np.array_equal(load_wav(tmp_path / "own.wav")[0], wav_out)


def test_say_compares_conventions_and_kinds(
    acoustic: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "said.wav"
    other = tiny.SPEC.model_copy(update={"fmax": 3000.0})
    save_checkpoint(tmp_path / "other", 1, tiny.hifigan(mel=other))
    with pytest.raises(
        MelMismatch, match=rf"{acoustic} and {tmp_path}/other: fmax 4000\.0 vs 3000"
    ):
        synthesize_to_file("a", load_tts(acoustic, tmp_path / "other"), out, seed=0)
    with pytest.raises(WavewrightError, match="holds the vocoder 'hifigan', no acoustic model"):
        synthesize_to_file("a", load_tts(checkpoint, checkpoint), out, seed=0)
    with pytest.raises(WavewrightError, match="holds the acoustic model 'tacotron2', not a voc"):
        synthesize_to_file("a", load_tts(acoustic, acoustic), out, seed=0)
    assert not out.exists()


@pytest.mark.slow
def test_a_text_is_spoken_in_words(voice: TTS, tmp_path: Path) -> None:
    synthesize_to_file("No. 5", voice, tmp_path / "digits.wav", seed=0)
    synthesize_to_file("number five", voice, tmp_path / "words.wav", seed=0)
    assert (tmp_path / "digits.wav").read_bytes() == (tmp_path / "words.wav").read_bytes()


def test_plain_refuses_digits_by_place(acoustic: Path, checkpoint: Path, tmp_path: Path) -> None:
    voice = load_tts(acoustic, checkpoint, rules="plain")
    with pytest.raises(WavewrightError, match=r"^character 3: cannot encode 'a 5'.*DIGIT FIVE"):
        synthesize_to_file("a 5", voice, tmp_path / "said.wav", seed=0)
    assert not (tmp_path / "said.wav").exists()


def lines_file(folder: Path, text: str) -> Path:
    (folder / "lines.txt").write_text(text, encoding="utf-8")
    return folder / "lines.txt"


def test_lines_have_ids_or_numbers(tmp_path: Path) -> None:
    path = lines_file(tmp_path, "one\n\nb | two \nLJ-1|raw 3|three\nLJ-2|raw|\n")
    assert [(line.id, line.text) for line in read_text_lines(path)] == [
        ("0001", "one"),
        ("b", "two"),
        ("LJ-1", "three"),
        ("LJ-2", "raw"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a|x\na|y\n", r"lines\.txt, line 2: the id 'a' is there already"),
        ("a/b|x\n", r"lines\.txt, line 1: .*a/b.* Lines are 'text' or 'id\|text'"),
        ("x\na| \n", r"lines\.txt, line 2: no text after 'a\|'"),
        ("\n \n", r"lines\.txt: no text in it"),
    ],
)
def test_faulty_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WavewrightError, match=message):
        read_text_lines(lines_file(tmp_path, text))


@pytest.mark.slow
def test_every_line_becomes_a_file_that_depends_on_no_other(voice: TTS, tmp_path: Path) -> None:
    path = lines_file(tmp_path, "a|No. 2. Yes.\nb|a\nc|abc. d\n")
    summary = synthesize_lines(read_text_lines(path), voice, tmp_path / "all", seed=3, batch_size=2)
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == ["a.wav", "b.wav", "c.wav"]
    assert summary.startswith(f"{tmp_path / 'all'}: 3 files, ")
    assert "\nb: 'a': the model did not find the end and was cut off." in summary
    synthesize_lines(read_text_lines(path)[:1], voice, tmp_path / "one", seed=3)
    together, alone = (load_wav(tmp_path / name / "a.wav")[0] for name in ("all", "one"))
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_nothing_is_spoken_before_all_lines_can_be(voice: TTS, tmp_path: Path) -> None:
    path = lines_file(tmp_path, "a|ok\nb|x \u6f22\nc|^\n")
    with pytest.raises(WavewrightError) as caught:
        synthesize_lines(read_text_lines(path), voice, tmp_path / "out", seed=0)
    assert f"{path}, line 2, character 3: cannot encode 'x \u6f22'" in str(caught.value)
    assert "line 3, character 1: " in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_refused(voice: TTS, tmp_path: Path) -> None:
    path = lines_file(tmp_path, "a\n")
    with pytest.raises(WavewrightError, match=r"out\.wav: lines become a folder"):
        synthesize_lines(read_text_lines(path), voice, tmp_path / "out.wav", seed=0)
    with pytest.raises(WavewrightError, match=r"lines\.txt: could not be made"):
        synthesize_lines(read_text_lines(path), voice, path, seed=0)


def test_standard_input_is_read_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))

    given(b"one\nb|two\n")
    assert [line.id for line in read_text_lines(Path("-"))] == ["0001", "b"]
    given(b"one\n\ntwo")
    assert [*stream_text_lines(Path("-"))] == [
        ("standard input, line 1", "one"),
        ("standard input, line 3", "two"),
    ]
    given(b"\xff\n")
    with pytest.raises(WavewrightError, match="standard input: not UTF-8"):
        read_text_lines(Path("-"))


class Recorder:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[np.ndarray] = []

    def __call__(self, wav: np.ndarray) -> None:
        self.pieces.append(wav)


@pytest.mark.slow
def test_sentences_arrive_one_by_one_and_join_without_clicks(
    acoustic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Non-streaming vocoders synthesize sentence by sentence."""
    voice = load_tts(acoustic, Path("griffinlim"))
    assert not can_stream(voice.vocoder)
    outlet = Recorder()
    pieces_before: list[int] = []

    def texts() -> Iterator[tuple[str, str]]:
        yield "line 1", "ab. cd."
        pieces_before.append(len(outlet.pieces))
        yield "line 2", "e"

    summary = stream_speech(texts(), voice, outlet, seed=0, name="recorder")
    assert pieces_before == [2], "the first text was heard before the second was there"
    assert len(outlet.pieces) == 3
    for piece in outlet.pieces[1:]:
        assert not piece[:PAUSE].any()
        assert piece[PAUSE:].any()
        assert abs(piece[PAUSE]) < 1e-3
    assert all(abs(piece[-1]) < 1e-3 for piece in outlet.pieces)
    assert "first sound after " in capsys.readouterr().err
    assert summary.startswith("recorder: ")
    assert summary.count("did not find the end") == 3


def test_a_vocoder_that_streams_says_the_same_as_at_once(
    acoustic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "run", 1, create_vocoder("wavernn", **tiny.SMALL["wavernn"]))
    voice = load_tts(acoustic, tmp_path / "run")
    assert can_stream(voice.vocoder)

    def speak(texts: Any, **_: Any) -> list[AcousticOutput]:
        return [
            AcousticOutput(torch.zeros(8, 5 + len(t)), torch.eye(5 + len(t)), True) for t in texts
        ]

    monkeypatch.setattr(voice.acoustic, "generate_batch", speak)
    outlet = Recorder()
    stream_speech([("", "ab. c.")], voice, outlet, seed=5, name="recorder")
    synthesize_to_file("ab. c.", voice, tmp_path / "whole.wav", seed=5)
    whole = load_wav(tmp_path / "whole.wav")[0]
    joined = np.concatenate(outlet.pieces)
    assert len(joined) == len(whole)
    assert np.abs(to_pcm16(joined).astype(int) - to_pcm16(whole)).max() <= 1


def test_a_fade_touches_only_the_ends() -> None:
    faded = fade_edges(np.ones(8000, np.float32), 8000)
    assert faded[0] == faded[-1] == 0
    assert (faded[40:-40] == 1).all()
    assert np.abs(np.diff(faded)).max() < 0.05
    assert len(fade_edges(np.ones(3, np.float32), 8000)) == 3
    assert len(fade_edges(np.ones(0, np.float32), 8000)) == 0


def run_say(
    environment: dict[str, str], *arguments: str | Path, given: str = ""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "wavewright", "say", *map(str, arguments)],
        env=environment,
        input=given.encode(),
        capture_output=True,
    )


@pytest.mark.slow
def test_the_command_streams_lines_to_a_pipe(
    source_environment: dict[str, str], acoustic: Path, checkpoint: Path, voice: TTS
) -> None:
    models = ("--acoustic", acoustic, "--vocoder", checkpoint)
    answer = run_say(source_environment, "-", *models, "--out", "-", given="ab.\nNo. 5\n")
    assert answer.returncode == 0
    outlet = Recorder()
    stream_speech([("", "ab."), ("", "No. 5")], voice, outlet, seed=0, name="recorder")
    expected = to_pcm16(np.concatenate(outlet.pieces)).astype(int)
    assert answer.stdout[:44] == streaming_wav_header(8000)
    wav_out = np.frombuffer(answer.stdout[44:], "<i2").astype(int)
    assert len(wav_out) == len(expected)
    assert np.abs(wav_out - expected).max() <= 1
    errors = answer.stderr.decode()
    assert "first sound after " in errors


def test_the_command_writes_a_folder_and_refuses_two_sources(
    acoustic: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = str(lines_file(tmp_path, "x|ab\n"))
    out = tmp_path / "wavs"

    def say(*source: str) -> None:
        models = ("--acoustic", str(acoustic), "--vocoder", str(checkpoint), "--out", str(out))
        monkeypatch.setattr(sys, "argv", ["wavewright", "say", *source, *models])
        main()

    with pytest.raises(SystemExit) as ended:
        say("--file", path)
    assert ended.value.code == 0
    assert [file.name for file in out.iterdir()] == ["x.wav"]
    assert capsys.readouterr().out.startswith(f"{out}: 1 files")
    sources: tuple[tuple[str, ...], ...] = ((), ("a", "--file", path))
    for source in sources:
        with pytest.raises(SystemExit) as ended:
            say(*source)
        assert ended.value.code == 2
        assert "either a text or --file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_leaves_no_half_file_when_it_is_interrupted(
    source_environment: dict[str, str], acoustic: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "live.wav"
    command = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from wavewright.cli.app import main; main()"
    )
    models = ("--acoustic", str(acoustic), "--vocoder", str(checkpoint))
    with subprocess.Popen(
        [sys.executable, "-c", command, "say", "-", "--stream", *models, "--out", str(out)],
        env=source_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        running.stdin.write(b"ab.\n")
        running.stdin.flush()
        assert running.stderr is not None
        lines = iter(running.stderr.readline, b"")
        assert any(line.startswith(b"first sound after ") for line in lines)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
    assert not out.exists()
