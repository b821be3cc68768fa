/** Sounds as samples: reading and writing WAV, decoding files, and pictures of waveforms. */

import { html, useEffect, useRef } from "./htm-preact.js";

/** Return the bytes of a data URL. */
export function dataURLBytes(url) {
  return Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (character) => character.charCodeAt(0));
}

/** Return the first channel of a WAV file of 16-bit samples, from -1 to 1, with its sample rate; null for others. */
export function parseWAV(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 44 || name(0) !== "RIFF") return null;
  let [rate, channels, bits] = [0, 1, 16];
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = Math.min(view.getUint32(at + 4, true), bytes.length - at - 8);
    if (name(at) === "fmt ") {
      [channels, rate, bits] = [view.getUint16(at + 10, true), view.getUint32(at + 12, true), view.getUint16(at + 22, true)];
    } else if (name(at) === "data") {
      if (bits !== 16) return null;
      const samples = new Float32Array(Math.floor(size / (2 * channels)));
      for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(at + 8 + 2 * channels * i, true) / 32768;
      return { rate, samples };
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

/** Return channels of samples from -1 to 1 as a WAV file of 16 bits. */
export function encodeWAV(channels, rate) {
  const [count, length] = [channels.length, channels[0].length];
  const view = new DataView(new ArrayBuffer(44 + 2 * count * length));
  const write = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  write(0, "RIFF");
  view.setUint32(4, 36 + 2 * count * length, true);
  write(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, count, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * count * rate, true);
  view.setUint16(32, 2 * count, true);
  view.setUint16(34, 16, true);
  write(36, "data");
  view.setUint32(40, 2 * count * length, true);
  for (let i = 0; i < length; i++) {
    for (let c = 0; c < count; c++) {
      const value = Math.max(-1, Math.min(1, channels[c][i]));
      view.setInt16(44 + 2 * (i * count + c), Math.round(value * 32767), true);
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** Decode a sound file that the browser can read; null if it cannot. */
export async function decodeSound(blob) {
  const context = new OfflineAudioContext(1, 1, 48000);
  try {
    return await context.decodeAudioData(await blob.arrayBuffer());
  } catch {
    return null;
  }
}

/** Draw samples; `range` [start, end] from 0 to 1 is highlighted. */
export function Waveform({ samples, range = [0, 1], label = "waveform" }) {
  const canvas = useRef();
  useEffect(() => {
    const element = canvas.current;
    const draw = () => drawWaveform(element, samples, range);
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(element);
    return () => observer.disconnect();
  }, [samples, range[0], range[1]]);
  return html`<canvas ref=${canvas} class="waveform" role="img" aria-label=${label}></canvas>`;
}

function drawWaveform(canvas, samples, [start, end]) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.max(1, canvas.clientWidth * ratio), Math.max(1, canvas.clientHeight * ratio)];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  for (let x = 0; x < width; x += 2) {
    const from = Math.floor((x / width) * samples.length);
    const to = Math.max(from + 1, Math.floor(((x + 2) / width) * samples.length));
    let peak = 0;
    for (let i = from; i < to && i < samples.length; i++) peak = Math.max(peak, Math.abs(samples[i]));
    const isInside = x / width >= start && x / width <= end;
    context.fillStyle = style.getPropertyValue(isInside ? "--accent" : "--line");
    const bar = Math.max(1, peak * height);
    context.fillRect(x, (height - bar) / 2, 1.4, bar);
  }
}
