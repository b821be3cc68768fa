/** Runs: what they are, how they went, live curves and previews; two beside each other; the machine. */

import { html, useEffect, useState } from "./htm-preact.js";
import { getJSON, request } from "./api.js";
import { Chart } from "./curve.js";
import { Media } from "./media.js";
import { StopRun, Training } from "./training.js";
import { dateText, Dialog, durationText, Empty, ErrorLine, numberText, useLoaded, useTwo } from "./ui.js";

const POLL_MILLISECONDS = 4000;
const STATES = { running: "●  running", finished: "finished", stopped: "stopped", failed: "failed" };
const path = (id) => `/api/runs/${encodeURIComponent(id)}`;

export function Runs({ isShown, id, onMake }) {
  const [runs, error, reload] = useLoaded(async () => (isShown ? (await getJSON("/api/runs")).data : null), [isShown]);
  const two = useTwo((ids, onClose) => html`<${Comparison} ids=${ids} onClose=${onClose} />`);
  const hasRunning = runs?.some((run) => run.state === "running");
  useEffect(() => {
    if (!isShown || !hasRunning) return;
    const timer = setInterval(reload, POLL_MILLISECONDS);
    return () => clearInterval(timer);
  }, [isShown, hasRunning]);

  if (!isShown) return null;
  if (id) return html`<${Run} key=${id} id=${id} onMake=${onMake} />`;
  return html`<div class="runs">
    <${ErrorLine} error=${error} />
    <${Training} onChange=${reload} />
    ${runs && !runs.length && html`<${Empty} title="No runs yet" command="python -m genai.train modality=image minutes=5">
      A run appears here as soon as it has begun.<//>`}
    ${runs?.length > 0 && html`
      <div class="row"><h2 class="grow">Runs</h2>
        ${two.controls}</div>
      <div class="scroll" tabindex="0" role="region" aria-label="table of runs"><table class="runs-table">
        <thead><tr><th><span class="hidden">choose</span></th><th>run</th><th>state</th><th>data</th><th>step</th><th>time</th><th>val_loss</th><th>began</th></tr></thead>
        <tbody>${runs.map((run) => html`<tr key=${run.id}>
          <td><input type="checkbox" checked=${two.ids.includes(run.id)} onChange=${() => two.toggle(run.id)} aria-label=${`choose ${run.id} to compare`} /></td>
          <td><a href=${`#/runs/${encodeURIComponent(run.id)}`}>${run.id}</a> <small>${run.modality}</small></td>
          <td class=${run.state} data-label="state">${STATES[run.state] ?? run.state}${run.health?.length ? html` <span title=${run.health.join("\n")}>⚠</span>` : ""}</td>
          <td data-label="data">${run.data}</td>
          <td class="number" data-label="step">${run.step?.toLocaleString() ?? ""}${run.max_steps ? ` / ${run.max_steps.toLocaleString()}` : ""}</td>
          <td class="number" data-label="time">${durationText(run.seconds)}</td>
          <td class="number" data-label="val_loss">${numberText(run.val_loss)}</td>
          <td class="date" data-label="began">${dateText(run.created)}</td></tr>`)}</tbody></table></div>`}
    <${Machine} />
  </div>`;
}

/** One run, which grows while it is trained. */
function Run({ id, onMake }) {
  const [run, error, reloadRun] = useLoaded(() => getJSON(path(id)), [id]);
  const [metrics, , reloadMetrics] = useLoaded(() => getJSON(`${path(id)}/metrics`), [id]);
  const [previews, , reloadPreviews] = useLoaded(async () => (await getJSON(`${path(id)}/previews`)).data, [id]);
  useEffect(() => {
    if (run?.state !== "running") return;
    const source = new EventSource(`${path(id)}/events`);
    source.addEventListener("change", () => (reloadRun(), reloadMetrics(), reloadPreviews()));
    return () => source.close();
  }, [id, run?.state]);
  if (!run) return html`<p><a href="#/runs">← all runs</a></p><${ErrorLine} error=${error} />`;
  return html`<div class="run">
    <p><a href="#/runs">← all runs</a></p>
    <div class="row"><h2 class="grow">${run.id}</h2>
      <span class=${run.state}>${STATES[run.state] ?? run.state}</span>
      ${run.state === "running" && html`<${StopRun} id=${id} />`}
      ${run.model && html`<button type="button" class="primary" onClick=${() => onMake(run.id)}>make samples</button>`}</div>
    ${run.state === "running" && run.max_steps && html`<progress max=${run.max_steps} value=${run.step ?? 0} aria-label="progress"></progress>`}
    ${run.health?.length > 0 && html`<ul class="health card">${run.health.map((line) => html`<li>${line}</li>`)}</ul>`}
    <div class="columns">
      <div>
        ${metrics && html`<${Curves} runs=${[{ name: "", columns: metrics.columns }]} />`}
        <${Previews} id=${id} previews=${previews ?? []} />
      </div>
      <dl class="card">${(run.rows ?? []).filter(([, value]) => !String(value).startsWith("–")).map(([name, value]) => html`<dt>${name}</dt><dd>${String(value)}</dd>`)}</dl>
    </div>
  </div>`;
}

/** Losses, and what else was measured, of one or two runs. */
function Curves({ runs }) {
  const names = [...new Set(runs.flatMap(({ columns }) => Object.keys(columns)))].filter((name) => name !== "step");
  const losses = names.filter((name) => /(^|[/_])loss$/.test(name));
  const others = names.filter((name) => !losses.includes(name) && runs.some(({ columns }) => columns[name]?.some(Number.isFinite)));
  const [other, setOther] = useState("");
  const seriesOf = (columnNames) => runs.flatMap(({ name, columns }) => columnNames.filter((each) => columns[each]).map((each) =>
    ({ name: [name, each].filter(Boolean).join(" "), x: columns.step, y: columns[each] })));
  return html`<${Chart} title="loss" series=${seriesOf(losses.slice(0, 3))} />
    ${others.length > 0 && html`<label>also show <select value=${other} onChange=${(event) => setOther(event.target.value)}>
      <option value="">nothing</option>${others.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>`}
    ${other && html`<${Chart} title=${other} series=${seriesOf([other])} />`}`;
}

/** Previews through time, with a slider over the steps. */
function Previews({ id, previews }) {
  const [index, setIndex] = useState(null);
  if (!previews.length) return null;
  const at = index === null ? previews.length - 1 : Math.min(index, previews.length - 1);
  const { step, files } = previews[at];
  return html`<section class="previews">
    <div class="row"><h3>previews at step ${step.toLocaleString()}</h3>
      <input type="range" class="grow" min="0" max=${previews.length - 1} value=${at} aria-label="preview at step"
        aria-valuetext=${`step ${step}`} onInput=${(event) => setIndex(Number(event.target.value))} /></div>
    <div class="grid">${files.filter((file) => !file.name.startsWith("sheet")).map((file) => html`<figure key=${file.name}><${Preview} file=${file} src=${`${path(id)}/previews/${step}/${encodeURIComponent(file.name)}`} /></figure>`)}</div>
  </section>`;
}

function Preview({ file, src }) {
  const [text] = useLoaded(async () => (file.kind === "text" ? (await request(src)).text() : null), [src]);
  return html`<${Media} kind=${file.kind} src=${src} text=${text ?? ""} label=${file.name} />`;
}

function Comparison({ ids, onClose }) {
  const [a, b] = ids;
  const [answer, error] = useLoaded(() => getJSON(`/api/compare?${new URLSearchParams({ a, b })}`), [a, b]);
  const [metrics] = useLoaded(() => Promise.all(ids.map((id) => getJSON(`${path(id)}/metrics`))), [a, b]);
  const rows = (list) => list.map(([name, left, right]) => html`<tr><th scope="row">${name}</th><td>${String(left ?? "")}</td><td>${String(right ?? "")}</td></tr>`);
  return html`<${Dialog} title="Compare" onClose=${onClose} wide>
    <${ErrorLine} error=${error} />
    ${metrics && html`<${Curves} runs=${metrics.map(({ columns }, i) => ({ name: "AB"[i], columns }))} />`}
    ${answer && html`<div class="scroll" tabindex="0"><table>
      <thead><tr><th></th><th>A: ${a}</th><th>B: ${b}</th></tr></thead>
      <tbody>${rows(answer.results)}${rows(answer.differences)}</tbody></table></div>`}
  <//>`;
}

/** What `python -m genai doctor` says, when somebody asks. */
function Machine() {
  const [isOpen, setOpen] = useState(false);
  const [answer, error] = useLoaded(async () => (isOpen ? getJSON("/api/doctor") : null), [isOpen]);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>This machine</summary>
    <${ErrorLine} error=${error} />
    ${isOpen && html`<pre tabindex="0">${answer ? answer.lines.join("\n") : "looking"}</pre>`}
  </details>`;
}
