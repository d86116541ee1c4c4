"""Unpacking: plain files come out whole, and nothing gets out of the folder."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from wavewright.data.corpus.archive import extract
from wavewright.errors import WavewrightError

FILES = {"corpus/metadata.csv": b"a|A|A\n", "corpus/wavs/a.wav": bytes(50_000)}


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", ["", ":gz", ":bz2", ":xz"])
def test_tars(tmp_path: Path, kind: str) -> None:
    archive = tar_of(tmp_path / "no-telling-name", mode=f"w{kind}")
    folder = extract(archive, tmp_path / "out")
    assert contents(folder) == FILES


def test_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("corpus/", b"")
        for name, data in FILES.items():
            packed.writestr(name, data)
    assert contents(extract(tmp_path / "a.zip", tmp_path / "out")) == FILES


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("../escaped"), "points outside"),
        (member("corpus/../../escaped"), "points outside"),
        (member("/escaped"), "points outside"),
        (member("C:\\escaped"), "points outside"),
        (member("corpus/link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (member("corpus/link", tarfile.LNKTYPE, "corpus/metadata.csv"), "is a link"),
        (member("corpus/pipe", tarfile.FIFOTYPE), "device or pipe"),
        (member("corpus/null", tarfile.CHRTYPE), "device or pipe"),
        (member("corpus/METADATA.csv"), "one file on many disks"),
        (member("Corpus/other"), "one file on many disks"),
        (member("corpus/metadata.csv"), "one file on many disks"),
        (member("corpus/metadata.csv/inside"), "one file on many disks"),
        (member("corpus/" + "x" * 300), "impossible name"),
        (member("corpus/a\nb"), "impossible name"),
        (member("corpus/big", size=200_000), "more than 100000 bytes"),
    ],
)
def test_hostile_members_refuse_the_whole(
    tmp_path: Path, bad: tarfile.TarInfo, message: str
) -> None:
    archive = tar_of(tmp_path / "a.tar", bad)
    with pytest.raises(WavewrightError, match=message):
        extract(archive, tmp_path / "inside" / "out", limit=100_000)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.tar"]
    assert list((tmp_path / "inside").iterdir()) == []


def test_hostile_zip_members(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for name, info in (("points outside", zipfile.ZipInfo("../x")), ("no plain file", link)):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
            packed.writestr(info, b"/etc/passwd")
        with pytest.raises(WavewrightError, match=name):
            extract(tmp_path / "a.zip", tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["", ":gz", ":bz2", ":xz"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_cut_short(tmp_path: Path, kind: str, share: float) -> None:
    archive = tar_of(tmp_path / "a.tar", mode=f"w{kind}")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WavewrightError, match="cut short"):
        extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cut_between_two_members(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar")
    data = archive.read_bytes()
    archive.write_bytes(data[:1024])  # the whole first member: tarfile finds nothing wrong
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["corpus/metadata.csv"]
    with pytest.raises(WavewrightError, match="no end-of-archive mark"):
        extract(archive, tmp_path / "out")


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 40_000_000
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(gzip.compress(buffer.getvalue(), 1))
    assert archive.stat().st_size < 400_000
    with pytest.raises(WavewrightError, match="more than 1000000 bytes would come out"):
        extract(archive, tmp_path / "out", limit=1_000_000)
    many = tar_of(tmp_path / "many.tar", *(member(f"f{i}") for i in range(20)))
    with pytest.raises(WavewrightError, match="more than 10 members"):
        extract(many, tmp_path / "out", members=10)


def test_no_archive(tmp_path: Path) -> None:
    page = tmp_path / "LJSpeech-1.1.tar.bz2"
    page.write_text("<html>404</html>")
    with pytest.raises(WavewrightError, match=r"neither a tar .* starts with b'<html>404"):
        extract(page, tmp_path / "out")


def test_official_hostile_archives(shared: Path, tmp_path: Path) -> None:
    for path in sorted((shared / "corpora/bad-input/archives").iterdir()):
        out = tmp_path / "x" / path.name
        if path.stem in ("good", "setuid"):
            extract(path, out)
            modes = [stat.S_IMODE(p.stat().st_mode) for p in out.rglob("*") if p.is_file()]
            assert modes
            assert all(mode & 0o6022 == 0 for mode in modes)
        else:
            with pytest.raises(WavewrightError, match=path.name):
                extract(path, out, limit=2**23)
            assert not out.exists()
    assert not list(tmp_path.rglob("*.marker"))
    assert not Path("/tmp/ARCHIVE_ESCAPED.marker").exists()
