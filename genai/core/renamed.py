"""Old names that still work for one more release: modules, classes, arguments, keys, metrics, weights.

Whatever may carry an old name passes here once: typed and recorded words, nodes of configs and checkpoints, metrics,
names of weights, imports in plugins. Old names that a person types or imports are answered with a one-line
note; those in files on disk are read silently.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES: dict[str, str] = {
    "genai.bar": "genai.core.progress",
    "genai.batch": "genai.core.batch",
    "genai.build": "genai.core.instantiate",
    "genai.checkpoints": "genai.runs.checkpoint",
    "genai.config": "genai.cli.compose",
    "genai.curves": "genai.report.plots",
    "genai.data.ahead": "genai.core.prefetch",
    "genai.data.alike": "genai.data.dedup",
    "genai.data.base": "genai.core.data",
    "genai.data.loader": "genai.core.loader",
    "genai.data.survey": "genai.data.file_index",
    "genai.data.torchvision_films": "genai.data.action_videos",
    "genai.data.world": "genai.toy.data.image",
    "genai.data.world_motion": "genai.toy.data.video",
    "genai.data.world_score": "genai.toy.data.score",
    "genai.data.world_sound": "genai.toy.data.audio",
    "genai.data.world_soundtrack": "genai.toy.data.soundtrack",
    "genai.engines": "genai.networks.wavenet.engine",
    "genai.engines.loop": "genai.networks.wavenet.loop",
    "genai.engines.product": "genai.networks.wavenet.matmul",
    "genai.engines.wavenet": "genai.networks.wavenet.native",
    "genai.errors": "genai.core.errors",
    "genai.hardware": "genai.core.device",
    "genai.layout": "genai.report.html",
    "genai.methods.between": "genai.methods.interpolation",
    "genai.methods.damage": "genai.methods.degradation",
    "genai.methods.frame_order": "genai.methods.frame_schedule",
    "genai.methods.pixels": "genai.methods.pixel_scaling",
    "genai.metrics.attributes": "genai.metrics.audio.prompt_attributes",
    "genai.metrics.bounces": "genai.toy.metrics.bounces",
    "genai.metrics.classifier": "genai.metrics.audio.classifier",
    "genai.metrics.copies": "genai.metrics.text.longest_match",
    "genai.metrics.damaged_films": "genai.metrics.video.corruptions",
    "genai.metrics.drift": "genai.metrics.video.drift",
    "genai.metrics.enhancement": "genai.metrics.audio.enhancement",
    "genai.metrics.film_distance": "genai.metrics.video.frechet_video",
    "genai.metrics.film_judge": "genai.metrics.video.classifier",
    "genai.metrics.films": "genai.metrics.video.clips",
    "genai.metrics.judge": "genai.metrics.audio.prompt_accuracy",
    "genai.metrics.levels": "genai.metrics.audio.bits_per_sample",
    "genai.metrics.melody": "genai.toy.metrics.audio",
    "genai.metrics.motion": "genai.metrics.video.motion",
    "genai.metrics.moving": "genai.toy.metrics.video",
    "genai.metrics.nearest": "genai.metrics.image.nearest",
    "genai.metrics.nearest_clip": "genai.metrics.audio.nearest",
    "genai.metrics.nearest_film": "genai.metrics.video.nearest",
    "genai.metrics.onsets": "genai.toy.metrics.onsets",
    "genai.metrics.picture_classifier": "genai.metrics.image.classifier",
    "genai.metrics.prediction": "genai.metrics.video.prediction",
    "genai.metrics.serves": "genai.metrics.image.classification_accuracy",
    "genai.metrics.spectra": "genai.metrics.audio.mel",
    "genai.metrics.text": "genai.metrics.text.text",
    "genai.metrics.wiener": "genai.metrics.audio.wiener",
    "genai.metrics.world": "genai.toy.metrics.image",
    "genai.modalities.animation": "genai.media.animation",
    "genai.modalities.cache": "genai.core.cache",
    "genai.modalities.canvas": "genai.modalities.outpainting",
    "genai.modalities.clip": "genai.media.clip",
    "genai.modalities.embedded": "genai.media.data_url",
    "genai.modalities.filmstrip": "genai.media.filmstrip",
    "genai.modalities.growing": "genai.media.wav_stream",
    "genai.modalities.packed_audio": "genai.modalities.audio_dataset",
    "genai.modalities.packed_video": "genai.modalities.video_dataset",
    "genai.modalities.picture": "genai.media.picture",
    "genai.modalities.sight": "genai.modalities.visual_onsets",
    "genai.modalities.sound": "genai.media.sound",
    "genai.modalities.spectrogram": "genai.media.spectrogram",
    "genai.modalities.steady": "genai.media.resample_frames",
    "genai.modalities.video_reader": "genai.media.video_reader",
    "genai.modalities.video_writer": "genai.media.video_writer",
    "genai.model": "genai.inference.model",
    "genai.networks.frames": "genai.networks.wavenet.conditioning",
    "genai.networks.gated": "genai.networks.wavenet.gated_stack",
    "genai.networks.prompt": "genai.networks.text_encoder",
    "genai.networks.wavenet": "genai.networks.wavenet.model",
    "genai.noise": "genai.core.seeding",
    "genai.options": "genai.cli.options",
    "genai.passage": "genai.inference.interpolation",
    "genai.recipe": "genai.inference.provenance",
    "genai.recorded": "genai.cli.overrides",
    "genai.runs": "genai.runs.run",
    "genai.shipped": "genai.data.registry",
    "genai.soundtracks": "genai.inference.soundtrack",
    "genai.training.every": "genai.training.interval",
    "genai.training.fit": "genai.training.run",
    "genai.training.learner": "genai.training.module",
    "genai.training.logs": "genai.training.loggers",
    "genai.training.plan": "genai.training.setup",
    "genai.training.settings": "genai.training.config",
    "genai.training.sharding": "genai.training.fsdp",
    "genai.validation": "genai.inference.validation",
    "genai.world": "genai.toy.world",
    "genai.world.draw": "genai.toy.world.draw",
    "genai.world.listener": "genai.toy.world.audio_oracle",
    "genai.world.melody": "genai.toy.world.melody",
    "genai.world.motion": "genai.toy.world.motion",
    "genai.world.moving": "genai.toy.world.trajectories",
    "genai.world.oracle": "genai.toy.world.image_oracle",
    "genai.world.scene": "genai.toy.world.scene",
    "genai.world.sound": "genai.toy.world.synth",
    "genai.world.soundtrack": "genai.toy.world.soundtrack",
    "genai.world.watcher": "genai.toy.world.video_oracle",
    "genai.world.words": "genai.toy.world.words",
}
"""Modules by their old paths."""
NAMES: dict[str, str] = {
    "genai.batch.Piece": "genai.core.batch.Chunk",
    "genai.batch.Way": "genai.core.batch.Interpolation",
    "genai.data.ahead.ahead": "genai.core.prefetch.prefetch_map",
    "genai.data.alike.groups": "genai.data.dedup.group_similar",
    "genai.data.alike.held_out": "genai.data.dedup.select_val_indices",
    "genai.data.base.Divided": "genai.core.data.SplitSource",
    "genai.data.loader.held_out": "genai.core.loader.validation_batches",
    "genai.data.survey.Looked": "genai.data.file_index.FileInfo",
    "genai.data.survey.survey": "genai.data.file_index.index_files",
    "genai.data.torchvision_films.TorchvisionFilms": "genai.data.action_videos.ActionVideos",
    "genai.data.world.World": "genai.toy.data.image.ToyImages",
    "genai.data.world_motion.WorldMotion": "genai.toy.data.video.ToyVideo",
    "genai.data.world_score.WorldScore": "genai.toy.data.score.ToyNotes",
    "genai.data.world_sound.WorldSound": "genai.toy.data.audio.ToyAudio",
    "genai.data.world_soundtrack.WorldSoundtrack": "genai.toy.data.soundtrack.ToySoundtracks",
    "genai.errors.Damaged": "genai.core.errors.CorruptCheckpoint",
    "genai.errors.Failure": "genai.core.errors.RunError",
    "genai.errors.Mistake": "genai.core.errors.UserError",
    "genai.hardware.Hardware": "genai.core.device.DeviceConfig",
    "genai.methods.autoregressive.Uniforms": "genai.methods.autoregressive.UniformSampler",
    "genai.methods.autoregressive.draw": "genai.methods.autoregressive.sample_categorical",
    "genai.methods.autoregressive.kept": "genai.methods.autoregressive.filter_mask",
    "genai.methods.damage.Damage": "genai.methods.degradation.Degradation",
    "genai.metrics.base.Figure": "genai.metrics.base.Result",
    "genai.metrics.base.SHIPPED": "genai.metrics.base.REGISTRY",
    "genai.metrics.base.Study": "genai.metrics.base.EvalContext",
    "genai.metrics.base.attributes": "genai.metrics.base.attribute_results",
    "genai.metrics.base.chosen": "genai.metrics.base.select_metrics",
    "genai.metrics.base.share": "genai.metrics.base.proportion_result",
    "genai.metrics.bounces.Bounces": "genai.toy.metrics.bounces.SoundtrackOnsets",
    "genai.metrics.film_distance.FilmDistance": "genai.metrics.video.frechet_video.FrechetVideo",
    "genai.metrics.judge.Judge": "genai.metrics.audio.prompt_accuracy.PromptAccuracy",
    "genai.metrics.loss.HeldOutLoss": "genai.metrics.loss.ValidationLoss",
    "genai.metrics.melody.Played": "genai.toy.metrics.audio.MelodyPromptAccuracy",
    "genai.metrics.motion.Motion": "genai.metrics.video.motion.MotionStatistics",
    "genai.metrics.moving.Moving": "genai.toy.metrics.video.MotionPromptAccuracy",
    "genai.metrics.nearest.Nearest": "genai.metrics.image.nearest.NearestPicture",
    "genai.metrics.nearest_clip.NearestClip": "genai.metrics.audio.nearest.NearestSound",
    "genai.metrics.nearest_film.NearestFilm": "genai.metrics.video.nearest.NearestClip",
    "genai.metrics.onsets.InSync": "genai.toy.metrics.onsets.OnsetF1",
    "genai.metrics.prediction.Prediction": "genai.metrics.video.prediction.ClipPrediction",
    "genai.metrics.serves.Serves": "genai.metrics.image.classification_accuracy.ClassificationAccuracy",
    "genai.metrics.text.BitsPerByte": "genai.metrics.text.text.BitsPerByte",
    "genai.metrics.text.LongestCopy": "genai.metrics.text.text.LongestCopy",
    "genai.metrics.text.Parses": "genai.metrics.text.text.ParseRate",
    "genai.metrics.world.Obedience": "genai.toy.metrics.image.ScenePromptAccuracy",
    "genai.modalities.base.FileName": "genai.media.base.FileName",
    "genai.modalities.base.Growing": "genai.media.base.StreamWriter",
    "genai.modalities.base.Media": "genai.media.base.Media",
    "genai.modalities.base.Packed": "genai.core.data.PackedDataset",
    "genai.modalities.base.Score": "genai.core.data.PromptFeatures",
    "genai.modalities.embedded.of_file": "genai.media.data_url.file_data_url",
    "genai.modalities.filmstrip.animated": "genai.media.filmstrip.animated_contact_sheet",
    "genai.modalities.growing.Growing": "genai.media.wav_stream.WavWriter",
    "genai.modalities.picture.Making": "genai.media.picture.DenoisingAnimation",
    "genai.modalities.sight.Sight": "genai.modalities.visual_onsets.VisualOnsets",
    "genai.modalities.spectrogram.picture": "genai.media.spectrogram.draw_spectrograms",
    "genai.modalities.text.Passage": "genai.media.text.Document",
    "genai.model.parameters": "genai.inference.model.count_parameters",
    "genai.networks.layers.Context": "genai.networks.layers.PromptEmbedding",
    "genai.networks.layers.heads_for": "genai.networks.layers.choose_num_heads",
    "genai.networks.layers.zeroed": "genai.networks.layers.zero_module",
    "genai.recorded.located": "genai.cli.overrides.with_absolute_paths",
    "genai.recorded.words_of": "genai.cli.overrides.recorded_overrides",
    "genai.runs.Run": "genai.runs.run.Run",
    "genai.shipped.fitting": "genai.data.registry.compatible_data",
    "genai.shipped.modalities": "genai.data.registry.modality_classes",
    "genai.shipped.sources": "genai.data.registry.source_classes",
    "genai.training.learner.Learner": "genai.training.module.TrainingModule",
    "genai.validation.at_once": "genai.inference.validation.validation_batch_size",
    "genai.validation.held_out_losses": "genai.inference.validation.validation_losses",
}
"""Classes and functions by their old paths, where more than the module is another."""
ARGUMENTS: dict[str, dict[str, str]] = {
    "genai.data.audio_folder.AudioFolder": {"rate": "sample_rate"},
    "genai.data.torchaudio_sets.TorchaudioSet": {"rate": "sample_rate"},
    "genai.methods.adversarial.Adversarial": {"penalised": "penalty_fraction"},
    "genai.methods.degradation.Degradation": {"rate": "sample_rate", "worst": "min_snr", "best": "max_snr"},
    "genai.methods.diffusion.Diffusion": {
        "time_mean": "logit_mean",
        "time_std": "logit_std",
        "independent": "per_frame_prob",
        "context": "context_prob",
    },
    "genai.methods.regression.Regression": {"damage": "degradation", "windows": "window_seconds"},
    "genai.modalities.audio.Audio": {
        "rate": "sample_rate",
        "classes": "num_classes",
        "score": "prompt_features",
        "sight": "clip_features",
    },
    "genai.networks.spectral.SpectralGain": {"rate": "sample_rate"},
    "genai.networks.text_encoder.PromptEncoder": {"longest": "max_words"},
    "genai.networks.wavenet.model.WaveNet": {"classes": "num_classes", "hop": "hop_length", "centred": "centered"},
    "genai.toy.data.audio.ToyAudio": {"rate": "sample_rate", "score": "prompt_features"},
    "genai.toy.data.image.ToyImages": {"vague": "partial_caption_prob", "held_out": "val_fraction"},
    "genai.toy.data.score.ToyNotes": {"near": "similarity_octaves"},
    "genai.toy.data.soundtrack.ToySoundtracks": {"rate": "sample_rate", "sight": "clip_features"},
    "genai.toy.data.video.ToyVideo": {"held_out": "val_fraction"},
}
"""By class, arguments (keys of configs and checkpoints) by their old names."""
KEYS: dict[str, dict[str, str]] = {
    "evaluate": {"sound": "soundtrack"},
    "sample": {"sound": "soundtrack"},
    "train": {"clip": "grad_clip", "validate_items": "val_items", "validate_every": "val_every"},
}
"""By command, its keys by their old names."""
METRICS: dict[str, str] = {
    "bounces": "soundtrack_onsets",
    "film_distance": "frechet",
    "judge": "prompt_accuracy",
    "melody": "toy_audio",
    "moving": "toy_video",
    "nearest_clip": "nearest",
    "nearest_film": "nearest",
    "serves": "classification_accuracy",
    "world": "toy_image",
}
"""Metrics by their old names."""
FIGURES: dict[str, str] = {
    "colour": "color",
    "drift_colour_128": "drift_color_128",
    "drift_colour_16": "drift_color_16",
    "drift_colour_32": "drift_color_32",
    "drift_colour_64": "drift_color_64",
    "film_distance": "frechet",
    "frechet_judge": "frechet",
    "fulfilment_unheard": "fulfilment_new_melodies",
    "judge": "prompt_accuracy",
    "judge_prompt": "prompt_accuracy_prompt",
    "judge_word_1": "prompt_accuracy_word_1",
    "judge_word_2": "prompt_accuracy_word_2",
    "judge_word_3": "prompt_accuracy_word_3",
    "judge_word_4": "prompt_accuracy_word_4",
    "judge_word_5": "prompt_accuracy_word_5",
    "judge_word_6": "prompt_accuracy_word_6",
    "judge_word_7": "prompt_accuracy_word_7",
    "judge_word_8": "prompt_accuracy_word_8",
    "nearest_clip": "nearest_train",
    "nearest_clip_low": "nearest_train_low",
    "nearest_film": "nearest_train",
    "nearest_film_low": "nearest_train_low",
    "serves": "classification_accuracy",
    "serves_ratio": "classification_accuracy_ratio",
}
"""Numbers of metrics.json by their old names."""
STATE: dict[str, str] = {
    "opponent": "discriminator",
    "sampled": "ema_module",
}
"""Parts of names in state dicts by their old names."""
NEWER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "genai.modalities.text.Text": {"reserved": 0},
}
"""By class, arguments that runs and checkpoints of before do not have, and the value that fits them."""

ROOTS = {
    "genai.modalities": "modality",
    "genai.data": "data",
    "genai.toy.data": "data",
    "genai.networks": "model",
    "genai.methods": "model",
    "genai.core.device": "trainer",
    "genai.training.optimizers": "optimizer",
    "genai.training.schedule": "schedule",
}
"""Key of ``configs/train.yaml`` below which the classes of a package stand."""

NETWORK_ARGUMENTS = ("context",)
"""Old arguments of methods that networks still have: ``model.network.context`` is no old name."""

_noted: set[str] = set()


def note(old: str, new: str) -> None:
    """Say once, on standard error, that ``old`` is now ``new``."""
    if old not in _noted:
        _noted.add(old)
        print(f"note: {old} is now {new}. The old name works in this release, not in the next.", file=sys.stderr)


def current_target(target: str) -> str:
    """Current path of a class that an old or current ``_target_`` names."""
    if target in NAMES:
        return NAMES[target]
    module, _, name = target.rpartition(".")
    return f"{MODULES[module]}.{name}" if module in MODULES else target


def current_node(value: Any) -> Any:
    """A config node, and the nodes in it, with current targets and arguments."""
    if isinstance(value, list):
        return [current_node(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    node = {name: current_node(item) for name, item in value.items()}
    if not isinstance(node.get("_target_"), str):
        return node
    node["_target_"] = current_target(node["_target_"])
    arguments = ARGUMENTS.get(node["_target_"], {})
    newer = NEWER_ARGUMENTS.get(node["_target_"], {})
    return newer | {arguments.get(name, name): item for name, item in node.items()}


def current_word(command: str, word: str, quiet: bool = False) -> str:
    """A word of a command (``clip=0.5``, ``modality.rate=16000``) with its current key."""
    key, equals, value = word.partition("=")
    prefix = key[: len(key) - len(key.lstrip("+~"))]
    path = key.lstrip("+~").split(".")
    new = [KEYS.get(command, {}).get(path[0], path[0])]
    if len(path) > 1:
        is_nested = len(path) > 2 and path[-1] in NETWORK_ARGUMENTS
        new += [*path[1:-1], path[-1] if is_nested else _arguments_below(path[0]).get(path[-1], path[-1])]
    if path[-1] == "_target_":
        value = current_target(value)
    if new != path and not quiet:
        note(".".join(path), ".".join(new))
    return f"{prefix}{'.'.join(new)}{equals}{value}"


def current_metrics(names: Iterable[str]) -> list[str]:
    """Metrics by their current names."""
    names = list(names)
    for old in METRICS.keys() & set(names):
        note(f"the metric '{old}'", f"'{METRICS[old]}'")
    return [METRICS.get(name, name) for name in names]


def with_old_results(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Results as plain values, also by the old names of figures and of their fields."""
    fields = {"about": "description", "error": "standard_error", "beside": "reference"}
    both = {name: {**result, **{old: result[new] for old, new in fields.items()}} for name, result in results.items()}
    return both | {old: both[new] for old, new in FIGURES.items() if new in both and old not in both}


def current_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict with the current names of modules."""
    return {".".join(STATE.get(part, part) for part in name.split(".")): value for name, value in weights.items()}


def old_names(module: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that finds what has moved away from it."""

    def find(name: str) -> Any:
        old = f"{module}.{name}"
        new = current_target(old)
        if name.startswith("__") or new == old:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        try:
            found = getattr(import_module(new.rpartition(".")[0]), new.rpartition(".")[2])
        except AttributeError:
            raise AttributeError(f"module {module!r} has no attribute {name!r}") from None
        note(old, new)
        return found

    return find


class OldModules(MetaPathFinder, Loader):
    """Finds modules by their old paths, after everything else has failed to."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = old_names(module.__name__)  # type: ignore[method-assign]


def install() -> None:
    """Let imports of old modules work."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())


def _arguments_below(root: str) -> dict[str, str]:
    """Old and current names of arguments below a key such as ``modality``."""
    found: dict[str, str] = {}
    for target, arguments in ARGUMENTS.items():
        if any(target.startswith(f"{package}.") and key == root for package, key in ROOTS.items()):
            found |= arguments
    return found
