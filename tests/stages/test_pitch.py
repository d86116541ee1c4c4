"""The stage pitch and its file: F0 at the centers of the mel's frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.reports import write_prepared
from wavewright.data.pitch import PitchTracks, resample_track, write_pitch
from wavewright.data.shards import Shards
from wavewright.errors import WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.registry import create_vocoder
from wavewright.training.options import VocoderTrainingOptions
from wavewright.training.vocoder_setup import build_crops
from wavewright_stages.pitch import pitch

SPEC = MelSpec.preset("hifigan")
SPLITS = {"a-1": "train", "a-2": "train", "b-1": "dev", "bad": ""}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of buzzes around 110 to 170 Hz, and its F0 tracks."""
    folder = tmp_path_factory.mktemp("work")
    write_prepared(folder, SPEC, SPLITS)
    (folder / "pitch").mkdir()
    pitch(folder / "prepared", folder / "pitch", mel=SPEC, jobs=1)
    return folder


def test_every_usable_utterance_has_a_value_for_each_frame_of_its_mel(work: Path) -> None:
    tracks, mels = PitchTracks(work / "pitch"), Shards(work / "mels")
    assert sorted(tracks) == ["a-1", "a-2", "b-1"]
    assert tracks.mel == SPEC
    for utterance, track in tracks.items():
        assert track.dtype == np.float32
        assert len(track) == mels.length(utterance)
        voiced = track[track > 0]
        assert len(voiced) > 0.5 * len(track)
        assert 80 < voiced.min() <= voiced.max() < 190


def test_the_same_inputs_give_the_same_bytes(work: Path, tmp_path: Path) -> None:
    pitch(work / "prepared", tmp_path, mel=SPEC, jobs=2)
    name = "pitch.parquet"
    assert (tmp_path / name).read_bytes() == (work / "pitch" / name).read_bytes()


@pytest.mark.parametrize(("framing", "offset"), [("hop", 0.5), ("center", 0.0)])
def test_a_track_is_read_where_the_frames_are_centered(framing: str, offset: float) -> None:
    spec = MelSpec.preset("hifigan").model_copy(update={"framing": framing})
    track = 100 + 10 * np.arange(200) * 0.005  # 10 Hz a second
    seconds = (np.arange(40) + offset) * spec.hop_length / spec.sample_rate
    expected = np.minimum(100 + 10 * seconds, track[-1])
    np.testing.assert_allclose(resample_track(track, 0.005, spec, 40), expected, rtol=1e-5)


def test_between_voiced_and_unvoiced_the_nearer_one_counts() -> None:
    spec = MelSpec.preset("hifigan").model_copy(update={"framing": "center"})
    track = np.array([0.0, 0.0, 200.0, 200.0, 0.0])
    sampled = resample_track(track, spec.hop_length / spec.sample_rate / 0.9, spec, 5)
    assert sampled.tolist() == [0.0, 0.0, 200.0, 200.0, 0.0]


def test_crops_bring_the_f0_of_their_frames(work: Path) -> None:
    vocoder = create_vocoder("nhv", channels=16, groups=2, layers=1)
    options = VocoderTrainingOptions(seed=0, max_steps=1, batch_size=4, segment_length=16 * 256)
    data = build_crops(
        vocoder, work / "prepared", work / "mels", None, options, pitch=work / "pitch"
    )
    batch = data.batch(0)
    tracks, mels = PitchTracks(work / "pitch"), Shards(work / "mels")
    assert batch.f0 is not None
    for utterance, mel, f0 in zip(batch.ids, batch.mel, batch.f0, strict=True):
        whole = mels.array(utterance)
        place = next(
            i for i in range(whole.shape[1]) if np.array_equal(whole[:, i], mel[:, 0].numpy())
        )
        assert f0.tolist() == tracks[utterance][place : place + 16].tolist()


def test_what_is_missing_or_of_other_frames_is_named(work: Path, tmp_path: Path) -> None:
    vocoder = create_vocoder("nhv", channels=16, groups=2, layers=1)
    options = VocoderTrainingOptions(seed=0, max_steps=1, batch_size=2, segment_length=4096)
    inputs = (vocoder, work / "prepared", work / "mels", None, options)
    with pytest.raises(WavewrightError, match="'nhv' learns from F0 tracks: put the stage 'pitch'"):
        build_crops(*inputs)
    with pytest.raises(WavewrightError, match=r"pitch\.parquet: no such F0 tracks"):
        build_crops(*inputs, pitch=tmp_path)
    write_pitch(tmp_path, {"a-1": np.zeros(3, np.float32)}, MelSpec.preset("tacotron2"))
    with pytest.raises(WavewrightError, match=r"framing center.*\(hop\)"):
        build_crops(*inputs, pitch=tmp_path)
    write_pitch(tmp_path, {"a-1": np.zeros(3, np.float32)}, SPEC)
    data = build_crops(*inputs, pitch=tmp_path)
    with pytest.raises(WavewrightError, match="no F0 track of 'a-2'"):
        data.batch(0)  # of both utterances
