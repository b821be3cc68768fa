/** Files that a request starts from: dropped, pasted or chosen; cut, painted on, or a frame of them taken. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { MaskEditor } from "./mask.js";
import { decodeSound, encodeWAV, Waveform } from "./sound.js";
import { plainHelp } from "./ui.js";

/** Return what the form keeps of a file: {file, name, url, strokes, range}. */
export function newInput(file, name = file.name) {
  return { file, name, url: URL.createObjectURL(file), strokes: [], range: [0, 1] };
}

/**
 * Choose the file for one option, which `label` names for people. `input` as from `newInput`, or null; `onChange(input)`. With `hasMask`, a picture gets
 * the brush.
 */
export function FileInput({ name, label = name, description, input, onChange, hasMask = false, isRequired = false }) {
  const [isOver, setOver] = useState(false);
  const chooser = useRef();
  const take = (file) => file && onChange(newInput(file));
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  if (input) {
    return html`<div class="field input">
      <div class="label">
        <span>${label}: ${input.name}</span>
        <button type="button" class="quiet" onClick=${() => onChange(null)} aria-label=${`remove ${name}`}>remove</button>
      </div>
      <${Preview} input=${input} onChange=${onChange} hasMask=${hasMask} />
    </div>`;
  }
  const over = (event) => (event.preventDefault(), setOver(true));
  return html`<div class="field">
    <div class=${`drop ${isOver ? "over" : ""}`} onDragOver=${over} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <button type="button" onClick=${() => chooser.current.click()}>${label}</button>
      <span>or drop${name === "init" ? " or paste" : ""} it here</span>
      <input type="file" ref=${chooser} hidden onChange=${(event) => take(event.target.files[0])} aria-label=${name} />
    </div>
    <small>${isRequired ? "Needed. " : ""}${plainHelp(description)}</small>
  </div>`;
}

function Preview({ input, onChange, hasMask }) {
  const kind = input.file.type.split("/")[0];
  if (kind === "image" && hasMask) {
    return html`<${MaskEditor} src=${input.url} strokes=${input.strokes}
      onChange=${(strokes) => onChange({ ...input, strokes })} />`;
  }
  if (kind === "image") return html`<img class="thumb" src=${input.url} alt=${input.name} />`;
  if (kind === "audio") return html`<${Trimmer} input=${input} onChange=${onChange} />`;
  if (kind === "video") return html`<${FramePicker} input=${input} onChange=${onChange} />`;
  return html`<small>${input.name}, ${input.file.size.toLocaleString()} bytes</small>`;
}

/** Choose a part of a sound. */
function Trimmer({ input, onChange }) {
  const [sound, setSound] = useState(null);
  const [isReadable, setReadable] = useState(true);
  useEffect(() => {
    decodeSound(input.file).then((decoded) => (decoded ? setSound(decoded) : setReadable(false)));
  }, [input.file]);
  const player = useRef();
  const [start, end] = input.range;
  const set = (index) => (event) => {
    const range = [start, end];
    range[index] = Number(event.target.value);
    if (range[1] - range[0] >= 0.01) onChange({ ...input, range });
    else event.target.value = input.range[index];
  };
  const listen = () => {
    player.current.currentTime = start * sound.duration;
    player.current.play();
  };
  const stopAtEnd = () => sound && player.current.currentTime >= end * sound.duration && player.current.pause();
  if (!isReadable) return html`<small>This browser cannot show it; the server reads it whole.</small>`;
  if (!sound) return html`<small>reading the sound</small>`;
  return html`<div class="trimmer">
    <${Waveform} samples=${sound.getChannelData(0)} range=${input.range} label=${`waveform of ${input.name}`} />
    <label>from <input type="range" min="0" max="1" step="0.001" value=${start} onInput=${set(0)} /></label>
    <label>to <input type="range" min="0" max="1" step="0.001" value=${end} onInput=${set(1)} /></label>
    <div class="row">
      <button type="button" onClick=${listen}>listen</button>
      <small>${(start * sound.duration).toFixed(2)} s to ${(end * sound.duration).toFixed(2)} s</small>
    </div>
    <audio ref=${player} src=${input.url} onTimeUpdate=${stopAtEnd}></audio>
  </div>`;
}

/** Take a frame of a clip in place of the whole clip. */
function FramePicker({ input, onChange }) {
  const video = useRef();
  const take = () => {
    const { videoWidth: width, videoHeight: height } = video.current;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").drawImage(video.current, 0, 0);
    canvas.convertToBlob({ type: "image/png" }).then((blob) => {
      onChange(newInput(new File([blob], "frame.png", { type: "image/png" })));
    });
  };
  return html`<div>
    <video ref=${video} src=${input.url} controls muted playsinline aria-label=${input.name}></video>
    <div class="row">
      <button type="button" onClick=${take}>use the frame that is shown</button>
      <small>Or the whole clip is continued.</small>
    </div>
  </div>`;
}

/** Return the file to send: the part of a sound that was chosen, other files as they are. */
export async function inputFile(input) {
  const [start, end] = input.range;
  if (start === 0 && end === 1) return input.file;
  const sound = await decodeSound(input.file);
  const [from, to] = [Math.floor(start * sound.length), Math.ceil(end * sound.length)];
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i).subarray(from, to));
  return new File([encodeWAV(channels, sound.sampleRate)], "part.wav", { type: "audio/wav" });
}
