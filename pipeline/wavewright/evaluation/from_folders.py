"""`wavewright evaluate`: a report on folders of wavs, without any checkpoint."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from wavewright.data.corpus.transcripts import read_transcripts
from wavewright.errors import MissingExtra, WavewrightError
from wavewright.evaluation import measure as evaluation
from wavewright.evaluation.anchors import check_anchors, write_anchors
from wavewright.evaluation.metric_cache import MetricCache
from wavewright.evaluation.pairing import Candidate, folder_name, pair
from wavewright.evaluation.report.page import write_report
from wavewright.evaluation.results import Event, Results, Utterance
from wavewright.text.textgrid import Interval, read_alignment


@dataclass(frozen=True)
class EvaluationRequest:
    """Request for a report on folders of wavs.

    Attributes:
        reference: folder of the recordings.
        candidates: folders to compare with them.
        out: the report's folder; an earlier report there is replaced.
        metrics: registry names, the first that ranks systems is the headline.
        text: file of transcripts (`transcripts.read_transcripts`), or None.
        alignments: folder of ID.TextGrid, or None.
        speaker_pattern: its first group, found in an id, is the speaker; empty for one speaker.
        band: highest frequency in Hz in the candidates' mels; None for all.
        sample_rate: to compare at; None for the lowest of all files.
        utterances: how many, spread over the ids; None for all.
        anchors: `anchors.ANCHORS` by name.
        title: the page's heading.
        max_players, max_megabytes: see `write_report`.
        use_cache: use and fill the user's cache of scores.
        jobs: worker processes.
    """

    reference: Path
    candidates: Sequence[Candidate]
    out: Path
    metrics: Sequence[str] = evaluation.METRICS
    text: Path | None = None
    alignments: Path | None = None
    speaker_pattern: str = ""
    band: float | None = None
    sample_rate: int | None = None
    utterances: int | None = None
    anchors: Sequence[str] = ("lowpass-3.5k",)
    title: str = "Vocoder evaluation"
    max_players: int = 12
    max_megabytes: float = 25.0
    use_cache: bool = True
    jobs: int = -1
    command: Sequence[str] = ()


def write_folder_report(request: EvaluationRequest, notify: Callable[[str], None]) -> Path:
    """Pair, measure and report; the folder `out` appears complete or not at all.

    Args:
        request: what to compare.
        notify: gets a line for each slow or unavailable metric.

    Returns:
        Path of the page.
    """
    out = request.out
    if out.exists() and any(out.iterdir()) and not (out / "results.json").is_file():
        raise WavewrightError(f"{out}: not empty, and not an earlier report; name another --out")
    scratch = out.with_name(f".{folder_name(out)}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _write_report(scratch, request, notify)
        before = out.with_name(f".{folder_name(out)}.before")
        shutil.rmtree(before, ignore_errors=True)
        if out.exists():
            os.replace(out, before)
        os.replace(scratch, out)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out / "index.html"


def _write_report(folder: Path, request: EvaluationRequest, notify: Callable[[str], None]) -> None:
    metric_names, anchors = _applicable_metrics(request), check_anchors(request.anchors)
    pairing = pair(
        folder,
        request.reference,
        request.candidates,
        sample_rate=request.sample_rate,
        utterances=request.utterances,
        texts=read_transcripts(request.text) if request.text else None,
        speaker_of=_speaker_finder(request.speaker_pattern),
        jobs=request.jobs,
    )
    phones, phone_events = _phones(request.alignments, pairing.utterances)
    band = request.band if request.band and request.band < 0.49 * pairing.sample_rate else None
    selection = evaluation.build_metrics(metric_names, band, evaluation.PHONES if phones else ())
    systems = [*pairing.systems]
    if "copy" in pairing.conditions:
        systems[1:1] = write_anchors(folder, pairing.utterances, anchors)
    seconds = sum(utterance.seconds for utterance in pairing.utterances)
    for line in evaluation.slow_metric_notices(
        selection.metrics, seconds * len(systems) * len(pairing.conditions)
    ):
        notify(line)
    for name, reason in selection.absent.items():
        notify(f"{name} is left out: {reason}")
    measurements = evaluation.measure(
        folder,
        pairing.utterances,
        systems,
        pairing.conditions,
        selection.metrics,
        jobs=request.jobs,
        phones=phones,
        cache=MetricCache() if request.use_cache else None,
    )
    absent = dict.fromkeys(("copy", "gta", "tts"), "Not evaluated: no candidate was given for it.")
    results = Results(
        title=request.title,
        corpus=folder_name(request.reference),
        split="",
        split_size=len(pairing.utterances),
        quarantined=0,
        seed=0,
        sample_rate=pairing.sample_rate,
        mel=None,
        band=band,
        versions=evaluation.package_versions(selection.metrics),
        conditions=evaluation.condition_infos(
            {name: why for name, why in absent.items() if name not in pairing.conditions}
        ),
        systems=tuple(systems),
        utterances=tuple(pairing.utterances),
        events=(*pairing.events, *phone_events, *evaluation.delay_events(measurements.values)),
        absent_metrics=selection.absent,
        **measurements._asdict(),
    )
    write_report(
        folder,
        results,
        None,
        max_players=request.max_players,
        max_megabytes=request.max_megabytes,
        run=_run_info(request.command),
    )


def _applicable_metrics(request: EvaluationRequest) -> list[str]:
    """Names of the metrics that apply to at least one of the requested conditions."""
    conditions = {candidate.condition for candidate in request.candidates}
    kinds = {name: evaluation.metric_class(name) for name in dict.fromkeys(request.metrics)}
    return [name for name, kind in kinds.items() if conditions & set(kind.conditions)]


def _speaker_finder(pattern: str) -> Callable[[str], str]:
    if not pattern:
        return lambda _: ""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise WavewrightError(f"--speaker-pattern {pattern}: {error}") from error
    if compiled.groups < 1:
        raise WavewrightError(
            f"--speaker-pattern {pattern}: needs a group, such as '^([a-z]+)_' for 'anna_001'"
        )

    def speaker(utterance: str) -> str:
        match = compiled.search(utterance)
        return (match.group(1) or "") if match else ""

    return speaker


def _phones(
    folder: Path | None, utterances: Iterable[Utterance]
) -> tuple[dict[str, list[Interval]], list[Event]]:
    """Phones by id, and an event for every TextGrid that is missing or invalid."""
    phones: dict[str, list[Interval]] = {}
    events: list[Event] = []
    for utterance in utterances if folder else ():
        try:
            path = Path(folder or ".") / f"{utterance.id}.TextGrid"
            alignment = read_alignment(path, utterance.seconds)
        except MissingExtra:
            raise
        except WavewrightError as error:
            reason = f"no phones: {str(error).replace(str(path), path.name)}"
            events.append(Event(utterance=utterance.id, reason=reason))
            continue
        phones[utterance.id] = list(alignment.phones)
    return phones, events


def _run_info(command: Sequence[str]) -> Mapping[str, str]:
    return {
        "command": shlex.join(command),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }
