"""The `wavewright` command: parse, call, print. Nothing heavy is imported until it is needed."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict, cast

import typer

from wavewright.errors import WavewrightError, os_errors_as_user_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wavewright.inference.tts import TTS
    from wavewright.runner.plan import Plan
    from wavewright.text.verbalisation.english import TextRules

app = typer.Typer(
    help="Train, compare and ship neural vocoders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe.yaml, its folder, or a shipped name.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change an option, such as train.max_steps=1000."
    ),
]
VocoderOption = Annotated[
    list[str] | None,
    typer.Option("--vocoder", metavar="NAME", help="Train this vocoder (repeat for several)."),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Worker processes; default: one per processor."),
]
GpusOption = Annotated[
    int | None,
    typer.Option("--gpus", min=1, help="Processes that train together, one per GPU."),
]
NodesOption = Annotated[
    int | None,
    typer.Option("--nodes", min=1, help="Machines that train together, each with --gpus."),
]
RendezvousOption = Annotated[
    str | None,
    typer.Option(
        "--rendezvous",
        metavar="HOST:PORT",
        help="With --nodes: a free port of this machine that the others reach.",
    ),
]
BackendOption = Annotated[
    str, typer.Option(help="Where shards are made: loky (this machine) or dask.")
]
SchedulerOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="With --backend dask: tcp://HOST:PORT or tls://HOST:PORT of a running scheduler; "
        "default: a cluster of --jobs processes on this machine.",
    ),
]


@app.command()
def run(
    recipe: RecipeArgument,
    stage: Annotated[
        str | None, typer.Option(help="Start at this stage, by number or name.")
    ] = None,
    stop_stage: Annotated[
        str | None,
        typer.Option("--stop-stage", "--stop_stage", help="Stop after this stage."),
    ] = None,
    changes: SetOption = None,
    vocoder: VocoderOption = None,
    jobs: JobsOption = None,
    gpus: GpusOption = None,
    nodes: NodesOption = None,
    rendezvous: RendezvousOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and stop.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say in full why, old -> new, and stop.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Run even what is up to date.")] = False,
    allow_stale: Annotated[
        bool, typer.Option("--allow-stale", help="Use outdated results of earlier stages.")
    ] = False,
    backend: BackendOption = "loky",
    scheduler: SchedulerOption = "",
) -> None:
    """Run a recipe's stages; those that are up to date are skipped.

    Examples: wavewright run mini;
    wavewright run recipes/ljspeech --stage 3 --stop-stage gta;
    wavewright run kathleen --vocoder hifigan:v3 --set train.max_steps=20000 --explain;
    wavewright run ljspeech --vocoder vocos --gpus 4
    """
    from wavewright.runner.run import RunRequest
    from wavewright.runner.run import run as run_plan

    _require_engine(backend, scheduler)
    request = RunRequest(
        stage, stop_stage, dry_run, explain, force, allow_stale, backend, scheduler
    )
    if (nodes or 1) > 1 and not rendezvous:
        raise WavewrightError("--nodes needs --rendezvous HOST:PORT, where the machines meet")
    plan = _plan(recipe, changes, vocoder, jobs=jobs, gpus=gpus, nodes=nodes, rendezvous=rendezvous)
    result = run_plan(plan, request, _say)
    if result is not None:
        page = result / "index.html"
        _say(f"Result: {page if page.is_file() else result}")


@app.command()
def status(
    recipe: RecipeArgument, changes: SetOption = None, vocoder: VocoderOption = None
) -> None:
    """Show which stages are up to date and where their results are.

    Example: wavewright status kathleen
    """
    from wavewright.runner.run import print_status as show

    show(_plan(recipe, changes, vocoder), _say)


@app.command()
def verify(
    recipe: RecipeArgument, changes: SetOption = None, vocoder: VocoderOption = None
) -> None:
    """Hash every current result again and compare.

    Example: wavewright verify kathleen
    """
    from wavewright.runner.run import verify_results as check

    if not check(_plan(recipe, changes, vocoder), _say):
        raise typer.Exit(1)


@app.command()
def clean(
    recipe: RecipeArgument,
    changes: SetOption = None,
    vocoder: VocoderOption = None,
    keep: Annotated[int, typer.Option(min=1, help="Newest results of each stage that stay.")] = 2,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Also what was interrupted under other options."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
) -> None:
    """Remove old results; the one in use always stays.

    Example: wavewright clean kathleen --keep 1 --dry-run
    """
    from wavewright.runner.clean import clean as remove

    plan = _plan(recipe, changes, vocoder)
    remove(plan, keep, _say, unfinished=unfinished, dry=dry_run)


@app.command("list")
def list_plugins(
    group: Annotated[
        str, typer.Argument(help="vocoders, acoustic, stages, metrics, mels or recipes.")
    ] = "",
) -> None:
    """List installed vocoders, acoustic models, stages, metrics, mel presets and recipes.

    Examples: wavewright list; wavewright list mels
    """
    from wavewright.errors import UnknownName, did_you_mean
    from wavewright.mel.spec import MelSpec
    from wavewright.registry import GROUPS, plugins
    from wavewright.runner.recipe import shipped_recipes

    others = {"mels": MelSpec.presets, "recipes": shipped_recipes}
    groups = [*GROUPS, *others]
    if group and group not in groups:
        raise UnknownName(
            f"no group '{group}'.{did_you_mean(group, groups)} Groups: {', '.join(groups)}."
        )
    for name in [group] if group else groups:
        if not group:
            _say(f"{name}:")
        for entry in others[name]() if name in others else plugins(name):
            origin = "" if name in others else plugins(name)[entry].distribution
            _say(f"  {entry}" + (f"  (from {origin})" if origin not in ("", "wavewright") else ""))


@app.command()
def config(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="system[:variant], mel:PRESET or a checkpoint.")
    ],
    statistics: Annotated[
        Path | None,
        typer.Option(
            help="With mel:PRESET: normalise by these; a folder of mel shards in that convention, "
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
    """Print a vocoder's, acoustic model's, mel preset's or checkpoint's configuration as YAML.

    What is printed of a mel is a recipe's section `mel`. With --mel a vocoder's upsampling is
    fitted to that mel's hop length, and what to write into a recipe stands in the first lines.

    Examples: wavewright config hifigan:v2; wavewright config mel:hifigan;
    wavewright config tacotron2; wavewright config hifigan --mel parallel-wavegan;
    wavewright config mel:parallel-wavegan --statistics stats.h5;
    wavewright config imported.safetensors
    """
    from ruamel.yaml import YAML

    from wavewright.mel.spec import MelSpec
    from wavewright.registry import create_model, plugins

    system, _, rest = name.partition(":")
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.representer.add_representer(
        list, lambda r, items: r.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    )
    given = Path(name)
    saved = given.suffix == ".safetensors" or given.is_dir()
    if mel and (saved or system == "mel" or system in plugins("acoustic")):
        raise WavewrightError("--mel belongs to vocoders: wavewright config hifigan --mel PRESET")
    if system == "mel":
        spec = MelSpec.preset(rest)
        if statistics is not None:
            from wavewright.data.mel_statistics import with_statistics

            spec = with_statistics(spec, statistics)
        values = spec.model_dump(mode="json")
    elif statistics is not None:
        raise WavewrightError("--statistics belongs to mels: wavewright config mel:PRESET")
    elif mel:
        from wavewright.training.fit_to_mel import fit, read_mel

        fitted = fit(name, read_mel(mel))
        values = fitted.config.model_dump(mode="json")
        changes = {key: values[key] for key in fitted.changes}
        train = {"vocoders": {name: {"config": changes} if changes else {}}}
        _say(f"# {name} for {mel}: what a recipe with this mel says")
        yaml.dump(
            {"train": {**train, "segment_length": fitted.segment_length}},
            sys.stdout,
            transform=lambda text: "".join(f"#   {line}\n" for line in text.splitlines()),
        )
    elif saved:
        from wavewright.checkpoints.checkpoint import read_weights, weights_file

        about, _ = read_weights(weights_file(given))
        _say(f"# {about['name']}, step {about['step']}")
        values = about["config"]
    else:
        kind = "acoustic" if system in plugins("acoustic") else "vocoder"
        values = create_model(kind, name).config.model_dump(mode="json")
    yaml.dump(values, sys.stdout)


CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", help="A run or step folder, or a .safetensors file.")
]
OutOption = Annotated[Path, typer.Option("--out", help="The WAV file to write.")]
SeedOption = Annotated[int, typer.Option(help="Seed of all noise.")]
LikeOption = Annotated[
    str, typer.Option("--like", metavar="PRESET", help="The mel preset that the mel is in.")
]
KeyOption = Annotated[str, typer.Option("--key", help="Which array of a file with several.")]


class Precision(StrEnum):
    """Of a vocoder's arithmetic."""

    float32 = "float32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="Of the vocoder's arithmetic; bf16 (fp16 on GPUs without it) is quicker and a little "
        "noisier. int8 is for WaveNet and WaveRNN, whose weights are then a quarter as large and "
        "faster to read."
    ),
]


class EngineName(StrEnum):
    """How WaveNet and WaveRNN make their samples."""

    fast = "fast"
    reference = "reference"


EngineOption = Annotated[
    EngineName,
    typer.Option(
        help="Of WaveNet and WaveRNN: fast is a compiled loop, reference the network's own code."
    ),
]


SpeakerOption = Annotated[
    str,
    typer.Option(help="Whom a vocoder of several speakers speaks as; its first by default."),
]


class MelLayout(StrEnum):
    """Order of a mel's axes."""

    bands_first = "bands_first"
    frames_first = "frames_first"


@app.command()
def vocode(
    checkpoint: CheckpointOption,
    mel: Annotated[
        Path,
        typer.Option(
            "--mel", help="A .npy, .npz, .pt, .h5, .ark or .scp with a mel; - is standard input."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The WAV file to write; - is standard output.")
    ],
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Speak while the mel arrives and write sound as soon as there is some. Standard "
            "input is float32 numbers, little-endian, the bands of one frame after those of the "
            "other; or arrays as numpy.save writes them, one after the other.",
        ),
    ] = False,
    like: LikeOption = "",
    layout: Annotated[
        MelLayout | None,
        typer.Option(
            help="Order of the mel's axes: bands_first is (n_mels, frames); default: --like's."
        ),
    ] = None,
    key: KeyOption = "",
    seed: SeedOption = 0,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
    speaker: SpeakerOption = "",
) -> None:
    """Turn a mel into a WAV file.

    The mel is in the checkpoint's convention unless --like names another; what can be converted
    exactly is, and the rest is refused.

    Examples: wavewright vocode --checkpoint exp/vocoder --mel speech.npy --out speech.wav;
    wavewright vocode --checkpoint exp/vocoder --mel feats.h5 --like parallel-wavegan --out a.wav;
    my-acoustic-model | wavewright vocode --checkpoint exp/vocoder --stream --mel - --out - | aplay
    """
    from wavewright.inference.vocode import vocode_mel_file, vocode_mel_stream

    options: VocodeOptions = {
        "seed": seed,
        "mel_preset": like,
        "layout": layout,
        "key": key,
        "precision": precision,
        "engine": engine,
        "speaker": speaker,
    }
    piped = [name for name, path in (("--mel", mel), ("--out", out)) if str(path) == "-"]
    if not stream:
        if piped:
            raise WavewrightError(f"{piped[0]} - needs --stream")
        _say(vocode_mel_file(checkpoint, mel, out, **options))
        return
    source = sys.stdin.buffer if "--mel" in piped else mel
    target = sys.stdout.buffer if "--out" in piped else out
    with _heard():
        said = vocode_mel_stream(checkpoint, source, target, **options)
    print(said, file=sys.stderr if "--out" in piped else sys.stdout, flush=True)


class VocodeOptions(TypedDict):
    """What `vocode` passes on."""

    seed: int
    mel_preset: str
    layout: str | None
    key: str
    precision: str
    engine: str
    speaker: str


@app.command()
def doctor(
    wav: Annotated[Path | None, typer.Option("--wav", help="A recording.")] = None,
    mel: Annotated[
        Path | None, typer.Option("--mel", help="A .npy, .npz, .pt, .h5, .ark or .scp with a mel.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint that shall speak it.")
    ] = None,
    like: LikeOption = "",
    key: KeyOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Find out whose mel a mel is, whether it fits a checkpoint, and what mends it.

    A mel with its recording is told best. Exit code 1: it does not fit.

    Examples: wavewright doctor --mel speech.npy --wav speech.wav;
    wavewright doctor --mel speech.npy --checkpoint exp/vocoder
    """
    import json

    from wavewright.doctor.examine import examine

    found = examine(recording=wav, mel=mel, checkpoint=checkpoint, like=like, key=key)
    _say(json.dumps(found.as_dict(), indent=1) if as_json else "\n".join(found.lines()))
    if found.fits is False:
        raise typer.Exit(1)


@app.command()
def copy(
    checkpoint: CheckpointOption,
    wav: Annotated[Path, typer.Option("--wav", help="The recording.")],
    out: OutOption,
    seed: SeedOption = 0,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
    speaker: SpeakerOption = "",
) -> None:
    """Analyse a recording and synthesise it again: what the vocoder does to speech.

    Example: wavewright copy --checkpoint griffinlim --wav speech.wav --out copy.wav
    """
    from wavewright.inference.vocode import resynthesize_file

    _say(
        resynthesize_file(
            checkpoint, wav, out, seed=seed, precision=precision, engine=engine, speaker=speaker
        )
    )


@app.command()
def evaluate(
    reference: Annotated[Path, typer.Option("--reference", help="Folder of the recordings.")],
    candidate: Annotated[
        list[str],
        typer.Option(
            "--candidate",
            metavar="NAME=DIR",
            help="Folder of what a system made of them; repeat for several. NAME@gta=DIR and "
            "NAME@tts=DIR are its other conditions.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Measure this; repeat for several."),
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="Transcripts: metadata.csv, a table or Kaldi's text.")
    ] = None,
    alignments: Annotated[
        Path | None, typer.Option(help="Folder of ID.TextGrid: metrics by class of phones.")
    ] = None,
    speaker_pattern: Annotated[
        str, typer.Option(help="Finds the speaker in an id, as its first group: '^([a-z]+)_'.")
    ] = "",
    band: Annotated[
        float | None,
        typer.Option(help="Highest frequency in Hz that the candidates' mels had, such as 8000."),
    ] = None,
    sample_rate: Annotated[
        int | None, typer.Option(min=1000, help="Compare at this rate; default: the lowest.")
    ] = None,
    utterances: Annotated[
        int | None, typer.Option(min=1, help="Take this many, spread over the ids.")
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="lowpass-3.5k (the default), mulaw-8bit or none."),
    ] = None,
    title: Annotated[str, typer.Option(help="The page's heading.")] = "Vocoder evaluation",
    shown: Annotated[int, typer.Option(min=0, help="Most utterances to hear in the page.")] = 12,
    megabytes: Annotated[float, typer.Option(min=1, help="Largest page.")] = 25.0,
    cached: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Use values that were computed before.")
    ] = True,
    jobs: JobsOption = None,
) -> None:
    """Compare folders of wavs with recordings of the same names, and write a report.

    Files are paired by name. Ids that lack a partner, and files that cannot be used, are listed.

    Examples: wavewright evaluate --reference wavs --candidate mine=out --out report;
    wavewright evaluate --reference wavs --candidate hifigan=a --candidate hifigan@tts=b
    --candidate vocos=c --text metadata.csv --metric mel_l1 --metric pesq --metric wer --out report
    """
    from wavewright.evaluation.from_folders import EvaluationRequest, write_folder_report
    from wavewright.evaluation.measure import METRICS
    from wavewright.evaluation.pairing import parse_candidate

    anchors = tuple(name for name in anchor or ("lowpass-3.5k",) if name != "none")
    request = EvaluationRequest(
        reference=reference,
        candidates=[parse_candidate(one) for one in candidate],
        out=out,
        metrics=tuple(metric or METRICS),
        text=text,
        alignments=alignments,
        speaker_pattern=speaker_pattern,
        band=band,
        sample_rate=sample_rate,
        utterances=utterances,
        anchors=anchors,
        title=title,
        max_players=shown,
        max_megabytes=megabytes,
        use_cache=cached,
        jobs=jobs or -1,
        command=["wavewright", *sys.argv[1:]],
    )
    _say(f"Result: {write_folder_report(request, _say)}")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="results.json, or a report.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="results.json, or a report.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Show what stayed the same, too.")
    ] = False,
) -> None:
    """Tell whether systems have become better or worse between two evaluations.

    Exit code 1: something is significantly worse (Wilcoxon signed-rank test, Holm-corrected), or
    values were lost.

    Examples: wavewright compare old/results.json new/results.json; wavewright compare old new --all
    """
    from wavewright.evaluation.regressions import compare_results, comparison_lines, read_results

    found = compare_results(read_results(before), read_results(after))
    _say("\n".join(comparison_lines(found, everything=everything)))
    if found.has_regressions:
        raise typer.Exit(1)


@app.command()
def sample(
    checkpoint: CheckpointOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for 0000.wav, 0001.wav, ...")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many sounds.")] = 8,
    seed: SeedOption = 0,
    label: Annotated[
        str, typer.Option(help="Class of the sounds, where the vocoder knows some.")
    ] = "",
    truncation: Annotated[
        float,
        typer.Option(help="Largest number of a latent vector, up to 1: less is more typical."),
    ] = 1.0,
    interpolate: Annotated[
        bool,
        typer.Option("--interpolate", help="Go from the seed's first sound to its second."),
    ] = False,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
) -> None:
    """Let a vocoder that no mel drives make sounds: WaveGAN, SpecGAN, unconditional WaveNet.

    Examples: wavewright sample --checkpoint exp/wavegan --out sounds -n 20;
    wavewright sample --checkpoint exp/wavegan --out between -n 9 --interpolate
    """
    from wavewright.inference.vocode import write_samples

    _say(
        write_samples(
            checkpoint,
            out,
            count,
            seed=seed,
            precision=precision,
            engine=engine,
            label=label,
            truncation=truncation,
            interpolated=interpolate,
        )
    )


class TextRulesName(StrEnum):
    """How numbers and abbreviations are read."""

    english = "english"
    plain = "plain"


@app.command()
def say(
    acoustic: Annotated[Path, typer.Option("--acoustic", help="Acoustic model's checkpoint.")],
    vocoder: Annotated[Path, typer.Option("--vocoder", help="Vocoder's checkpoint.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The WAV file to write; with --file a folder; - streams to standard output.",
        ),
    ],
    text: Annotated[
        str | None, typer.Argument(help="What to say; - reads lines of standard input.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="One utterance per line, 'text' or 'id|text'; - is stdin."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write each sentence as soon as it is ready.")
    ] = False,
    text_rules: Annotated[
        TextRulesName | None,
        typer.Option(
            help="How numbers and abbreviations are read; default: english, but plain for a model "
            "of another language's phonemes."
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="With --file: sentences that are said at once.")
    ] = 16,
    seed: SeedOption = 0,
    precision: PrecisionOption = Precision.float32,
    engine: EngineOption = EngineName.fast,
    speaker: Annotated[str, typer.Option(help="Whom a model of several speakers speaks as.")] = "",
) -> None:
    """Speak a text, or every line of a file, with an acoustic model and a vocoder.

    Examples: wavewright say "It cost $3.50." --acoustic exp/acoustic --vocoder exp/vocoder
    --out cost.wav; wavewright say --file texts.txt --acoustic A --vocoder V --out wavs;
    wavewright say - --stream --acoustic A --vocoder V --out - | aplay
    """
    from wavewright.inference.text_lines import STDIN, read_text_lines
    from wavewright.inference.tts import load_tts
    from wavewright.inference.tts_files import synthesize_lines, synthesize_to_file

    source = STDIN if text == "-" else file
    if (text is None) == (file is None):
        raise WavewrightError("say takes either a text or --file, a file of lines")
    live = stream or out == STDIN
    lines = read_text_lines(source) if source is not None and not live else []
    rules = cast("TextRules | None", text_rules)
    voice = load_tts(
        acoustic, vocoder, precision=precision, engine=engine, rules=rules, speaker=speaker
    )
    if live:
        _say_live(text or "", source, voice, out, seed)
    elif source is None:
        _say(synthesize_to_file(text or "", voice, out, seed=seed))
    else:
        _say(synthesize_lines(lines, voice, out, seed=seed, batch_size=batch_size))


def _say_live(text: str, source: Path | None, voice: TTS, out: Path, seed: int) -> None:
    from wavewright.audio.files import wav_writer
    from wavewright.inference.text_lines import STDIN, stream_text_lines
    from wavewright.inference.tts_stream import stream_speech

    texts = [("", text)] if source is None else stream_text_lines(source)
    piped = out == STDIN
    target, name = (sys.stdout.buffer, "standard output") if piped else (out, f"{out}")
    with _heard(), wav_writer(target, voice.vocoder.sample_rate) as write:
        done = stream_speech(texts, voice, write, seed=seed, name=name)
    print(done, file=sys.stderr if piped else sys.stdout, flush=True)


@contextmanager
def _heard() -> Iterator[None]:
    """End quietly where the listener at the other end of a pipe has had enough."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None


class ListeningKind(StrEnum):
    """What listeners are asked."""

    mos = "mos"
    ab = "ab"
    abx = "abx"
    webmushra = "webmushra"


@app.command("listening-test")
def listening_test(
    kind: Annotated[ListeningKind, typer.Option(help="mos rates, ab prefers, abx tells apart.")],
    reference: Annotated[Path, typer.Option(help="Folder of recordings, ID.wav or ID.flac.")],
    candidate: Annotated[
        list[str],
        typer.Option(metavar="NAME=DIR", help="A system's sounds, same ids (repeat for several)."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    utterances: Annotated[int, typer.Option(min=1, help="At most so many, drawn.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn; default: any.")] = None,
    title: Annotated[str, typer.Option(help="Shown to listeners.")] = "",
    question: Annotated[str, typer.Option(help="Asked instead of the usual one.")] = "",
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Put the sounds into the page, to mail one file.")
    ] = False,
) -> None:
    """Make a listening test: a page for listeners, or a configuration for webMUSHRA.

    Examples: wavewright listening-test --kind mos --reference wavs/natural
    --candidate hifigan=wavs/hifigan --candidate vocos=wavs/vocos --out test;
    wavewright listening-test --kind webmushra --reference a --candidate b=b --out mushra
    """
    from wavewright.evaluation.listening.design import ListeningOptions, TestKind
    from wavewright.evaluation.listening.page import parse_candidates, write_listening_test
    from wavewright.evaluation.listening.webmushra import export_webmushra

    folders = parse_candidates(candidate)
    drawn = {} if seed is None else {"seed": seed}
    options = ListeningOptions(utterances=utterances, title=title, question=question, **drawn)
    if kind == ListeningKind.webmushra:
        if single_file:
            raise WavewrightError("--single-file: webMUSHRA needs its sounds beside it")
        remarks = export_webmushra(reference, folders, out, options)
    else:
        test_kind = cast(TestKind, kind.value)
        remarks = write_listening_test(
            test_kind, reference, folders, out, options, single_file=single_file
        )
    for remark in remarks:
        _say(remark)


@app.command()
def ratings(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Listeners' .json files.")],
    key: Annotated[Path, typer.Option("--key", help="The test's key.json.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for ratings.json and ratings.md.")],
) -> None:
    """Read what listeners sent back: scores, preferences, intervals.

    Example: wavewright ratings answers --key test/key.json --out test/ratings
    """
    from wavewright.evaluation.listening.ratings import import_ratings
    from wavewright.evaluation.listening.ratings_table import ratings_markdown

    _say(ratings_markdown(import_ratings(folder, key, out)))


class ExportFormat(StrEnum):
    """Whose file an export is."""

    onnx = "onnx"
    sherpa_onnx = "sherpa-onnx"
    parallel_wavegan = "parallel-wavegan"


@app.command()
def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="A run or step folder, or a .safetensors file."),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The file to write; a folder for parallel-wavegan.")
    ],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="onnx runs in ONNX Runtime, sherpa-onnx in sherpa-onnx, parallel-wavegan in "
            "ParallelWaveGAN and ESPnet.",
        ),
    ] = ExportFormat.onnx,
    model: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="CONFIG",
            help="With parallel-wavegan: config.yaml of the ESPnet model that will use it. Mels "
            "that it cannot follow are refused, natural logarithms are followed.",
        ),
    ] = None,
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked",
            help="With sherpa-onnx: do not let the file refuse mels in another logarithm.",
        ),
    ] = False,
) -> None:
    """Write a vocoder as a file that other programs run, and print how.

    An ONNX file says all that is known of it in its metadata, the mel's convention first of all,
    and is published only if ONNX Runtime and PyTorch say the same.

    Examples: wavewright export exp/hifigan --out hifigan.onnx;
    wavewright export exp/vocos --format sherpa-onnx --out vocos.onnx;
    wavewright export exp/hifigan --format parallel-wavegan --for tts/config.yaml --out for-espnet
    """
    from wavewright.interop.exporting.export import export_file

    _say(export_file(checkpoint, out, form=form, model=model, check=not unchecked))


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Another toolkit's checkpoint, or its folder.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")],
    form: Annotated[
        str, typer.Option("--format", help="Whose it is, such as hifigan; auto looks at its keys.")
    ] = "auto",
    mel: Annotated[
        str, typer.Option(metavar="PRESET", help="Its mels, where its format does not tell them.")
    ] = "",
    statistics: Annotated[
        Path | None,
        typer.Option("--statistics", metavar="FILE", help="stats.h5, .npy or .npz of its mels."),
    ] = None,
    adversaries: Annotated[
        Path | None,
        typer.Option(
            "--adversaries",
            metavar="FILE",
            help="Its discriminators, if in another file.",
        ),
    ] = None,
) -> None:
    """Convert another toolkit's checkpoint into one of ours.

    HiFi-GAN, MelGAN, Multi-band MelGAN, WaveGlow, Tacotron 2, WaveNet, WaveRNN, Parallel WaveGAN,
    Vocos, BigVGAN and SpeechT5HifiGan are recognised. Nothing in the file is run, and one that does
    not fit key by key is refused.

    Examples: wavewright import g_02500000 --out hifigan.safetensors;
    wavewright import checkpoint.pth --format wavenet --mel r9y9 --out wavenet.safetensors
    """
    from wavewright.interop.importing.convert import import_checkpoint

    _say(
        str(
            import_checkpoint(
                file, form, mel, out, statistics=statistics, discriminators=adversaries
            )
        )
    )


@app.command()
def new(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
) -> None:
    """Copy a shipped recipe to work on.

    Example: wavewright new kathleen my-voice
    """
    from wavewright.runner.recipe import copy_recipe

    made = copy_recipe(recipe, folder)
    _say(f"Made {made}. Run it with: wavewright run {made}")


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of expected errors.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if debug:
        os.environ["WAVEWRIGHT_DEBUG"] = "1"
    if version:
        from wavewright._version import __version__

        _say(__version__)
        raise typer.Exit


def _require_engine(backend: str, scheduler: str) -> None:
    from wavewright.compute.engines import require_engine

    require_engine(backend, scheduler)


def _plan(
    recipe: str, changes: list[str] | None, vocoders: list[str] | None, **forced: int | str | None
) -> Plan:
    from wavewright.runner.plan import Plan
    from wavewright.runner.recipe import load_recipe

    return Plan(load_recipe(recipe, changes or ()), vocoders=vocoders or (), **forced)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Entry point: expected errors are a sentence on stderr and an exit code."""
    try:
        with os_errors_as_user_errors("the output"):
            app()
    except WavewrightError as error:
        if os.environ.get("WAVEWRIGHT_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
