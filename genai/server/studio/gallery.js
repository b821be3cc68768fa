/** All samples that were kept: search, look, compare, make again. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { getJSON, request } from "./api.js";
import { Media } from "./media.js";
import { Star, Thumb } from "./takes.js";
import { Confirm, dateText, Dialog, Empty, ErrorLine, useTwo } from "./ui.js";

const [PAGE_SIZE, MAX_TEXT] = [48, 2000];
const fileOf = (sample) => `/api/samples/${sample.id}/file`;

export function Gallery({ isShown, onAgain }) {
  const [search, setSearch] = useState("");
  const [modality, setModality] = useState("");
  const [onlyStarred, setOnlyStarred] = useState(false);
  const [samples, setSamples] = useState(null);
  const [hasMore, setHasMore] = useState(false);
  const [error, setError] = useState(null);
  const [open, setOpen] = useState(null);
  const two = useTwo((ids, onClose) => html`<${Comparison} onClose=${onClose}
    samples=${ids.map((id) => samples.find((each) => each.id === id)).filter(Boolean)} />`);

  const newest = useRef(0); // number of the newest request: older answers come too late
  const load = async (before) => {
    const number = ++newest.current;
    const query = new URLSearchParams({ search, limit: PAGE_SIZE });
    if (modality) query.set("modality", modality);
    if (onlyStarred) query.set("starred", "true");
    if (before) query.set("before", before);
    try {
      const answer = await getJSON(`/api/samples?${query}`);
      if (number !== newest.current) return;
      setSamples((all) => (before ? [...all, ...answer.data] : answer.data));
      setHasMore(answer.has_more);
      setError(null);
    } catch (failure) {
      setError(failure);
    }
  };
  useEffect(() => {
    if (!isShown) return;
    const timer = setTimeout(() => load(), 200);
    return () => clearTimeout(timer);
  }, [isShown, search, modality, onlyStarred]);

  const change = (id, changes) => setSamples((all) => all.map((each) => (each.id === id ? { ...each, ...changes } : each)));
  const remove = async (sample) => {
    try {
      newest.current++;
      await request(`/api/samples/${sample.id}`, { method: "DELETE" });
      setSamples((all) => all.filter((each) => each.id !== sample.id));
      two.forget(sample.id);
    } catch (failure) {
      setError(failure);
    }
    setOpen(null);
  };
  const isFiltered = search || modality || onlyStarred;

  return html`<div class="gallery">
    <div class="card row filters" role="search">
      <label class="grow"><span class="hidden">search</span>
        <input type="search" placeholder="search prompts and texts" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      <label>modality <select value=${modality} onChange=${(event) => setModality(event.target.value)}>
        <option value="">all</option>${["image", "video", "audio", "text"].map((each) => html`<option value=${each}>${each}</option>`)}</select></label>
      <label><input type="checkbox" checked=${onlyStarred} onChange=${(event) => setOnlyStarred(event.target.checked)} /> starred</label>
      ${two.controls}
    </div>
    <${ErrorLine} error=${error} />
    ${samples && !samples.length && (isFiltered
      ? html`<p class="hint">No samples found.</p>`
      : html`<${Empty} title="No samples yet" command='python -m genai.sample prompt="a red circle"'>
          What you make on the page Make is kept here, and what the command line writes into the folder samples, too.<//>`)}
    <div class="tiles">
      ${(samples ?? []).map((sample) => html`<${Tile} key=${sample.id} sample=${sample} isChosen=${two.ids.includes(sample.id)}
        onOpen=${() => setOpen(sample.id)} onChoose=${() => two.toggle(sample.id)}
        onStar=${(starred) => change(sample.id, { starred })} />`)}
    </div>
    ${hasMore && html`<button type="button" onClick=${() => load(samples.at(-1)?.id)}>show more</button>`}
    ${open && html`<${Details} sample=${samples.find((each) => each.id === open)} onClose=${() => setOpen(null)}
      onAgain=${onAgain} onRemove=${remove} />`}
  </div>`;
}

function Tile({ sample, isChosen, onOpen, onChoose, onStar }) {
  const label = sample.prompt || "no prompt";
  return html`<figure class=${`tile ${sample.kind}`}>
    <div onClick=${sample.kind === "audio" ? undefined : onOpen}>${sample.kind === "text"
      ? html`<pre tabindex="0" aria-label="text">${sample.text}</pre>`
      : html`<${Media} kind=${sample.kind} src=${fileOf(sample)} label=${label} hasControls=${false} />`}</div>
    <figcaption>
      <button type="button" class="title" onClick=${onOpen}>${label.slice(0, 90)}</button>
      <span class="row">
        <label class="choose"><input type="checkbox" checked=${isChosen} onChange=${onChoose} aria-label=${`choose ${label} to compare`} /></label>
        <${Star} id=${sample.id} isStarred=${sample.starred} onChange=${onStar} />
      </span>
    </figcaption>
  </figure>`;
}

function Details({ sample, onClose, onAgain, onRemove }) {
  const [isAsking, setAsking] = useState(false);
  if (!sample) return null;
  const again = () => {
    const named = Object.entries({ ...sample.options, init: sample.init }).filter(([, name]) => sample.inputs.includes(name));
    const inputs = Object.fromEntries(named.map(([option, name]) => [option, `/api/samples/${sample.id}/inputs/${encodeURIComponent(name)}`]));
    onClose();
    onAgain({ model: sample.model, prompt: sample.prompt, seed: sample.seed, options: sample.options, inputs });
  };
  const start = () => {
    onClose();
    onAgain({ model: sample.model, prompt: sample.prompt, options: {}, inputs: { init: fileOf(sample) } });
  };
  return html`<${Dialog} title=${sample.prompt || "no prompt"} onClose=${onClose} wide>
    <div class="details">
      <${Media} kind=${sample.kind} src=${fileOf(sample)} text=${sample.text} prompt=${sample.prompt} label=${sample.prompt} />
      <div>
        ${sample.text?.length >= MAX_TEXT && html`<small>The beginning; <a href=${fileOf(sample)}>the whole text</a>.</small>`}
        <${Recipe} sample=${sample} />
        <div class="row">
          <button type="button" class="primary" disabled=${!sample.model} onClick=${again}>again</button>
          ${sample.kind !== "text" && html`<button type="button" disabled=${!sample.model} onClick=${start}>start from it</button>`}
          <a class="button" href=${fileOf(sample)} download=${`${sample.checkpoint}-${sample.seed}${sample.suffix}`}>save</a>
          <button type="button" onClick=${() => setAsking(true)}>delete</button>
        </div>
        ${!sample.model && html`<small>Its model is not among those that are served.</small>`}
      </div>
    </div>
    ${isAsking && html`<${Confirm} question="Delete this sample and its recipe?" action="delete" onClose=${() => setAsking(false)}
      onConfirm=${() => onRemove(sample)} />`}
  <//>`;
}

/** Return what is told of a sample, as [name, value]. */
function recipeRows(sample) {
  return [["made", dateText(sample.created)], ["model", sample.model ?? sample.checkpoint], ["prompt", sample.prompt], ["seed", sample.seed],
    ["init", sample.init], ...Object.entries(sample.options).map(([name, value]) => [name, value && typeof value === "object" ? JSON.stringify(value) : value]), ["size", sample.summary]]
    .filter(([, value]) => value !== null && value !== undefined && value !== "");
}

/** What differs between two samples comes first. */
function Differences({ samples }) {
  const [left, right] = samples.map((sample) => new Map(recipeRows(sample)));
  const names = [...new Set([...left.keys(), ...right.keys()])];
  const differs = (name) => String(left.get(name)) !== String(right.get(name));
  const rows = [...names.filter(differs), ...names.filter((name) => !differs(name))];
  return html`<table><thead><tr><th></th><th>left</th><th>right</th></tr></thead>
    <tbody>${rows.map((name) => html`<tr class=${differs(name) ? "differs" : ""}><th scope="row">${name}</th>
      <td>${String(left.get(name) ?? "")}</td><td>${String(right.get(name) ?? "")}</td></tr>`)}</tbody></table>`;
}

function Recipe({ sample }) {
  return html`<dl>${recipeRows(sample).map(([name, value]) => html`<dt>${name}</dt><dd>${String(value)}</dd>`)}</dl>`;
}

function Comparison({ samples, onClose }) {
  const [left, right] = samples;
  if (!right) return html`<${Confirm} question="One of the two is not in the list any more." action="clear selection" onConfirm=${onClose} onClose=${onClose} />`;
  return html`<${Dialog} title="Compare" onClose=${onClose} wide>
    <div class="versus">
      ${[[left, right], [right, left]].map(([sample, other]) => html`<section>
        <${Media} kind=${sample.kind} src=${fileOf(sample)} text=${sample.text} prompt=${sample.prompt} label=${sample.prompt} />
        ${sample.prompt === other.prompt && html`<${Thumb} prompt=${sample.prompt} isSample
          chosen=${sample.id} rejected=${other.id} />`}
      </section>`)}
    </div>
    <${Differences} samples=${samples} />
  <//>`;
}
