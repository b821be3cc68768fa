"""Text to speech: durations of phones and frames of a vocoder, learned from aligned recordings without attention.

As durations are numbers that the model predicts, it cannot repeat or leave out words (FastSpeech, Ren et al. 2019,
arXiv:1905.09263). The prosody of each word is drawn, so that another seed reads a sentence in another way.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from genai.adapters.lora import without_adapters
from genai.core.batch import Batch, Chunk, Request
from genai.core.errors import UserError
from genai.methods.base import Method, check_output
from genai.methods.preservation import Preservation
from genai.methods.rehearsal import Rehearsal, RehearsalSentence
from genai.speech.batch import FEATURES, PROSODY, Sentence, SentenceRequest, SpeechBatch
from genai.speech.voice_frames import FRAME_SECONDS

APERIODICITY, PITCH, VOICED = FEATURES - 3, FEATURES - 2, FEATURES - 1
"""Places in a frame, after the bands of the envelope."""
PARTS = {"envelope": 1.0, "aperiodicity": 0.1, "f0": 0.3, "voicing": 0.3, "duration": 0.1, "prosody": 0.05}
"""Weights of the parts of the loss."""
VAL_PARTS = {"envelope": 1.0, "aperiodicity": 0.1, "f0": 0.3, "voicing_error": 0.3, "duration": 0.1}
"""Weights of the parts of ``val_loss``. Likelihoods rise when a model is too sure, long before it sounds worse."""
MAX_PHONE_FRAMES, MAX_PAUSE_FRAMES, MIN_SENTENCE_PAUSE = 120, 40, 28
"""Longest phone and pause, and shortest pause between sentences, in frames before ``speed`` and ``pause``."""

MAX_HOURS = 12
"""Longest sound of all texts of a batch together, which takes some gigabytes of memory."""
MAX_FRAMES = round(MAX_HOURS * 3600 / FRAME_SECONDS)


@dataclass(frozen=True)
class TextToSpeechOptions:
    """Options of reading aloud.

    Attributes:
        speed: factor of the tempo; 2: twice as fast.
        pause: factor of the length of pauses, after ``speed``.
        variation: factor of the random part of pitch and tempo; 0: always the most likely reading, which is flatter.
    """

    speed: Annotated[float, Ge(0.25), Le(4)] = 1.0
    pause: Annotated[float, Ge(0), Le(10)] = 1.0
    variation: Annotated[float, Ge(0), Le(3)] = 1.0


class PhoneNetwork(Protocol):
    """A network over phones; ``genai.networks.speech.SpeechNetwork`` describes the methods."""

    def encode(self, phones: Tensor, speakers: Tensor, languages: Tensor) -> Tensor: ...

    def prosody_density(self, x: Tensor, phones: Tensor, prosody: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...

    def draw_prosody(self, x: Tensor, phones: Tensor, noise: Tensor) -> Tensor: ...

    def log_durations(self, x: Tensor, phones: Tensor, prosody: Tensor, speakers: Tensor) -> Tensor: ...

    def frames(self, x: Tensor, phones: Tensor, prosody: Tensor, durations: Tensor, speakers: Tensor) -> Tensor: ...


class TextToSpeech(Method):
    """Learns durations and frames from recordings whose phones are aligned.

    Args:
        network: a ``PhoneNetwork``.
        sampling: this model's own defaults for ``TextToSpeechOptions``.
    """

    Options = TextToSpeechOptions
    metrics = ("val_loss",)
    supports_init = False
    batch_types = (SpeechBatch,)
    is_iterative = False
    needs_consent = True
    """It can say anything in the voice of a person."""

    def __init__(self, network: nn.Module, sampling: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.ema_module, self.sampling = network, sampling or {}
        self.rehearsal: Rehearsal | None = None

    @property
    def network(self) -> PhoneNetwork:
        return cast(PhoneNetwork, self.ema_module)

    def loss(self, batch: Batch, network_name: str = "model") -> dict[str, Tensor]:
        """Return the weighted sum of ``PARTS``, and these.

        ``envelope``, ``aperiodicity`` and ``f0`` are absolute errors in standard deviations of the speaker, ``voicing``
        is a cross-entropy, ``duration`` the squared error of the logarithm, ``prosody`` a negative log-likelihood. The
        durations and the prosody that frames follow are those of the recording. While a voice is added, ``loss`` also
        has ``preservation_loss``, that of what the base says with its own voices.
        """
        assert isinstance(batch, SpeechBatch)
        parts = self._parts(batch)[0]
        loss = _weighted_sum(parts)
        if self.rehearsal is None or not self.training:
            return {"loss": loss, **parts}
        drift = _weighted_sum(self._parts(self._base_outputs(self.rehearsal.draw(len(batch.phones))))[0])
        return {"loss": loss + self.rehearsal.weight * drift, **parts, "preservation_loss": drift}

    def preserve_outputs(self, preservation: Preservation) -> None:
        if preservation.requests is not None:
            self.rehearsal = Rehearsal.of_requests(preservation.weight, preservation.requests)

    @torch.no_grad()
    def _base_outputs(self, sentences: Sequence[RehearsalSentence]) -> SpeechBatch:
        """Return what the model without its adapter says, as if it were recordings."""
        phones = nn.utils.rnn.pad_sequence([each.phones for each in sentences], True, -1).to(self.device)
        speakers = torch.tensor([each.speaker for each in sentences], device=self.device)
        languages = torch.tensor([each.language for each in sentences], device=self.device)
        is_timed = phones[..., 0] >= 0
        with without_adapters(self.ema_module), self.evaluation_mode():
            x = self.network.encode(phones, speakers, languages)
            noise = torch.randn(len(sentences), phones.shape[1], PROSODY).to(self.device)
            prosody = self.network.draw_prosody(x, phones, noise)
            log_durations = self.network.log_durations(x, phones, prosody, speakers).float().cpu()
            rows = [
                whole_durations(row[: len(each.phones)], each.phones[:, 0] == 0, TextToSpeechOptions(), True)
                for row, each in zip(log_durations, sentences, strict=True)
            ]
            durations = nn.utils.rnn.pad_sequence(rows, True).to(self.device)
            frames = self.network.frames(x, phones, prosody, durations, speakers).float()
        frames = torch.cat([frames[:, :VOICED], (frames[:, VOICED:] > 0).float()], 1)
        texts = [""] * len(sentences)
        return SpeechBatch(
            frames[None],
            texts,
            None,
            phones=phones,
            durations=durations,
            is_timed=is_timed,
            prosody=prosody,
            speakers=speakers,
            languages=languages,
        )

    def matching_modules(self, base: Method) -> tuple[nn.Module, nn.Module]:
        """Return this method and ``base``, with a row for the voice that this one has more: the mean of the others."""
        rows, known = (_speaker_table(each) for each in (self, base))
        if rows is None or known is None or len(rows) != len(known) + 1:
            return self, base
        base = copy.deepcopy(base)
        extended = torch.cat([known, known.mean(0, keepdim=True)]).detach()
        base.ema_module.speakers = nn.Embedding.from_pretrained(extended, freeze=False)
        return self, base

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of ``loss``, the sum of ``VAL_PARTS`` as ``loss``, and errors for people.

        These are ``duration_percent`` of durations, ``f0_error`` of the pitch with the most likely prosody, in standard
        deviations of the speaker, and ``voicing_error``, the share of frames that are wrongly voiced or unvoiced.
        """
        assert isinstance(batch, SpeechBatch)
        parts, x, voicing_error = self._parts(batch)
        log_durations = self._log_durations(x, batch, batch.prosody)
        error = (log_durations - batch.durations.clamp(min=1).log()).abs().expm1()
        noise = x.new_zeros(len(x), batch.phones.shape[1], PROSODY)
        prosody = self.network.draw_prosody(x, batch.phones, noise)
        pitch = self.network.frames(x, batch.phones, prosody, batch.durations, batch.speakers)[:, PITCH]
        target, voiced = _targets(batch)[:, PITCH], _targets(batch)[:, VOICED]
        parts["voicing_error"] = voicing_error
        return {
            "loss": _weighted_sum(parts, VAL_PARTS),
            **parts,
            "duration_percent": 100 * _mean(error, batch.is_timed),
            "f0_error": _mean((pitch - target).abs(), voiced > 0),
        }

    def _parts(self, batch: SpeechBatch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the parts of the loss, the encoded phones, and the share of frames with the wrong voicing."""
        x = self.network.encode(batch.phones, batch.speakers, batch.languages)
        mean, log_std, values = self.network.prosody_density(x, batch.phones, batch.prosody)
        density = 0.5 * ((values - mean) * (-log_std).exp()).square() + log_std
        log_durations = self._log_durations(x, batch, batch.prosody)
        outputs = self.network.frames(x, batch.phones, batch.prosody, batch.durations, batch.speakers).float()
        targets = _targets(batch)
        voiced = targets[:, VOICED]
        errors = (outputs[:, :VOICED] - targets[:, :VOICED]).abs()
        parts = {
            "envelope": errors[:, :APERIODICITY].mean(),
            "aperiodicity": errors[:, APERIODICITY].mean(),
            "f0": _mean(errors[:, PITCH], voiced > 0),
            "voicing": F.binary_cross_entropy_with_logits(outputs[:, VOICED], voiced),
            "duration": _mean((log_durations - batch.durations.clamp(min=1).log()).square(), batch.is_timed),
            "prosody": density.mean() if len(density) else density.sum(),
        }
        return parts, x, ((outputs[:, VOICED] > 0) != (voiced > 0)).float().mean()

    def _log_durations(self, x: Tensor, batch: SpeechBatch, prosody: Tensor) -> Tensor:
        return self.network.log_durations(x, batch.phones, prosody, batch.speakers).float()

    @torch.inference_mode()
    def stream(self, request: Request, options: TextToSpeechOptions) -> Iterator[Chunk]:
        """Read sentence by sentence.

        ``Chunk.x`` is (batch, frames, ``FEATURES`` + 1): the frames, with the logit of voicing, and the number of the
        phone in its sentence, which is -1 at padding.

        Raises:
            UserError: the texts are longer than ``MAX_HOURS``, which only their durations tell.
        """
        assert isinstance(request, SentenceRequest)
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        start, total, count = 0, 0, max(map(len, request.sentences), default=0)
        for number in range(count):
            rows = []
            for item, sentences in enumerate(request.sentences):
                if number >= len(sentences):
                    rows.append(torch.full((0, FEATURES + 1), -1.0))
                    continue
                place = (request.speakers[item], request.languages[item])
                is_last = number + 1 == len(sentences)
                rows.append(self._read(sentences[number], place, generators[item], options, is_last))
            if (total := total + sum(map(len, rows))) > MAX_FRAMES:
                raise UserError(
                    f"the texts take more than {MAX_HOURS} hours to read: give shorter ones, fewer at once "
                    "(batch=1), a higher speed= or a lower pause=."
                )
            x = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1.0)
            yield Chunk(start, x)
            start += x.shape[1]

    def sample(self, request: Request, options: TextToSpeechOptions) -> list[Tensor]:
        """Return (frames, ``FEATURES`` + 1) of each item, see ``stream``."""
        chunks = [chunk.x for chunk in self.stream(request, options)]
        items = [torch.cat([chunk[item] for chunk in chunks]) for item in range(len(request.prompts))]
        return [item[item[:, -1] >= 0] for item in items]

    def _read(
        self,
        sentence: Sentence,
        place: tuple[int, int],
        generator: torch.Generator,
        options: TextToSpeechOptions,
        is_last: bool,
    ) -> Tensor:
        """Return the frames of a sentence: (frames, ``FEATURES`` + 1). Each is computed alone, so that no other item
        changes it.

        Args:
            sentence: its phones.
            place: numbers of speaker and language.
            generator: of the prosody.
            options: of the request.
            is_last: whether no sentence follows.
        """
        phones = sentence.phones[None].to(self.device)
        speaker, language = (torch.tensor([number], device=self.device) for number in place)
        x = self.network.encode(phones, speaker, language)
        noise = torch.randn((1, len(sentence.texts), PROSODY), generator=generator).to(self.device)
        prosody = self.network.draw_prosody(x, phones, noise * options.variation)
        log_durations = check_output(self.network.log_durations(x, phones, prosody, speaker))[0].float().cpu()
        durations = whole_durations(log_durations, sentence.phones[:, 0] == 0, options, is_last)
        frames = self.network.frames(x, phones, prosody, durations[None].to(self.device), speaker)
        numbers = torch.arange(len(durations)).repeat_interleave(durations)
        return torch.cat([check_output(frames).float().cpu(), numbers[:, None].float()], 1)


def whole_durations(log_durations: Tensor, is_pause: Tensor, options: TextToSpeechOptions, is_last: bool) -> Tensor:
    """Return whole numbers of frames whose running sum is the rounded sum of the predictions: (phones,) int64.

    Args:
        log_durations: (phones,), logarithms of frames.
        is_pause: (phones,) bool.
        options: of the request.
        is_last: whether no sentence follows; if one does, the last pause is long enough to be heard.
    """
    frames = log_durations.exp().clamp(min=1, max=MAX_PHONE_FRAMES)
    pauses = frames.clamp(max=MAX_PAUSE_FRAMES)
    if not is_last:
        pauses[-1] = pauses[-1].clamp(min=MIN_SENTENCE_PAUSE)
    frames = torch.where(is_pause, pauses * options.pause, frames) / options.speed
    ends = frames.double().cumsum(0).round()
    durations = ends.diff(prepend=ends.new_zeros(1)).long()
    return torch.where(is_pause, durations, durations.clamp(min=1))


def _speaker_table(method: Method) -> Tensor | None:
    """Return the rows of the speakers (speakers, width); ``None`` if the network has no such table."""
    table = getattr(method.ema_module, "speakers", None)
    return table.weight if isinstance(table, nn.Embedding) else None


def _targets(batch: SpeechBatch) -> Tensor:
    """Return the frames of all rows, one after the other."""
    return batch.x.flatten(0, 1) if batch.valid is None else batch.x[batch.valid]


def _weighted_sum(parts: dict[str, Tensor], weights: Mapping[str, float] = PARTS) -> Tensor:
    return torch.stack([weight * parts[name] for name, weight in weights.items()]).sum()


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of ``x`` where ``mask`` is True; 0 if it is nowhere."""
    return (x * mask).sum() / mask.sum().clamp(min=1)
