/** Show a medium: a picture, a clip, a sound or a text, also while it is made. */

import { html, useEffect, useState } from "./htm-preact.js";
import { request } from "./api.js";
import { parseWAV, Waveform } from "./sound.js";

/** Kinds of media by the names of their classes on the server. */
export const KINDS = { Picture: "image", Clip: "video", Sound: "audio", Document: "text" };
const IS_STILL = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Show a medium of `kind` at the address `src`, or a text; `samples` of a sound that is being made. */
export function Media({ kind, src, text, prompt = "", samples, isMaking = false, label = "", hasControls = true }) {
  if (kind === "text") return html`<${Text} text=${text} prompt=${prompt} isMaking=${isMaking} />`;
  if (kind === "audio") return html`<${Audio} src=${src} samples=${samples} label=${label} />`;
  if (!src) return html`<div class="placeholder" role="img" aria-label="not made yet"></div>`;
  if (kind === "video") return html`<${Video} src=${src} label=${label} hasControls=${hasControls} />`;
  if (kind === "image") return html`<img src=${src} alt=${label} onLoad=${markSmall} loading="lazy" />`;
  return html`<a href=${src} download>download</a>`;
}

/** Show the pixels of small pictures as they are. */
function markSmall(event) {
  event.target.classList.toggle("pixels", event.target.naturalWidth <= 128);
}

function Video({ src, label, hasControls }) {
  const isPicture = src.startsWith("data:image/");
  if (isPicture) return html`<img src=${src} alt=${label} onLoad=${markSmall} />`;
  return html`<video src=${src} aria-label=${label} autoplay=${!IS_STILL} muted loop controls=${hasControls} playsinline
    onLoadedMetadata=${(event) => event.target.classList.toggle("pixels", event.target.videoWidth <= 128)}></video>`;
}

function Audio({ src, samples, label }) {
  const [loaded, setLoaded] = useState(null);
  useEffect(() => {
    if (!src || samples || !/wav|results|file/.test(src)) return;
    let isCurrent = true;
    request(src)
      .then((response) => response.arrayBuffer())
      .then((buffer) => isCurrent && setLoaded(parseWAV(new Uint8Array(buffer))?.samples ?? null))
      .catch(() => {});
    return () => (isCurrent = false);
  }, [src, samples]);
  const shown = samples ?? loaded;
  return html`<div class="sound">
    ${shown && html`<${Waveform} samples=${shown} label=${`waveform of ${label}`} />`}
    ${src && html`<audio src=${src} controls preload="metadata" aria-label=${label}></audio>`}
  </div>`;
}

function Text({ text = "", prompt, isMaking }) {
  const hasPrompt = prompt && text.startsWith(prompt);
  return html`<pre tabindex="0" aria-label="text">${hasPrompt && html`<span class="beginning">${prompt}</span>`}${hasPrompt ? text.slice(prompt.length) : text}${isMaking && html`<span class="caret"></span>`}</pre>`;
}
