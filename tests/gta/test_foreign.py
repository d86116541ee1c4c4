"""GTA mels of other toolkits: whose each is, what is converted, what is refused and why."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from wavewright.audio.files import load_wav
from wavewright.data.manifest import write_manifest
from wavewright.data.shards import Shards, write_shards
from wavewright.errors import MelMismatch, WavewrightError
from wavewright.gta.foreign.maker import ForeignMaker
from wavewright.gta.foreign.toolkits import read_collection
from wavewright.mel.spec import MelSpec
from wavewright.mel.transform import log_mel
from wavewright.runner.plan import Plan
from wavewright.runner.recipe import load_recipe
from wavewright_stages.gta import gta

IDS = ["anna-u1", "ben-u1", "u2", "u3", "u4"]
FILES = {"anna-u1": "anna/u1", "ben-u1": "ben/u1", "u2": "anna/u2", "u3": "ben/u3", "u4": "ben/u4"}
ESPNET = MelSpec.preset("espnet")
LN = ESPNET.bands_first.model_copy(update={"log": "ln"})
TACOTRON2 = MelSpec.preset("tacotron2")
Mels = Mapping[str, np.ndarray]


def sound(index: int) -> np.ndarray:
    """A quarter of a second of a tone in noise, of a length that is no multiple of the hop."""
    samples = 5000 + 397 * index
    time = np.arange(samples) / 22050
    noise = np.random.default_rng(index).normal(0, 0.01, samples)
    return (0.3 * np.sin(2 * np.pi * (200 + 90 * index) * time) + noise).astype(np.float32)


WAVS = {id_: sound(index) for index, id_ in enumerate(IDS)}


def mels_in(spec: MelSpec, wavs: Mels = WAVS) -> dict[str, np.ndarray]:
    return {id_: log_mel(torch.from_numpy(wav), spec).numpy() for id_, wav in wavs.items()}


def spoken(mels: Mels) -> dict[str, np.ndarray]:
    """Mels as an acoustic model might predict them: the natural ones with small errors."""
    draw = np.random.default_rng(7)
    return {i: (mel + draw.normal(0, 0.02, mel.shape)).astype("<f4") for i, mel in mels.items()}


def build(folder: Path, spec: MelSpec, wavs: Mels = WAVS) -> tuple[Path, Path]:
    """Write the output folders of prepare and mels."""
    prepared, natural = folder / "prepared", folder / "mels"
    prepared.mkdir(parents=True)
    usual = {"audio": "audio", "sample_rate": spec.sample_rate, "speaker": "", "alignment": ""}
    usual |= {"text": "Hello.", "normalised_text": "Hello.", "flags": "", "reason": ""}
    rows = [{**usual, "id": i, "samples": len(w), "split": "train"} for i, w in wavs.items()]
    write_manifest(pd.DataFrame(rows), prepared / "manifest.parquet")
    made = mels_in(spec, wavs)
    write_shards(
        natural,
        sorted(wavs),
        made.__getitem__,
        mel=spec,
        sample_rate=spec.sample_rate,
        shard_size=2,
    )
    return prepared, natural


def make(folder: Path, spec: MelSpec, source: Path, name: str = "gta", **options: Any) -> Path:
    out = folder / name
    prepared, natural = folder / "prepared", folder / "mels"
    arguments = {"mel": spec, "seed": 0, "jobs": 1, "source": source, **options}
    gta(prepared, natural, None, out, **arguments)
    return out


def report(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "report.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def kaldi_bytes(matrix: np.ndarray) -> bytes:
    """A float matrix as Kaldi's binary archives hold it."""
    rows, columns = (int(number).to_bytes(4, "little") for number in matrix.shape)
    return b"\0BFM \4" + rows + b"\4" + columns + bytes(matrix.astype("<f4").tobytes())


def write_ark(folder: Path, mels: Mels) -> Path:
    """feats.ark and feats.scp with paths as seen from the top, as in Kaldi's recipes."""
    folder.mkdir(parents=True)
    data, lines = b"", []
    for id_, mel in mels.items():
        data += id_.encode() + b" "
        lines.append(f"{id_} {folder.name}/feats.ark:{len(data)}\n")
        data += kaldi_bytes(mel)
    (folder / "feats.ark").write_bytes(data)
    (folder / "feats.scp").write_text("".join(lines))
    return folder


def write_files(folder: Path, mels: Mels, suffix: str = ".npy") -> Path:
    """One file each, in folders of speakers."""
    for id_, mel in mels.items():
        path = folder / (FILES.get(id_, id_) + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".pt":
            torch.save(torch.from_numpy(mel.copy()), path)
        else:
            np.save(path, mel)
    return folder


def write_nemo(folder: Path, mels: Mels) -> Path:
    lines = []
    for number, (id_, mel) in enumerate(mels.items()):
        write_files(folder / "mels", {f"{number}": mel})
        audio = f"/data/corpus/{FILES.get(id_, id_)}.wav"
        line = {"audio_filepath": audio, "mel_filepath": f"mels/{number}.npy", "text": "Hello."}
        lines.append(json.dumps(line) + "\n")
    (folder / "train_manifest.json").write_text("".join(lines))
    return folder


def write_coqui(folder: Path, mels: Mels) -> Path:
    lines = []
    for number, (id_, mel) in enumerate(mels.items()):
        write_files(folder / "mel", {f"{number}": mel})
        audio = f"/data/corpus/{FILES.get(id_, id_)}.wav"
        lines.append(f"{audio}|/elsewhere/out/mel/{number}.npy\n")
    (folder / "metada.txt").write_text("".join(lines))
    return folder


def espnet_ark(folder: Path, mels: Mels) -> Path:
    write_ark(folder / "tr_no_dev" / "denorm", mels)
    write_ark(folder / "tr_no_dev" / "norm", {id_: mel * 0 for id_, mel in mels.items()})
    write_ark(folder / "tr_no_dev" / "log" / "output.1" / "denorm", mels)
    return folder


def espnet_npy(folder: Path, mels: Mels) -> Path:
    """Write mels like ESPnet2's inference: an scp of .npy files."""
    for id_, mel in mels.items():
        write_files(folder / "denorm", {id_: mel})
    lines = [f"{id_} {folder.name}/denorm/{FILES[id_]}.npy\n" for id_ in mels]
    (folder / "denorm" / "feats.scp").write_text("".join(lines))
    return folder


TOOLKITS: dict[str, tuple[Callable[[Path, Mels], Path], str, str]] = {
    "espnet archives": (espnet_ark, "espnet", "espnet"),
    "espnet files": (espnet_npy, "espnet", "espnet"),
    "nemo": (write_nemo, "nemo-hifigan-22k", "nemo"),
    "coqui": (write_coqui, "coqui", "coqui"),
    "fastpitch": (lambda f, m: write_files(f, m, ".pt"), "tacotron2", "fastpitch"),
    "plain": (write_files, "hifigan", "folder"),
}


@pytest.mark.parametrize("name", TOOLKITS)
def test_every_toolkit_gives_each_utterance_its_own_mel(tmp_path: Path, name: str) -> None:
    write, preset, toolkit = TOOLKITS[name]
    spec = MelSpec.preset(preset)
    files = spoken(mels_in(spec))
    source = write(tmp_path / "source", files)
    build(tmp_path, spec.bands_first)
    out = make(tmp_path, spec.bands_first, source, mel_preset=preset)
    made, natural = Shards(out), Shards(tmp_path / "mels")
    assert made.ids == natural.ids == IDS
    assert made.mel == spec.bands_first
    turned = spec.layout == "frames_first"
    rows = report(out)
    for id_ in IDS:
        np.testing.assert_array_equal(made.array(id_), files[id_].T if turned else files[id_])
        assert made.shard_of(id_) == natural.shard_of(id_)
        distance = np.abs(made.array(id_) - natural.array(id_)).mean()
        assert float(rows[id_]["mel_l1"]) == pytest.approx(distance, abs=1e-6)
        assert rows[id_]["made"] == "gta"
        assert rows[id_]["diagonality"] == ""
    summary = json.loads((out / "report.json").read_text())
    assert (summary["toolkit"], summary["made"]) == (toolkit, 5)
    assert list(summary["measures"]) == ["mel_l1"]


@pytest.mark.parametrize("name", TOOLKITS)
def test_real_mels_with_a_frame_too_many_and_one_too_few(
    shared: Path, tmp_path: Path, name: str
) -> None:
    """Speech of LJSpeech, two of the files under one name in folders of two speakers."""
    write, preset, _ = TOOLKITS[name]
    spec = MelSpec.preset(preset)
    clips = sorted((shared / "corpora" / "ljspeech-mini" / "wavs").glob("*.wav"))
    wavs = {id_: load_wav(path)[0] for id_, path in zip(IDS, clips, strict=False)}
    files = spoken(mels_in(spec, wavs))
    time = 0 if spec.layout == "frames_first" else 1
    files["u3"] = np.concatenate([files["u3"], files["u3"].take([-1], axis=time)], axis=time)
    files["u4"] = np.delete(files["u4"], -1, axis=time)
    source = write(tmp_path / "source", files)
    build(tmp_path, spec.bands_first, wavs)
    out = make(tmp_path, spec.bands_first, source, mel_preset=preset, length="pad")
    made, natural = Shards(out), Shards(tmp_path / "mels")
    for id_ in IDS:
        turned = files[id_].T if time == 0 else files[id_]
        overlap = min(turned.shape[1], natural.length(id_))
        assert made.length(id_) == natural.length(id_)
        np.testing.assert_array_equal(made.array(id_)[:, :overlap], turned[:, :overlap])
        assert np.abs(made.array(id_)[:, :overlap] - natural.array(id_)[:, :overlap]).mean() < 0.05
    rows = report(out)
    changed = {i: (rows[i]["cut"], rows[i]["padded"]) for i in IDS}
    assert changed == dict.fromkeys(IDS, ("0", "0")) | {"u3": ("1", "0"), "u4": ("0", "1")}
    with pytest.raises(WavewrightError, match="2 of 5 utterances have no GTA mel"):
        make(tmp_path, spec.bands_first, source, "exact", mel_preset=preset)


@pytest.mark.parametrize("natural_log", ["ln", "log10"])
def test_the_logarithm_is_converted_exactly(tmp_path: Path, natural_log: str) -> None:
    """The files' mels are taken from the waveforms in log10, the natural ones in the other."""
    spec = LN.model_copy(update={"log": natural_log})
    build(tmp_path, spec)
    source = espnet_ark(tmp_path / "decode", mels_in(ESPNET))
    made = Shards(make(tmp_path, spec, source, mel_preset="espnet"))
    natural = Shards(tmp_path / "mels")
    for id_ in IDS:
        np.testing.assert_allclose(made.array(id_), natural.array(id_), rtol=0, atol=1e-5)


def test_ljspeech_through_espnet_statistics_is_the_natural_mel(
    shared: Path, tmp_path: Path
) -> None:
    wavs = {
        path.stem: load_wav(path)[0]
        for path in sorted((shared / "corpora" / "ljspeech-mini" / "wavs").glob("*.wav"))[:6]
    }
    build(tmp_path, LN, wavs)
    source, stats = normalised(tmp_path, mels_in(ESPNET, wavs))
    made = Shards(make(tmp_path, LN, source, mel_preset="espnet", stats=stats))
    natural = Shards(tmp_path / "mels")
    assert made.ids == sorted(wavs)
    for id_ in wavs:
        np.testing.assert_allclose(made.array(id_), natural.array(id_), rtol=0, atol=1e-5)


def normalised(folder: Path, mels: Mels) -> tuple[Path, Path]:
    """An ESPnet folder with norm/ only, and the statistics that were taken off."""
    everything = np.concatenate(list(mels.values())).astype(np.float64)
    mean, scale = everything.mean(axis=0), everything.std(axis=0)
    count = len(everything)
    sums = {"sum": everything.sum(axis=0), "sum_square": np.square(everything).sum(axis=0)}
    np.savez(folder / "feats_stats.npz", count=count, **sums)
    ready = {id_: ((mel - mean) / scale).astype("<f4") for id_, mel in mels.items()}
    write_ark(folder / "decode" / "norm", ready)
    return folder / "decode", folder / "feats_stats.npz"


def test_normalised_features_need_their_statistics(tmp_path: Path) -> None:
    build(tmp_path, LN)
    source, stats = normalised(tmp_path, mels_in(ESPNET))
    with pytest.raises(WavewrightError, match=r"gta\.stats: .*normalised"):
        make(tmp_path, LN, source, mel_preset="espnet")
    made = Shards(make(tmp_path, LN, source, mel_preset="espnet", stats=stats))
    natural = Shards(tmp_path / "mels")
    for id_ in IDS:
        np.testing.assert_allclose(made.array(id_), natural.array(id_), rtol=0, atol=2e-5)


def test_a_model_that_was_trained_without_statistics_has_none_to_undo(tmp_path: Path) -> None:
    build(tmp_path, LN)
    source = tmp_path / "exp" / "decode"
    write_ark(source / "dev" / "norm", mels_in(ESPNET))
    conf = "feats_extract: fbank\nfeats_extract_conf: {fs: 22050, n_fft: 1024, n_shift: 256}\n"
    (source.parent / "config.yaml").write_text(f"{conf}normalize: null\n")
    made, natural = Shards(make(tmp_path, LN, source)), Shards(tmp_path / "mels")
    np.testing.assert_allclose(made.array("u3"), natural.array("u3"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("{fs: 22050, n_fft: 1024, n_shift: 256, win_length: null}", ESPNET),
        ("{fs: 22050, log_base: null}", ESPNET.model_copy(update={"log": "ln"})),
        ("{fs: 24000, n_fft: 2048, n_shift: 300, win_length: 1200, n_mels: 80, fmin: 80, "
         "fmax: 7600}", MelSpec.preset("espnet-24k")),
        ("{fs: 22050, log_base: 2.0}", None),
        ("{fs: 22k}", None),
    ],
)  # fmt: skip
def test_espnet_wrote_its_convention_down(
    tmp_path: Path, conf: str, expected: MelSpec | None
) -> None:
    source = tmp_path / "exp" / "decode"
    write_ark(source / "dev" / "denorm", {"u1": np.zeros((3, 80), "<f4")})
    text = f"feats_extract: fbank\nfeats_extract_conf: {conf}\nnormalize: global_mvn\n"
    (source.parent / "config.yaml").write_text(text)
    assert read_collection(source).convention == expected


def test_what_cannot_be_converted_is_refused_by_name(tmp_path: Path) -> None:
    build(tmp_path, TACOTRON2)
    source = write_files(tmp_path / "source", mels_in(TACOTRON2))
    with pytest.raises(MelMismatch, match=r"hop_length 300 vs 256"):
        make(tmp_path, TACOTRON2, source, mel_preset="espnet-24k")
    with pytest.raises(MelMismatch, match=r"framing hop vs center"):
        make(tmp_path, TACOTRON2, source, mel_preset="hifigan")
    with pytest.raises(WavewrightError, match=r"gta\.mel_preset: .* does not say"):
        make(tmp_path, TACOTRON2, source)
    assert not (tmp_path / "gta" / "index.parquet").exists()


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "bands": (lambda mel: mel[:40], r"expected a mel of shape \(80, frames\), found \(40, "),
    "turned": (lambda mel: mel.T, "gta.layout=frames_first"),
    "nan": (lambda mel: np.where(mel > 0, np.float32(np.nan), mel), "NaN or infinity"),
    "long": (lambda mel: np.pad(mel, ((0, 0), (0, 2)), mode="edge"), r"has \d+ frames, where"),
    "whole numbers": (lambda mel: mel.astype(int), "floating-point"),
}


@pytest.mark.parametrize("fault", [*FAULTS, "unreadable", "missing"])
@pytest.mark.parametrize("missing", ["fail", "natural", "leave_out"])
def test_each_fault_has_its_reason(tmp_path: Path, fault: str, missing: str) -> None:
    build(tmp_path, TACOTRON2)
    mels = mels_in(TACOTRON2)
    mels["u4"][3, 5] = 0.5
    source = write_files(tmp_path / "source", mels)
    path = source / "ben" / "u4.npy"  # alone in its shard
    reason = {"unreadable": "not a readable", "missing": "has no mel of it"}.get(fault, "")
    if fault == "unreadable":
        path.write_bytes(b"\x93NUMPY broken")
    elif fault == "missing":
        path.unlink()
    else:
        spoil, reason = FAULTS[fault]
        np.save(path, spoil(mels["u4"]))
    options = {"mel_preset": "tacotron2", "on_missing": missing}
    if missing == "fail":
        with pytest.raises(WavewrightError, match=r"1 of 5 .*'u4': "):
            make(tmp_path, TACOTRON2, source, **options)
        assert not (tmp_path / "gta" / "index.parquet").exists()
    else:
        made = Shards(make(tmp_path, TACOTRON2, source, **options))
        assert ("u4" in made) == (missing == "natural")
        if missing == "natural":
            natural = Shards(tmp_path / "mels").array("u4")
            np.testing.assert_array_equal(made.array("u4"), natural)
    row = report(tmp_path / "gta")["u4"]
    assert row["made"] == ("natural" if missing == "natural" else "no")
    assert re.search(reason, row["reason"]), row["reason"]


@pytest.mark.parametrize(
    ("surplus", "length", "fits"),
    [
        (1, "exact", False),
        (1, "trim", True),
        (1, "pad", True),
        (-1, "exact", False),
        (-1, "trim", False),
        (-1, "pad", True),
        (2, "pad", False),
        (-2, "pad", False),
    ],
)
def test_at_most_one_frame_is_changed_and_only_if_asked(
    tmp_path: Path, surplus: int, length: str, fits: bool
) -> None:
    build(tmp_path, TACOTRON2)
    mels = mels_in(TACOTRON2)
    mel = mels["u2"]
    mels["u2"] = np.concatenate([mel, mel[:, :2]], 1)[:, : mel.shape[1] + surplus]
    source = write_files(tmp_path / "source", mels)
    out = make(
        tmp_path, TACOTRON2, source, mel_preset="tacotron2", length=length, on_missing="leave_out"
    )
    made, row = Shards(out), report(out)["u2"]
    assert ("u2" in made) == fits
    if not fits:
        assert f"has {mel.shape[1] + surplus} frames" in row["reason"]
        assert f"the natural mel has {mel.shape[1]}" in row["reason"]
        return
    overlap = min(mel.shape[1], mel.shape[1] + surplus)
    np.testing.assert_array_equal(made.array("u2")[:, :overlap], mel[:, :overlap])
    if surplus < 0:
        np.testing.assert_allclose(made.array("u2")[:, -1], TACOTRON2.silence, rtol=1e-6)
    assert (int(row["cut"]), int(row["padded"])) == (max(surplus, 0), max(-surplus, 0))
    summary = json.loads((out / "report.json").read_text())
    assert (summary["frames_cut"], summary["frames_padded"]) == (max(surplus, 0), max(-surplus, 0))
    assert summary["lengths_equal"]


def test_the_frame_that_nemo_pads_with_is_not_learnt(tmp_path: Path) -> None:
    spec = MelSpec.preset("nemo-fastpitch-22k")
    build(tmp_path, spec)
    mels = mels_in(spec)
    mels["u2"][:, -1] = 0.0  # as loud as a full-scale tone in every band
    source = write_nemo(tmp_path / "source", mels)
    options = {"mel_preset": "nemo-fastpitch-22k", "on_missing": "leave_out"}
    refused = make(tmp_path, spec, source, "exact", **options)
    assert "without its last, which is padding" in report(refused)["u2"]["reason"]
    out = make(tmp_path, spec, source, "pad", length="pad", **options)
    last = Shards(out).array("u2")[:, -1]
    np.testing.assert_allclose(last, spec.silence, rtol=1e-6)
    assert (report(out)["u2"]["cut"], report(out)["u2"]["padded"]) == ("1", "1")


def test_a_bare_name_that_could_be_two_names_both(tmp_path: Path) -> None:
    build(tmp_path, TACOTRON2)
    mels = mels_in(TACOTRON2)
    source = write_files(tmp_path / "source", {**mels, "u1": mels["anna-u1"]})
    make(tmp_path, TACOTRON2, source, "stray", mel_preset="tacotron2")  # both have their own
    for speaker in ("anna", "ben"):
        (source / speaker / "u1.npy").unlink()
        with pytest.raises(WavewrightError, match=r"u1\.npy could be of 'anna-u1' or of 'ben-u1'"):
            make(tmp_path, TACOTRON2, source, mel_preset="tacotron2")


def test_two_files_of_one_utterance_are_both_named(tmp_path: Path) -> None:
    build(tmp_path, TACOTRON2)
    mels = mels_in(TACOTRON2)
    source = write_files(tmp_path / "source", {**mels, "old/u2": mels["u2"]})
    with pytest.raises(WavewrightError, match=r"'u2': .*anna/u2\.npy .* and .*old/u2\.npy"):
        make(tmp_path, TACOTRON2, source, mel_preset="tacotron2")


@pytest.mark.parametrize("toolkit", ["nemo", "coqui"])
def test_a_mel_that_two_recordings_name_is_nobodys(tmp_path: Path, toolkit: str) -> None:
    """NeMo's and Coqui's scripts overwrite the mels of equal file names of two speakers."""
    mel = mels_in(TACOTRON2)["u2"]
    folder = tmp_path / "source"
    write_files(folder / "mel", {"x": mel})
    recordings = ("/data/anna/u1.wav", "/data/ben/u1.wav")
    if toolkit == "nemo":
        lines = [{"audio_filepath": each, "mel_filepath": "mel/x.npy"} for each in recordings]
        (folder / "manifest.json").write_text("\n".join(map(json.dumps, lines)))
    else:
        (folder / "metada.txt").write_text("\n".join(f"{each}|mel/x.npy" for each in recordings))
    with pytest.raises(WavewrightError, match=r"anna/u1\.wav.* and .*ben/u1\.wav.* both name"):
        read_collection(folder)


def test_mels_of_nobody_are_counted_and_of_nobody_only_are_an_error(tmp_path: Path) -> None:
    build(tmp_path, TACOTRON2)
    mels = mels_in(TACOTRON2)
    source = write_files(tmp_path / "source", {**mels, "stranger": mels["u2"]})
    out = make(tmp_path, TACOTRON2, source, mel_preset="tacotron2")
    assert json.loads((out / "report.json").read_text())["mels_of_no_utterance"] == 1
    other = write_files(tmp_path / "other", {"stranger": mels["u2"]})
    with pytest.raises(WavewrightError, match=r"none of its 1 mels matches.*'stranger'.*'anna-u1'"):
        make(tmp_path, TACOTRON2, other, "none", mel_preset="tacotron2")


@pytest.mark.parametrize("name", ["x" * 5000, "nul\0", "../../../nowhere"])
def test_a_manifest_may_name_anything(tmp_path: Path, name: str) -> None:
    build(tmp_path, TACOTRON2)
    source = write_nemo(tmp_path / "source", mels_in(TACOTRON2))
    lines = (source / "train_manifest.json").read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "mel_filepath": f"{name}.npy"})
    (source / "train_manifest.json").write_text("\n".join(lines))
    out = make(tmp_path, TACOTRON2, source, mel_preset="tacotron2", on_missing="leave_out")
    assert [row["id"] for row in report(out).values() if row["made"] == "no"] == ["u2"]


def test_commands_in_a_table_are_not_run(tmp_path: Path) -> None:
    source = write_ark(tmp_path / "denorm", mels_in(ESPNET))
    (source / "feats.scp").write_text("u2 touch executed |\n")
    with pytest.raises(WavewrightError, match="commands are never run"):
        read_collection(source)


def test_a_folder_that_could_be_two_toolkits_is_refused(tmp_path: Path) -> None:
    write_nemo(tmp_path / "both", mels_in(TACOTRON2))
    write_coqui(tmp_path / "both", mels_in(TACOTRON2))
    with pytest.raises(WavewrightError, match=r"NeMo's .* or Coqui's"):
        read_collection(tmp_path / "both")
    assert read_collection(tmp_path / "both" / "metada.txt").toolkit == "coqui"
    with pytest.raises(WavewrightError, match="no such folder"):
        read_collection(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.renders
def test_interrupted_and_with_workers_the_bytes_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, LN)
    source = espnet_ark(tmp_path / "decode", spoken(mels_in(ESPNET)))
    whole = digests(make(tmp_path, LN, source, "whole", mel_preset="espnet"))
    assert digests(make(tmp_path, LN, source, "two", mel_preset="espnet", jobs=2)) == whole
    read_mels = ForeignMaker.make_mels

    def fail_at_the_last(maker: ForeignMaker, ids: list[str]) -> Any:
        if "u4" in ids:
            raise KeyboardInterrupt
        return read_mels(maker, ids)

    with monkeypatch.context() as patch:
        patch.setattr(ForeignMaker, "make_mels", fail_at_the_last)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, LN, source, "again", mel_preset="espnet")
    stat_before = (tmp_path / "again" / "shard-00000.tar").stat()
    assert digests(make(tmp_path, LN, source, "again", mel_preset="espnet")) == whole
    assert (tmp_path / "again" / "shard-00000.tar").stat().st_mtime_ns == stat_before.st_mtime_ns


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


RECIPE = """
recipe: borrowed
about: Mels of another toolkit.
work_dir: exp
seed: 1
mel: {preset: espnet}
stages: [download, prepare, mels, gta]
download: {sentences: sentences.txt}
prepare: {}
mels: {}
gta: {mel_preset: espnet}
"""


def test_a_recipe_without_an_acoustic_stage_plans(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    source = write_ark(tmp_path / "decode" / "denorm", mels_in(ESPNET)).parent
    plan = Plan(load_recipe(path, [f"gta.source={source}"]))
    unit = plan.units[-1]
    assert plan.inputs_of(unit) == ["prepared", "mels"]
    assert unit.options.source == source  # type: ignore[attr-defined]
    with pytest.raises(WavewrightError, match="'gta' with these options reads 'acoustic'"):
        Plan(load_recipe(path))


def test_a_convention_without_a_name_is_given_by_its_fields(tmp_path: Path) -> None:
    spec = TACOTRON2.model_copy(update={"fmax": 7000.0})
    build(tmp_path, spec)
    mels = {id_: mel / np.float32(np.log(10)) for id_, mel in mels_in(spec).items()}
    source = write_files(tmp_path / "source", mels)
    recipe = tmp_path / "recipe.yaml"
    like = "gta: {mel_preset: {preset: tacotron2, fmax: 7000, log: log10}}"
    recipe.write_text(RECIPE.replace("gta: {mel_preset: espnet}", like))
    options = Plan(load_recipe(recipe, [f"gta.source={source}"])).units[-1].options
    made = Shards(make(tmp_path, spec, source, mel_preset=options.mel_preset))  # type: ignore[attr-defined]
    np.testing.assert_allclose(made.array("u2"), mels_in(spec)["u2"], rtol=0, atol=1e-5)


def test_without_a_model_and_without_files_there_is_nothing_to_make(tmp_path: Path) -> None:
    prepared, natural = build(tmp_path, TACOTRON2)
    with pytest.raises(WavewrightError, match=r"'acoustic' before it, or gta\.source"):
        gta(prepared, natural, None, tmp_path / "gta", mel=TACOTRON2, seed=0)
    with pytest.raises(WavewrightError, match=r"are for mels of gta\.source"):
        gta(prepared, natural, None, tmp_path / "gta", mel=TACOTRON2, seed=0, mel_preset="espnet")
