"""Pairing anybody's wavs: exact ids, one rate, and a reason for whatever cannot be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.reports import RATE, speech
from wavewright.audio.files import load_wav
from wavewright.data.corpus.transcripts import read_transcripts
from wavewright.errors import WavewrightError
from wavewright.evaluation.layout import wav_file
from wavewright.evaluation.pairing import Candidate, PairedFiles, pair, parse_candidate
from wavewright.metrics.mel_l1 import MelL1


def write(path: Path, wav: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, rate, subtype=subtype)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """`ref` and `mine` with the ids u0 to u3."""
    for index in range(4):
        write(tmp_path / "ref" / f"u{index}.wav", speech(index))
        write(tmp_path / "mine" / f"u{index}.wav", 0.5 * speech(index))
    return tmp_path


def paired(folder: Path, **options: object) -> PairedFiles:
    mine = Candidate("mine", "copy", folder / "mine")
    return pair(folder / "out", folder / "ref", [mine], jobs=1, **options)  # type: ignore[arg-type]


def reasons(result: PairedFiles) -> dict[str, str]:
    return {event.utterance: event.reason for event in result.events}


def test_equal_names_are_paired_and_written_as_they_are(folders: Path) -> None:
    result = paired(folders)
    assert [utterance.id for utterance in result.utterances] == ["u0", "u1", "u2", "u3"]
    assert not result.events
    wav, rate = load_wav(folders / "out" / wav_file("mine", "copy", "u2"))
    assert rate == RATE
    np.testing.assert_allclose(wav, 0.5 * speech(2), atol=1e-4)


def test_a_name_that_begins_another_is_not_taken_for_it(folders: Path) -> None:
    write(folders / "mine" / "u10.wav", speech(9))
    (folders / "mine" / "u1.wav").unlink()
    assert reasons(paired(folders)) == {
        "u1": "there is no such file",
        "u10": "no recording has this id: left out",
    }


def test_recordings_that_no_candidate_has_are_left_out_and_told(folders: Path) -> None:
    for name in ("u0", "u1"):
        (folders / "mine" / f"{name}.wav").unlink()
    result = paired(folders)
    assert [utterance.id for utterance in result.utterances] == ["u2", "u3"]
    assert {e.utterance for e in result.events if "no candidate has it" in e.reason} == {"u0", "u1"}


@pytest.mark.parametrize(
    ("wav", "rate", "subtype", "reason"),
    [
        (np.zeros(RATE), RATE, "PCM_16", "silent"),
        (np.full(RATE, np.nan), RATE, "FLOAT", "NaN"),
        (np.zeros(0), RATE, "PCM_16", "no samples"),
        (np.stack([speech(1), speech(2)], axis=1), RATE, "PCM_16", "2 channels"),
        (np.clip(20 * speech(1), -1, 1), RATE, "PCM_16", "clipped"),
        (speech(1)[::2], RATE // 2, "PCM_16", "from 22,050 Hz to 11,025 Hz"),
    ],
    ids=["silent", "nan", "empty", "stereo", "clipped", "rate"],
)
def test_odd_files_appear_with_a_reason(
    folders: Path, wav: np.ndarray, rate: int, subtype: str, reason: str
) -> None:
    write(folders / "mine" / "u1.wav", wav, rate, subtype)
    result = paired(folders)
    assert any(reason in event.reason for event in result.events)
    assert len(result.utterances) == 4


def test_a_file_that_is_no_audio_is_told_without_its_path(folders: Path) -> None:
    (folders / "mine" / "u1.wav").write_text("not audio")
    reason = reasons(paired(folders))["u1"]
    assert "not readable as audio" in reason
    assert str(folders) not in reason


def test_a_recording_that_cannot_be_read_takes_its_utterance_along(folders: Path) -> None:
    (folders / "ref" / "u1.wav").write_bytes(b"RIFF")
    result = paired(folders)
    assert [utterance.id for utterance in result.utterances] == ["u0", "u2", "u3"]
    assert "left out" in reasons(result)["u1"]


def test_everything_is_brought_to_the_lowest_rate(folders: Path) -> None:
    for index in range(4):
        write(folders / "ref" / f"u{index}.wav", np.repeat(speech(index), 2), 2 * RATE)
    result = paired(folders)
    assert result.sample_rate == RATE
    assert result.systems[0].sample_rate == 2 * RATE
    assert result.systems[1].sample_rate is None
    assert all("from 44,100 Hz to 22,050 Hz" in event.reason for event in result.events)
    reference, _ = load_wav(folders / "out" / wav_file("natural", "", "u0"))
    candidate, _ = load_wav(folders / "out" / wav_file("mine", "copy", "u0"))
    assert abs(len(reference) - len(candidate)) <= 1
    assert MelL1(band=3000)(reference, 2 * candidate, RATE) < 0.2


def test_folders_within_become_part_of_the_id(tmp_path: Path) -> None:
    for speaker in ("anna", "ben"):
        write(tmp_path / "ref" / speaker / "1.wav", speech(1))
        write(tmp_path / "mine" / speaker / "1.flac", speech(1))
    result = paired(tmp_path, speaker_of=lambda name: name.split("-")[0])
    assert [(u.id, u.speaker) for u in result.utterances] == [("anna-1", "anna"), ("ben-1", "ben")]


def test_two_files_of_one_id_are_refused(folders: Path) -> None:
    write(folders / "mine" / "u1.flac", speech(1))
    with pytest.raises(WavewrightError, match="same id 'u1'"):
        paired(folders)


def test_folders_with_nothing_in_common_are_refused(folders: Path) -> None:
    for path in (folders / "mine").iterdir():
        path.rename(path.with_name(f"gen_{path.name}"))
    with pytest.raises(WavewrightError, match=r"none of its 4 ids .*'u0'.* 'gen_u0'"):
        paired(folders)


def test_a_few_are_spread_over_all(folders: Path) -> None:
    assert [u.id for u in paired(folders, utterances=2).utterances] == ["u0", "u3"]


@pytest.mark.parametrize("text", ["nonsense", "=x", "a@sung=x", "a="])
def test_candidates_are_name_and_folder(text: str) -> None:
    with pytest.raises(WavewrightError, match="--candidate"):
        parse_candidate(text)


def test_a_candidate_may_name_its_condition() -> None:
    assert parse_candidate("hifigan:v1@tts=some/dir") == Candidate(
        "hifigan:v1", "tts", Path("some/dir")
    )


def test_two_systems_of_one_name_are_refused(folders: Path) -> None:
    twice = [Candidate(name, "copy", folders / "mine") for name in ("a:b", "a-b")]
    with pytest.raises(WavewrightError, match="'a-b'"):
        pair(folders / "out", folders / "ref", twice, jobs=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "a|Dr. X|Doctor X\nb|Two|Two\n"),
        ("metadata.csv", "a|Doctor X\nb|Two\n"),
        ("table.csv", 'id,speaker,text\na,s,"Doctor X"\nb,s,Two\n'),
        ("table.tsv", "path\ttext\nwavs/a.wav\tDoctor X\nwavs/b.wav\tTwo\n"),
        ("text", "a Doctor X\nb Two\n"),
    ],
    ids=["ljspeech", "two fields", "csv", "tsv", "kaldi"],
)
def test_transcripts_are_read_in_the_usual_forms(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_transcripts(tmp_path / name) == {"a": "Doctor X", "b": "Two"}


def test_a_file_without_transcripts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one\ntwo\n")
    with pytest.raises(WavewrightError, match="no transcript"):
        read_transcripts(tmp_path / "text")
