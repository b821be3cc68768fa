"""Samples on the terminal and in files while they are generated."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai.core.errors import RunError

if TYPE_CHECKING:
    from genai.inference.model import Model, Stream


def show_stream(
    stream: "Stream", item: int | None = None, offset: int = 0, keep_steps: bool = False, writers: Sequence[Any] = ()
) -> list[list[Any]]:
    """Run the stream; print one sample as it is generated, then the others.

    Args:
        item: the only sample to print; ``None``: all.
        offset: number of the first sample of the stream.
        keep_steps: return the intermediate results.
        writers: one per sample; they receive each part as it is generated.

    Returns:
        The intermediate results of each step if ``keep_steps``.
    """
    streamed_item = item or 0
    print(_heading(stream, streamed_item, offset), file=sys.stderr, flush=True)
    print(stream.init_text(streamed_item), end="", flush=True)
    steps = []
    for parts in _with_progress(stream):
        print(parts[streamed_item].on_terminal, end="", flush=True)
        for writer, part in zip(writers, parts, strict=False):
            try:
                writer.append(part)
            except OSError as error:
                raise RunError(f"cannot write the samples: {error.strerror}.") from error
        if keep_steps:
            steps.append(parts)
    texts = stream.texts()
    if any(texts):
        print(flush=True)
    for index, text in enumerate(texts if item is None and any(texts) else []):
        if index != streamed_item:
            print(_heading(stream, index, offset), file=sys.stderr, flush=True)
            print(text, flush=True)
    return steps


def _with_progress(stream: "Stream") -> Iterator[list[Any]]:
    """Iterate over the stream with a progress bar; print the speed at the end if samples have a length."""
    from genai.core.progress import ProgressBar

    if stream.unit is None:
        with ProgressBar("sampling, %", 100) as bar:
            previous_progress = 0.0
            for parts in stream:
                if stream.progress is not None:
                    bar.step(100 * (stream.progress - previous_progress))
                    previous_progress = stream.progress
                yield parts
        return
    start_time, latency, length = time.monotonic(), "", 0.0
    with ProgressBar(stream.unit, stream.max_length, delay=0) as bar:
        bar.step(0)  # a loop may have to be compiled before the first sample
        for parts in stream:
            latency = latency or f"first {stream.length:.1f} after {time.monotonic() - start_time:.2f} s"
            bar.step(stream.length - length)
            length = stream.length
            yield parts
    seconds, count = time.monotonic() - start_time, len(stream.seeds)
    each = " each" if count > 1 else ""
    speed = f"{count * length / seconds:.1f}x real time"
    print(f"{length:.1f} {stream.unit}{each} in {seconds:.1f} s, {latency}; {speed}", file=sys.stderr, flush=True)


def open_stream_writers(
    model: "Model", stream: "Stream", folder: Path, names: Sequence[str], stack: ExitStack, label: bytes = b""
) -> list[Any]:
    """Open files that are written while samples are generated, if the media support it; final files replace them.

    Recipes with the same names are deleted first, because they describe other samples. A WAV begins with the chunk
    ``label``, so what a stopped process leaves has it too.
    """
    from genai.media.wav_stream import WavWriter
    from genai.modalities.optional import stream_writer

    writers = []
    for name, decoder in zip(names, stream.decoders, strict=True):
        path = folder / f"{name}{decoder.initial.suffix}"
        try:
            writer = stream_writer(model.modality, path, decoder.initial)
            if writer is not None:
                writers.append(stack.enter_context(writer))
                if label and isinstance(writer, WavWriter):
                    writer.insert_chunk(label)
                path.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}.") from error
    return writers


def _heading(stream: "Stream", item: int, offset: int) -> str:
    return f"--- {offset + item:03d}  seed {stream.seeds[item]}  prompt {stream.prompts[item]!r}"
