"""Tacotron 2 with several speakers: whose voice, through every stage that lets it speak."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support import tiny
from wavewright.acoustic import synthesis
from wavewright.acoustic.tacotron2 import Tacotron2
from wavewright.audio.files import load_wav
from wavewright.checkpoints.checkpoint import load_model, save_checkpoint
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import WavewrightError
from wavewright.evaluation.synthesize import Sentence, acoustic_mel_source
from wavewright.inference.tts import load_tts
from wavewright.inference.tts_files import synthesize_to_file
from wavewright.mel.spec import MelSpec
from wavewright.models.acoustic import TextBatch, utterance_seed
from wavewright.text.textgrid import Alignment, Interval, write_alignment
from wavewright_stages.acoustic import acoustic
from wavewright_stages.gta import gta

SPEAKERS = ("anna", "ben", "chi")
pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {**tiny.TACOTRON, "mel": tiny.SPEC, "seconds_per_symbol": 0.01}


def model(**changes: Any) -> Tacotron2:
    torch.manual_seed(3)
    return Tacotron2.create("tacotron2", **{**SMALL, **changes}).eval()


def voices(**changes: Any) -> Tacotron2:
    return model(**{"speakers": SPEAKERS, "speaker_width": 4, **changes})


def some_batch(speakers: list[int] | None) -> TextBatch:
    generator = torch.Generator().manual_seed(5)
    text = torch.randint(1, 60, (3, 9), generator=generator)
    mel = torch.randn(3, tiny.SPEC.n_mels, 25, generator=generator) - 5
    text[1, 5:], text[2, 7:], mel[1, :, 11:], mel[2, :, 18:] = 0, 0, -11.5, -11.5
    lengths, frames = torch.tensor([9, 5, 7]), torch.tensor([25, 11, 18])
    speaker = None if speakers is None else torch.tensor(speakers)
    return TextBatch(text, lengths, mel, frames, ["a", "b", "c"], speaker=speaker)


def item(batch: TextBatch, row: int) -> TextBatch:
    symbols, frames = int(batch.text_lengths[row]), int(batch.mel_lengths[row])
    assert batch.speaker is not None
    return TextBatch(
        batch.text[row : row + 1, :symbols],
        batch.text_lengths[row : row + 1],
        batch.mel[row : row + 1, :, :frames],
        batch.mel_lengths[row : row + 1],
        [batch.ids[row]],
        speaker=batch.speaker[row : row + 1],
    )


def test_without_speakers_the_network_is_the_published_one() -> None:
    plain, several = Tacotron2.create("tacotron2"), Tacotron2.create("tacotron2", speakers=SPEAKERS)
    assert plain.parameter_count() == 28_193_153
    new = several.state_dict().keys() - plain.state_dict().keys()
    assert new == {"speaker_embedding.weight"}
    # The attention LSTM, attention, decoder LSTM and the two outputs read 64 columns more.
    columns = 4 * 1024 + 128 + 4 * 1024 + 80 + 1
    assert several.parameter_count() == 28_193_153 + 64 * (3 + columns)


def test_a_batch_of_speakers_equals_its_items() -> None:
    network, batch = voices(), some_batch([2, 0, 1])
    seeds = [utterance_seed(0, id_) for id_ in batch.ids]
    together = network.teacher_force(batch, seeds)
    for row, seed in enumerate(seeds):
        alone = network.teacher_force(item(batch, row), [seed])[0]
        torch.testing.assert_close(together[row].mel, alone.mel, atol=1e-4, rtol=0)
    texts = [[5, 6, 7, 8, 9], [10, 11, 12]]
    free = network.generate_batch(texts, seeds=[1, 2], max_seconds=0.05, speakers=["chi", "ben"])
    for text, seed, name, speech in zip(texts, (1, 2), ("chi", "ben"), free, strict=True):
        alone = network.generate(text, seed=seed, max_seconds=0.05, speaker=name)
        torch.testing.assert_close(speech.mel, alone.mel, atol=1e-4, rtol=0)


def test_two_speakers_say_two_things() -> None:
    network = voices()
    first, second = (
        network.teacher_force(some_batch(who), [1, 2, 3]) for who in ([0, 1, 2], [0, 2, 2])
    )
    assert torch.equal(first[0].mel, second[0].mel)
    assert not torch.allclose(first[1].mel, second[1].mel, atol=1e-3)
    anna, ben = (network.generate([5, 6], seed=0, speaker=name).mel for name in ("anna", "ben"))
    assert anna.shape != ben.shape or not torch.allclose(anna, ben, atol=1e-3)


def test_speakers_are_asked_for_and_checked() -> None:
    network = voices()
    with pytest.raises(WavewrightError, match=r"several speakers: name one of them\. .* anna, ben"):
        network.generate([5], seed=0)
    with pytest.raises(WavewrightError, match=r"cannot speak as 'eve'\. Speakers: anna, ben, chi"):
        network.generate([5], seed=0, speaker="eve")
    with pytest.raises(WavewrightError, match="has several speakers: the batch names none"):
        network.teacher_force(some_batch(None), [1, 2, 3])
    with pytest.raises(WavewrightError, match=r"cannot speak as 'anna'\. It has one voice"):
        model().generate([5], seed=0, speaker="anna")
    many = voices(speakers=tuple(f"s{number:02d}" for number in range(20)))
    with pytest.raises(WavewrightError, match="s06, s07 and 12 more"):
        many.generate([5], seed=0)
    with pytest.raises(WavewrightError, match="different names, found anna, anna"):
        voices(speakers=("anna", "anna"))


def test_a_checkpoint_keeps_the_speakers(tmp_path: Path) -> None:
    network = voices(phonemes="arpabet", lexicon={"turn": "T ER N"})
    save_checkpoint(tmp_path, 1, network)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, Tacotron2)
    assert loaded.config == network.config
    said = [m.generate(m.encode_text("turn"), seed=0, speaker="chi").mel for m in (network, loaded)]
    assert torch.equal(*said)


def test_several_speakers_start_as_the_one_voice_there_was() -> None:
    one, several = model(), voices()
    new = several.load_partial(one)
    assert "speaker 'anna'" in new
    assert "4 columns of decoder.gate_layer.weight" in new
    before = one.teacher_force(some_batch(None), [1, 2, 3])
    after = several.teacher_force(some_batch([0, 1, 2]), [1, 2, 3])
    for expected, output in zip(before, after, strict=True):
        torch.testing.assert_close(expected.mel, output.mel, atol=1e-5, rtol=0)
    several.train()
    (update,) = several.updates(some_batch([0, 1, 2]), 0)
    update.loss.backward()  # type: ignore[no-untyped-call]
    gradient = several.decoder.decoder_rnn.weight_ih.grad
    assert gradient is not None
    assert bool((gradient[:, -4:] != 0).any())  # so that the voices can part


def test_speakers_are_known_again_by_their_names() -> None:
    source, target = voices(), voices(speakers=("dora", "ben"))
    assert target.load_partial(source) == ["speaker 'dora'"]
    ben = [each.generate([5, 6], seed=0, speaker="ben").mel for each in (source, target)]
    assert torch.equal(*ben)
    with pytest.raises(WavewrightError, match="has the speakers anna, ben, chi, this model has on"):
        model().load_partial(source)


# Through the stages


PHONES = ("sil", "HH", "AH", "L", "OW", "sil")
IDS = [f"u{number:02d}" for number in range(9)]
STAGE_SPEC = MelSpec.preset("hifigan").model_copy(update={"n_mels": 8})
FRAME = STAGE_SPEC.hop_length / STAGE_SPEC.sample_rate


def stage_mel(utterance: str) -> np.ndarray:
    number = int(utterance[1:])
    random = np.random.default_rng(number)
    return random.normal(-5, 1, (STAGE_SPEC.n_mels, 14 + number)).astype(np.float32)


def prepare(folder: Path, **changed: dict[str, str]) -> tuple[Path, Path]:
    """Three speakers; u00 to u05 train, u06 and u07 dev, u08 test. All but u05 have TextGrids."""
    prepared, mels = folder / "prepared", folder / "mels"
    prepared.mkdir()
    rows = []
    for number, id_ in enumerate(IDS):
        frames = stage_mel(id_).shape[1]
        row = {
            "id": id_,
            "audio": "audio",
            "samples": frames * STAGE_SPEC.hop_length,
            "sample_rate": STAGE_SPEC.sample_rate,
            "speaker": SPEAKERS[number % 3],
            "text": "Hello?",
            "normalised_text": "Hello?",
            "split": "train" if number < 6 else "dev" if number < 8 else "test",
            "alignment": f"{id_}.TextGrid" if number != 5 else "",
            "flags": "",
            "reason": "",
        }
        rows.append(row | changed.get(id_, {}))
        edges = [0, 2, 4, 6, 8, 12, frames]
        spans = zip(edges[:-1], edges[1:], PHONES, strict=True)
        phones = tuple(Interval(a * FRAME, b * FRAME, label) for a, b, label in spans)
        words = (Interval(2 * FRAME, 12 * FRAME, "hello"),)
        write_alignment(prepared / f"{id_}.TextGrid", Alignment(words, phones, frames * FRAME))
    write_manifest(pd.DataFrame(rows), prepared / "manifest.parquet")
    write_shards(mels, IDS, stage_mel, mel=STAGE_SPEC, sample_rate=STAGE_SPEC.sample_rate)
    return prepared, mels


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("tgt")
    return prepare(tmp_path_factory.mktemp("inputs"))


def train(inputs: tuple[Path, Path], out: Path, **options: Any) -> Path:
    config = {
        **tiny.TACOTRON,
        "phonemes": "arpabet",
        "speakers": "corpus",
        "speaker_width": 4,
        "seconds_per_symbol": 0.02,
        "aligned_attention": 1.0,
    }
    usual: dict[str, Any] = {"mel": STAGE_SPEC, "seed": 1, "batch_size": 3, "device": "cpu"}
    usual |= {"validation_utterances": 2, "spoken_utterances": 1}
    changed = options.pop("config", {})
    acoustic(*inputs, None, out, **{**usual, "config": {**config, **changed}, **options})
    return out


@pytest.fixture(scope="module")
def trained(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(inputs, tmp_path_factory.mktemp("trained"), max_steps=4)


def test_speakers_and_lexicon_are_those_of_the_training_split(
    inputs: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wavewright")
    own = {"wavewright": "W EY V R AY T"}
    network = load_model(train(inputs, tmp_path, max_steps=1, config={"lexicon": own}))
    assert isinstance(network, Tacotron2)
    assert network.speakers == SPEAKERS
    assert network.config.lexicon == {"hello": "HH AH L OW", **own}
    assert "u05 is left out of the train split: it has no TextGrid" in caplog.text
    assert "phone times known for 5 of 5 utterances" in caplog.text


def test_a_resumed_training_with_speakers_equals_one_that_was_not_stopped(
    inputs: tuple[Path, Path], trained: Path, tmp_path: Path
) -> None:
    train(inputs, tmp_path, max_steps=2)
    parts = load_model(train(inputs, tmp_path, max_steps=4)).state_dict()
    for key, value in load_model(trained).state_dict().items():
        assert torch.equal(value, parts[key]), key


def test_training_starts_from_one_voice(
    inputs: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wavewright")
    one = train(inputs, tmp_path / "one", max_steps=1, config={"speakers": []})
    still = {"learning_rate": 1e-12}
    several = train(inputs, tmp_path / "many", max_steps=1, init_from=one, config=still)
    assert "what is new to it: speaker 'anna', speaker 'ben'" in caplog.text
    embedding = load_model(several).get_parameter("embedding.weight")
    torch.testing.assert_close(embedding, load_model(one).get_parameter("embedding.weight"))
    with pytest.raises(WavewrightError, match=r"many: the checkpoint has the speakers anna"):
        train(inputs, tmp_path / "x", max_steps=1, init_from=several, config={"speakers": []})


@pytest.mark.parametrize(("utterance", "split"), [("u06", "dev"), ("u08", "test")])
def test_speakers_who_are_not_trained_on_are_refused(
    tmp_path: Path, utterance: str, split: str
) -> None:
    pytest.importorskip("tgt")
    inputs = prepare(tmp_path, **{utterance: {"speaker": "eve"}})
    with pytest.raises(WavewrightError, match=rf"'{utterance}' of the {split} split is .* 'eve'"):
        train(inputs, tmp_path / "out", max_steps=1)


def test_gta_mels_are_of_each_utterances_speaker_and_phones(
    inputs: tuple[Path, Path], trained: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"mel": STAGE_SPEC, "seed": 0, "jobs": 1}
    with pytest.raises(WavewrightError, match="'u05': it has no TextGrid to take phones from"):
        gta(*inputs, trained, tmp_path / "all", **options)
    gta(*inputs, trained, tmp_path / "made", on_missing="leave_out", **options)
    made = Shards(tmp_path / "made")
    assert made.ids == [id_ for id_ in IDS if id_ != "u05"]
    network = load_model(trained)
    assert isinstance(network, Tacotron2)
    mel = torch.from_numpy(stage_mel("u04"))[None]
    text = torch.tensor([network.encode_text("Hello?")])
    lengths = torch.tensor([text.shape[1]]), torch.tensor([mel.shape[2]])
    batch = TextBatch(text, lengths[0], mel, lengths[1], ["u04"], speaker=torch.tensor([1]))
    seed = utterance_seed(0, "u04")
    spoken = network.teacher_force(batch, [seed])[0].mel.numpy()
    np.testing.assert_allclose(made.array("u04"), spoken, atol=1e-4)
    other = network.teacher_force(replace(batch, speaker=torch.tensor([0])), [seed])[0].mel
    assert np.abs(made.array("u04") - other.numpy()).max() > 1e-3


def test_gta_names_a_speaker_whom_the_model_does_not_know(trained: Path, tmp_path: Path) -> None:
    inputs = prepare(tmp_path, u00={"speaker": "eve"})
    with pytest.raises(WavewrightError, match="'u00': 'tacotron2' cannot speak as 'eve'"):
        gta(*inputs, trained, tmp_path / "g", mel=STAGE_SPEC, seed=0, jobs=1, on_missing="fail")


def test_free_speech_of_the_evaluation_reads_phones_as_the_speaker(
    inputs: tuple[Path, Path], trained: Path
) -> None:
    source = acoustic_mel_source(trained, STAGE_SPEC, torch.device("cpu"), seed=0, max_seconds=0.5)
    grid = inputs[0] / "u08.TextGrid"
    said = Sentence("u08", "Never trained on?", "never trained on?", "chi", grid)
    mel = source.mel_of(said).mel
    network = load_model(trained)
    assert isinstance(network, Tacotron2)
    seed = utterance_seed(0, "u08")
    text = "{HH AH L OW}?"  # with the mark of the text
    expected = synthesis.synthesize_sentence(
        network, text, seed=seed, max_seconds=0.5, speaker="chi"
    )
    assert mel is not None
    assert np.array_equal(mel, expected.output.mel.numpy())
    for wrong, reason in (
        (said._replace(alignment=None), "no TextGrid"),
        (said._replace(speaker="eve"), "cannot speak as 'eve'"),
    ):
        given = source.mel_of(wrong)
        assert given.mel is None
        assert reason in given.remark


def test_say_takes_a_speaker(tmp_path: Path) -> None:
    network = voices(phonemes="arpabet", lexicon={"hello": "HH AH L OW"})
    save_checkpoint(tmp_path / "acoustic", 1, network)

    def say(text: str, speaker: str, acoustic: str = "acoustic") -> np.ndarray:
        out = tmp_path / "said.wav"
        voice = load_tts(tmp_path / acoustic, Path("griffinlim"), speaker=speaker)
        synthesize_to_file(text, voice, out, seed=0)
        return load_wav(out)[0]

    anna, ben = say("Hello {HH AW1 S}.", "anna"), say("Hello {HH AW1 S}.", "ben")
    assert anna.shape != ben.shape or np.abs(anna - ben).max() > 1e-3
    with pytest.raises(WavewrightError, match="name one of them"):
        say("Hello.", "")
    with pytest.raises(WavewrightError, match=r"cannot pronounce 'house' in .*\{HH AW1 S\}"):
        say("Hello house.", "anna")
    save_checkpoint(tmp_path / "one", 1, model())
    with pytest.raises(WavewrightError, match="It has one voice"):
        say("Hello.", "anna", "one")
