"""Setup of a run: everything is checked and built before a trainer or a folder is created."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genai.cli.compose import CommandConfig
from genai.core.batch import PairBatch, PromptBatch
from genai.core.cache import cache_dir
from genai.core.data import PackedDataset, Source, packed_captions
from genai.core.device import DeviceConfig
from genai.core.energy import co2_factor
from genai.core.errors import UserError
from genai.core.first_items import FirstItems
from genai.core.instantiate import parse_dataclass
from genai.core.limits import check_memory
from genai.core.weighted_order import WeightedItems
from genai.inference.build import SkipInit
from genai.inference.reference import add_reference
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.modalities.optional import add_voice
from genai.modalities.preview import Preview
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.record import BaseRecord, VoiceRecord
from genai.runs.run import Run
from genai.training.adapter import attach_adapter, check_new_words, with_base_prompts
from genai.training.base import Base, find_base, reload_base, with_base_nodes
from genai.training.checkpoint_state import check_training_state
from genai.training.codec import with_codec
from genai.training.config import TrainSettings
from genai.training.consent import base_voices, check_consent, check_label_setting, needs_consent
from genai.training.loggers import Logger
from genai.training.optimizers import MuonAdamW
from genai.training.parts import TrainingParts, build_on_meta
from genai.training.precision import choose_precision
from genai.training.resume import (
    check_same_data,
    check_same_model,
    check_same_ranks,
    create_lr_schedule,
    load_initial_weights,
    load_start,
    print_changes,
    print_rate_change,
    restore_modality,
    with_sampling_of_run,
)
from genai.training.rewards import attach_rewards, pack_function
from genai.training.schedule import LRSchedule


@dataclass
class TrainingSetup:
    """Everything that a run needs besides the trainer.

    Attributes:
        preview, prompts: which samples are previewed, and how.
        voices: that it is trained on, with the consent for them.
        base: the model of ``init_from=``, if the run has its modality and its model.
        resumed: the run to continue.
        checkpoint: file to resume or to initialize from.
        start: step from which a resumed run continues.
        state: content of the checkpoint to resume; empty if there is none.
    """

    config: CommandConfig
    settings: TrainSettings
    hardware: DeviceConfig
    source: Source
    modality: Modality
    train: PackedDataset
    val: PackedDataset
    method: Method
    optimizers: dict[str, MuonAdamW]
    lr_schedule: LRSchedule
    logger: Logger
    preview: Preview
    prompts: list[str]
    base: BaseRecord | None
    voices: list[VoiceRecord]
    resumed: Run | None
    checkpoint: Path | None
    start: int
    state: dict[str, Any]


def prepare_training(config: CommandConfig, resumed: Run | None = None) -> TrainingSetup:
    """Check and build everything but the trainer: first names, types and ranges, then devices, then data.

    Raises:
        UserError: the config is wrong or its parts do not fit.
    """
    base = find_base(config, TrainSettings.parse(config.settings), resumed)
    config = with_base_prompts(with_base_nodes(config, base, resumed), base, resumed)
    config, codec = with_codec(with_sampling_of_run(config, resumed), resumed)
    parts = TrainingParts.parse(config)
    settings, hardware, modality = parts.settings, parts.hardware, parts.modality
    torch.set_num_threads(hardware.threads or 1)
    co2_factor()

    def check_resumed(state: dict[str, Any], num_bytes: int) -> None:
        check_same_model(config.values, CheckpointHeader.read(state))
        check_training_state(state, num_bytes, parts.build_optimizers, settings.plugins)

    checkpoint, start = (None, {}) if base and not resumed else load_start(settings, resumed, check_resumed)
    header = CheckpointHeader.read(start) if start else None
    outline, voices = build_on_meta(parts, config), base_voices(base, header)
    voice_model = f"model={config.choices.get('model', '?')}" if needs_consent(outline, voices) else ""
    if voice_model:
        check_label_setting(settings.label, voice_model)
    is_restored = _restore_modality(modality, config, base, header, checkpoint)
    source = parts.build_source(modality.state() if is_restored else None)
    if voice_model:
        voices = check_consent(source, voice_model, voices, is_clone=parts.new_voice is not None)
    if resumed:
        check_same_ranks(config.values, resumed)
        check_same_data(source, resumed)
        print_changes(resumed, config.values, hardware)
    if not is_restored:
        modality.fit_split(source.train, cache_dir())
    if parts.new_voice is not None and not resumed:
        add_voice(modality, source, cache_dir(), parts.new_voice)
    weights = start["state_dict"] if start and not resumed else None
    base_record = base.record if base else resumed.record.base if resumed else None
    method, train, val = _build_method_and_data(parts, config.values, source, base, base_record, weights)
    if codec:
        codec.assign(method, train)
    optimizers = parts.build_optimizers(method)
    lr_schedule = create_lr_schedule(settings, parts.schedule, header if resumed else None)
    if resumed and header:
        print_rate_change(resumed, parts.schedule, lr_schedule, header, optimizers)
    if hardware.precision == "auto":
        hardware = replace(hardware, precision=choose_precision(method, train, settings, config.nodes, resumed))
    preview = modality.preview()
    default_prompts = preview.prompts(source.val)  # also selects the references of previews
    return TrainingSetup(
        config,
        settings,
        hardware,
        source,
        modality,
        train,
        val,
        method,
        optimizers,
        lr_schedule,
        parts.logger,
        preview,
        list(settings.prompts) or default_prompts,
        base_record,
        voices,
        resumed,
        checkpoint,
        header.step if resumed and header else 0,
        start if resumed else {},
    )


def _restore_modality(
    modality: Modality,
    config: CommandConfig,
    base: Base | None,
    header: CheckpointHeader | None,
    checkpoint: Path | None,
) -> bool:
    """Return whether the modality gets its state from the model that training begins or continues with.

    Raises:
        UserError: the state does not fit.
    """
    if base and header is None:
        modality.restore(base.modality_state)
        return True
    return restore_modality(modality, config.values["modality"]["_target_"], header, checkpoint)


def _build_method_and_data(
    parts: TrainingParts,
    values: Mapping[str, Any],
    source: Source,
    base: Base | None,
    base_record: BaseRecord | None,
    weights: Mapping[str, Any] | None,
) -> tuple[Method, PackedDataset, PackedDataset]:
    """Return the method, and both splits as it needs them: tensors, prompts, or pairs with numbers of the base.

    Args:
        parts, values: what the config describes, and the config.
        source: the data.
        base, base_record: the model that training begins with; only its record if the run is resumed.
        weights: of ``init_from=``, if the run begins with them.

    Raises:
        UserError: the parts do not fit.
    """
    modality, settings = parts.modality, parts.settings
    has_questions = values.get("method") is not None and parts.model.cls.batch_types[0] is PromptBatch
    train, val = _pack_data(modality, source, settings, has_questions)
    method = _build_method(parts, base, weights)
    _check_batches(method, train, values)
    if parts.adapter:
        check_new_words(parts.adapter, train, base.prompts if base else None)
    questions = [question for split in (train, val) for question in getattr(split, "questions", ())]
    prompts = questions or sorted({*packed_captions(train), *packed_captions(val)})
    chosen = method if values.get("method") is not None else None
    attach_rewards(chosen, modality, source, settings, parts.hardware, prompts)
    if method.needs_reference and isinstance(train.batch([0], None), PairBatch):
        initial = method if base else None
        train, val = (_with_reference(split, initial, base_record, parts, values["model"]) for split in (train, val))
    if settings.overfit_items:
        train = val = FirstItems(train, settings.overfit_items)
    return method, train, val


def _build_method(parts: TrainingParts, base: Base | None, weights: Mapping[str, Any] | None) -> Method:
    """Return the method with the weights of its base, of ``init_from=`` or random ones, and with its adapter.

    Raises:
        UserError: a part or the weights do not fit.
    """
    torch.manual_seed(parts.settings.seed)
    with SkipInit() if base else nullcontext():
        method = parts.build_method()
    parse_dataclass(method.Options, method.sampling, "model.sampling")
    if base:
        base.assign_weights(method)
    if parts.adapter:
        attach_adapter(parts.adapter, method, parts.modality)
    if weights is not None:
        load_initial_weights(method, weights, parts.settings.init_from or "")
    return method


def _pack_data(
    modality: Modality, source: Source, settings: TrainSettings, as_prompts: bool
) -> tuple[PackedDataset, PackedDataset]:
    """Return both splits as tensors, or as prompts; training items are drawn by their weights.

    Raises:
        UserError: a batch does not fit into the memory, or weights do not fit the items.
    """
    pack = pack_function(modality) if as_prompts else modality.pack_split
    train, val = pack(source.train, cache_dir()), pack(source.val, cache_dir())
    check_memory(settings.batch * train.batch([0], None).x.nbytes, f"batch={settings.batch:,}")
    if weights := source.train.weights:
        if len(weights) != len(train):
            raise UserError("data.weights=: this modality joins or divides the files, which have no weights then.")
        if settings.overfit_items:
            raise UserError("overfit_items= takes the first items, each equally often: leave out data.weights=.")
        train = WeightedItems(train, np.array(weights))
    return train, val


def _check_batches(method: Method, train: PackedDataset, values: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if the method does not train on such data, or with masks, or ``method=`` is for others."""
    batch = train.batch([0], None)
    if batch.loss_mask is not None and not method.supports_masks:
        raise UserError(
            "the data have masks, and this model has no loss per pixel: data.unmasked_weight=1 ignores them."
        )
    batch_type = type(batch)
    allowed = method.batch_types[:1] if values.get("method") is not None else method.batch_types
    if batch_type in allowed:
        return
    if batch_type is PairBatch:
        raise UserError("data=preferences has pairs of answers: add init_from= and method=dpo or method=reward.")
    raise UserError("this method is trained on pairs of answers: data=preferences data.path=FILE.")


def _with_reference(
    packed: PackedDataset, method: Method | None, base: BaseRecord | None, parts: TrainingParts, model: Any
) -> PackedDataset:
    """Return a packed split with numbers of the model that training begins with.

    Args:
        packed: the split.
        method: with the weights of ``base``; ``None``: it is loaded if the numbers are not in the cache.
        base: the model that training begins with.
        parts, model: what the config describes, and its node of the method.

    Raises:
        UserError: there is no base, or it cannot be loaded.
    """
    if base is None:
        raise UserError("this method compares with the model that training begins with: give method= and init_from=.")
    load_base = partial(_load_reference, parts, base) if method is None else lambda: method
    return add_reference(packed, base.digest, model, load_base, torch.device(parts.hardware.accelerator))


def _load_reference(parts: TrainingParts, record: BaseRecord) -> Method:
    """Return the method with the weights that a resumed run began with. Raises ``UserError``."""
    base = reload_base(record, parts.settings)
    with SkipInit():
        method = parts.build_method()
    base.assign_weights(method)
    return method
