"""Plugins by name: a static table of our own and the entry points of other packages.

Listing reads metadata only. Naming a plugin, in a recipe or a command, is what loads it;
nothing unnamed is ever imported.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wavewright.errors import UnknownName, WavewrightError, did_you_mean
from wavewright.vocoder_info import VariantInfo, VocoderInfo

if TYPE_CHECKING:
    from wavewright.models.vocoder import Vocoder

GROUPS = ("vocoders", "acoustic", "stages", "metrics")

# The same as pyproject's entry points (a test compares them), so that everything also runs from
# the source roots without installation.
FIRST_PARTY: dict[str, dict[str, str]] = {
    "vocoders": {
        "bigvgan": "wavewright.vocoders.bigvgan:BigVGAN",
        "griffinlim": "wavewright.vocoders.griffinlim:GriffinLim",
        "hifigan": "wavewright.vocoders.hifigan:HiFiGAN",
        "melgan": "wavewright.vocoders.melgan:MelGAN",
        "multiband_melgan": "wavewright.vocoders.multiband_melgan:MultiBandMelGAN",
        "nhv": "wavewright.vocoders.nhv:NHV",
        "parallel_wavegan": "wavewright.vocoders.parallel_wavegan:ParallelWaveGAN",
        "specgan": "wavewright.vocoders.specgan:SpecGAN",
        "vocos": "wavewright.vocoders.vocos:Vocos",
        "wavegan": "wavewright.vocoders.wavegan:WaveGAN",
        "waveglow": "wavewright.vocoders.waveglow:WaveGlow",
        "wavenet": "wavewright.vocoders.wavenet:WaveNet",
        "wavernn": "wavewright.vocoders.wavernn:WaveRNN",
    },
    "acoustic": {
        "fastpitch": "wavewright.acoustic.fastpitch:FastPitch",
        "tacotron2": "wavewright.acoustic.tacotron2:Tacotron2",
    },
    "stages": {
        name: f"wavewright_stages.{name}:{name}"
        for name in (
            "download",
            "prepare",
            "mels",
            "pitch",
            "acoustic",
            "gta",
            "train",
            "evaluate",
            "classifier",
            "samples",
        )
    },
    "metrics": {
        "mstft": "wavewright.metrics.mstft:MSTFT",
        "mel_l1": "wavewright.metrics.mel_l1:MelL1",
        "mel_l1_dtw": "wavewright.metrics.mel_l1_dtw:MelL1DTW",
        "mcd": "wavewright.metrics.mcd:MCD",
        "mcd_dio": "wavewright.metrics.mcd:MCDDio",
        "mcd_dtw": "wavewright.metrics.mcd_dtw:MCDDTW",
        "mcd_espnet": "wavewright.metrics.mcd_espnet:MCDESPnet",
        "mcd_versa": "wavewright.metrics.mcd_versa:MCDVersa",
        "pesq": "wavewright.metrics.pesq:PESQ",
        "stoi": "wavewright.metrics.stoi:STOI",
        "estoi": "wavewright.metrics.stoi:ESTOI",
        "dnsmos": "wavewright.metrics.dnsmos:DNSMOS",
        "dnsmos_p808": "wavewright.metrics.dnsmos:DNSMOSP808",
        "distill_mos": "wavewright.metrics.distill_mos:DistillMOS",
        "wer": "wavewright.metrics.wer:WER",
        "cer": "wavewright.metrics.wer:CER",
        "f0_rmse": "wavewright.metrics.f0_rmse:F0RMSE",
        "f0_rmse_harvest": "wavewright.metrics.f0_rmse:F0RMSEHarvest",
        "f0_rmse_swift": "wavewright.metrics.f0_rmse:F0RMSESwift",
        "f0_fine": "wavewright.metrics.f0_fine:F0Fine",
        "f0_fine_harvest": "wavewright.metrics.f0_fine:F0FineHarvest",
        "gpe": "wavewright.metrics.gpe:GPE",
        "gpe_harvest": "wavewright.metrics.gpe:GPEHarvest",
        "ffe": "wavewright.metrics.ffe:FFE",
        "ffe_harvest": "wavewright.metrics.ffe:FFEHarvest",
        "vuv_error": "wavewright.metrics.vuv_error:VUVError",
        "vuv_error_harvest": "wavewright.metrics.vuv_error:VUVErrorHarvest",
        "vuv_f1": "wavewright.metrics.vuv_f1:VUVF1",
        "vuv_f1_harvest": "wavewright.metrics.vuv_f1:VUVF1Harvest",
        "vuv_f1_swift": "wavewright.metrics.vuv_f1:VUVF1Swift",
        "periodicity": "wavewright.metrics.periodicity:Periodicity",
        "lsd": "wavewright.metrics.lsd:LSD",
        "lag": "wavewright.metrics.lag:Lag",
        "level_difference": "wavewright.metrics.level_difference:LevelDifference",
        "duration_ratio": "wavewright.metrics.duration_ratio:DurationRatio",
        "duration_difference": "wavewright.metrics.duration_difference:DurationDifference",
        "clipped": "wavewright.metrics.clipped:Clipped",
    },
}
_ACOUSTIC_WITH_PITCH = {"fastpitch"}
# Loaded by name, as plugins are: it is torch's, and of a layer above.
_DESCRIBER = "wavewright.models.describe:describe_variants"
_PUBLISHED = Path(__file__).with_name("vocoders") / "published.json"


class Plugin(NamedTuple):
    """One registered name: where it is, and which distribution brings it."""

    name: str
    target: str
    distribution: str


@cache
def plugins(group: str) -> dict[str, Plugin]:
    """All names of a group, ours first, without importing any of them.

    Raises:
        WavewrightError: two distributions claim one name.
    """
    found = {
        name: Plugin(name, target, "wavewright") for name, target in FIRST_PARTY[group].items()
    }
    for point in entry_points(group=f"wavewright.{group}"):
        distribution = point.dist.name if point.dist else "unknown"
        if distribution == "wavewright":
            continue
        if point.name in found and found[point.name].target != point.value:
            raise WavewrightError(
                f"two packages register the name '{point.name}' in wavewright.{group}: "
                f"{found[point.name].distribution} and {distribution}. Uninstall one of them."
            )
        found[point.name] = Plugin(point.name, point.value, distribution)
    return found


def find(group: str, name: str) -> Any:
    """Import and return what `name` is registered for.

    Raises:
        UnknownName: with the nearest name, all installed ones, and how to add one.
        WavewrightError: it is registered but cannot be imported.
    """
    plugin = _plugin(group, name)
    try:
        return EntryPoint(name, plugin.target, f"wavewright.{group}").load()
    except (ImportError, AttributeError) as error:
        raise WavewrightError(
            f"'{name}' of package {plugin.distribution} cannot be loaded from "
            f"{plugin.target}: {error}"
        ) from error


def module_of(group: str, name: str) -> str:
    """Dotted module in which a registered name lives, without importing it."""
    return _plugin(group, name).target.partition(":")[0]


def _plugin(group: str, name: str) -> Plugin:
    known = plugins(group)
    if name not in known:
        raise UnknownName(
            f"unknown name '{name}' in {group}.{did_you_mean(name, known)} Installed: "
            f"{', '.join(known)}. A package adds one through the entry-point group "
            f"'wavewright.{group}'."
        )
    return known[name]


def list_vocoders(conditioning: str | None = None) -> list[str]:
    """Names of installed vocoders.

    Args:
        conditioning: keep only those that are driven by "mel", "latent" or "none", or have a
            variant that is. Other packages' vocoders are loaded to learn it.
    """
    names = list(plugins("vocoders"))
    if conditioning is None:
        return names
    published = {
        info.name: {variant.conditioning for variant in info.variants} for info in _published()
    }
    return [
        name
        for name in names
        if conditioning in (published.get(name) or {find("vocoders", name).conditioning})
    ]


def describe_vocoders() -> list[VocoderInfo]:
    """Facts about every installed vocoder, ours first.

    Ours are read from a table, without torch; other packages' vocoders are loaded to learn them.
    """
    published = {info.name: info for info in _published()}
    return [
        published.get(name) or _describe_plugin(plugin)
        for name, plugin in plugins("vocoders").items()
    ]


def learns_from_pitch(name: str) -> bool:
    """Tell whether the training of `system[:variant]` reads F0 tracks; False for unknown names."""
    system = name.partition(":")[0]
    for info in _published():
        if info.name == system:
            return any(variant.learns_from_pitch for variant in info.variants)
    if system not in plugins("vocoders"):
        return False
    info = _describe_plugin(plugins("vocoders")[system])
    return any(variant.learns_from_pitch for variant in info.variants)


def acoustic_learns_from_pitch(name: str) -> bool:
    """Tell whether the acoustic model `system[:variant]` learns from F0 tracks.

    False for unknown names. Only other packages' models are loaded to learn it.
    """
    system = name.partition(":")[0]
    if system in FIRST_PARTY["acoustic"]:
        return system in _ACOUSTIC_WITH_PITCH
    if system not in plugins("acoustic"):
        return False
    return bool(getattr(find("acoustic", system), "learns_from_pitch", False))


@cache
def _published() -> tuple[VocoderInfo, ...]:
    table = json.loads(_PUBLISHED.read_text("utf-8"))
    return tuple(
        VocoderInfo(
            name,
            about["title"],
            about["source"],
            "wavewright",
            tuple(VariantInfo(**variant) for variant in about["variants"]),
        )
        for name, about in table.items()
    )


def _describe_plugin(plugin: Plugin) -> VocoderInfo:
    try:
        system = find("vocoders", plugin.name)
        about = (system.__doc__ or "").strip().partition("\n")[0]
        variants = EntryPoint("", _DESCRIBER, "").load()(system, plugin.name)
    except Exception as error:  # other people's code
        return VocoderInfo(plugin.name, plugin.name, "", plugin.distribution, problem=str(error))
    return VocoderInfo(plugin.name, system.__name__, about, plugin.distribution, variants)


def create_vocoder(name: str, **config: Any) -> Vocoder:
    """A new vocoder `system` or `system:variant` in its published configuration.

    Args:
        name: such as "hifigan:v1".
        config: fields of its Config to change.
    """
    system, _, variant = name.partition(":")
    vocoder: Vocoder = find("vocoders", system).create(system, variant or None, **config)
    return vocoder


def create_model(kind: str, name: str, **config: Any) -> Any:
    """A new model of kind "vocoder" or "acoustic" by `system[:variant]`."""
    system, _, variant = name.partition(":")
    group = "vocoders" if kind == "vocoder" else "acoustic"
    return find(group, system).create(system, variant or None, **config)
