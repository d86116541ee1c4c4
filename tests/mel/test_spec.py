"""MelSpec: complete, checked, comparable, and the same on every machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from wavewright.errors import MelMismatch, UnknownName
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.registry import create_vocoder


def refusal(**changes: Any) -> str:
    """Error of the `hifigan` convention with these changes."""
    with pytest.raises(ValidationError) as caught:
        MelSpec.model_validate({"preset": "hifigan", **changes})
    first = caught.value.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fmax": 16000.0}, ["fmin < fmax <= sample_rate / 2", "16000", "11025"]),
        ({"fmin": 9000.0}, ["fmin < fmax", "9000", "8000"]),
        ({"hop_length": 0}, ["hop_length", "greater than 0"]),
        ({"hop_length": 2048}, ["hop_length 2048", "win_length 1024"]),
        ({"win_length": 2048}, ["win_length 2048", "n_fft 1024"]),
        ({"n_mels": "eighty"}, ["n_mels", "valid integer"]),
        ({"mel_scale": "bark"}, ["mel_scale", "'slaney' or 'htk'"]),
        ({"log": "log2"}, ["log", "'ln', 'log10' or 'db'"]),
        ({"floor": 0.0}, ["floor", "greater than 0"]),
        ({"floor": float("inf")}, ["floor", "finite"]),
        ({"fmin": float("nan")}, ["fmin", "finite"]),
        ({"hop_length": 255}, ["'hop'", "even", "1024", "255"]),
        ({"framing": "center", "n_fft": 1025}, ["'center'", "even", "1025"]),
        ({"power": 3}, ["power", "1 or 2"]),
        ({"normalisation": {"scale": 1.0}}, ["normalisation.range.shift", "required"]),
        (
            {"normalisation": {"scale": 1.0, "shift": 0.0, "low": 1.0, "high": 0.0}},
            ["low < high", "1 and 0"],
        ),
        (
            {"normalisation": {"mean": [0.0] * 79, "scale": [1.0]}},
            ["normalisation.mean has 79 values", "80"],
        ),
        (
            {"normalisation": {"mean": [0.0], "scale": [0.0]}},
            ["normalisation.statistics.scale.0", "greater than 0"],
        ),
        ({"layout": "BTC"}, ["layout", "'bands_first' or 'frames_first'"]),
        ({"wav_steps": [{"step": "lowpass"}]}, ["wav_steps.0", "'highpass'"]),
        (
            {"wav_steps": [{"step": "highpass", "cutoff": 12000.0}]},
            ["high-pass at 12000 Hz", "11025"],
        ),
        (
            {"target_steps": [{"step": "highpass", "cutoff": 70.0}]},
            ["target_steps", "cannot be undone", "wav_steps"],
        ),
        ({"hop_lenght": 256}, ["hop_lenght", "not permitted"]),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(
    changes: dict[str, Any], words: list[str]
) -> None:
    text = refusal(**changes)
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    ("rival", "ours"),
    [
        ("hop_size", "hop_length"),
        ("n_shift", "hop_length"),
        ("win_size", "win_length"),
        ("num_mels", "n_mels"),
        ("sampling_rate", "sample_rate"),
        ("fs", "sample_rate"),
        ("filter_length", "n_fft"),
        ("fft_size", "n_fft"),
        ("mel_fmin", "fmin"),
        ("mel_fmax", "fmax"),
    ],
)
def test_other_toolkits_names_are_explained(rival: str, ours: str) -> None:
    assert f"'{rival}' is called '{ours}' here" in refusal(**{rival: 1})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        MelSpec.model_validate({"sample_rate": 22050, "hop_length": 256, "n_mels": 80})
    assert caught.value.errors()[0]["loc"] == ("n_fft",)


def test_it_is_frozen_and_hashable() -> None:
    spec = MelSpec.preset("hifigan")
    with pytest.raises(ValidationError):
        spec.hop_length = 300
    assert hash(spec) == hash(MelSpec.preset("bigvgan-22k"))


@pytest.mark.parametrize("name", MelSpec.presets())
def test_every_preset_is_whole_and_survives_json(name: str) -> None:
    spec = MelSpec.preset(name)
    again = MelSpec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    assert MelSpec.model_validate(json.loads(json.dumps(spec.non_default_fields()))) == spec
    assert spec.differences(again) == {}


def test_an_unknown_preset_answers_with_the_nearest_and_all() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'hifigan'\?.*tacotron2"):
        MelSpec.preset("hifi-gan")


def test_a_preset_takes_changes_and_follows_the_sample_rate() -> None:
    spec = MelSpec.model_validate({"preset": "hifigan-loss", "sample_rate": 24000})
    assert spec.fmax == 12000.0, "fmax null means half the sample rate"
    assert spec.differences(MelSpec.preset("hifigan-loss")) == {
        "sample_rate": (24000, 22050),
        "fmax": (12000.0, 11025.0),
    }
    assert MelSpec.model_validate({"preset": "hifigan", "n_fft": 2048}).win_length == 1024


def test_the_window_is_as_long_as_the_transform_unless_said() -> None:
    fields = {"sample_rate": 16000, "n_fft": 512, "hop_length": 128, "n_mels": 40, "fmax": None}
    assert MelSpec.model_validate(fields).win_length == 512


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hifigan", "e13a97cc36607a98"),
        ("wavernn", "d70235cd2f833167"),
        ("r9y9", "30d7046b2d01656c"),
        ("matcha-normalised", "7128bc2e705dafb8"),
    ],
)
def test_fingerprints_never_change(name: str, expected: str) -> None:
    """Checkpoints and shards in the wild carry these."""
    spec = MelSpec.preset(name)
    assert spec.fingerprint == expected
    backwards = dict(reversed(spec.model_dump().items()))
    assert MelSpec.model_validate(backwards).fingerprint == expected


def test_every_field_enters_the_fingerprint() -> None:
    spec = MelSpec.preset("wavernn")
    changes: dict[str, Any] = {
        "sample_rate": 24000,
        "n_fft": 4096,
        "hop_length": 274,
        "win_length": 1102,
        "window_periodic": False,
        "n_mels": 81,
        "fmin": 41.0,
        "fmax": 11000.0,
        "mel_scale": "htk",
        "mel_norm": None,
        "power": 2,
        "log": "ln",
        "floor": 1e-6,
        "guard": "add",
        "magnitude_eps": 1e-9,
        "magnitude_guard": "clamp",
        "framing": "hop",
        "pad_mode": "reflect",
        "normalisation": None,
        "layout": "frames_first",
        "wav_steps": MelSpec.preset("r9y9").wav_steps,
        "target_steps": MelSpec.preset("r9y9").target_steps,
    }
    assert changes.keys() == MelSpec.model_fields.keys() - {"window"}, "hann is the only window"
    changed = [spec.model_copy(update={field: value}) for field, value in changes.items()]
    assert len({spec.fingerprint, *(one.fingerprint for one in changed)}) == len(changes) + 1


@pytest.mark.parametrize("samples", [256 * 40, 256 * 40 + 1, 256 * 41 - 1])
@pytest.mark.parametrize(("name", "extra"), [("hifigan", 0), ("tacotron2", 1)])
def test_frames_counts_what_log_mel_gives(name: str, extra: int, samples: int) -> None:
    spec = MelSpec.preset(name)
    assert spec.frames(samples) == 40 + extra
    assert log_mel(torch.zeros(samples), spec).shape == (80, 40 + extra)


@pytest.mark.parametrize("name", MelSpec.presets())
def test_silence_is_the_mel_of_digital_silence(name: str) -> None:
    spec = MelSpec.preset(name).bands_first
    mel = log_mel(torch.zeros(4 * spec.n_fft, dtype=torch.float64), spec).numpy()
    np.testing.assert_allclose(
        mel, np.repeat(np.array(spec.silence)[:, None], mel.shape[1], 1), atol=1e-12
    )


def test_silence_follows_the_statistics_of_each_band() -> None:
    mean, scale = [float(-band) for band in range(80)], [1.0 + band for band in range(80)]
    spec = MelSpec.model_validate(
        {"preset": "parallel-wavegan", "normalisation": {"mean": mean, "scale": scale}}
    )
    expected = [(-10.0 - m) / s for m, s in zip(mean, scale, strict=True)]
    assert spec.silence == pytest.approx(expected)


def test_models_and_recipes_hold_bands_first() -> None:
    spec = MelSpec.preset("espnet")
    assert spec.layout == "frames_first"
    assert create_vocoder("griffinlim", mel=spec).mel_spec == spec.bands_first
    assert spec.bands_first.differences(spec) == {"layout": ("bands_first", "frames_first")}


#: What the survey of the field calls each convention, and our preset of it.
SURVEYED = {
    "nvidia_tacotron2_waveglow": "tacotron2",
    "hifigan_v1": "hifigan",
    "bigvgan_24k_100": "bigvgan-24k",
    "nemo_hifigan_22k": "nemo-hifigan-22k",
    "nemo_hifigan_44k": "nemo-hifigan-44k",
    "nemo_fastpitch_22k": "nemo-fastpitch-22k",
    "nemo_fastpitch_44k": "nemo-fastpitch-44k",
    "nemo2_tacotron2_waveglow_22k": "nemo2-tacotron2-22k",
    "espnet_ljspeech_22k": "espnet",
    "espnet_24k": "espnet-24k",
    "pwg_ljspeech": "parallel-wavegan",
    "pwg_24k_libritts_vctk_jsut": "parallel-wavegan-24k",
    "hf_speecht5": "speecht5",
    "vocos_mel_24k": "vocos-24k",
    "melgan_neurips": "melgan",
    "speechbrain_hifigan_lj": "speechbrain",
    "matcha_lj": "matcha",
    "fatchord_wavernn": "wavernn",
    "r9y9_wavenet": "r9y9",
    "coqui_default": "coqui",
}


def test_every_surveyed_convention_has_a_preset_with_its_values(shared: Path) -> None:
    known = json.loads((shared / "docs" / "mel-presets.json").read_text())
    assert known.keys() == SURVEYED.keys()
    for name, theirs in known.items():
        ours = MelSpec.preset(SURVEYED[name])
        for field in ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels", "fmin"):
            assert getattr(ours, field) == theirs[field], (name, field)
        assert ours.fmax == (theirs["fmax"] or theirs["sample_rate"] / 2), name
        base = {"e": "ln", 10.0: "db" if "log_gain" in theirs else "log10"}
        assert ours.log == base[theirs["log_base"]], name
        assert (ours.floor, ours.guard) == (theirs["log_floor"], theirs["log_guard"]), name
        assert (ours.mel_scale, ours.mel_norm) == (theirs["mel_scale"], theirs["mel_norm"]), name
        assert ours.window_periodic == theirs["window_periodic"], name
        if theirs["center"] is not None:
            assert (ours.framing == "center") == theirs["center"], name
            assert ours.padding == theirs["pad"], name
        if theirs["pad_mode"] in ("reflect", "constant"):
            assert ours.pad_mode == theirs["pad_mode"], name
        assert (ours.layout == "frames_first") == (theirs["layout"] in ("TC", "BTC")), name


def test_equal_specs_pass_the_border() -> None:
    MelSpec.preset("hifigan").require_equal(MelSpec.preset("bigvgan-22k"), mine="a", theirs="b")


def test_a_mismatch_names_both_sides_and_every_field() -> None:
    mine, theirs = MelSpec.preset("melgan"), MelSpec.preset("tacotron2")
    with pytest.raises(MelMismatch) as caught:
        mine.require_equal(theirs, mine="the mels in DIR", theirs="checkpoint X")
    assert str(caught.value) == (
        "mel mismatch between the mels in DIR and checkpoint X: fmax 11025.0 vs 8000.0, "
        "log log10 vs ln, framing hop vs center. Recompute one side with the other's settings."
    )
    assert caught.value.exit_code == 2


def test_framing_alone_has_its_own_advice() -> None:
    mine, theirs = MelSpec.preset("nemo-hifigan-22k"), MelSpec.preset("nemo-hifigan-22k")
    theirs = theirs.model_copy(update={"framing": "center"})
    with pytest.raises(MelMismatch, match=r"framing hop vs center\. Frames sit half a hop apart"):
        mine.require_equal(theirs, mine="a", theirs="b")


def test_a_difference_that_converts_says_so() -> None:
    mine = MelSpec.preset("melgan")
    theirs = mine.model_copy(update={"log": "ln", "layout": "frames_first"})
    with pytest.raises(MelMismatch, match=r"log log10 vs ln.*converted exactly: ww.convert_mel"):
        mine.require_equal(theirs, mine="a", theirs="b")


def test_statistics_are_named_by_their_digest() -> None:
    mine = MelSpec.preset("matcha-normalised")
    with pytest.raises(MelMismatch, match=r"statistics\(1 means and scales, digest [0-9a-f]{12}\)"):
        mine.require_equal(MelSpec.preset("matcha"), mine="a", theirs="b")


def test_target_steps_are_no_mismatch() -> None:
    """They are between a vocoder and its training waveforms; the mel is the same."""
    spec = MelSpec.preset("r9y9")
    spec.require_equal(spec.model_copy(update={"target_steps": ()}), mine="a", theirs="b")
    with pytest.raises(MelMismatch, match="wav_steps"):
        spec.require_equal(spec.model_copy(update={"wav_steps": ()}), mine="a", theirs="b")
