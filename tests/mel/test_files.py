"""Mel files of other tools: read as they are, never executed, never believed."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wavewright.errors import MissingExtra, WavewrightError
from wavewright.mel.files import read_array, read_mel
from wavewright.mel.spec import MelSpec

SPEC = MelSpec.preset("hifigan")
MEL = np.random.default_rng(0).normal(-5, 2, (80, 21)).astype(np.float32)


class Bomb:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def kaldi_bytes(matrix: np.ndarray, kind: bytes = b"FM") -> bytes:
    """A Kaldi matrix as its binary archives hold it."""
    rows, columns = (int(number).to_bytes(4, "little") for number in matrix.shape)
    if kind in (b"FM", b"DM"):
        data = bytes(matrix.astype("<f4" if kind == b"FM" else "<f8").tobytes())
        return b"\0B" + kind + b" \4" + rows + b"\4" + columns + data
    least, spread = float(matrix.min()), float(np.ptp(matrix))
    head = bytes(np.array([least, spread], "<f4").tobytes()) + rows + columns
    unit = (matrix - least) / spread
    if kind != b"CM":
        most, dtype = (65535, "<u2") if kind == b"CM2" else (255, "u1")
        return b"\0B" + kind + b" " + head + bytes(np.round(unit * most).astype(dtype).tobytes())
    marks = np.round(65535 * np.quantile(unit, (0, 0.25, 0.75, 1), axis=0).T).astype("<u2")
    codes = [
        np.round(np.interp(column, mark / 65535, (0, 64, 192, 255))).astype(np.uint8).tobytes()
        for column, mark in zip(unit.T, marks, strict=True)
    ]
    return b"\0B" + kind + b" " + head + bytes(marks.tobytes()) + b"".join(codes)


def written(kind: str) -> Path:
    """MEL in a file of that kind."""
    path = Path(f"mel.{kind}")
    if kind == "npy":
        np.save(path, MEL)
    elif kind == "npz":
        np.savez_compressed(path, mel=MEL)
    elif kind in ("pt", "pth"):
        torch.save({"mel": torch.from_numpy(MEL)[None], "id": 3}, path)
    elif kind in ("h5", "hdf5"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["feats"], file["wave"] = MEL.T, MEL[0]
    else:
        Path("mel.ark").write_bytes(b"utterance " + kaldi_bytes(MEL.T))
        Path("mel.scp").write_text("utterance mel.ark:10\n")
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "pth", "h5", "hdf5", "ark", "scp"])
def test_every_kind_of_file_gives_the_same_values(kind: str) -> None:
    turned = kind in ("h5", "hdf5", "ark", "scp")
    found = read_mel(written(kind), SPEC, layout="frames_first" if turned else "bands_first")
    np.testing.assert_array_equal(found, MEL)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.flags.writeable


GOOD = ("good-80x120", "fortran-order", "square-80x80")
WARNED = {"float16": "float16", "neg-inf": "-inf", "linear-not-log": "linear magnitudes"}
REFUSED = {
    "transposed-120x80": r"\(80, frames\), found \(120, 80\).*--layout frames_first",
    "int16": "floating-point numbers, found int16",
    "zero-frames": "no frames",
    "one-dim": "two axes",
    "truncated": "truncated",
    "huge-shape": r"declares the shape \(80, 1000000000000\)",
    "object-pickle": "Python objects",
}


@pytest.mark.parametrize("name", [*GOOD, *WARNED, *REFUSED])
def test_bad_input_ends_as_its_manifest_says(
    shared: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = shared / "corpora" / "bad-input" / "mels" / f"{name}.npy"
    with caplog.at_level(logging.WARNING, logger="wavewright"):
        if name in REFUSED:
            with pytest.raises(WavewrightError, match=REFUSED[name]) as caught:
                read_mel(path, SPEC)
            assert str(path) in str(caught.value)
        else:
            assert np.isfinite(read_mel(path, SPEC)).all()
    assert [WARNED[name] in record.message for record in caplog.records] == [True] * (
        name in WARNED
    )
    assert not list(Path.cwd().glob("*.marker"))


def test_a_square_mel_is_taken_by_the_stated_layout() -> None:
    square = np.random.default_rng(1).normal(-5, 2, (80, 80)).astype(np.float32)
    np.save("mel.npy", square)
    np.testing.assert_array_equal(read_mel("mel.npy", SPEC), square)
    np.testing.assert_array_equal(read_mel("mel.npy", SPEC, layout="frames_first"), square.T)


def test_nothing_becomes_the_silence_of_each_band() -> None:
    mel = MEL.copy()
    mel[:, 3] = -np.inf
    np.save("mel.npy", mel)
    found = read_mel("mel.npy", SPEC)
    np.testing.assert_allclose(found[:, 3], SPEC.silence, rtol=1e-6)
    np.testing.assert_array_equal(found[:, :3], MEL[:, :3])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(value: float) -> None:
    np.save("mel.npy", np.where(MEL > -5, MEL, np.float32(value)))
    with pytest.raises(WavewrightError, match="NaN or infinity"):
        read_mel("mel.npy", SPEC)


def test_no_file_is_unpickled() -> None:
    Path("bomb.pt").write_bytes(pickle.dumps(Bomb()))
    torch.save({"mel": Bomb()}, "zip.pt")
    np.savez("bomb.npz", np.array([Bomb()], dtype=object))
    Path("bomb.ark").write_bytes(b"utterance PKL" + pickle.dumps(Bomb()))
    for name in ("bomb.pt", "zip.pt", "bomb.npz", "bomb.ark"):
        with pytest.raises(WavewrightError, match=name):
            read_array(name)
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("kind", "most"), [(b"DM", 0.0), (b"CM", 0.02), (b"CM2", 2e-4), (b"CM3", 0.03)]
)
def test_kaldis_precisions_and_compressions(kind: bytes, most: float) -> None:
    mel = MEL.astype(np.float64)
    Path("a.ark").write_bytes(b"first " + kaldi_bytes(mel[:, :5]) + b"u " + kaldi_bytes(mel, kind))
    found = read_array("a.ark", "u")
    assert found.shape == mel.shape
    assert np.abs(found - mel).max() <= most * np.ptp(mel)


@pytest.mark.parametrize("place", ["mkdir executed |", "| mkdir executed", "gunzip -c x.gz|"])
def test_commands_in_an_scp_are_never_run(place: str) -> None:
    Path("mel.scp").write_text(f"utterance {place}\n")
    with pytest.raises(WavewrightError, match="commands in an scp are never run"):
        read_array("mel.scp")
    assert not Path("executed").exists()


def test_declared_sizes_are_not_believed() -> None:
    torch.save(torch.zeros(1, 1).expand(10**6, 10**7), "wide.pt")
    size = (10**5).to_bytes(4, "little")
    Path("wide.ark").write_bytes(b"u \0BFM \4" + size + b"\4" + size + b"\0" * 100)
    Path("cut.ark").write_bytes(b"u \0BFM \4" + b"\x50\0\0\0\4\x09\0\0\0" + b"\0" * 100)
    for name in ("wide.pt", "wide.ark", "cut.ark"):
        with pytest.raises(WavewrightError, match=r"declares the shape|truncated"):
            read_array(name)


def test_links_to_other_files_are_not_followed() -> None:
    h5py = pytest.importorskip("h5py")
    written("h5").rename("other.h5")
    with h5py.File("link.h5", "w") as file:
        file["feats"] = h5py.ExternalLink("other.h5", "/feats")
    with pytest.raises(WavewrightError, match=r"link\.h5"):
        read_array("link.h5", "feats")


def test_one_of_several_arrays_is_named() -> None:
    np.savez("two.npz", a=MEL, b=2 * MEL)
    np.testing.assert_array_equal(read_array("two.npz", "b"), 2 * MEL)
    with pytest.raises(WavewrightError, match=r"2 arrays \(a, b\); name one with --key"):
        read_array("two.npz")
    with pytest.raises(WavewrightError, match="no 'c' in it"):
        read_array("two.npz", "c")


@pytest.mark.parametrize(("kind", "package"), [("h5", "h5py")])
def test_a_missing_package_is_named_with_its_extra(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(kind)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'wavewright\[mels\]'"):
        read_array(path)
