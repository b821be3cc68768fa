"""The text modality: tokens, windows of a memory-mapped corpus, and streams that never split a character."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from genai.core.batch import Request
from genai.core.cache import cache_key, cached_file, cached_json, track_progress
from genai.core.data import Split
from genai.core.errors import UserError, short_repr, short_text
from genai.core.renamed import module_getattr
from genai.media.chat import Chat, Message
from genai.media.chat_pair import ChatPair
from genai.media.text import Document
from genai.modalities import chatml, tokenizers
from genai.modalities.base import Decoder, Modality
from genai.modalities.chat_dataset import PackedChats, pack_chats
from genai.modalities.chat_template import ChatTemplate
from genai.modalities.chat_tokens import target_parts
from genai.modalities.constraint import JSONSchema, create_constraints, create_grammar
from genai.modalities.escape_notes import escape_notes
from genai.modalities.infill import MIN_BLOCK, InfillContext, InfillDecoder, InfillMarks, InfillWindows, infill_context
from genai.modalities.pair_dataset import PackedPairs, pack_pairs
from genai.modalities.preview import Preview
from genai.modalities.prompt_dataset import PackedPrompts, pack_prompts
from genai.modalities.text_dataset import PackedText
from genai.modalities.text_decoder import TextDecoder
from genai.modalities.text_preview import TextPreview
from genai.modalities.token_ids import LogitBiases, StopIDs, bias_vector, check_ids
from genai.trust.watermarks.key import read_key
from genai.trust.watermarks.texts import GreenListBias


@dataclass(frozen=True)
class TextOptions:
    """Options of a request for text.

    Attributes:
        length: maximum number of new tokens.
        stop: strings before which a sample ends.
        stop_ids: tokens before which a sample ends.
        logit_bias: is added to the logits of tokens, by their id; -100 forbids one.
        logprobs: report the log-probability of each token, and those of so many most probable tokens in its place;
            ``None``: report none.
        regex: the sample fits this regular expression, unless it is cut at ``length``.
        json_schema: the sample is JSON that fits this schema, unless it is cut at ``length``.
        suffix: at most one text, which follows the sample: the model fills the gap between the prompt and it.
        watermark: sample so that ``genai verify`` finds a watermark in long texts.
    """

    length: Annotated[int, Ge(1), Le(1_000_000)] = 256
    stop: Sequence[str] = ()
    stop_ids: StopIDs = ()
    logit_bias: LogitBiases = field(default_factory=dict)
    logprobs: Annotated[int, Ge(0), Le(20)] | None = None
    regex: str | None = None
    json_schema: JSONSchema | None = None
    suffix: Sequence[str] = ()
    watermark: bool = False


class Text(Modality):
    """Text as tokens.

    Args:
        tokenizer: ``bpe`` (trained on the training split), ``characters`` or ``bytes``.
        vocab_size: of ``bpe``; the other tokenizers determine their own.
        block: context length of the network in tokens.
        reserved: number of unused token ids after the others, for later use such as chat; they are never sampled.
        infill: fraction of training windows that are cut into prefix, suffix and middle, so that the model learns to
            fill a gap (arXiv:2207.14255); the first three of the reserved tokens mark them.

    Attributes:
        chat_template: how messages become a text; ``None``: the model was not trained on conversations. They give it
            ChatML, whose marks are reserved tokens.
    """

    media = Document
    Options = TextOptions
    size_options = ("block",)
    infill_suffix_first: ClassVar[bool] = True
    """Order of a text with a gap, see ``infill_context``."""

    def __init__(
        self,
        tokenizer: Literal["bpe", "characters", "bytes"] = "bpe",
        vocab_size: Annotated[int, Ge(257), Le(1_000_000)] | None = None,
        block: Annotated[int, Ge(2), Le(1_000_000)] = 256,
        reserved: Annotated[int, Ge(0), Le(65_536)] = 0,
        infill: Annotated[float, Ge(0), Le(1)] = 0.0,
    ) -> None:
        if tokenizer != "bpe" and vocab_size is not None:
            raise ValueError(
                f"vocab_size belongs to tokenizer=bpe; {tokenizer} finds its own. Set modality.vocab_size=null."
            )
        if infill and reserved < len(InfillMarks._fields):
            raise ValueError(
                f"infill={infill:g} needs 3 reserved tokens for its marks: set modality.reserved=3 or more."
            )
        if infill and block < MIN_BLOCK:
            raise ValueError(
                f"infill={infill:g} needs a context of {MIN_BLOCK} tokens or more: set modality.block={MIN_BLOCK}."
            )
        self.kind, self.vocab_size, self.block, self.reserved = tokenizer, vocab_size or 2048, block, reserved
        self.infill = infill
        self.chat_template: ChatTemplate | None = None
        self.tokenizer: tokenizers.Tokenizer = tokenizers.Bytes()

    @property
    def end_token(self) -> int:
        """The token after each document; no text encodes to it."""
        return len(self.tokenizer.token_bytes)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens that end a document; ``end_token`` is the first."""
        return (self.end_token,)

    @property
    def infill_marks(self) -> InfillMarks | None:
        """The tokens that mark the parts of a text with a gap; ``None``: the model cannot fill gaps."""
        return InfillMarks(*range(self.end_token + 1, self.end_token + 4)) if self.infill else None

    @property
    def chat_marks(self) -> dict[str, int]:
        """The tokens of the marks around messages, which only prompts contain; empty: there are none."""
        return chatml.mark_ids(self.end_token) if self.chat_template else {}

    @property
    def description(self) -> str:
        return f"text of {self.end_token:,} different tokens ({self.kind}), with a context of {self.block:,}"

    @property
    def interface(self) -> dict[str, Any]:
        return {"vocab_size": self.end_token + 1 + self.reserved, "block": self.block}

    def fit(self, split: Split, cache: Path) -> None:
        texts = (example.media for example in split)
        if self.kind == "characters":
            self.tokenizer = tokenizers.Characters.train(texts)
        elif self.kind == "bpe":
            key = cache_key(split.content_hash, "bpe", 2, self.vocab_size)
            train_bpe = lambda: tokenizers.BPE.train(texts, self.vocab_size).state()  # noqa: E731
            state = cached_json(cache / f"{key}.json", train_bpe)
            self.tokenizer = tokenizers.restore_tokenizer(state, self.vocab_size)

    def state(self) -> dict[str, Any]:
        marks = self.infill_marks
        entry: dict[str, Any] = {} if marks is None else {"infill_marks": list(marks)}
        if self.chat_template:
            entry["chat_template"] = self.chat_template.state()
        return {**self.tokenizer.state(), "vocab_size": self.vocab_size, **entry}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, restored, configured in (
            ("tokenizer", state["kind"], self.kind),
            ("vocab_size", state["vocab_size"], self.vocab_size),
        ):
            if restored != configured:
                raise ValueError(f"its modality.{name} is {short_text(restored)}, not {configured}")
        self.tokenizer = tokenizers.restore_tokenizer(state, self.vocab_size)
        marks = state.get("infill_marks")  # of a model that fills gaps
        if marks is not None and self.infill_marks and marks != list(self.infill_marks):
            raise ValueError(f"its infill_marks are {short_repr(marks)}, not {list(self.infill_marks)}")
        template = state.get("chat_template")  # of a model that was trained on conversations
        if template is not None and self.reserved < chatml.MIN_RESERVED:
            raise ValueError(f"its chats need modality.reserved={chatml.MIN_RESERVED}, not {self.reserved}")
        self.chat_template = None if template is None else ChatTemplate.from_state(template)

    def encode(self, media: Any) -> Tensor:
        """Convert text to (tokens,) int64."""
        text = str(media).encode("utf-8", "replace").decode()  # a terminal can give half a surrogate pair
        return torch.from_numpy(self.tokenizer.encode(text))

    def encode_prompt(self, text: str) -> Tensor:
        """Convert the beginning of a sample to (tokens,) int64; in a chat model, marks around messages are tokens."""
        marks = self.chat_marks
        if not marks:
            return self.encode(Document(text))
        parts = re.split(f"({'|'.join(map(re.escape, marks))})", text)
        tokens = [torch.tensor([marks[part]]) if part in marks else self.encode(Document(part)) for part in parts]
        return torch.cat(tokens)

    def chat_prompt(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """Return messages as the prompt of an answer. Raises what ``ChatTemplate.render`` does, or that it has none."""
        if self.chat_template is None:
            raise UserError("this model has no chat template: give a prompt in the form that it was trained on.")
        (text,) = self.render_chats([(messages, add_generation_prompt)])
        if isinstance(text, UserError):
            raise text
        return text

    def render_chats(self, conversations: Sequence[tuple[Sequence[Message], bool]]) -> list[str | UserError]:
        """Return for each conversation what ``chat_prompt`` does, or the error that it causes."""
        assert self.chat_template is not None
        return self.chat_template.render_all(conversations, self.special_texts)

    @property
    def special_texts(self) -> tuple[str, ...]:
        """Texts that a prompt has as special tokens, so that no message may contain one; ChatML refuses its own."""
        is_chatml = self.chat_template is not None and self.chat_template.source == chatml.SOURCE
        return () if is_chatml else tuple(self.chat_marks)

    def target_parts(self, media: Any) -> list[tuple[str, bool]] | None:
        """Return the parts of a conversation, and whether they are learned; ``None`` for other texts.

        Raises:
            UserError: the model has no marks for a template.
        """
        if isinstance(media, ChatPair):
            sides = [self.target_parts(chat) for chat in (media.chosen, media.rejected)]
            return None if None in sides else [*(sides[0] or []), (" instead of ", False), *(sides[1] or [])[1:]]
        if not isinstance(media, Chat):
            return None
        self.ensure_chat_template()
        return target_parts(self, media)

    def ensure_chat_template(self) -> None:
        """Give the model ChatML if it has no chat template. Raises ``UserError`` if it has no marks for it."""
        if self.chat_template is None and self.reserved < chatml.MIN_RESERVED:
            raise UserError(
                f"conversations need {chatml.MIN_RESERVED} reserved tokens for the marks around messages; this model "
                f"has {self.reserved}. Train one with modality.reserved=16, or begin with a model that chats."
            )
        self.chat_template = self.chat_template or ChatTemplate(chatml.SOURCE)

    def decode(self, x: Tensor) -> Document:
        content = self.decode_bytes(x)
        return Document(content.decode("utf-8", "replace"))

    def decode_bytes(self, x: Tensor) -> bytes:
        """Return the UTF-8 of the tokens before the first end token; it may start or end inside a character."""
        ids = x.tolist()
        stop = next((position for position, index in enumerate(ids) if index in self.end_tokens), len(ids))
        return self._join_bytes(ids[:stop])

    def prompt_bytes(self, x: Tensor) -> bytes:
        """Return the UTF-8 of a prompt, in which marks stand around messages."""
        mark_bytes = {index: mark.encode() for mark, index in self.chat_marks.items()}
        return b"".join(mark_bytes.get(index) or self._join_bytes([index]) for index in x.tolist())

    def _join_bytes(self, ids: Sequence[int]) -> bytes:
        """Join the bytes of tokens; an end token that no text encodes to has none."""
        token_bytes = self.tokenizer.token_bytes
        return b"".join(token_bytes[index] for index in ids if index < len(token_bytes))

    def decoder(self, init: Tensor | None, options: TextOptions) -> Decoder:
        beginning = b"" if init is None else self.prompt_bytes(init)
        ends = (*self.end_tokens, *options.stop_ids, *(self.infill_marks or () if options.suffix else ()))
        decoder = TextDecoder(self._join_bytes, ends, beginning, list(options.stop), options.logprobs or 0)
        if not options.suffix:
            return decoder
        suffix = options.suffix[0].encode("utf-8", "replace").decode()
        return InfillDecoder(decoder, suffix, self._infill_context(str(decoder.initial), options).max_middle)

    def _infill_context(self, prefix: str, options: TextOptions) -> InfillContext:
        """Return what the model reads of a prompt and ``options.suffix``. Raises ``UserError`` if it cannot."""
        if self.infill_marks is None:
            raise UserError(
                "suffix=: this model was not trained to fill gaps. Leave it out, or train one with modality.infill=0.5."
            )
        if len(options.suffix) > 1:
            raise UserError(f"suffix= is one text for all prompts, not {len(options.suffix)}.")
        parts = self.encode_prompt(""), self.encode(prefix), self.encode(options.suffix[0])
        return infill_context(*parts, self.infill_marks, self.block, options.length, self.infill_suffix_first)

    def pack(self, split: Split, cache: Path) -> "PackedText | PackedChats | PackedPairs":
        if len(split) and isinstance(split[0].media, ChatPair):
            self.ensure_chat_template()
            return pack_pairs(self, split, cache)
        if len(split) and isinstance(split[0].media, Chat):
            self.ensure_chat_template()
            return pack_chats(self, split, cache)
        state = {name: value for name, value in self.state().items() if name not in ("infill_marks", "chat_template")}
        key = cache_key(split.content_hash, "tokens", state)

        def write(path: Path) -> None:
            dtype = np.uint16 if self.end_token < 2**16 else np.uint32
            with path.open("wb") as file:
                for example in track_progress(split, f"encoding text ({split.name})", len(split)):
                    tokens = np.append(self.tokenizer.encode(str(example.media)), self.end_token)
                    file.write(tokens.astype(dtype).tobytes())

        path = cached_file(cache / f"{key}.{'u2' if self.end_token < 2**16 else 'u4'}", write)
        marks = self.infill_marks
        windows = InfillWindows(self.tokenizer, self.end_token, marks, self.infill) if self.infill and marks else None
        packed = PackedText(path, self.block, windows, self.interface["vocab_size"])
        if split.name == "train" and len(packed.tokens) <= self.block:
            count, block = len(packed.tokens), self.block
            advice = f", or set modality.block={max(2, count // 4)}" if count > 2 else ""
            raise UserError(
                f"the training text has {count} tokens, fewer than a block of {block} needs. Give more text{advice}."
            )
        return packed

    def pack_prompts(self, split: Split, cache: Path) -> PackedPrompts:
        """Return the questions of conversations as prompts, see ``prompt_dataset``. Raises ``UserError``."""
        if not isinstance(split[0].media, Chat):
            raise UserError("these data have no questions to answer: choose data=chat or data=tasks.")
        self.ensure_chat_template()
        return pack_prompts(self, split, cache)

    def request(self, prompts: list[str], seeds: list[int], init: Document | None, options: TextOptions) -> Request:
        """Build a request that continues each prompt; the text ``init`` is put before each."""
        num_classes = max(self.end_token + 1, len(self.tokenizer.token_bytes))
        texts = [f"{init or ''}{prompt}" for prompt in prompts]
        encoded = [self.encode_prompt(text) for text in texts]
        grammar = create_grammar(options.regex, options.json_schema)
        check_ids("stop_ids", options.stop_ids, num_classes)
        end_token = torch.tensor([self.end_token])  # in training, a document starts after the end token of another one
        request = Request(
            [""] * len(prompts),
            seeds,
            (options.length,),
            init=[tokens if len(tokens) else end_token for tokens in encoded],
            end_tokens=(*self.end_tokens, *options.stop_ids),
            num_classes=num_classes,
            bias=bias_vector(options.logit_bias, num_classes),
            constraints=create_constraints(grammar, self.tokenizer, self.end_tokens, len(prompts)),
            log_probs=options.logprobs is not None,
        )
        if options.watermark:
            request = replace(request, class_biases=self._green_lists(request.init or []))
        if not options.suffix:
            return request
        contexts = [self._infill_context(text, options).tokens for text in texts]
        marks = [mark for mark in self.infill_marks or () if mark < num_classes]  # of others' models, which sample them
        return replace(request, init=contexts, prefix=encoded, end_tokens=(*request.end_tokens, *marks))

    def watermark_tokens(self, text: str) -> list[int]:
        """Split a text into tokens, to search it for a watermark."""
        tokens: list[int] = self.encode(text).tolist()
        return tokens

    def _green_lists(self, prompts: Sequence[Tensor]) -> list[GreenListBias]:
        """Return the watermark of the text that continues each of ``prompts`` (time,). Raises ``UserError``."""
        key, num_tokens = read_key(), max(self.end_token + 1, len(self.tokenizer.token_bytes))
        return [GreenListBias(key, int(tokens[-1]), num_tokens) for tokens in prompts]

    def request_notes(self, init: Document | None, options: TextOptions) -> list[str]:
        """Return notes about escapes that are not line breaks, and about a beginning that ends with one."""
        notes = [*escape_notes("stop", options.stop), *escape_notes("suffix", options.suffix)]
        if init is not None and init.endswith("\n"):
            notes.append("init= ends with a line break, so a new line begins; remove it to continue the last line")
        return notes

    def prompt_notes(self, prompts: Sequence[str], options: TextOptions | None = None) -> list[str]:
        """Return notes about escapes that are not line breaks, about texts longer than the context, and about prompts
        without the marks of the model's chats."""
        notes = escape_notes("prompt", prompts)
        if options and options.suffix:
            return notes + self._infill_notes(prompts, options)
        longest = max((len(self.encode_prompt(prompt)) for prompt in prompts), default=0)
        if longest > self.block:
            notes.append(
                f"a prompt of {longest:,} tokens is longer than the context of {self.block:,}: what comes next is "
                "chosen mostly by its end"
            )
        if (
            self.chat_template
            and prompts
            and not any(mark in prompt for prompt in prompts for mark in self._mark_texts)
        ):
            notes.append(
                "this model was trained on chats; model.modality.chat_prompt(...) makes such a prompt in Python"
            )
        return notes

    @property
    def _mark_texts(self) -> list[str]:
        """Texts of which one stands in every prompt of a chat."""
        return list(self.chat_marks)

    def _infill_notes(self, prompts: Sequence[str], options: TextOptions) -> list[str]:
        """Return a note about the longest prompt if it does not fit into the context with ``options.suffix``."""
        prompt = max(prompts, key=len, default="")
        context, sizes = self._infill_context(prompt, options), [len(self.encode(t)) for t in (prompt, *options.suffix)]
        if (context.num_prefix, context.num_suffix) == tuple(sizes):
            return []
        return [
            f"prompt and suffix= have {sum(sizes):,} tokens, too many for the context of {self.block:,}: the model "
            f"reads the last {context.num_prefix:,} of the prompt and the first {context.num_suffix:,} of the suffix"
        ]

    def preview(self) -> Preview:
        return TextPreview(self.render_chats if self.chat_template else None)


__getattr__ = module_getattr(__name__)
