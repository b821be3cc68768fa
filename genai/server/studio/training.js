/** Start and stop a training, where the server allows it. */

import { html, useEffect, useState } from "./htm-preact.js";
import { getJSON, request, sendJSON } from "./api.js";
import { OptionFields } from "./options.js";
import { Command, Confirm, ErrorLine, useLoaded } from "./ui.js";

const POLL = 1500;
const isActive = (run) => ["starting", "running", "stopping"].includes(run.state);

export function Training({ onChange }) {
  const [training, error, reload] = useLoaded(() => getJSON("/api/training"), []);
  const active = training?.runs?.find(isActive);
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => (reload(), onChange()), POLL);
    return () => clearInterval(timer);
  }, [active?.id]);
  if (!training) return html`<${ErrorLine} error=${error} />`;
  if (!training.enabled) {
    return html`<details><summary>Start a run from this page</summary>
      <p>Start the server so that it may train, with the folder of your data sets:</p>
      <${Command} text="python -m genai serve train=true data_root=FOLDER" /></details>`;
  }
  return html`<section class="card training">
    ${(training.runs ?? []).map((run) => html`<${Active} key=${run.id} run=${run} onChange=${reload} />`)}
    ${!active && html`<${Form} training=${training} onChange=${() => (reload(), onChange())} />`}
  </section>`;
}

function Form({ training, onChange }) {
  const [modality, setModality] = useState(training.modalities[0]?.name);
  const [data, setData] = useState("");
  const [experiment, setExperiment] = useState("");
  const [options, setOptions] = useState({});
  const [error, setError] = useState(null);
  const chosen = training.data.find((each) => each.id === data);
  const [check, checkError] = useLoaded(async () => (data ? getJSON(`/api/check?data=${encodeURIComponent(data)}`) : null), [data]);
  const start = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      await sendJSON("POST", "/api/training", { modality: chosen?.modality ?? modality, data: data || null, experiment: experiment || null, options });
      onChange();
    } catch (failure) {
      setError(failure);
    }
  };
  const choose = (event) => {
    setData(event.target.value);
    setExperiment("");
  };
  return html`<form onSubmit=${start}>
    <h2>Start a run</h2>
    <div class="fields">
      <div class="field"><label for="data">data</label>
        <select id="data" value=${data} onChange=${choose}>
          <option value="">the toy world, drawn by the program</option>
          ${training.data.map((each) => html`<option value=${each.id}>${each.name}</option>`)}</select>
        <small>${chosen?.description ?? ""}</small></div>
      ${!chosen && html`<div class="field"><label for="modality">makes</label>
        <select id="modality" value=${modality} onChange=${(event) => setModality(event.target.value)}>
          ${training.modalities.map((each) => html`<option value=${each.name}>${each.name}</option>`)}</select>
        <small>${training.modalities.find((each) => each.name === modality)?.description ?? ""}</small></div>`}
      ${training.experiments.length > 0 && html`<div class="field"><label for="experiment">experiment</label>
        <select id="experiment" value=${experiment} onChange=${(event) => setExperiment(event.target.value)}>
          <option value="">none</option>${training.experiments.map((each) => html`<option value=${each.name}>${each.name}</option>`)}</select>
        <small>${training.experiments.find((each) => each.name === experiment)?.description ?? ""}</small></div>`}
    </div>
    ${data && html`<pre tabindex="0" aria-label="what the check says">${check?.lines?.join("\n") ?? checkError?.message ?? "looking at the data"}</pre>`}
    <${OptionFields} options=${training.options} values=${options} hidden=${new Set()}
      onChange=${(name, value) => setOptions(({ [name]: _, ...others }) => (value === undefined ? others : { ...others, [name]: value }))} />
    <${ErrorLine} error=${error} />
    <button type="submit" class="primary">Start</button>
  </form>`;
}

function Active({ run, onChange }) {
  const [isAsking, setAsking] = useState(false);
  const stop = () => request(`/api/training/${run.id}`, { method: "DELETE" }).then(onChange, onChange);
  return html`<div class="active">
    <div class="row"><h2 class="grow">${isActive(run) ? "Training" : "Last training"}: ${run.state}</h2>
      ${run.run && html`<a href=${`#/runs/${encodeURIComponent(run.run)}`}>curves and previews</a>`}
      ${isActive(run) && html`<button type="button" disabled=${run.state === "stopping"} onClick=${() => setAsking(true)}>stop</button>`}</div>
    ${isActive(run) && html`<progress max="1" value=${run.progress ?? undefined} aria-label="progress"></progress>`}
    <details open=${isActive(run) || run.state === "failed"}><summary>output</summary><pre tabindex="0">${run.lines.join("\n")}</pre></details>
    ${isAsking && html`<${Confirm} question="Stop the training? It saves a checkpoint first." action="stop" onConfirm=${stop} onClose=${() => setAsking(false)} />`}
  </div>`;
}
