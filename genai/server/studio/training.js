/** Start and stop a training, where the server allows it. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { getJSON, request, sendJSON } from "./api.js";
import { OptionFields } from "./options.js";
import { Command, Confirm, ErrorLine, useLoaded, useStored } from "./ui.js";

const POLL_MILLISECONDS = 1500;
const isActive = (run) => ["starting", "running", "stopping"].includes(run.state);

export function Training({ onChange }) {
  const [training, error, reload] = useLoaded(() => getJSON("/api/training"), []);
  const active = training?.runs.find(isActive);
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => (reload(), onChange()), POLL_MILLISECONDS);
    return () => clearInterval(timer);
  }, [active?.id]);
  if (!training) return html`<${ErrorLine} error=${error} />`;
  if (!training.enabled) {
    return html`<details><summary>Start a run from this page</summary>
      <p>Start the server so that it may train, with the folder of your data sets:</p>
      <${Command} text="python -m genai serve train=true data_root=FOLDER" /></details>`;
  }
  return html`<section class="card training">
    ${training.runs.slice(0, 1).map((run) => html`<${Active} key=${run.id} run=${run} onChange=${reload} />`)}
    ${!active && html`<${Form} training=${training} onChange=${() => (reload(), onChange())} />`}
  </section>`;
}

/** `training` as `/api/training` describes it: what fits the modality can be chosen. */
function Form({ training, onChange }) {
  const [modality, setModality] = useStored("training.modality", training.modalities[0]?.name);
  const [chosen, setChosen] = useStored("training.chosen", { data: "", experiment: "" });
  const [options, setOptions] = useState({});
  const [error, setError] = useState(null);
  const newest = useRef(); // the data set that is chosen now
  const fits = (each) => (each.modalities ?? [each.modality]).includes(modality);
  const experiments = training.experiments.filter(fits);
  const experiment = experiments.find((each) => each.name === chosen.experiment);
  const sets = training.data.filter((each) => fits(each) && (each.is_own || !experiment));
  const entries = experiment && !experiment.needs_data ? [{ id: "", name: "the experiment's own data", description: "" }, ...sets] : sets;
  const data = entries.find((each) => each.id === chosen.data) ?? entries[0];
  const [check, checkError] = useLoaded(async () => (data?.is_own ? checkData(data.id, () => newest.current === data.id) : null), [data?.id]);
  newest.current = data?.id;
  const start = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      await sendJSON("POST", "/api/training", { modality, data: data?.id || null, experiment: experiment?.name ?? null, options });
      onChange();
    } catch (failure) {
      setError(failure);
    }
  };
  return html`<form onSubmit=${start}>
    <h2>Start a run</h2>
    <div class="fields">
      <${Select} id="modality" label="modality" value=${modality} entries=${training.modalities} onChange=${(value) => (setModality(value), setOptions({}))} />
      <${Select} id="data" label="data" value=${data?.id} entries=${entries} onChange=${(value) => setChosen({ ...chosen, data: value })} />
      ${experiments.length > 0 && html`<${Select} id="experiment" label="experiment" value=${experiment?.name ?? ""} entries=${[{ name: "", description: "" }, ...experiments]}
        onChange=${(value) => setChosen({ ...chosen, experiment: value })} />`}
    </div>
    ${data?.is_own && html`<pre tabindex="0" aria-label="what the check says">${check?.id === data.id ? check.lines.join("\n") : (checkError?.message ?? "reading the data")}</pre>`}
    <${OptionFields} options=${training.options.filter(fits)} values=${options} hidden=${new Set()}
      onChange=${(name, value) => setOptions(({ [name]: _, ...others }) => (value === undefined ? others : { ...others, [name]: value }))} />
    <${ErrorLine} error=${error} />
    <button type="submit" class="primary">Start</button>
  </form>`;
}

/** Ask what a training would read; while another data set is looked at, wait for it. */
async function checkData(id, isCurrent) {
  while (isCurrent()) {
    try {
      return { id, ...(await getJSON(`/api/check?data=${encodeURIComponent(id)}`)) };
    } catch (failure) {
      if (failure.status !== 429) throw failure;
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  }
  return null;
}

/** A choice with the description of what is chosen below it. */
function Select({ id, label, value, entries, onChange }) {
  const current = entries.find((each) => (each.id ?? each.name) === value);
  return html`<div class="field"><label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${entries.map((each) => html`<option value=${each.id ?? each.name}>${each.name || "none"}</option>`)}</select>
    <small>${current?.description ?? ""}</small></div>`;
}

function Active({ run, onChange }) {
  return html`<div class="active">
    <div class="row"><h2 class="grow">${isActive(run) ? "Training" : "Last training"}: ${run.state}</h2>
      ${run.run && html`<a href=${`#/runs/${encodeURIComponent(run.run)}`}>curves and previews</a>`}
      <${Stop} run=${run} onChange=${onChange} /></div>
    ${isActive(run) && html`<progress max="1" value=${run.progress ?? undefined} aria-label="progress"></progress>`}
    <details open=${isActive(run) || run.state === "failed"}><summary>output</summary><pre tabindex="0">${run.lines.join("\n")}</pre></details>
  </div>`;
}

/** Stop a run that this server has started, from the page of the run. */
export function StopRun({ id }) {
  const [training, , reload] = useLoaded(() => getJSON("/api/training"), [id]);
  const run = training?.runs.find((each) => each.run === id);
  return run && html`<${Stop} run=${run} onChange=${reload} />`;
}

/** A button that asks, and lets a training save and end. */
function Stop({ run, onChange }) {
  const [isAsking, setAsking] = useState(false);
  const stop = () => request(`/api/training/${run.id}`, { method: "DELETE" }).then(onChange, onChange);
  if (!isActive(run)) return null;
  return html`<button type="button" disabled=${run.state === "stopping"} onClick=${() => setAsking(true)}>stop</button>
    ${isAsking && html`<${Confirm} question="Stop the training? It saves a checkpoint first." action="stop" onConfirm=${stop} onClose=${() => setAsking(false)} />`}`;
}
