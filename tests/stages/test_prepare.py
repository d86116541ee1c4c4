"""The stage prepare: one row per utterance, and the audio that the row promises."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from wavewright.audio.files import Wav, from_pcm16
from wavewright.audio.loudness import decibels, measure_level
from wavewright.data.corpus.ingest import publish_corpus
from wavewright.data.corpus.utterances import CorpusUtterance, write_corpus_table
from wavewright.data.manifest import read_manifest, usable_rows
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.text.textgrid import Alignment, Interval, read_alignment, write_alignment
from wavewright_stages.prepare import prepare

MEL = MelSpec.preset("hifigan")
RATE = MEL.sample_rate
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def tone(seconds: float, amplitude: float = 0.1, rate: int = RATE, hertz: float = 500.0) -> Wav:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twenty clips: a tone between two silences, with the TextGrid that says so."""
    folder = tmp_path / "corpus"
    (folder / "wavs").mkdir(parents=True)
    (folder / "alignments").mkdir()
    lines = []
    for i, letter in enumerate(LETTERS[:20]):
        wav = np.pad(tone(0.6 + 0.01 * i), RATE // 2)
        soundfile.write(folder / f"wavs/u{i:02d}.wav", wav, RATE, subtype="PCM_16")
        end = len(wav) / RATE
        phones = (
            Interval(0, 0.5, "sil"),
            Interval(0.5, end - 0.5, "AA1"),
            Interval(end - 0.5, end, "sil"),
        )
        words = (
            Interval(0, 0.5, ""),
            Interval(0.5, end - 0.5, letter),
            Interval(end - 0.5, end, ""),
        )
        write_alignment(folder / f"alignments/u{i:02d}.TextGrid", Alignment(words, phones, end))
        lines.append(f"u{i:02d}|The letter {letter}!|The letter {letter}!\n")
    (folder / "metadata.csv").write_text("".join(lines))
    return folder


def run(corpus: Path, name: str = "prepared", **options: Any) -> Path:
    prepared = corpus.parent / name
    prepared.mkdir(exist_ok=True)
    prepare(corpus, prepared, sample_rate=22050, **{"jobs": 1, **options})
    return prepared


def table(prepared: Path) -> pd.DataFrame:
    return read_manifest(prepared / "manifest.parquet", lists=True).set_index("id", drop=False)


def cell(prepared: Path, name: str, column: str) -> Any:
    return table(prepared).loc[name, column]


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def test_as_recorded(corpus: Path) -> None:
    prepared = run(corpus)
    rows = table(prepared)
    audio = Shards(prepared / "audio")
    assert len(rows) == 20
    assert rows["split"].value_counts().to_dict() == {"train": 17, "dev": 1, "test": 2}
    assert audio.ids == sorted(rows["id"])
    assert audio.sample_rate == RATE
    original, _ = soundfile.read(corpus / "wavs/u03.wav", dtype="int16")
    assert np.array_equal(audio.array("u03"), original), "bit for bit"
    row = rows.loc["u03"]
    assert (row["samples"], row["sample_rate"]) == (len(original), RATE)
    assert (row["text"], row["normalised_text"]) == ("The letter d!", "The letter d!")
    assert (row["speaker"], row["audio"]) == ("speaker", "audio/shard-00000.tar")
    assert read_alignment(prepared / row["alignment"]).phones[1].label == "AA1"
    assert (prepared / "quarantine.csv").read_text() == "id,reason\n"


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes(corpus: Path) -> None:
    options = {"trim": "alignment", "level": "speaker", "shard_size": 4}
    one = run(corpus, "one", **options)
    two = run(corpus, "two", **options, jobs=2)
    assert len(list((one / "audio").glob("*.tar"))) == 5
    assert digest(one) == digest(two)
    assert digest(run(corpus, "one", **options)) == digest(two), "over what is there already"


def test_trimming_moves_audio_and_times_together(corpus: Path) -> None:
    prepared = run(corpus, trim="alignment", margin=0.1)
    pcm = Shards(prepared / "audio").array("u00")
    assert len(pcm) / RATE == pytest.approx(0.8, abs=1e-3)
    grid = read_alignment(prepared / "alignments/u00.TextGrid", len(pcm) / RATE)
    assert [phone.label for phone in grid.phones] == ["sil", "AA1", "sil"]
    assert (grid.phones[1].start, grid.phones[1].end) == pytest.approx((0.1, 0.7), abs=1e-4)
    loud = np.flatnonzero(np.abs(pcm) > 300)
    assert loud[0] / RATE == pytest.approx(grid.phones[1].start, abs=0.001)
    assert loud[-1] / RATE == pytest.approx(grid.phones[1].end, abs=0.001)


@pytest.mark.slow
def test_resampling_keeps_a_tone(corpus: Path) -> None:
    stereo = np.stack([tone(1.0, 0.3, 48_000), np.zeros(48_000, np.float32)], axis=1)
    soundfile.write(corpus / "wavs/u05.wav", stereo, 48_000, subtype="PCM_16")
    (corpus / "alignments/u05.TextGrid").unlink()
    left = Shards(run(corpus, "left") / "audio").array("u05").astype(np.float64)
    mean = Shards(run(corpus, "mean", channel="mean") / "audio").array("u05").astype(np.float64)
    assert len(left) == RATE
    spectrum = np.abs(np.fft.rfft(left * np.hanning(RATE)))
    assert int(spectrum.argmax()) == 500
    middle = slice(RATE // 4, RATE // 2)
    assert np.sqrt((left[middle] ** 2).mean()) / 32_768 == pytest.approx(0.3 / 2**0.5, rel=1e-3)
    assert np.sqrt((mean[middle] ** 2).mean()) / 32_768 == pytest.approx(0.15 / 2**0.5, rel=1e-3)


def test_level_of_a_speaker(corpus: Path) -> None:
    soundfile.write(corpus / "wavs/u05.wav", tone(1.0, 0.9), RATE, subtype="PCM_16")
    (corpus / "alignments/u05.TextGrid").unlink()
    prepared = run(corpus, level="speaker", target_dbfs=-11.0)
    rows, audio = table(prepared), Shards(prepared / "audio")
    levels = {name: measure_level(from_pcm16(audio.array(name)), RATE) for name in rows.id}
    train = [levels[name] for name in rows.id[rows.split == "train"] if name != "u05"]
    gain = levels["u00"].peak / 0.1
    assert all(level.peak == pytest.approx(0.1 * gain, rel=0.01) for level in train)
    assert gain > 1.2
    assert levels["u05"].peak == pytest.approx(0.95, abs=0.005), "limited, not clipped"
    assert "less_gain" in cell(prepared, "u05", "flags").split(",")
    assert cell(prepared, "u05", "gain_db") < cell(prepared, "u00", "gain_db") - 0.5


def test_an_offset_can_be_removed(corpus: Path) -> None:
    wav = tone(1.0) + np.float32(0.2)
    soundfile.write(corpus / "wavs/u05.wav", wav, RATE, subtype="PCM_16")
    prepared = run(corpus, remove_offset=True)
    assert abs(float(Shards(prepared / "audio").array("u05").mean())) < 1
    assert {"bad_alignment", "offset"} <= set(cell(prepared, "u05", "flags").split(","))


def break_some(corpus: Path) -> None:
    (corpus / "wavs/u00.wav").write_bytes(b"")
    (corpus / "wavs/u01.wav").unlink()
    data = (corpus / "wavs/u02.wav").read_bytes()
    (corpus / "wavs/u02.wav").write_bytes(data[: len(data) // 2])
    with (corpus / "metadata.csv").open("a") as file:
        file.write("../x|A|A\nu03|Other|Other\n<b>|=cmd|3 £\n")


def test_faults_are_quarantined(corpus: Path) -> None:
    break_some(corpus)
    prepared = run(corpus, max_quarantine=0.4)
    rows = table(prepared)
    faulty = rows[rows.reason != ""]
    assert list(faulty.id) == [
        "line-0000021",
        "line-0000023",
        "u00",
        "u01",
        "u02",
        "u03",
        "u03.repeat-1",
    ]
    assert (faulty.split == "").all()
    assert (faulty.samples == 0).all()
    assert (faulty.alignment == "").all()
    assert len(usable_rows(rows.reset_index(drop=True))) == 16
    assert Shards(prepared / "audio").ids == sorted(rows.id[rows.reason == ""])
    with (prepared / "quarantine.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [line["id"] for line in listed] == list(faulty.id)
    assert "cut short" in {line["id"]: line["reason"] for line in listed}["u02"]


def test_too_many_faults_stop_the_stage(corpus: Path) -> None:
    break_some(corpus)
    message = (
        r"7 of 23 .* more than the 1 that prepare\.max_quarantine=0\.01 allows.*quarantine\.csv"
    )
    with pytest.raises(WavewrightError, match=message):
        run(corpus)
    assert not (corpus.parent / "prepared/manifest.parquet").exists()
    assert len((corpus.parent / "prepared/quarantine.csv").read_text().splitlines()) == 8
    for path in (corpus / "wavs").iterdir():
        path.write_bytes(b"")
    with pytest.raises(WavewrightError, match="23 of 23"):
        run(corpus, max_quarantine=1.0)


@pytest.mark.slow
def test_lists_of_the_corpus_of_the_recipe_or_none(corpus: Path) -> None:
    (corpus / "splits").mkdir()
    (corpus / "splits/dev.txt").write_text("u01\nu02\n")
    (corpus / "splits/test.txt").write_text("u03\n")
    own = corpus.parent / "lists"
    own.mkdir()
    (own / "test.txt").write_text("u07\nu08\n")

    def held_out(**options: Any) -> tuple[list[str], list[str]]:
        rows = table(run(corpus, **options))
        return list(rows.id[rows.split == "dev"]), list(rows.id[rows.split == "test"])

    assert held_out() == (["u01", "u02"], ["u03"])
    dev, test = held_out(lists=own, dev=1)
    assert test == ["u07", "u08"]
    assert len(dev) == 1
    assert held_out(splits="hash")[1] not in (["u03"], ["u07", "u08"])


def test_repeats_of_a_held_out_text_are_left_out(corpus: Path) -> None:
    with (corpus / "metadata.csv").open("a") as file:
        file.write("v00|THE LETTER A|THE LETTER A\n")
    (corpus / "wavs/v00.wav").write_bytes((corpus / "wavs/u00.wav").read_bytes())
    (corpus / "splits").mkdir()
    (corpus / "splits/test.txt").write_text("u00\n")
    rows = table(run(corpus))
    assert rows.loc["v00", "reason"] == "left out: same text as u00, which is in test"
    assert rows.loc["v00", "split"] == ""


@pytest.mark.slow
def test_ljspeech_mini(
    shared: Path, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    publish_corpus(shared / "corpora/ljspeech-mini", corpus)
    rows = table(run(corpus, lists=root / "recipes/ljspeech/splits"))
    assert rows["split"].value_counts().to_dict() == {"train": 20, "dev": 2, "test": 2}
    assert "THE OFFICIAL SPLIT IS NOT USED" in caplog.text
    audio = Shards(tmp_path / "prepared/audio")
    original, _ = soundfile.read(corpus / "wavs/LJ001-0007.wav", dtype="int16")
    assert np.array_equal(audio.array("LJ001-0007"), original)


def test_kathleen_raw_layout_and_level(shared: Path, root: Path, tmp_path: Path) -> None:
    """A few clips in the layout of the published repository: 48 kHz stereo beside a text."""
    from wavewright.audio.files import load_wav, resample
    from wavewright_stages.download import download

    source = tmp_path / "raw" / "data"
    source.mkdir(parents=True)
    kathleen = shared / "corpora/kathleen"
    held_out = (root / "recipes/kathleen/splits/test.txt").read_text().split()[:2]
    texts = dict(
        line.split("|")[:2] for line in (kathleen / "metadata.csv").read_text().splitlines()
    )
    names = sorted({*list(texts)[:12], *held_out})
    for name in names:
        wav, rate = load_wav(kathleen / f"wavs/{name}.flac")
        stereo = np.stack([resample(wav, rate, 48_000)] * 2, axis=1)
        soundfile.write(source / f"{name}.wav", stereo, 48_000, subtype="PCM_16")
        (source / f"{name}.txt").write_text(texts[name] + "\n")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    download(corpus, source=tmp_path / "raw")
    prepared = run(
        corpus,
        lists=root / "recipes/kathleen/splits",
        level="speaker",
        trim="energy",
        remove_offset=True,
    )
    rows, audio = table(prepared), Shards(prepared / "audio")
    assert sorted(rows.id[rows.split == "test"]) == sorted(held_out)
    train = [
        measure_level(from_pcm16(audio.array(name)), RATE)
        for name in rows.id[rows.split == "train"]
    ]
    energy = sum(level.energy for level in train) / sum(level.samples for level in train)
    assert decibels(energy**0.5) == pytest.approx(-23.0, abs=0.5)
    assert max(level.peak for level in train) < 0.97


@pytest.mark.slow
def test_phones_are_in_the_time_of_the_prepared_audio(corpus: Path) -> None:
    rows = table(run(corpus, trim="alignment", margin=0.1))
    for name, row in rows.iterrows():
        assert list(row["phones"]) == ["sil", "AA1", "sil"]
        assert sum(row["phone_seconds"]) == pytest.approx(row["seconds"], abs=1e-3)
        assert row["phone_seconds"][1] == pytest.approx(0.6 + 0.01 * int(str(name)[1:]), abs=1e-3)
    (corpus / "alignments/u03.TextGrid").unlink()
    assert len(cell(run(corpus, "other"), "u03", "phones")) == 0


def test_measures_stand_in_the_table(corpus: Path) -> None:
    rows = table(run(corpus, level="utterance", target_dbfs=-20.0))
    assert rows["level_dbfs"].to_numpy() == pytest.approx(-23.0, abs=0.5)
    assert rows["peak_dbfs"].to_numpy() == pytest.approx(-20.0, abs=0.1)
    assert rows["gain_db"].to_numpy() == pytest.approx(3.0, abs=0.5)
    assert (rows["silence_share"] > 0.5).all()
    texts = rows["normalised_text"].str.len() / rows["seconds"]
    assert rows["characters_per_second"].to_numpy() == pytest.approx(texts.to_numpy())


def published(folder: Path, entries: list[CorpusUtterance]) -> Path:
    """A corpus.parquet whose audio is `all.wav`, ten seconds of a rising tone."""
    (folder / "wavs").mkdir(parents=True)
    steps = [tone(1.0, 0.1 + 0.02 * i, hertz=200.0 + 100 * i) for i in range(10)]
    soundfile.write(folder / "wavs/all.wav", np.concatenate(steps), RATE, subtype="PCM_16")
    write_corpus_table(folder, [replace(entry, audio=folder / "wavs/all.wav") for entry in entries])
    return folder


def entries(**changes: Any) -> list[CorpusUtterance]:
    return [
        CorpusUtterance(
            f"s{i}", "", "", f"speaker-{i // 2}", Path(), None, "", start=i, end=i + 1.0, **changes
        )
        for i in range(10)
    ]


def test_parts_of_a_recording_without_texts(tmp_path: Path) -> None:
    prepared = run(published(tmp_path / "corpus", entries()))
    rows, audio = table(prepared), Shards(prepared / "audio")
    assert set(rows["split"]) == {"train", "dev", "test"}
    for i in range(10):
        assert rows.loc[f"s{i}", "reason"] == ""
        wav = from_pcm16(audio.array(f"s{i}"))
        assert len(wav) == RATE
        spectrum = np.abs(np.fft.rfft(wav))
        assert int(spectrum.argmax()) == 200 + 100 * i, "one second: bins are Hz"


def test_a_part_beyond_its_recording_is_a_fault(tmp_path: Path) -> None:
    late = replace(entries()[9], start=9.5, end=11.0)
    prepared = run(published(tmp_path / "corpus", [*entries()[:9], late]), max_quarantine=0.5)
    reason = table(prepared).loc["s9", "reason"]
    assert reason == "all.wav: ends at 11.00 s, but the recording has 10.00 s"


def test_speakers_can_be_kept_apart(tmp_path: Path) -> None:
    rows = table(run(published(tmp_path / "corpus", entries()), speaker_disjoint=True))
    owners = rows.groupby("speaker")["split"].nunique()
    assert owners.max() == 1
    assert set(rows["split"]) == {"train", "dev", "test"}


def test_official_splits_of_the_corpus_are_used(tmp_path: Path) -> None:
    named = [replace(e, split="dev" if i < 2 else "test" if i < 4 else "train")
             for i, e in enumerate(entries())]  # fmt: skip
    rows = table(run(published(tmp_path / "corpus", named)))
    assert rows["split"].tolist() == ["dev"] * 2 + ["test"] * 2 + ["train"] * 6
    mixed = [replace(e, split="dev" if i % 2 else "train") for i, e in enumerate(entries())]
    source = published(tmp_path / "mixed", mixed)
    with pytest.raises(WavewrightError, match=r"speaker 'speaker-0' is in the lists of"):
        run(source, "other", speaker_disjoint=True)


def test_the_text_can_stand_in_the_id(tmp_path: Path) -> None:
    corpus = published(tmp_path / "corpus", entries())
    rows = table(run(corpus, text_pattern=r"^(s)", share_texts=True, unknown_symbols="flag"))
    assert set(rows["text"]) == set(rows["normalised_text"]) == {"s"}
    said = [replace(entry, text="Ten.", normalised="Ten.") for entry in entries()]
    told = published(tmp_path / "told", said)
    kept = table(run(told, "other", text_pattern=r"^(s)", share_texts=True))
    assert set(kept["text"]) == {"Ten."}, "what the corpus says stands"
    with pytest.raises(WavewrightError, match=r"prepare\.text_pattern '\('"):
        run(corpus, "third", text_pattern="(")


def test_the_speaker_can_stand_in_the_id(corpus: Path) -> None:
    assert set(table(run(corpus, speaker_pattern=r"^(u\d)"))["speaker"]) == {"u0", "u1"}
    with pytest.raises(WavewrightError, match="needs one group, found 0"):
        run(corpus, "other", speaker_pattern="u")


def test_a_corpus_of_few_texts(tmp_path: Path) -> None:
    same = [replace(e, text="One.", normalised="One.") for e in entries()]
    source = published(tmp_path / "corpus", same)
    with pytest.raises(WavewrightError, match=r"too few different texts|no utterance is left"):
        run(source)
    rows = table(run(source, "other", share_texts=True))
    assert (rows["reason"] == "").all()


@pytest.mark.slow
def test_flac_shards_hold_the_same_samples(corpus: Path) -> None:
    plain, packed = run(corpus), run(corpus, "packed", encoding="flac")
    for name in Shards(plain / "audio").ids:
        np.testing.assert_array_equal(
            Shards(plain / "audio").array(name), Shards(packed / "audio").array(name)
        )
    sizes = [sum(p.stat().st_size for p in (f / "audio").glob("*.tar")) for f in (plain, packed)]
    assert sizes[1] < 0.7 * sizes[0]


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(corpus: Path) -> None:
    one, two = run(corpus, shard_size=4), run(corpus, "two", shard_size=4, jobs=2)
    assert digest(one) == digest(two)
    assert (one / "report.html").is_file()


def rewrite(corpus: Path, name: str, line: str) -> None:
    lines = (corpus / "metadata.csv").read_text("utf-8").splitlines()
    changed = [line if old.startswith(f"{name}|") else old for old in lines]
    (corpus / "metadata.csv").write_text("\n".join(changed) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_text_rules_spell_out_texts_that_the_corpus_has_not_normalised(corpus: Path) -> None:
    rewrite(corpus, "u03", "u03|Dr. Fox has 3 cats.|Dr. Fox has 3 cats.")
    rewrite(corpus, "u04", "u04|It cost $3.50.")
    plain = run(corpus, "plain", max_quarantine=0.2)
    assert "'3' (DIGIT THREE)" in cell(plain, "u03", "reason")
    assert "prepare.text_rules=english" in cell(plain, "u03", "reason")
    english = run(corpus, "english", text_rules="english")
    assert cell(english, "u03", "text") == "Dr. Fox has 3 cats."
    assert cell(english, "u03", "normalised_text") == "Doctor Fox has three cats."
    spoken = "It cost three dollars and fifty cents."
    assert cell(english, "u04", "normalised_text") == spoken
    assert cell(english, "u05", "normalised_text") == cell(plain, "u05", "normalised_text")
    seconds = cell(english, "u04", "seconds")
    rate = cell(english, "u04", "characters_per_second")
    assert rate == pytest.approx(len(spoken) / seconds, rel=1e-3)


def test_text_rules_leave_a_corpuss_own_normalised_texts(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(corpus, "u03", "u03|Mrs. Fox, No. 3|Mrs. Fox, Nummer drei")
    rewrite(corpus, "u04", "u04|Mrs. Fox|Mrs. Fox")
    prepared = run(corpus, text_rules="english")
    assert cell(prepared, "u03", "normalised_text") == "Mrs. Fox, Nummer drei"
    assert cell(prepared, "u04", "normalised_text") == "Mrs. Fox"
    assert "normalised texts come with the corpus" in caplog.text


def test_text_rules_are_part_of_the_key() -> None:
    assert "text_rules" in prepare.options.model_fields
    assert "text_rules" not in prepare.unkeyed
