"""Copies of held-out recordings by a trained vocoder and by WORLD, from the same frames: distance, speed, word errors.

    python benchmarks/vocoder.py FOLDER [--run RUN] [--steps 420] [--n 36] [--weights WHISPER] [--json OUT]

Trains ``model=vocoder`` on the recordings in ``FOLDER``, unless ``--run`` names a trained one. The distance is that of
``metrics=[copy_synthesis]`` over whole recordings, at the level of the recording. Speed is CPU time relative to the
length of the sound, without analysis. With ``--weights``, a folder as ``judge.weights=`` takes it, Whisper writes down
the recordings and both kinds of copies, each clip alone.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, train

import genai
from genai.cli.compose import compose
from genai.core.data import Source
from genai.core.instantiate import instantiate
from genai.inference.build import build_method
from genai.inference.vocoder import VocoderSynthesis
from genai.media.sound import Sound
from genai.methods.vocoder import Vocoder
from genai.metrics.audio.copy_synthesis import copy_distance
from genai.metrics.audio.recognizer import load_recognizer, transcribe
from genai.metrics.audio.word_error import compare
from genai.metrics.intervals import bootstrap_ratio
from genai.metrics.judge_options import JudgeOptions
from genai.modalities.vocoder_audio import VocoderAudio
from genai.speech.loudness import normalize_loudness
from genai.speech.voice_frames import Synthesize, VoiceFrames, synthesize

Clip = tuple[str, Sound, VoiceFrames]


def held_out(words: list[str], modality: VocoderAudio, count: int) -> list[Clip]:
    """Return texts, recordings and frames of held-out clips of at most 20 s."""
    source = instantiate(compose("train", words).values["data"], Source, "data")  # type: ignore[type-abstract]
    clips = []
    for index in range(min(count, len(source.val))):
        example, rate = source.val[index], modality.sample_rate
        sound = Sound(normalize_loudness(example.media.resample(rate).samples, rate), rate)
        if sound.seconds <= modality.max_seconds:
            clips.append((example.prompt, sound, VoiceFrames.from_rows(modality.frames(sound).numpy())))
    return clips


def make_copies(vocoder: Synthesize, clips: list[Clip]) -> tuple[list[Sound], float]:
    """Return the copies of recordings, and CPU seconds per second of sound."""
    vocoder(clips[0][2], clips[0][1].sample_rate)
    start = time.process_time()
    copies = [Sound(vocoder(frames, sound.sample_rate), sound.sample_rate) for _, sound, frames in clips]
    return copies, (time.process_time() - start) / sum(sound.seconds for _, sound, _ in clips)


def distances(copies: list[Sound], clips: list[Clip]) -> dict[str, float]:
    """Return the mean parts of the distance over recordings."""
    pairs = zip(copies, clips, strict=True)
    rows = [
        copy_distance(torch.from_numpy(copy.samples), torch.from_numpy(real.samples), real.sample_rate)
        for copy, (_, real, _) in pairs
    ]
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def word_errors(recognize: Callable[[Sound], str], sounds: list[Sound], clips: list[Clip], label: str) -> list[float]:
    """Return the share of words that the judge misses, and the ends of its interval."""
    texts = transcribe(recognize, sounds, label)
    rows = [compare(text, heard, "en") for (text, _, _), heard in zip(clips, texts, strict=True)]
    errors, counts = [len(row.edits) for row in rows], [len(row.reference) for row in rows]
    low, high, _ = bootstrap_ratio(errors, counts, 0)
    return [round(value, 4) for value in (sum(errors) / sum(counts), low, high)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="recordings with a consent.yaml: scripts/voice.py makes one")
    parser.add_argument("--run", help="a trained vocoder")
    parser.add_argument("--steps", type=int, default=420)
    parser.add_argument("--n", type=int, default=36, help="held-out recordings")
    parser.add_argument("--weights", help="folder of Whisper's weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    words = ["modality=audio", "model=vocoder", "data=audio_folder", f"data.path={args.folder}"]
    own = ["trainer=cpu", f"trainer.threads={args.threads}", f"steps={args.steps}"]
    model: Any = genai.load(args.run, device="cpu") if args.run else train(*words, *own)
    torch.set_num_threads(args.threads)
    clips = held_out(words, model.modality, args.n)
    torch.manual_seed(0)
    untrained = build_method(compose("train", words).values["model"], model.modality).eval()
    assert isinstance(untrained, Vocoder)
    systems = {"WORLD": synthesize, "untrained": VocoderSynthesis(untrained), "trained": VocoderSynthesis(model.method)}
    recognize = load_recognizer(JudgeOptions(weights=args.weights), "word_error") if args.weights else None
    costs = {key: model.record.get(key) for key in ("steps", "cpu_seconds")}
    print(f"{len(clips)} held-out recordings, {sum(sound.seconds for _, sound, _ in clips):.0f} s; trained: {costs}")
    results: dict[str, Any] = {}
    if recognize:
        results["recordings"] = {"word_error": word_errors(recognize, [each[1] for each in clips], clips, "recordings")}
        print(f"{'recordings':<12}{results['recordings']}", flush=True)
    for name, vocoder in systems.items():
        copies, speed = make_copies(vocoder, clips)
        results[name] = {**distances(copies, clips), "real_time": round(speed, 4)}
        if recognize and name != "untrained":
            results[name]["word_error"] = word_errors(recognize, copies, clips, name)
        print(f"{name:<12}{results[name]}", flush=True)
    save(args.json, {**costs, "copies": results})


if __name__ == "__main__":
    main()
