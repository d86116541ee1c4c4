"""Training crops: a batch is a function of the step, and its waveform and mel belong together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import tiny
from wavewright.audio.files import from_pcm16
from wavewright.audio.filters import apply_filters
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel, silent_mel
from wavewright.models.batch import Batch
from wavewright.training.crops import CropData

HOP = tiny.SPEC.hop_length


@pytest.fixture(scope="module")
def audio_and_mels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shards, Shards]:
    return tiny.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def raised_mels(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """The same mels, every value one higher, as if an acoustic model had made them."""
    return tiny.corpus(tmp_path_factory.mktemp("raised"), shift=1.0)[1]


def crops(shards: tuple[Shards, Shards], **options: object) -> CropData:
    settings = {"segment_length": 32 * HOP, "batch_size": 2, "seed": 5, **options}
    return CropData(*shards, tiny.IDS, **settings)  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    return a.ids == b.ids and torch.equal(a.wav, b.wav) and torch.equal(a.mel, b.mel)


def test_a_batch_has_the_shapes_that_its_spec_says(audio_and_mels: tuple[Shards, Shards]) -> None:
    data = crops(audio_and_mels)
    assert len(data) == 3
    batch = data.batch(0)
    assert batch.wav.shape == (2, 32 * HOP)
    assert batch.mel.shape == (2, 8, 32)
    assert (batch.wav.dtype, batch.mel.dtype) == (torch.float32, torch.float32)
    assert len(batch.ids) == 2


def test_a_batch_depends_on_seed_and_step_alone(audio_and_mels: tuple[Shards, Shards]) -> None:
    first, second = crops(audio_and_mels), crops(audio_and_mels)
    batches = [first.batch(step) for step in range(12)]
    for step in (11, 0, 7, 3):
        assert same(second.batch(step), batches[step]), "in any order, from any instance"
    assert not any(
        same(crops(audio_and_mels, seed=6).batch(step), batches[step]) for step in range(12)
    )


def test_the_order_of_the_ids_does_not_matter(audio_and_mels: tuple[Shards, Shards]) -> None:
    turned = CropData(
        *audio_and_mels, tiny.IDS[::-1], segment_length=32 * HOP, batch_size=2, seed=5
    )
    assert same(turned.batch(4), crops(audio_and_mels).batch(4))


def test_an_epoch_sees_every_utterance_once_and_in_a_new_order(
    audio_and_mels: tuple[Shards, Shards],
) -> None:
    data = crops(audio_and_mels)
    epochs = [[id_ for step in range(3) for id_ in data.batch(3 * e + step).ids] for e in range(4)]
    assert all(sorted(epoch) == tiny.IDS for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_crops_move_from_epoch_to_epoch(audio_and_mels: tuple[Shards, Shards]) -> None:
    data = crops(audio_and_mels)
    of_one = [
        batch.wav[batch.ids.index("tone5")].numpy().tobytes()
        for batch in map(data.batch, range(24))
        if "tone5" in batch.ids
    ]
    assert len(of_one) == 8
    assert len(set(of_one)) > 4


def test_waveform_and_mel_are_of_the_same_place(audio_and_mels: tuple[Shards, Shards]) -> None:
    """Away from the crop's edges, the mel of the cropped waveform is the cropped mel."""
    data = crops(audio_and_mels)
    for step in range(6):
        batch = data.batch(step)
        again = log_mel(batch.wav, tiny.SPEC)
        torch.testing.assert_close(
            again[..., 2:-2], batch.mel[..., 2:-2], rtol=0, atol=1e-3, msg=f"step {step}"
        )


def test_a_crop_is_a_piece_of_the_recording(audio_and_mels: tuple[Shards, Shards]) -> None:
    batch = crops(audio_and_mels).batch(1)
    for utterance, wav in zip(batch.ids, batch.wav.numpy(), strict=True):
        whole = from_pcm16(tiny.tone(utterance))
        starts = range(0, len(whole) - len(wav) + 1, HOP)
        assert any(np.array_equal(whole[s : s + len(wav)], wav) for s in starts)


def test_crops_of_what_a_vocoder_learns_are_pieces_of_the_whole(tmp_path: Path) -> None:
    """Steps on the waveform see what lies before the crop."""
    around = {
        "wav_steps": [{"step": "highpass", "cutoff": 300.0, "taps": 31}],
        "target_steps": [
            {"step": "preemphasis", "coefficient": 0.9},
            {"step": "gain", "factor": 0.5},
        ],
    }
    spec = MelSpec.model_validate({**tiny.SPEC.model_dump(), **around})
    audio, _ = tiny.corpus(tmp_path)
    load = partial(tiny.mel, spec=spec)
    write_shards(tmp_path / "steps", tiny.IDS, load, mel=spec, sample_rate=spec.sample_rate)
    data = crops((audio, Shards(tmp_path / "steps")), batch_size=6)
    found = 0
    for batch in map(data.batch, range(4)):
        for utterance, wav in zip(batch.ids, batch.wav.numpy(), strict=True):
            natural = torch.from_numpy(from_pcm16(tiny.tone(utterance)))
            whole = apply_filters(natural, (*spec.wav_steps, *spec.target_steps), 8000).numpy()
            starts = range(0, len(whole) - len(wav) + 1, HOP)
            near = [np.abs(whole[s : s + len(wav)] - wav).max() for s in starts]
            assert min(near) < 1e-6
            found += int(np.argmin(near)) > 3  # not only crops from the very beginning
    assert found > 3


def test_short_utterances_are_padded_with_silence(audio_and_mels: tuple[Shards, Shards]) -> None:
    data = crops(audio_and_mels, segment_length=200 * HOP, batch_size=6)
    batch = data.batch(0)
    for utterance, wav, mel in zip(batch.ids, batch.wav, batch.mel, strict=True):
        frames = len(tiny.tone(utterance)) // HOP
        assert frames < 200
        np.testing.assert_array_equal(mel[:, :frames], tiny.mel(utterance)[:, :frames])
        assert bool((mel[:, frames:] == torch.from_numpy(silent_mel(tiny.SPEC, 1))).all())
        assert bool(wav[: frames * HOP].any())
        assert not bool(wav[frames * HOP :].any())


def test_a_batch_may_be_larger_than_the_corpus(audio_and_mels: tuple[Shards, Shards]) -> None:
    data = crops(audio_and_mels, batch_size=14)
    assert len(data) == 1
    batch = data.batch(3)
    assert len(batch.ids) == 14
    counts = [batch.ids.count(id_) for id_ in tiny.IDS]
    assert sorted(counts) == [2, 2, 2, 2, 3, 3]
    twice = [i for i, id_ in enumerate(batch.ids) if id_ == "tone5"]
    pieces = {batch.wav[i].numpy().tobytes() for i in twice}
    assert len(pieces) > 1, "the same utterance twice is cropped twice"


def test_later_mels_are_used_from_their_step_on(
    audio_and_mels: tuple[Shards, Shards], raised_mels: Shards
) -> None:
    natural = crops(audio_and_mels)
    both = crops(audio_and_mels, later_mels=raised_mels, switch_at=4)
    assert same(both.batch(3), natural.batch(3))
    for step in (4, 5, 9):
        late, early = both.batch(step), natural.batch(step)
        assert late.ids == early.ids
        assert torch.equal(late.wav, early.wav)
        torch.testing.assert_close(late.mel, early.mel + 1)


def test_a_mel_with_one_frame_more_or_less_is_cut_to_the_audio(
    audio_and_mels: tuple[Shards, Shards], tmp_path: Path
) -> None:
    """A `center` mel has a frame beyond the audio; a GTA mel may miss one."""
    audio, _ = audio_and_mels
    center = tiny.SPEC.model_copy(update={"framing": "center"})

    def longer(utterance: str) -> np.ndarray:
        mel = log_mel(torch.from_numpy(from_pcm16(tiny.tone(utterance))), center).numpy()
        return np.asarray(mel, dtype=np.float32)

    write_shards(tmp_path, tiny.IDS, longer, mel=center, sample_rate=8000)
    data = CropData(
        audio, Shards(tmp_path), tiny.IDS, segment_length=400 * HOP, batch_size=6, seed=1
    )
    batch = data.batch(0)
    for utterance, mel in zip(batch.ids, batch.mel, strict=True):
        frames = len(tiny.tone(utterance)) // HOP
        np.testing.assert_array_equal(mel[:, :frames], longer(utterance)[:, :frames])
        assert bool((mel[:, frames:] == torch.from_numpy(silent_mel(center, 1))).all())


@pytest.mark.parametrize("framing", ["center", "hop"])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("frames", [8, 32, 200])
def test_computed_mels_are_those_of_the_whole_recording(
    tmp_path: Path, framing: str, pad_mode: str, frames: int
) -> None:
    """At the beginning, in the middle, at the end, and of utterances shorter than a crop."""
    spec = tiny.SPEC.model_copy(update={"framing": framing, "pad_mode": pad_mode})
    audio, _ = tiny.corpus(tmp_path / "corpus")
    load = partial(tiny.mel, spec=spec)
    write_shards(tmp_path / "mels", tiny.IDS, load, mel=spec, sample_rate=spec.sample_rate)
    settings = {"segment_length": frames * HOP, "batch_size": 6}
    stored = crops((audio, Shards(tmp_path / "mels")), **settings)
    computed = crops((audio, Shards(tmp_path / "mels")), compute_mels=True, **settings)
    for step in range(8):
        expected, found = stored.batch(step), computed.batch(step).to(torch.device("cpu"))
        assert type(found) is Batch
        assert (found.ids, found.seeds) == (expected.ids, expected.seeds)
        assert torch.equal(found.wav, expected.wav)
        torch.testing.assert_close(found.mel, expected.mel, rtol=0, atol=1e-4)


def test_mels_after_steps_on_the_waveform_are_not_computed(tmp_path: Path) -> None:
    steps = {"wav_steps": [{"step": "gain", "factor": 0.5}]}
    spec = MelSpec.model_validate({**tiny.SPEC.model_dump(), **steps})
    audio, _ = tiny.corpus(tmp_path / "corpus")
    load = partial(tiny.mel, spec=spec)
    write_shards(tmp_path / "mels", tiny.IDS, load, mel=spec, sample_rate=spec.sample_rate)
    with pytest.raises(WavewrightError, match=r"compute_mels cannot make mels after wav_steps \(g"):
        crops((audio, Shards(tmp_path / "mels")), compute_mels=True)


def test_gta_mels_are_read_even_where_natural_ones_are_computed(
    audio_and_mels: tuple[Shards, Shards], raised_mels: Shards
) -> None:
    read = crops(audio_and_mels, later_mels=raised_mels, switch_at=2)
    both = crops(audio_and_mels, later_mels=raised_mels, switch_at=2, compute_mels=True)
    for step in (2, 5):
        assert same(both.batch(step), read.batch(step))


@pytest.mark.parametrize("shares", [1, 2, 3, 6])
def test_shares_make_up_the_batch(audio_and_mels: tuple[Shards, Shards], shares: int) -> None:
    data = crops(audio_and_mels, batch_size=6)
    whole = data.batch(4)
    parts = [data.batch(4, share, shares) for share in range(shares)]
    for slot in range(6):
        part, row = parts[slot % shares], slot // shares
        assert part.ids[row] == whole.ids[slot]
        assert part.seeds[row] == whole.seeds[slot]
        assert torch.equal(part.wav[row], whole.wav[slot])
        assert torch.equal(part.mel[row], whole.mel[slot])


def test_several_crops_of_an_utterance(audio_and_mels: tuple[Shards, Shards]) -> None:
    data = crops(audio_and_mels, batch_size=6, crops_per_utterance=3)
    assert len(data) == 3, "an epoch draws from every utterance once"
    batches = [data.batch(step) for step in range(3)]
    drawn = [sorted(set(batch.ids)) for batch in batches]
    assert sorted(id_ for ids in drawn for id_ in ids) == tiny.IDS
    for batch in batches:
        assert all(batch.ids.count(id_) == 3 for id_ in batch.ids)
        assert len({wav.numpy().tobytes() for wav in batch.wav}) > 2
    with pytest.raises(WavewrightError, match="6 is not a multiple of crops_per_utterance 4"):
        crops(audio_and_mels, batch_size=6, crops_per_utterance=4)


def test_impossible_requests_are_refused(
    audio_and_mels: tuple[Shards, Shards], tmp_path: Path
) -> None:
    audio, mels = audio_and_mels
    with pytest.raises(WavewrightError, match=r"1000 is not a multiple of .* 16; nearest: 992"):
        crops(audio_and_mels, segment_length=1000)
    with pytest.raises(WavewrightError, match="no utterances to train on"):
        CropData(audio, mels, [], segment_length=HOP, batch_size=1, seed=0)
    with pytest.raises(WavewrightError, match="holds audio where mels are expected"):
        CropData(audio, audio, tiny.IDS, segment_length=HOP, batch_size=1, seed=0)
    other = tiny.SPEC.model_copy(update={"fmax": 3000.0})
    write_shards(tmp_path / "other", tiny.IDS, tiny.mel, mel=other, sample_rate=8000)
    with pytest.raises(MelMismatch, match=r"fmax 4000\.0 vs 3000\.0"):
        crops(audio_and_mels, later_mels=Shards(tmp_path / "other"))
    write_shards(tmp_path / "slow", tiny.IDS, tiny.tone, mel=None, sample_rate=4000)
    with pytest.raises(WavewrightError, match=r"audio at 4000 Hz, but the mels in .* 8000 Hz"):
        crops((Shards(tmp_path / "slow"), mels))
