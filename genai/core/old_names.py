"""The table of old names: of modules, classes, arguments, values, keys, metrics, figures, weights.

``genai.core.renamed`` reads it. A name stands here for one release after it changed.
"""

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
    "genai.methods.pixel_scaling": "genai.methods.scaling",
    "genai.methods.pixels": "genai.methods.scaling",
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
    "genai.data.survey.Looked": "genai.data.file_table.FileInfo",
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
    "genai.inference.model.SkipInit": "genai.inference.build.SkipInit",
    "genai.inference.model.build_method": "genai.inference.build.build_method",
    "genai.methods.autoregressive.Uniforms": "genai.methods.categorical.UniformSampler",
    "genai.methods.autoregressive.draw": "genai.methods.categorical.sample_categorical",
    "genai.methods.autoregressive.kept": "genai.methods.categorical.filter_mask",
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
    "genai.data.audio_folder.AudioFolder": {
        "rate": "sample_rate",
    },
    "genai.data.torchaudio_sets.TorchaudioSet": {
        "rate": "sample_rate",
    },
    "genai.methods.adversarial.Adversarial": {
        "penalised": "penalty_fraction",
    },
    "genai.methods.degradation.Degradation": {
        "rate": "sample_rate",
        "worst": "min_snr",
        "best": "max_snr",
    },
    "genai.methods.diffusion.Diffusion": {
        "time_mean": "logit_mean",
        "time_std": "logit_std",
    },
    "genai.methods.frame_diffusion.FrameDiffusion": {
        "time_mean": "logit_mean",
        "time_std": "logit_std",
        "independent": "per_frame_prob",
        "context": "context_prob",
    },
    "genai.methods.regression.Regression": {
        "damage": "degradation",
        "windows": "window_seconds",
    },
    "genai.modalities.audio.Audio": {
        "rate": "sample_rate",
        "classes": "num_classes",
        "score": "prompt_features",
        "sight": "clip_features",
    },
    "genai.networks.spectral.SpectralGain": {
        "rate": "sample_rate",
    },
    "genai.networks.text_encoder.PromptEncoder": {
        "longest": "max_words",
    },
    "genai.networks.wavenet.model.WaveNet": {
        "classes": "num_classes",
        "hop": "hop_length",
        "centred": "centered",
    },
    "genai.toy.data.audio.ToyAudio": {
        "rate": "sample_rate",
        "score": "prompt_features",
    },
    "genai.toy.data.image.ToyImages": {
        "vague": "partial_caption_prob",
        "held_out": "val_fraction",
    },
    "genai.toy.data.score.ToyNotes": {
        "near": "similarity_octaves",
    },
    "genai.toy.data.soundtrack.ToySoundtracks": {
        "rate": "sample_rate",
        "sight": "clip_features",
    },
    "genai.toy.data.video.ToyVideo": {
        "held_out": "val_fraction",
    },
}
"""By class, arguments (keys of configs and checkpoints) by their old names."""
VALUES: dict[str, dict[str, dict[str, str]]] = {
    "genai.methods.adversarial.Adversarial": {
        "augment": {"colour": "color"},
    },
    "genai.methods.degradation.Degradation": {
        "kinds": {"coloured": "colored"},
    },
}
"""By class and argument, values (or items of a list) by their old names."""
MOVED_ARGUMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "genai.methods.diffusion.Diffusion": (
        "genai.methods.frame_diffusion.FrameDiffusion",
        ("frames", "keyframes", "horizon", "per_frame_prob", "context_prob", "independent", "context"),
    ),
}
"""By class, its subclass that now has some of its arguments, and those by their current and their old names."""
MOVED_OPTIONS: tuple[str, ...] = ("keyframes", "overlap", "context_guidance")
"""Options of clips that recipes of images had too."""
KEYS: dict[str, dict[str, str]] = {
    "evaluate": {
        "sound": "soundtrack",
    },
    "sample": {
        "sound": "soundtrack",
    },
    "train": {
        "clip": "grad_clip",
        "validate_items": "val_items",
        "validate_every": "val_every",
    },
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
FIGURES: dict[str, dict[str, str]] = {
    "Clip": {
        "colour": "color",
        "drift_colour_16": "drift_color_16",
        "drift_colour_32": "drift_color_32",
        "drift_colour_64": "drift_color_64",
        "drift_colour_128": "drift_color_128",
        "film_distance": "frechet",
        "nearest_film": "nearest_train",
        "nearest_film_low": "nearest_train_low",
    },
    "Picture": {
        "colour": "color",
        "serves": "classification_accuracy",
        "serves_ratio": "classification_accuracy_ratio",
    },
    "Sound": {
        "fulfilment_unheard": "fulfilment_new_melodies",
        "judge": "prompt_accuracy",
        "judge_word_1": "prompt_accuracy_word_1",
        "judge_word_2": "prompt_accuracy_word_2",
        "judge_word_3": "prompt_accuracy_word_3",
        "judge_word_4": "prompt_accuracy_word_4",
        "judge_prompt": "prompt_accuracy_prompt",
        "frechet_judge": "frechet",
        "nearest_clip": "nearest_train",
        "nearest_clip_low": "nearest_train_low",
        "judge_word_5": "prompt_accuracy_word_5",
        "judge_word_6": "prompt_accuracy_word_6",
        "judge_word_7": "prompt_accuracy_word_7",
        "judge_word_8": "prompt_accuracy_word_8",
        "pesq_coloured_0": "pesq_colored_0",
        "si_sdr_coloured_0": "si_sdr_colored_0",
        "stoi_coloured_0": "stoi_colored_0",
    },
}
"""By type of media, numbers of metrics.json by their old names."""
STATE: dict[str, str] = {
    "opponent": "discriminator",
    "sampled": "ema_module",
}
"""Parts of names in state dicts by their old names."""
NEWER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "genai.modalities.text.Text": {
        "reserved": 0,
    },
    "genai.networks.text_encoder.PromptEncoder": {
        "segmentation": "spaces",
    },
    "genai.data.video_folder.VideoFolder": {
        "scenes": False,
    },
}
"""By class, arguments that runs and checkpoints of before do not have, and the value that fits them."""
OPTIMIZER_DEFAULTS: dict[str, float] = {
    "head_lr": 0.004,
}
"""Arguments of optimizers that presets of before left out and some of today set, with the value that they had."""
NEWER_KEYS: dict[str, Any] = {
    "name": None,
    "fast_dev_run": None,
    "overfit_items": None,
    "virtual_ranks": 1,
    "profile": False,
    "label": None,
    "adapter": None,
    "logger": {"_target_": "genai.training.loggers.TensorBoardLogger"},
}
"""Keys of ``configs/train.yaml`` that older runs do not have, with the value that fits them."""
