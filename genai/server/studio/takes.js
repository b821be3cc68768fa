/** Requests that were sent, and their samples as they grow. A take is one click on "Make": one job for each prompt. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { createJob, followJob, request, sendJSON } from "./api.js";
import { Media } from "./media.js";
import { dataURLBytes, parseWAV } from "./sound.js";
import { ErrorLine } from "./ui.js";

/** A job on the page: what was asked, and what has come of it. */
export function newJob(body, files) {
  return { key: crypto.randomUUID?.() ?? String(Math.random()), body, files, id: null, state: "sending", progress: 0, items: [], error: null };
}

/** Send a job and follow it. `onChange(changes)` with what is new; return a function that stops listening. */
export function runJob(job, onChange) {
  let stop = () => {};
  createJob(job.body, job.files).then(
    (description) => {
      const items = description.results.map(({ number, prompt, seed }) => ({ number, prompt, seed, text: prompt }));
      onChange({ id: description.id, state: description.state, items });
      stop = follow(description.id, items, onChange);
    },
    (error) => onChange({ state: "failed", error }),
  );
  return () => stop();
}

function follow(id, items, onChange) {
  const update = (number, changes) => {
    Object.assign(items[number], changes);
    onChange({ items: items.map((item) => ({ ...item })) });
  };
  return followJob(id, {
    onStart: () => items.forEach((item) => Object.assign(item, { text: item.prompt, samples: null })),
    onPart: ({ number, part, state }) => {
      const item = items[number];
      if (state !== undefined) update(number, { src: state });
      else if (part.startsWith("data:audio/")) update(number, { samples: joinSamples(item.samples, part) });
      else update(number, { text: item.text + part });
    },
    onProgress: ({ state, progress }) => onChange({ state: isOver({ state }) ? "running" : state, progress }), // its files come next
    onEnd: async (description) => {
      for (const result of description.results) {
        if (!result.suffix) continue;
        const src = `/api/jobs/${id}/results/${result.number}`;
        const text = result.suffix === ".txt" ? await (await request(src)).text() : undefined;
        Object.assign(items[result.number], { ...result, src, text, isDone: true, samples: null });
      }
      const { state, error, notes, results } = description;
      onChange({ state, error, notes, progress: 1, items: items.map((item, i) => ({ ...item, sample: results[i].sample })) });
    },
    onLost: () => onChange({ state: "failed", error: new Error("The connection was lost. What is finished is in the gallery.") }),
  });
}

/** Add a piece of sound, a data URL of WAV, to samples. */
function joinSamples(samples, url) {
  const piece = parseWAV(dataURLBytes(url))?.samples ?? new Float32Array();
  const joined = new Float32Array((samples?.length ?? 0) + piece.length);
  if (samples) joined.set(samples);
  joined.set(piece, joined.length - piece.length);
  return joined;
}

export const isOver = (job) => ["done", "failed", "canceled"].includes(job.state);

/** Show a take. `actions`: what else can be done with a sample, {onUse(item, job), onVary(item, job), onPrompt(item, job)}. */
export function Take({ take, kind, actions, onRemove }) {
  const texts = take.jobs.flatMap((job) => job.items.filter((item) => item.isDone && kind === "text"));
  const rivals = texts.length === 2 && texts[0].prompt === texts[1].prompt ? texts : null;
  return html`<article class=${`take ${take.jobs.length > 1 ? "pairs" : ""}`}>
    ${take.jobs.every(isOver) && html`<button type="button" class="quiet remove" onClick=${onRemove}>clear from this page</button>`}
    ${take.jobs.map((job) => html`<${JobView} key=${job.key} job=${job} kind=${kind} actions=${actions} rivals=${rivals} />`)}
  </article>`;
}

function JobView({ job, kind, actions, rivals }) {
  const cancel = () => request(`/api/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
  const percent = Math.round(100 * job.progress);
  const words = { sending: "sending", queued: "waiting", running: `${percent} %`, canceled: "canceled", failed: "failed", done: "" };
  return html`<section class="job" aria-busy=${!isOver(job)}>
    <header>
      <h3>${job.body.prompt || html`<em>no prompt</em>`}</h3>
      <span class="state" aria-live="polite">${words[job.state]}</span>
      ${!isOver(job) && job.id && html`<button type="button" onClick=${cancel}>cancel</button>`}
    </header>
    ${!isOver(job) && html`<progress max="100" value=${percent} aria-label="progress"></progress>`}
    <${ErrorLine} error=${job.error} />
    ${job.notes?.map((note) => html`<p class="note">${note}</p>`)}
    <div class=${`grid ${kind}`}>
      ${job.items.map((item) => html`<${Sample} key=${item.number} item=${item} job=${job} kind=${kind}
        actions=${actions} rival=${rivals?.find((each) => each !== item && each.seed !== item.seed)} />`)}
    </div>
  </section>`;
}

function Sample({ item, job, kind, actions, rival }) {
  if (!item.isDone && isOver(job)) return null; // it was canceled, or failed
  const label = `${item.prompt || "sample"}, seed ${item.seed}`;
  return html`<figure>
    <${Media} kind=${kind} src=${item.src} text=${item.text} prompt=${item.prompt} samples=${item.samples}
      isMaking=${!item.isDone && !isOver(job)} label=${label} />
    <figcaption>
      <span title=${item.summary ?? ""}>seed ${item.seed}</span>
      ${item.isDone && html`<span class="actions">
        ${item.sample && html`<${Star} id=${item.sample} />`}
        ${actions.onUse && html`<button type="button" class="quiet" onClick=${() => actions.onUse(item, job)}>start from it</button>`}
        <button type="button" class="quiet" onClick=${() => actions.onVary(item, job)}>vary</button>
        <button type="button" class="quiet" onClick=${() => actions.onPrompt(item, job)}>other prompt</button>
        <a class="button quiet" href=${item.src} download=${`${item.seed}${item.suffix}`}>save</a>
      </span>`}
      ${rival && html`<${Thumb} prompt=${item.prompt} chosen=${item.text} rejected=${rival.text} />`}
    </figcaption>
  </figure>`;
}

/** Mark a sample of the gallery. */
export function Star({ id, isStarred = false, onChange = () => {} }) {
  const [isOn, setOn] = useState(isStarred);
  useEffect(() => setOn(isStarred), [id, isStarred]);
  const toggle = async () => {
    await sendJSON("PUT", `/api/samples/${id}/star`, { starred: !isOn });
    setOn(!isOn);
    onChange(!isOn);
  };
  return html`<button type="button" class="quiet star" aria-pressed=${isOn} aria-label="star" title="star" onClick=${toggle}>${isOn ? "★" : "☆"}</button>`;
}

const ThumbIcon = () => html`<svg viewBox="0 0 20 20" width="14" height="14" aria-hidden="true"><path fill="currentColor"
  d="M2 9h3v9H2zM7 9l4-7c1.6 0 2.3 1.2 2 2.6L12.4 8H17c1 0 1.6.9 1.4 1.8l-1.5 6.6c-.2 1-1 1.6-2 1.6H7z" /></svg>`;

/** Say that one of two answers is better; texts, or with `isSample` ids of samples. */
export function Thumb({ prompt, chosen, rejected, isSample = false, label = "better" }) {
  const [state, setState] = useState("");
  const last = useRef();
  useEffect(() => setState(""), [chosen, rejected]);
  const send = async () => {
    if (last.current === chosen + rejected) return;
    last.current = chosen + rejected;
    const answers = isSample ? { chosen_sample: chosen, rejected_sample: rejected } : { chosen, rejected };
    try {
      await sendJSON("POST", "/api/preferences", { prompt, ...answers });
      setState("noted");
    } catch (error) {
      last.current = null;
      setState(error.message);
    }
  };
  return html`<button type="button" class="quiet thumb" onClick=${send} aria-live="polite"><${ThumbIcon} /> ${state || label}</button>`;
}
