"""Commands that show what there is: list, config, new."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from wavewright.cli.options import print_line
from wavewright.errors import UnknownName, WavewrightError, did_you_mean

_FROM_THE_RECIPE = ("mel", "seed", "name")  # sections of their own, or made by the runner


def list_plugins(
    group: Annotated[
        str, typer.Argument(help="vocoders, acoustic, stages, metrics, mels or recipes.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="With a group: print JSON for programs.")
    ] = False,
) -> None:
    """List installed vocoders, acoustic models, stages, metrics, mel presets and recipes.

    Examples:

        wavewright list
        wavewright list vocoders
        wavewright list vocoders --json
    """
    from wavewright.registry import GROUPS

    groups = [*GROUPS, "mels", "recipes"]
    if group and group not in groups:
        raise UnknownName(
            f"no group '{group}'.{did_you_mean(group, groups)} Groups: {', '.join(groups)}."
        )
    if as_json and not group:
        raise WavewrightError(f"--json needs a group: {', '.join(groups)}")
    if as_json:
        rows = _vocoder_rows() if group == "vocoders" else list(_names(group))
        print_line(json.dumps(rows, indent=1))
    elif group == "vocoders":
        _print_vocoders()
    else:
        for name in [group] if group else groups:
            if not group:
                print_line(f"{name}:")
            for entry, distribution in _names(name).items():
                print_line(f"  {entry}" + (f"  (from {distribution})" if distribution else ""))


def _names(group: str) -> dict[str, str]:
    """Map the names of a group to the package that brings each; empty for our own."""
    from wavewright.mel.spec import MelSpec
    from wavewright.registry import plugins
    from wavewright.runner.recipe import shipped_recipes

    others: dict[str, Callable[[], Iterable[str]]] = {
        "mels": MelSpec.presets,
        "recipes": shipped_recipes,
    }
    if group in others:
        return dict.fromkeys(others[group](), "")
    return {
        name: "" if plugin.distribution == "wavewright" else plugin.distribution
        for name, plugin in plugins(group).items()
    }


def _vocoder_rows() -> list[dict[str, Any]]:
    from wavewright.registry import describe_vocoders

    return [asdict(info) for info in describe_vocoders()]


def _print_vocoders() -> None:
    from wavewright.registry import describe_vocoders

    head = ("vocoder", "parameters", "driven by", "Hz", "streams", "exports", "source")
    rows: list[tuple[str, ...]] = []
    for info in describe_vocoders():
        origin = "" if info.distribution == "wavewright" else f"  (from {info.distribution})"
        if info.problem:
            rows.append((info.name, *[""] * 5, f"cannot be loaded: {info.problem}{origin}"))
        for variant in info.variants[1:] or info.variants:  # the first one is the default again
            rows.append(
                (
                    f"{info.name}:{variant.name}" if variant.name else info.name,
                    f"{variant.parameters:,}",
                    variant.conditioning,
                    f"{variant.sample_rate:,}",
                    "yes" if variant.streams else "no",
                    "yes" if variant.exports else "no",
                    f"{info.source}{origin}",
                )
            )
    print_line(format_table(head, rows, right=("parameters", "Hz")))


def format_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> str:
    """Align a table's columns with spaces; those named in `right` at their right edge."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row, widths, head, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def config(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="system[:variant], mel:PRESET, stage:NAME, or a checkpoint's path.",
        ),
    ],
    statistics: Annotated[
        Path | None,
        typer.Option(
            help="With mel:PRESET: normalize by these; a folder of mel shards in that convention, "
            "or another toolkit's stats.h5, stats.npy or feats_stats.npz."
        ),
    ] = None,
    mel: Annotated[
        str,
        typer.Option(
            "--mel",
            metavar="PRESET|FILE",
            help="With a vocoder: fit it to this mel preset, or to a mel in a .yaml file.",
        ),
    ] = "",
) -> None:
    """Print the configuration of a model, a mel preset or a checkpoint, or a stage's options.

    A mel is printed as a recipe's section `mel`. With --mel a vocoder's upsampling is fitted to
    that mel's hop length, and the first lines say what to write into a recipe.

    Examples:

        wavewright config hifigan:v2
        wavewright config stage:train
        wavewright config mel:parallel-wavegan --statistics stats.h5
        wavewright config hifigan --mel parallel-wavegan
        wavewright config imported.safetensors
    """
    system, _, rest = name.partition(":")
    path = Path(name)
    is_checkpoint = path.suffix == ".safetensors" or path.is_dir()
    if mel and (is_checkpoint or system in ("mel", "stage")):
        raise WavewrightError("--mel belongs to vocoders: wavewright config hifigan --mel PRESET")
    if statistics is not None and system != "mel":
        raise WavewrightError("--statistics belongs to mels: wavewright config mel:PRESET")
    if system == "stage":
        _print_stage(rest)
    elif system == "mel":
        _print_mel(rest, statistics)
    elif is_checkpoint:
        _print_checkpoint(path)
    else:
        _print_model(name, mel)


def _print_stage(name: str) -> None:
    """Print a recipe's section of a stage: every option with its doc, type and default."""
    from wavewright.registry import find
    from wavewright.stage import options_of

    stage = find("stages", name)
    print_line(f"# {stage.summary}\n{name}:")
    for option in options_of(stage):
        if option.name in _FROM_THE_RECIPE:
            continue
        facts = [f"one of {', '.join(option.choices)}" if option.choices else option.type]
        if option.kind == "budget":
            facts.append("a larger value continues")
        if option.kind == "unkeyed":
            facts.append("a change runs nothing again")
        doc = option.doc[:1].upper() + option.doc[1:].rstrip(".")
        text = f"{doc} ({'; '.join(facts)})."
        print_line(textwrap.fill(text, 100, initial_indent="  # ", subsequent_indent="  # "))
        if option.required:
            print_line(f"  # {option.name}: required")
        else:
            print_line(f"  {option.name}: {json.dumps(option.default, ensure_ascii=False)}")


def _print_mel(preset: str, statistics: Path | None) -> None:
    from wavewright.mel.spec import MelSpec

    spec = MelSpec.preset(preset)
    if statistics is not None:
        from wavewright.data.mel_statistics import with_statistics

        spec = with_statistics(spec, statistics)
    _print_yaml(spec.model_dump(mode="json"))


def _print_checkpoint(path: Path) -> None:
    from wavewright.checkpoints.checkpoint import read_weights, weights_file

    facts, _ = read_weights(weights_file(path))
    print_line(f"# {facts['name']}, step {facts['step']}")
    _print_yaml(facts["config"])


def _print_model(name: str, mel: str) -> None:
    from wavewright.registry import create_model, plugins

    system = name.partition(":")[0]
    kinds = {"vocoders": "vocoder", "acoustic": "acoustic"}
    kind = next((kind for group, kind in kinds.items() if system in plugins(group)), None)
    if kind is None:
        raise UnknownName(_explain_unknown(name))
    if not mel:
        _print_yaml(create_model(kind, name).config.model_dump(mode="json"))
        return
    if kind == "acoustic":
        raise WavewrightError("--mel belongs to vocoders: wavewright config hifigan --mel PRESET")
    from wavewright.training.fit_to_mel import fit, read_mel

    fitted = fit(name, read_mel(mel))
    values = fitted.config.model_dump(mode="json")
    changes = {key: values[key] for key in fitted.changes}
    train = {"vocoders": {name: {"config": changes} if changes else {}}}
    print_line(f"# {name} for {mel}: what a recipe with this mel says")
    _print_yaml(
        {"train": {**train, "segment_length": fitted.segment_length}},
        transform=lambda text: "".join(f"#   {line}\n" for line in text.splitlines()),
    )
    _print_yaml(values)


def _explain_unknown(name: str) -> str:
    """Say what a name is, if it is something else than a model, and what to type for it."""
    from wavewright.mel.spec import MelSpec
    from wavewright.registry import describe_vocoders, plugins

    if name in plugins("stages"):
        return f"'{name}' is a stage: wavewright config stage:{name}"
    if name in MelSpec.presets():
        return f"'{name}' is a mel preset: wavewright config mel:{name}"
    if name in plugins("metrics"):
        return f"'{name}' is a metric and has no configuration: docs/evaluation.md describes it"
    if Path(name).suffix in (".yaml", ".yml"):
        return (
            f"'{name}' is a recipe: wavewright run {name} --dry-run shows its plan, and "
            "wavewright config stage:NAME a stage's options"
        )
    if Path(name).exists():
        return (
            f"'{name}' is no checkpoint of ours: give a .safetensors file or a run's folder. "
            f"wavewright import {name} --out FILE converts another toolkit's"
        )
    variants = [
        f"{info.name}:{name}"
        for info in describe_vocoders()
        if name in {variant.name for variant in info.variants}
    ]
    if variants:
        return f"'{name}' is a variant: wavewright config {' or '.join(variants)}"
    known = [*plugins("vocoders"), *plugins("acoustic")]
    return (
        f"no model '{name}'.{did_you_mean(name, known)} Models: {', '.join(known)}. "
        "Others: mel:PRESET, stage:NAME, or a checkpoint's path."
    )


def _print_yaml(values: Any, **options: Any) -> None:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.representer.add_representer(
        list, lambda r, items: r.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    )
    yaml.dump(values, sys.stdout, **options)


def new(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
) -> None:
    """Copy a shipped recipe to work on.

    Examples:

        wavewright new kathleen my-voice
    """
    from wavewright.runner.recipe import copy_recipe

    copy = copy_recipe(recipe, folder)
    print_line(f"{copy}: a copy of the recipe. Run it with: wavewright run {copy}")
