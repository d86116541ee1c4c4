"""Gain of training on GTA mels: the same vocoder and steps, other mels.

    python benchmarks/gta_training.py PREPARED MELS GTA ACOUSTIC OUT --vocoder vocos --steps 9000

The first four are the folders of a recipe's stages prepare, mels, gta and acoustic. Trainings from
the same seed: on natural mels, on GTA mels, and on natural mels with GTA mels for the last third;
`--arms natural gta` leaves one out. Each vocoder then speaks the test sentences from natural mels,
from GTA mels and from what the acoustic model says freely. `--train natural` trains that one and
stops, so that trainings can run side by side; all of them go on where they were stopped.
OUT/report/index.html is the whole report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / root) for root in ("pipeline", "stages")]

import torch
import yaml

from wavewright.data.shards import Shards
from wavewright.evaluation.measure import METRICS
from wavewright.evaluation.results import Difference, MetricInfo, Results, Summary
from wavewright_stages.evaluate import evaluate
from wavewright_stages.train import train

ARMS = ("natural", "gta", "natural-then-gta")
QUICK: dict[str, Any] = {"speed_seconds": 0.1, "speed_repeats": 1, "max_seconds": 0.3, "jobs": 1}
CONDITIONS = {"copy": "natural mels", "gta": "GTA mels", "tts": "free-running"}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("prepared", "mels", "gta", "acoustic", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--vocoder", default="vocos")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--arms", choices=ARMS, nargs="+", default=ARMS)
    parser.add_argument("--train", choices=ARMS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--metrics", nargs="*", default=[])
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="of the stage train, such as batch_size=8 or config.learning_rate=1e-4",
    )
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see it run")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(steps=2)
        arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    options = _options(arguments.set)
    for arm in [arguments.train] if arguments.train else arguments.arms:
        _train(arguments, arm, options)
    if not arguments.train:
        _evaluate(arguments)
        results = Results.model_validate_json((arguments.out / "report/results.json").read_text())
        print("\n".join(_tables(results)))


def _options(changes: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {"config": {}}
    for change in changes:
        name, _, text = change.partition("=")
        value = yaml.safe_load(text)
        if name.startswith("config."):
            options["config"][name.removeprefix("config.")] = value
        else:
            options[name] = value
    return options


def _train(arguments: argparse.Namespace, arm: str, options: dict[str, Any]) -> None:
    mel = Shards(arguments.mels).mel
    assert mel is not None
    run = arguments.out / arm
    run.mkdir(parents=True, exist_ok=True)
    phase = {"gta_start": 2 * arguments.steps // 3} if arm == "natural-then-gta" else {}
    train(
        arguments.prepared,
        arguments.mels,
        None if arm == "natural" else arguments.gta,
        None,
        run,
        **{
            "mel": mel,
            "seed": 1234,
            "name": arguments.vocoder,
            "features": arm,
            "max_steps": arguments.steps,
            "best_by": "latest",  # as many steps for each, whatever validation says
            **phase,
            **options,
        },
    )


def _evaluate(arguments: argparse.Namespace) -> None:
    mel = Shards(arguments.mels).mel
    assert mel is not None
    report = arguments.out / "report"
    report.mkdir(exist_ok=True)
    evaluate(
        arguments.prepared,
        arguments.mels,
        arguments.gta,
        arguments.acoustic,
        {f"from-{arm}": arguments.out / arm for arm in arguments.arms},
        report,
        mel=mel,
        seed=1234,
        title=f"{arguments.vocoder}, {arguments.steps} steps: natural or GTA mels",
        metrics=(*METRICS, *arguments.metrics),
        **(QUICK if arguments.quick else {}),
    )


def _tables(results: Results) -> list[str]:
    """Format each metric: a row per training, a column per condition; then the differences."""
    lines = []
    for metric in results.metrics:
        if metric.phones or metric.band:
            continue
        means = {
            (row.system, row.condition): _cell(row)
            for row in results.summary
            if row.metric == metric.id and row.mean is not None
        }
        heads = [c for c in CONDITIONS if any(condition == c for _, condition in means)]
        if not heads:
            continue
        aim = {"lower": " ↓", "higher": " ↑"}.get(metric.direction, " →")
        titles = [CONDITIONS[condition] for condition in heads]
        lines += ["", f"| {metric.title}{aim} | " + " | ".join(titles) + " |"]
        lines += ["|---" * (1 + len(heads)) + "|"]
        for system in ("griffinlim", *(f"from-{arm}" for arm in ARMS)):
            if not any(spoken == system for spoken, _ in means):
                continue
            cells = [means.get((system, condition), "") for condition in heads]
            lines.append(f"| {system} | " + " | ".join(cells) + " |")
        lines += ["", *_gaps(results, metric)]
    return lines


def _cell(row: Summary) -> str:
    """A mean with its interval, which very few utterances do not have."""
    if row.low is None or row.high is None:
        return f"{row.mean:.3f}"
    return f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]"


def _gaps(results: Results, metric: MetricInfo) -> list[str]:
    """GTA less natural, with Holm's corrected p where the metric is in his family."""
    found = []
    for difference in results.differences:
        pair = (difference.a, difference.b)
        if difference.metric == metric.id and set(pair) == {"from-gta", "from-natural"}:
            found.append(_gap(difference, 1 if pair[0] == "from-gta" else -1))
    return [f"GTA less natural: {'; '.join(found)}"] if found else []


def _gap(difference: Difference, sign: int) -> str:
    text = f"{CONDITIONS[difference.condition]} {sign * (difference.mean or 0.0):+.3f}"
    if difference.low is not None and difference.high is not None:
        low, high = sorted((sign * difference.low, sign * difference.high))
        text += f" [{low:+.3f}, {high:+.3f}]"
    p = difference.p if difference.corrected is None else difference.corrected
    return text if p is None else f"{text}, p = {p:.2g}"


if __name__ == "__main__":
    main()
