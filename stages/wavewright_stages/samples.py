"""Draw samples from unconditional vocoders and measure them."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from wavewright.stage import In, InMany, Out, Unkeyed, stage


@stage(version=1)
def samples(
    prepared: In,
    classifier: In,
    vocoder: InMany,
    samples: Out,
    *,
    seed: int,
    title: str = "Sounds from noise",
    corpus: str = "",
    note: str = "",
    count: PositiveInt = 500,
    max_players: PositiveInt = 12,
    max_megabytes: float = 25.0,
    precision: Literal["float32", "bf16", "fp16", "int8"] = "float32",
    device: Unkeyed[str] = "auto",
) -> None:
    """Draw samples from every vocoder, compare them with the corpus, and write a report.

    Args:
        prepared: manifest and audio shards.
        classifier: classifier that scores the samples.
        vocoder: trained vocoders, by name.
        samples: index.html, results.json, results.csv, report.md, spectrum.png and wavs/.
        seed: Seed of all noise.
        title: Heading of the page.
        corpus: Description of the recordings, in a few words.
        note: Sentence at the head of the page, such as how far the training went.
        count: Samples per vocoder.
        max_players: Samples per vocoder in the page.
        max_megabytes: Largest size of the page.
        precision: Arithmetic of the vocoders; `int8` only for autoregressive ones.
        device: `auto`, `cpu` or `cuda`.
    """
    from wavewright.compute.device import pick_device
    from wavewright.evaluation.report.samples_page import write_samples_report
    from wavewright.evaluation.samples import evaluate_samples, generate_all, load_corpus

    corpus_sounds = load_corpus(prepared, classifier)
    generated = generate_all(vocoder, count, seed, pick_device(device), precision)
    results = evaluate_samples(
        corpus_sounds, generated, samples, title=title, corpus=corpus, note=note, seed=seed
    )
    write_samples_report(samples, results, max_players=max_players, max_megabytes=max_megabytes)
