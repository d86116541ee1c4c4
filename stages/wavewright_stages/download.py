"""Stage 0: get a speech corpus: from this machine, from the network, or by espeak-ng."""

from __future__ import annotations

import shutil
from pathlib import Path

from wavewright.errors import WavewrightError
from wavewright.stage import Out, Unkeyed, stage

_MANIFESTS = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


@stage(version=2)
def download(
    corpus: Out,
    *,
    source: Path | None = None,
    layout: str | None = None,
    url: str | None = None,
    sha256: str | None = None,
    size: int | None = None,
    mirrors: Unkeyed[tuple[str, ...]] = (),
    archives: Unkeyed[Path | None] = None,
    sentences: Path | None = None,
    prefix: str = "spoken",
    voice: str = "en-us",
    words_per_minute: int = 160,
    follow_links: bool = False,
) -> None:
    """Put a corpus into the layout of LJSpeech-1.1, or into wavs/ and a table.

    The first of `source`, `sentences` and `url` that is set decides, so that
    `--set download.source=PATH` works with every recipe.

    Args:
        corpus: metadata.csv (`id|raw text|normalised text`) or corpus.parquet, wavs/ID.wav or
            another format, and, where the corpus has them, alignments/ID.TextGrid, splits/*.txt,
            its README and license.
        source: Corpus on this machine: a folder, an archive of one (tar, tar.gz, tar.bz2, tar.xz,
            zip), or a table or manifest file that names the audio.
        layout: Layout of the corpus; null detects it by its files. `ljspeech` (metadata.csv and
            wavs/, or pairs of ID.wav and ID.txt), `table` (.csv, .tsv or .parquet with a header),
            `kaldi`, `nemo`, `libritts`, `vctk`, or `folder` (audio files at any depth, texts beside
            them).
        url: Address (http or https) of such an archive. An interrupted download continues.
        sha256: Hash of the archive at `url`.
        size: Bytes of the archive at `url`.
        mirrors: Other addresses of the same archive, tried in turn if `url` fails; they need
            `sha256`.
        archives: Folder that keeps downloaded archives for the next time; null deletes them after
            unpacking.
        sentences: Text file with one sentence per line, for espeak-ng to synthesize.
        prefix: Prefix of the ids of synthesized sentences.
        voice: Voice of espeak-ng.
        words_per_minute: Speaking rate of espeak-ng, 80 to 450.
        follow_links: Follow symbolic links that lead out of the folder.
    """
    if source is not None and (source.is_dir() or source.suffix.lower() in _MANIFESTS):
        from wavewright.data.corpus.ingest import publish_corpus

        publish_corpus(source, corpus, layout=layout, follow_links=follow_links)
    elif source is not None:
        if not source.exists():
            raise WavewrightError(f"download.source: there is no {source}")
        _unpack(source, corpus, layout)
    elif sentences is not None:
        from wavewright.data.corpus.ingest import synthesize_corpus

        synthesize_corpus(
            sentences, corpus, prefix=prefix, voice=voice, words_per_minute=words_per_minute
        )
    elif url is not None:
        from wavewright.data.corpus.download import fetch_from_any

        folder = archives if archives is not None else _scratch(corpus)
        archive = fetch_from_any(
            (url, *mirrors), folder / _file_name(url), sha256=sha256, size=size
        )
        _unpack(archive, corpus, layout)
    else:
        raise WavewrightError(
            "download: nothing to get; set download.source to a folder or an archive on this "
            "machine, or download.url"
        )
    shutil.rmtree(_scratch(corpus), ignore_errors=True)


def _scratch(corpus: Path) -> Path:
    """Folder of the archive and its content, removed before the corpus is published."""
    return corpus / ".unpacking"


def _file_name(url: str) -> str:
    return url.partition("?")[0].rstrip("/").rpartition("/")[2] or "corpus"


def _unpack(archive: Path, corpus: Path, layout: str | None) -> None:
    from wavewright.data.corpus.archive import extract
    from wavewright.data.corpus.ingest import publish_corpus

    folder = _scratch(corpus) / "corpus"
    shutil.rmtree(folder, ignore_errors=True)
    # Links, because what was unpacked is ours alone and goes away.
    publish_corpus(extract(archive, folder), corpus, layout=layout, link=True)
