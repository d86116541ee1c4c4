"""Downloads against a server on this machine that misbehaves on request."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from wavewright.data.corpus.download import fetch, fetch_from_any
from wavewright.errors import WavewrightError
from wavewright_stages.download import download

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """Content of the server, and the faults of its next answers."""

    address: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True
    honours_if_range: bool = True
    cut_at: int | None = None  # bytes of the body after which the connection is closed, once
    errors: list[int] = field(default_factory=list)
    stall: float = 0.0  # seconds before the body, once
    requests: list[dict[str, str]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """GET with Range and If-Range, as far as the site has them."""

    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.requests.append(dict(self.headers))
        if site.errors:
            self.send_error(site.errors.pop(0))
            return
        start = self._start()
        body = site.content[start:]
        if start > len(site.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            total = len(site.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        cut, stall = site.cut_at, site.stall
        site.cut_at, site.stall = None, 0.0
        time.sleep(stall)
        try:
            self.wfile.write(body[:cut])
        except OSError:
            self.close_connection = True

    def _start(self) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range", self.site.etag)
        same = condition == self.site.etag or not self.site.honours_if_range
        return int(wanted[1]) if wanted and self.site.ranges and same else 0

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to the terminal."""


@pytest.fixture
def site() -> Iterator[Site]:
    yield from serve(Site())


def serve(site: Site) -> Iterator[Site]:
    handler = type("Handler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.address = f"http://127.0.0.1:{server.server_address[1]}/corpus.tar.bz2"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def get(site: Site, target: Path, **options: object) -> Path:
    settings: dict[str, object] = {"sha256": SHA256, "size": len(CONTENT), "pause": 0.001}
    return fetch(site.address, target, **(settings | options))  # type: ignore[arg-type]


def only_file(folder: Path, name: str) -> bool:
    return [path.name for path in folder.iterdir()] == [name]


def test_whole(site: Site, tmp_path: Path) -> None:
    target = get(site, tmp_path / "a.bin")
    assert target.read_bytes() == CONTENT
    assert only_file(tmp_path, "a.bin")
    get(site, target)
    assert len(site.requests) == 1, "what is there and right is not fetched again"


def test_broken_off_at_30_percent(site: Site, tmp_path: Path) -> None:
    site.cut_at = len(CONTENT) * 3 // 10
    assert get(site, tmp_path / "a.bin").read_bytes() == CONTENT
    assert site.requests[1]["Range"] == f"bytes={len(CONTENT) * 3 // 10}-"
    assert site.requests[1]["If-Range"] == '"one"'
    assert only_file(tmp_path, "a.bin")


def test_continued_by_a_later_call(site: Site, tmp_path: Path) -> None:
    site.cut_at = 100_000
    with pytest.raises(WavewrightError, match=r"broke off after 100000 of 1024000 .*continue"):
        get(site, tmp_path / "a.bin", attempts=1)
    assert not (tmp_path / "a.bin").exists()
    assert get(site, tmp_path / "a.bin").read_bytes() == CONTENT
    assert site.requests[1]["Range"] == "bytes=100000-"


def test_a_server_without_ranges_starts_over(site: Site, tmp_path: Path) -> None:
    site.cut_at, site.ranges = 100_000, False
    assert get(site, tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("honours", [True, False])
def test_another_version_of_the_file_starts_over(site: Site, tmp_path: Path, honours: bool) -> None:
    site.content, site.etag, site.cut_at = bytes(len(CONTENT)), '"old"', 300_000
    with pytest.raises(WavewrightError):
        get(site, tmp_path / "a.bin", attempts=1)
    site.content, site.etag, site.honours_if_range = CONTENT, '"new"', honours
    assert get(site, tmp_path / "a.bin").read_bytes() == CONTENT


def test_without_validator_only_a_checksum_allows_to_continue(site: Site, tmp_path: Path) -> None:
    for sha256, wanted in ((None, None), (SHA256, "bytes=5000-")):
        site.etag, site.cut_at = "", 5000
        folder = tmp_path / str(wanted is None)
        get(site, folder / "a.bin", sha256=sha256)
        assert site.requests[-1].get("Range") == wanted
        assert (folder / "a.bin").read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_deleted(site: Site, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"x"
    with pytest.raises(WavewrightError, match=f"expected 1024000 bytes with sha256 {SHA256}"):
        get(site, tmp_path / "a.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_and_wrong_is_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x" * len(CONTENT))
    assert get(site, tmp_path / "a.bin").read_bytes() == CONTENT


def test_wrong_size_is_refused_before_the_body(site: Site, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="offers 1024000 bytes, the recipe expects 5"):
        get(site, tmp_path / "a.bin", size=5)


def test_a_passing_error_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.errors = [500, 503]
    assert get(site, tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(site.requests) == 3


def test_a_lasting_error_is_not(site: Site, tmp_path: Path) -> None:
    site.errors = [404]
    with pytest.raises(WavewrightError, match="404 Not Found"):
        get(site, tmp_path / "a.bin")
    assert len(site.requests) == 1
    site.errors = [500] * 9
    with pytest.raises(WavewrightError, match="gave up after 3 tries"):
        get(site, tmp_path / "b.bin", attempts=3)


def test_a_stall_is_noticed(site: Site, tmp_path: Path) -> None:
    site.stall = 0.6
    start = time.monotonic()
    assert get(site, tmp_path / "a.bin", timeout=0.15).read_bytes() == CONTENT
    assert len(site.requests) == 2
    assert time.monotonic() - start < 5


def test_a_part_longer_than_the_file_starts_over(site: Site, tmp_path: Path) -> None:
    site.cut_at = 900_000
    with pytest.raises(WavewrightError):
        get(site, tmp_path / "a.bin", attempts=1)
    site.content = b"short"
    digest = hashlib.sha256(b"short").hexdigest()
    path = get(site, tmp_path / "a.bin", sha256=digest, size=None)
    assert path.read_bytes() == b"short"


@pytest.fixture
def mirror() -> Iterator[Site]:
    yield from serve(Site(etag='"of the mirror"'))


def test_a_mirror_continues_what_the_first_server_began(
    site: Site, mirror: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.cut_at, site.errors = 300_000, []
    options: dict[str, Any] = {"size": len(CONTENT), "pause": 0.001, "attempts": 1}
    urls = [site.address, mirror.address]
    got = fetch_from_any(urls, tmp_path / "a.bin", sha256=SHA256, **options)
    assert got.read_bytes() == CONTENT
    assert mirror.requests[0]["Range"] == "bytes=300000-"
    assert "If-Range" not in mirror.requests[0]
    assert "trying the next address" in caplog.text
    assert only_file(tmp_path, "a.bin")


def test_a_mirror_with_another_file_is_passed_over(
    site: Site, mirror: Site, tmp_path: Path
) -> None:
    site.content = bytes(len(CONTENT))
    urls = [site.address, mirror.address]
    assert fetch_from_any(urls, tmp_path / "a.bin", sha256=SHA256).read_bytes() == CONTENT
    mirror.content = site.content
    with pytest.raises(WavewrightError, match="sha256"):
        fetch_from_any(urls, tmp_path / "b.bin", sha256=SHA256)
    assert only_file(tmp_path, "a.bin")


def test_mirrors_need_a_checksum(site: Site, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match=r"elsewhere/a: a mirror needs a sha256"):
        fetch_from_any([site.address, "http://elsewhere/a"], tmp_path / "a.bin")
    assert site.requests == []


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="the connection failed"):
        fetch("http://127.0.0.1:9/a", tmp_path / "a", attempts=2, pause=0.001)
    with pytest.raises(WavewrightError, match="only http"):
        fetch("file:///etc/hosts", tmp_path / "a")


def test_no_room(site: Site, tmp_path: Path) -> None:
    with pytest.raises(WavewrightError, match="the disk has"):
        get(site, tmp_path / "a.bin", size=10**16)


def archive_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:bz2") as tar:
        for name, data in names.items():
            member = tarfile.TarInfo(f"LJ/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_the_stage_leaves_a_corpus_and_nothing_else(site: Site, tmp_path: Path) -> None:
    site.content = archive_of({"metadata.csv": b"a|A.|A.\n", "wavs/a.wav": b"RIFF", "x": b"?"})
    digest = hashlib.sha256(site.content).hexdigest()
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    download(corpus, url=site.address, sha256=digest, size=len(site.content))
    found = sorted(str(p.relative_to(corpus)) for p in corpus.rglob("*") if p.is_file())
    assert found == ["metadata.csv", "wavs/a.wav"]
    kept = tmp_path / "downloads"
    for _ in range(2):
        download(corpus, url=site.address, sha256=digest, archives=kept)
    assert [path.name for path in kept.iterdir()] == ["corpus.tar.bz2"]
    assert len(site.requests) == 2, "a kept archive is not fetched again"


def test_a_local_archive_or_nothing(site: Site, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    archive = tmp_path / "mine.tar.bz2"
    archive.write_bytes(archive_of({"metadata.csv": b"a|A.|A.\n", "wavs/a.wav": b"RIFF"}))
    download(corpus, source=archive, url=site.address)
    assert site.requests == [], "a source on this machine goes before the address"
    assert (corpus / "wavs/a.wav").read_bytes() == b"RIFF"
    with pytest.raises(WavewrightError, match=r"download\.source: there is no .*nowhere"):
        download(corpus, source=tmp_path / "nowhere")
    with pytest.raises(WavewrightError, match=r"nothing to get; set download\.source"):
        download(corpus)
