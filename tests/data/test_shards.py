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

from wavewright.data.shards import (
    Array,
    ShardDamage,
    ShardHeader,
    Shards,
    append_shards,
    repair_shards,
    shard_plan,
    verify_shards,
    write_shard,
    write_shards,
)
from wavewright.errors import Locked, WavewrightError
from wavewright.mel.spec import MelSpec

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
    """Load as `audio` does, leaving a trace of every call; one utterance cannot be loaded."""
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


def write_flac(folder: Path, **options: Any) -> Path:
    return write_audio(folder, encoding="flac", **options)


@pytest.mark.parametrize("write", [write_audio, write_flac, write_mels])
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
    write_shard(tmp_path / "m", 9, [("a", np.ones((80, 1), np.float32))], ShardHeader(RATE, MEL))


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


@pytest.mark.slow
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
    write_shard(folder, 0, [("w00", audio("w99"))], ShardHeader(RATE, None))
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
        write_shard(tmp_path, 0, [("a", array)], ShardHeader(RATE, spec))
    assert not (tmp_path / "shard-00000.tar").exists()


def test_an_illegal_id_reaches_no_archive(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"utterance id '\.\./a' is not allowed"):
        write_shard(tmp_path, 0, [("../a", audio("u00"))], ShardHeader(RATE, None))


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"no index\.parquet"):
        Shards(tmp_path)
    (tmp_path / "index.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(WavewrightError, match=r"index\.parquet: not an index of ours"):
        Shards(tmp_path)


def test_workers_get_the_place_and_read_for_themselves(tmp_path: Path) -> None:
    shards = Shards(write_audio(tmp_path / "a", shard_size=2))
    shards.array("u00")
    sent = pickle.dumps(shards)
    assert len(sent) < 400, "an index of millions of rows must not be sent to every worker"
    np.testing.assert_array_equal(pickle.loads(sent).array("u05"), audio("u05"))


def of_pitch(utterance: str, pitch: float) -> Array:
    """Called with an utterance and what the mapping says of it."""
    wave: Array = 9000 * np.sin(pitch * np.arange(40_000 + int(utterance[1:])))
    return wave.astype(np.int16)


def damage(path: Path, place: int = 700) -> None:
    """Change one bit and keep the size."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


def test_flac_comes_back_bit_for_bit_in_less_space_and_in_crops(tmp_path: Path) -> None:
    pitches = {f"u{i:02d}": 0.01 + 0.003 * i for i in range(4)}
    plain = Shards(write_audio(tmp_path / "plain", ids=pitches, load=of_pitch))
    flac = Shards(write_flac(tmp_path / "flac", ids=pitches, load=of_pitch))
    assert (plain.encoding, flac.encoding) == ("pcm16", "flac")
    for utterance, pitch in pitches.items():
        whole = of_pitch(utterance, pitch)
        np.testing.assert_array_equal(flac.array(utterance), whole)
        assert flac.length(utterance) == len(whole)
        for start, stop in ((0, 5), (4095, 4098), (20_000, 28_192), (39_999, 40_000), (7, 7)):
            np.testing.assert_array_equal(flac.crop(utterance, start, stop), whole[start:stop])
    sizes = [(folder / "shard-00000.tar").stat().st_size for folder in (plain.folder, flac.folder)]
    assert sizes[1] < 0.6 * sizes[0]
    with tarfile.open(flac.folder / "shard-00000.tar") as tar:
        assert tar.getnames() == ["u00.flac", "u01.flac", "u02.flac"]


def test_a_crop_reads_little_of_its_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PCM16: its own bytes only. FLAC: the frames around it, not the file."""
    asked: list[int] = []
    real = Shards._read

    def read(shards: Shards, shard: str, offset: int, size: int) -> bytes:
        asked.append(size)
        return real(shards, shard, offset, size)

    monkeypatch.setattr(Shards, "_read", read)
    noise = np.random.default_rng(0).integers(-9000, 9000, 4_000_000, dtype=np.int16)
    for write, most in ((write_audio, 200), (write_flac, 1_000_000)):
        folder = write(tmp_path / write.__name__, ids=["u00"], load=lambda _: noise)
        asked.clear()
        found = Shards(folder).crop("u00", 3_000_000, 3_000_100)
        np.testing.assert_array_equal(found, noise[3_000_000:3_000_100])
        assert sum(asked) <= most


def test_a_task_is_sent_its_own_part_only(tmp_path: Path) -> None:
    class Once(dict[str, float]):
        def __reduce__(self) -> Any:
            raise AssertionError("the whole mapping was pickled")

    pitches = Once((f"u{i:02d}", 0.01 * i) for i in range(7))
    one = contents(write_audio(tmp_path / "one", ids=pitches, load=of_pitch))
    assert contents(write_audio(tmp_path / "two", ids=pitches, load=of_pitch, jobs=2)) == one


def test_features_lie_in_shards_like_those_of_the_audio(tmp_path: Path) -> None:
    sounds = write_audio(tmp_path / "a", ids=IDS[2:], shard_size=2)
    append_shards(sounds, IDS[:2], audio)
    mels = write_mels(tmp_path / "m", like=sounds)
    assert list(Shards(mels).members()) == list(Shards(sounds).members())
    assert Shards(mels).shard_of("u00") == "shard-00003.tar"
    some = write_mels(tmp_path / "s", like=sounds, ids=["u00", "u05"])
    found = dict(Shards(some).members())
    assert found == {"shard-00001.tar": ["u05"], "shard-00003.tar": ["u00"]}
    with pytest.raises(WavewrightError, match="holds no utterance 'u07'"):
        write_mels(tmp_path / "n", like=sounds, ids=[*IDS, "u07"])


def test_streaming_gives_everything_in_order(tmp_path: Path) -> None:
    for write, make in ((write_audio, audio), (write_flac, audio), (write_mels, mel)):
        found = list(Shards(write(tmp_path / write.__name__)).stream())
        assert [utterance for utterance, _ in found] == IDS
        for utterance, array in found:
            np.testing.assert_array_equal(array, make(utterance))


def test_a_shuffled_stream_depends_on_its_seed_only(tmp_path: Path) -> None:
    ids = [f"u{i:02d}" for i in range(60)]
    shards = Shards(write_audio(tmp_path / "a", ids=ids, shard_size=5))

    def order(seed: Any, buffer: int = 8) -> list[str]:
        found = list(shards.stream(seed=seed, buffer=buffer))
        for utterance, array in found:
            np.testing.assert_array_equal(array, audio(utterance))
        return [utterance for utterance, _ in found]

    first = order((1, 0))
    assert sorted(first) == ids
    assert first == order((1, 0))
    assert first != order((1, 1))
    assert abs(np.corrcoef([ids.index(i) for i in first], range(60))[0, 1]) < 0.5
    unbuffered = order(3, buffer=1)
    assert unbuffered != ids, "the shards themselves change places"
    assert unbuffered[:5] == sorted(unbuffered[:5])


def test_a_stream_stops_at_a_damaged_shard(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a")
    tar = folder / "shard-00001.tar"
    with tarfile.open(tar) as file:
        tar_end = file.getmembers()[2].offset
    with tar.open("r+b") as file:
        file.truncate(tar_end)  # on a member's border: tarfile would say nothing
    found = Shards(folder).stream()
    assert [next(found)[0] for _ in range(3)] == IDS[:3]
    with pytest.raises(WavewrightError, match=r"shard-00001\.tar: is not as the index says"):
        next(found)
    assert verify_shards(folder) == [
        ShardDamage("shard-00001.tar", "was cut short: 2 of its 3 utterances are there")
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_append_adds_shards_and_touches_none(tmp_path: Path, jobs: int) -> None:
    folder = write_audio(tmp_path / "a", ids=IDS[1:5])
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("*.tar")}
    reader = Shards(folder)
    append_shards(folder, ["u00", "u05", "u06"], audio, shard_size=2, jobs=jobs)
    for name, place in before.items():
        assert ((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) == place
    grown = Shards(folder)
    assert grown.ids == IDS
    assert [ids for _, ids in grown.members()][2:] == [["u00", "u05"], ["u06"]]
    for utterance in IDS:
        np.testing.assert_array_equal(grown.array(utterance), audio(utterance))
    assert reader.ids == IDS[1:5], "who had opened it goes on with what there was"
    assert verify_shards(folder) == []
    assert {p.suffix for p in folder.iterdir()} == {".tar", ".parquet"}
    with pytest.raises(WavewrightError, match="holds u00, u06 already"):
        append_shards(folder, ["u00", "u99", "u06"], audio)


def test_an_interrupted_append_shows_nothing_and_goes_on(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a", ids=IDS[:3])
    traces = tmp_path / "traces"
    traces.mkdir()
    load = partial(counted, folder=traces, broken="u06")
    with pytest.raises(WavewrightError, match="u06: cannot be loaded"):
        append_shards(folder, IDS[3:], load, shard_size=2)
    assert Shards(folder).ids == IDS[:3]
    (traces / "loaded-u03").unlink()
    append_shards(folder, IDS[3:], partial(counted, folder=traces), shard_size=2)
    assert Shards(folder).ids == IDS
    assert not (traces / "loaded-u03").exists()


def test_repair_makes_damaged_and_missing_shards_again(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a")
    whole = contents(folder)
    assert repair_shards(folder, audio) == []
    damage(folder / "shard-00001.tar")
    (folder / "shard-00002.tar").unlink()
    wanted = [
        ShardDamage("shard-00001.tar", "was changed: its sha256 is another"),
        ShardDamage("shard-00002.tar", "is missing"),
    ]
    assert verify_shards(folder, jobs=2) == wanted
    assert repair_shards(folder, audio, jobs=2) == wanted
    assert contents(folder) == whole


def test_repair_refuses_a_source_that_has_changed(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a")
    damage(folder / "shard-00001.tar")
    damaged = contents(folder)
    with pytest.raises(WavewrightError, match=r"00001\.tar: .* so its source has changed"):
        repair_shards(folder, lambda utterance: audio(utterance) // 2)
    assert contents(folder) == damaged, "what was there is left as it was"


def test_writing_again_mends_what_is_damaged_and_keeps_the_rest(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a")
    whole = contents(folder)
    damage(folder / "shard-00000.tar")
    traces = tmp_path / "traces"
    traces.mkdir()
    write_audio(folder, load=partial(counted, folder=traces))
    assert sorted(p.name for p in traces.iterdir()) == [f"loaded-{u}" for u in IDS[:3]]
    assert contents(folder) == whole


@pytest.mark.parametrize("change", [{"ids": IDS[1:]}, {"shard_size": 2}, {"encoding": "flac"}])
def test_what_is_published_is_not_written_over(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_audio(tmp_path / "a")
    before = contents(folder)
    with pytest.raises(WavewrightError, match="holds shards of other utterances"):
        write_audio(folder, **change)
    assert contents(folder) == before


def test_two_writers_of_one_folder_are_one_too_many(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a", ids=IDS[:3])

    def load(utterance: str) -> Array:
        with pytest.raises(Locked, match="another process writes shards here"):
            append_shards(folder, ["u09"], audio)
        return audio(utterance)

    append_shards(folder, ["u08"], load)
    assert Shards(folder).ids == [*IDS[:3], "u08"]


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="'u01' is given more than once"):
        write_audio(tmp_path / "a", ids=["u00", "u01", "u01"])


def test_ids_with_dots_stay_samples_of_their_own_for_webdataset(tmp_path: Path) -> None:
    """It takes what comes before a name's first dot as the sample's key."""
    ids = {"p1.01": 0.1, "p1.02": 0.2, "p1": 0.3}
    folder = tmp_path / "a"
    write_shards(folder, ids, lambda _, pitch: of_pitch("u00", pitch), mel=None, sample_rate=RATE)
    with tarfile.open(folder / "shard-00000.tar") as tar:
        keys = [name.partition(".")[0] for name in tar.getnames()]
    assert keys == ["p1", "p1%2E01", "p1%2E02"]
    shards = Shards(folder)
    assert shards.ids == ["p1", "p1.01", "p1.02"]
    np.testing.assert_array_equal(shards.array("p1.02"), of_pitch("u00", 0.2))


def test_an_empty_folder_of_shards_is_one(tmp_path: Path) -> None:
    folder = write_audio(tmp_path / "a", ids=[])
    assert Shards(folder).ids == []
    assert "u00" not in Shards(folder)
    assert list(Shards(folder).stream(seed=1)) == []
    append_shards(folder, ["u00"], audio)
    assert Shards(folder).ids == ["u00"]
