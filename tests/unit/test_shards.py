"""Shards: equal inputs give equal bytes, other tools can read them, half of one is never used."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from wavewright.errors import WavewrightError
from wavewright.melspec import MelSpec
from wavewright.shards import Array, Header, Shards, shard_plan, write_shard, write_shards

MEL = MelSpec.preset("hifigan")
RATE = 22050
IDS = [f"u{i:02d}" for i in range(7)]


def audio(utterance: str) -> Array:
    """Something different for every utterance, of different lengths."""
    random = np.random.default_rng(int(utterance[1:]))
    return random.integers(-32768, 32768, 500 + 37 * int(utterance[1:]), dtype=np.int16)


def mel(utterance: str, n_mels: int = 80) -> Array:
    random = np.random.default_rng(int(utterance[1:]))
    return random.standard_normal((n_mels, 5 + int(utterance[1:]))).astype(np.float32)


def counted(utterance: str, folder: Path, broken: str = "") -> Array:
    """As `audio`, leaving a trace of every call; one utterance cannot be loaded."""
    (folder / f"loaded-{utterance}").touch()
    if utterance == broken:
        raise WavewrightError(f"{utterance}: cannot be loaded")
    return audio(utterance)


def write_audio(folder: Path, **options: Any) -> Path:
    load = options.pop("load", audio)
    ids = options.pop("ids", IDS)
    options = {"mel": None, "sample_rate": RATE, "shard_size": 3, **options}
    write_shards(folder, ids, load, **options)
    return folder


def write_mels(folder: Path, **options: Any) -> Path:
    options = {"mel": MEL, "sample_rate": RATE, "shard_size": 3, **options}
    write_shards(folder, options.pop("ids", IDS), options.pop("load", mel), **options)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.mark.parametrize("write", [write_audio, write_mels])
def test_the_bytes_depend_neither_on_jobs_nor_on_order(tmp_path: Path, write: Any) -> None:
    one = contents(write(tmp_path / "one", jobs=1))
    assert sorted(one) == [
        "index.parquet",
        "shard-00000.tar",
        "shard-00001.tar",
        "shard-00002.tar",
    ]
    assert contents(write(tmp_path / "two", jobs=2)) == one
    assert contents(write(tmp_path / "turned", ids=IDS[::-1])) == one


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    shards = Shards(write_audio(tmp_path / "audio"))
    assert (shards.ids, len(shards), shards.sample_rate, shards.mel) == (IDS, 7, RATE, None)
    for utterance in IDS:
        np.testing.assert_array_equal(shards.array(utterance), audio(utterance))
        assert shards.length(utterance) == len(audio(utterance))
    shards = Shards(write_mels(tmp_path / "mels"))
    assert shards.mel == MEL
    for utterance in IDS:
        np.testing.assert_array_equal(shards.array(utterance), mel(utterance))
        assert shards.length(utterance) == mel(utterance).shape[1]
    assert "u03" in shards
    assert "v03" not in shards


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (2, 4), (4, 5), (3, 3), (0, 0)])
def test_a_crop_equals_the_slice(tmp_path: Path, start: int, stop: int) -> None:
    sounds, mels = Shards(write_audio(tmp_path / "a")), Shards(write_mels(tmp_path / "m"))
    for utterance in IDS:
        np.testing.assert_array_equal(
            sounds.crop(utterance, start, stop), audio(utterance)[start:stop]
        )
        found = mels.crop(utterance, start, stop)
        assert found.shape == (80, stop - start)
        np.testing.assert_array_equal(found, mel(utterance)[:, start:stop])


def test_one_frame_and_one_band_are_no_special_case(tmp_path: Path) -> None:
    narrow = MEL.model_copy(update={"n_mels": 1})
    write_mels(tmp_path / "m", mel=narrow, load=partial(mel, n_mels=1))
    np.testing.assert_array_equal(
        Shards(tmp_path / "m").crop("u02", 1, 4), mel("u02", n_mels=1)[:, 1:4]
    )
    write_shard(tmp_path / "m", 9, [("a", np.ones((80, 1), np.float32))], Header(RATE, MEL))


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 100_000)])
def test_a_crop_outside_is_refused(tmp_path: Path, start: int, stop: int) -> None:
    shards = Shards(write_audio(tmp_path / "a"))
    with pytest.raises(WavewrightError, match="'u00' has 500 frames or samples"):
        shards.crop("u00", start, stop)


def test_an_unknown_utterance_is_refused(tmp_path: Path) -> None:
    shards = Shards(write_audio(tmp_path / "a"))
    with pytest.raises(WavewrightError, match="holds no utterance 'nobody'"):
        shards.length("nobody")


def test_plain_tools_can_read_the_tars(tmp_path: Path) -> None:
    """One member per utterance, as WebDataset has it, and the mel's convention in the header."""
    write_audio(tmp_path / "a")
    write_mels(tmp_path / "m")
    seen = []
    for path in sorted((tmp_path / "a").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                seen.append(member.name)
                file = tar.extractfile(member)
                assert file is not None
                samples, rate = soundfile.read(io.BytesIO(file.read()), dtype="int16")
                assert rate == RATE
                np.testing.assert_array_equal(samples, audio(member.name.removesuffix(".wav")))
    assert seen == [f"{utterance}.wav" for utterance in IDS]
    with tarfile.open(tmp_path / "m" / "shard-00000.tar") as tar:
        header = json.loads(tar.pax_headers["WAVEWRIGHT.header"])
        assert MelSpec.model_validate(header["mel"]) == MEL
        file = tar.extractfile("u01.npy")
        assert file is not None
        np.testing.assert_array_equal(np.load(io.BytesIO(file.read())), mel("u01"))


def test_the_index_holds_the_hash_of_every_shard(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a")
    files = contents(folder)
    del files["index.parquet"]
    assert Shards(folder).sha256 == files


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_run_keeps_its_finished_shards(tmp_path: Path, jobs: int) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    folder = tmp_path / "a"
    with pytest.raises(WavewrightError, match="u04: cannot be loaded"):
        write_audio(folder, load=partial(counted, folder=traces, broken="u04"), jobs=jobs)
    assert not (folder / "index.parquet").exists(), "half a result is no result"
    assert (folder / "shard-00000.tar").exists()
    for trace in traces.iterdir():
        trace.unlink()
    write_audio(folder, load=partial(counted, folder=traces), jobs=jobs)
    again = {trace.name for trace in traces.iterdir()}
    assert "loaded-u04" in again
    assert "loaded-u00" not in again
    assert contents(folder) == contents(write_audio(tmp_path / "clean"))


def test_shards_left_by_other_utterances_are_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    write_shard(folder, 0, [("w00", audio("w99"))], Header(RATE, None))
    write_audio(folder)
    assert Shards(folder).ids == IDS


def test_utterances_go_to_shards_by_sorted_id() -> None:
    assert shard_plan(["b", "d", "a", "c", "e"], 2) == [["a", "b"], ["c", "d"], ["e"]]
    assert shard_plan([], 2) == []


@pytest.mark.parametrize(
    ("array", "spec", "words"),
    [
        (np.zeros(4, np.float32), None, r"int16 \(samples,\), found float32 \(4,\)"),
        (np.zeros((1, 4), np.int16), None, r"int16 \(samples,\), found int16 \(1, 4\)"),
        (np.zeros((80, 4)), MEL, r"float32 \(80, frames\), found float64 \(80, 4\)"),
        (np.zeros((4, 80), np.float32), MEL, r"float32 \(80, frames\), found float32 \(4, 80\)"),
    ],
)
def test_wrong_arrays_are_refused(
    tmp_path: Path, array: Array, spec: MelSpec | None, words: str
) -> None:
    with pytest.raises(WavewrightError, match=words):
        write_shard(tmp_path, 0, [("a", array)], Header(RATE, spec))
    assert not (tmp_path / "shard-00000.tar").exists()


def test_an_illegal_id_reaches_no_archive(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"utterance id '\.\./a' is not allowed"):
        write_shard(tmp_path, 0, [("../a", audio("u00"))], Header(RATE, None))


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"no index\.parquet"):
        Shards(tmp_path)
    (tmp_path / "index.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(WavewrightError, match=r"index\.parquet: not an index of ours"):
        Shards(tmp_path)


def test_a_shard_cut_between_members_is_noticed(tmp_path: Path) -> None:
    """tarfile reads such a file without an error."""
    folder = write_audio(tmp_path / "a")
    tar = folder / "shard-00002.tar"
    with tar.open("r+b") as file:
        file.truncate(1024)
    with pytest.raises(WavewrightError, match=r"shard-00002\.tar: ends before 'u06' does"):
        Shards(folder).array("u06")
    tar.unlink()
    with pytest.raises(WavewrightError, match=r"shard-00002\.tar: cannot be read"):
        Shards(folder).array("u06")


def test_workers_get_the_place_and_read_for_themselves(tmp_path: Path) -> None:
    shards = Shards(write_audio(tmp_path / "a", shard_size=2))
    shards.array("u00")
    sent = pickle.dumps(shards)
    assert len(sent) < 400, "an index of millions of rows must not be sent to every worker"
    np.testing.assert_array_equal(pickle.loads(sent).array("u05"), audio("u05"))
