/** Make samples: choose a model, fill its form, watch them grow. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { request } from "./api.js";
import { FileInput, inputFile, newInput } from "./inputs.js";
import { maskFile, strokesOfMask } from "./mask.js";
import { KINDS } from "./media.js";
import { isFile, OptionFields } from "./options.js";
import { Preview, Previewer, previewOptions } from "./preview.js";
import { newJob, runJob, Take } from "./takes.js";
import { Empty, ErrorLine, useModel, useModelId } from "./ui.js";

const [MAX_TAKES, MAX_EXAMPLES] = [40, 5];
const STARTS = { image: "picture to start from", video: "first frame, or clip to go on", audio: "sound to go on", text: "text to go on" };
/** What `init` is, by the kind of what is made, and the kinds of files that it can be. */
const START_KINDS = { image: ["image"], video: ["image", "video"], audio: ["audio"], text: ["text"] };
const focusSecond = () => setTimeout(() => document.getElementById("second")?.select());
const randomSeed = () => Math.floor(Math.random() * 2 ** 31);

/** `draft`: a request to fill the form with, such as one of the gallery. */
export function Make({ models, draft, isShown }) {
  const [modelId, setModelId] = useModelId("make.model", models);
  const [prompts, setPrompts] = useState([""]);
  const [n, setN] = useState(4);
  const [seed, setSeed] = useState("");
  const [values, setValues] = useState({});
  const [changed, setChanged] = useState(null);
  const [takes, setTakes] = useState([]);
  const [error, setError] = useState(null);
  const [model, loadError] = useModel(modelId);
  const { inputs, setInput, loadInputs, note } = useInputs(model, isShown);
  const [previewer] = useState(() => new Previewer());
  const previewSeed = useRef(randomSeed());
  useEffect(() => (previewer.clear(), setChanged(null)), [modelId]);
  useEffect(() => {
    if (!draft) return;
    if (draft.model) setModelId(draft.model);
    setPrompts([draft.prompt ?? ""]);
    setSeed(draft.seed === undefined ? "" : String(draft.seed));
    setN(1);
    setValues(Object.fromEntries(Object.entries(draft.options ?? {}).filter(([, value]) => value !== null)));
    loadInputs(draft.inputs ?? {}, null).catch(setError);
  }, [draft]);

  const changeJob = (takeKey, jobKey) => (changes) =>
    setTakes((all) => all.map((take) => (take.key !== takeKey ? take
      : { ...take, jobs: take.jobs.map((job) => (job.key === jobKey ? { ...job, ...changes } : job)) })));
  /** Send a job for each of `bodies`; `kind` of what they make. */
  const start = (bodies, files, kind) => {
    const jobs = bodies.map((body) => newJob({ save: true, ...body }, files));
    const take = { key: jobs[0].key, kind, jobs };
    setTakes((all) => [take, ...all].slice(0, MAX_TAKES));
    setTimeout(() => document.querySelector(".take")?.scrollIntoView({ block: "nearest" }));
    for (const job of jobs) runJob(job, changeJob(take.key, job.key));
  };
  /** Change an option, and show what it does to a picture. */
  const setOption = (name, value) => {
    const newValues = withValue(values, name, value);
    setValues(newValues);
    setChanged(name);
    if (kindOfModel(model) !== "image") return;
    const options = previewOptions(usableOptions(newValues, inputs, model), name, model);
    const prompt = model.takes_prompt ? prompts[0] : "";
    const body = { model: modelId, prompt, n: 1, options, seed: seed === "" ? previewSeed.current : Number(seed) };
    previewer.ask(async () => ({ body, files: await requestFiles(inputs, model) }));
  };
  const send = async () => {
    setError(null);
    previewer.stop();
    try {
      const files = await requestFiles(inputs, model);
      const options = usableOptions(values, inputs, model);
      const shared = { model: modelId, n, options, seed: seed === "" ? randomSeed() : Number(seed) };
      start((model.takes_prompt ? prompts : [""]).map((prompt) => ({ ...shared, prompt })), files, kindOfModel(model));
    } catch (failure) {
      setError(failure);
    }
  };
  const kindOf = (job) => takes.find((take) => take.jobs.some((each) => each.key === job.key))?.kind ?? kindOfModel(model);
  const actions = {
    onUse: model?.supports_init ? (item) => loadInputs({ init: item.src }, `seed ${item.seed}`).catch(setError) : null,
    onVary: (item, job) => start([{ ...job.body, prompt: item.prompt, n: 4, seed: randomSeed() }], job.files, kindOf(job)),
    onPrompt: (item, job) => {
      setModelId(job.body.model);
      setSeed(String(item.seed));
      setN(1);
      setPrompts([item.prompt, item.prompt]);
      focusSecond();
    },
  };
  const submit = (event) => (event.preventDefault(), send());

  if (models && !models.length) {
    return html`<${Empty} title="No model yet" command="python -m genai.train modality=image minutes=5">
      Train one, here in the terminal or on the page Runs. It appears when it is finished.
    <//>`;
  }
  return html`<div class="make">
    <form class="card" onSubmit=${submit} data-model=${model?.id}>
      <div class="fields">
        <div class="field">
          <label for="model">model</label>
          <select id="model" value=${modelId ?? ""} onChange=${(event) => (setModelId(event.target.value), setValues({}))}>
            ${(models ?? []).map((each) => html`<option value=${each.id}>${each.name || each.id}</option>`)}
          </select>
          <small>${model ? model.description : loadError ? "" : "loading the model"}</small>
          <${ErrorLine} error=${loadError} />
        </div>
        ${model && html`
          <${PromptFields} model=${model} prompts=${prompts} onChange=${setPrompts} onSubmit=${submit} />
          <${NumberFields} n=${n} seed=${seed} onCount=${setN} onSeed=${setSeed} />
          <${InputFields} model=${model} inputs=${inputs} note=${note} onChange=${setInput} />
          <${OptionFields} options=${model.options} values=${values} hidden=${hiddenOptions(inputs)}
            onChange=${setOption} below=${changed}>
            <${Preview} previewer=${previewer} model=${model} onSeed=${setSeed} />
          <//>`}
      </div>
      ${model && html`
        <${ErrorLine} error=${error} />
        <button type="submit" class="primary">Make</button>`}
    </form>
    <div class="results" aria-label="samples" role="region">
      ${takes.map((take) => html`<${Take} key=${take.key} take=${take} kind=${take.kind} actions=${actions}
        onRemove=${() => setTakes((all) => all.filter((each) => each !== take))} />`)}
      ${!takes.length && model && html`<p class="hint">Samples appear here while they are made, and stay in the gallery.</p>`}
    </div>
  </div>`;
}

/** Return the files that samples start from or depend on, and how they change; what does not fit the model leaves. */
function useInputs(model, isShown) {
  const [inputs, setInputs] = useState({});
  const [note, setNote] = useState("");
  const newest = useRef(0); // files that were asked for before come too late
  const setInput = (name) => (input) => setInputs((each) => {
    if (each[name] && each[name].url !== input?.url) URL.revokeObjectURL(each[name].url);
    return { ...each, [name]: input };
  });
  /** Take files from addresses of this server, by option; a mask becomes strokes. Without a label they replace all. */
  const loadInputs = async ({ mask, ...addresses }, label) => {
    const number = ++newest.current;
    if (label === null) setInputs({});
    for (const [name, url] of Object.entries(addresses)) {
      const input = newInput(await loadFile(name, url), label ?? name);
      if (name === "init" && mask) input.strokes = await strokesOfMask(await loadFile("mask", mask));
      if (number === newest.current) setInput(name)(input);
    }
  };
  useEffect(() => {
    const type = inputs.init?.file.type.split("/")[0];
    const isUsable = !model || !type || (model.supports_init && (START_KINDS[kindOfModel(model)] ?? [type]).includes(type));
    if (!isUsable) setInput("init")(null);
    setNote(isUsable ? "" : "The file was removed: this model cannot start from it.");
  }, [model?.id]);
  useEffect(() => {
    const paste = (event) => {
      const file = event.clipboardData?.files[0];
      if (isShown && file && model?.supports_init) setInput("init")(newInput(file));
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, [isShown, model]);
  return { inputs, setInput, loadInputs, note };
}

/** One prompt, with examples, or two that are sampled with the same seed. */
function PromptFields({ model, prompts, onChange, onSubmit }) {
  const [prompt, second] = prompts;
  const isText = kindOfModel(model) === "text";
  const change = (value) => onChange(([, ...others]) => [value, ...others]);
  if (!model.takes_prompt) return html`<p class="hint">This model was trained without prompts.</p>`;
  const examples = model.prompts.filter(Boolean).slice(0, MAX_EXAMPLES);
  return html`<div class="field">
      <label for="prompt">${isText ? "beginning" : "prompt"}</label>
      <textarea id="prompt" rows=${isText ? 4 : 2} value=${prompt} onInput=${(event) => change(event.target.value)}
        onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && onSubmit(event)}></textarea>
      <small>Ctrl+Enter starts</small>
      ${examples.length > 0 && html`<div class="chips" role="group" aria-label="examples">
        ${examples.map((each) => html`<button type="button" class="chip" onClick=${() => change(each)}>${each.slice(0, 60)}</button>`)}
      </div>`}
    </div>
    ${second === undefined
      ? html`<button type="button" class="quiet" onClick=${() => (onChange([prompt, prompt]), focusSecond())}>compare with another prompt, same seed</button>`
      : html`<div class="field">
          <div class="label"><label for="second">other prompt</label>
            <button type="button" class="quiet" onClick=${() => onChange([prompt])}>remove</button></div>
          <textarea id="second" rows="2" value=${second} onInput=${(event) => onChange([prompt, event.target.value])}></textarea>
        </div>`}`;
}

/** How many samples, and their seed. */
function NumberFields({ n, seed, onCount, onSeed }) {
  return html`<div class="pair">
    <div class="field">
      <label for="n">samples</label>
      <input id="n" type="number" min="1" max="64" value=${n} onChange=${(event) => onCount(Math.max(1, Number(event.target.value)))} />
    </div>
    <div class="field">
      <label for="seed">seed</label>
      <div class="with-button">
        <input id="seed" type="number" min="0" placeholder="random" value=${seed} onInput=${(event) => onSeed(event.target.value)} />
        <button type="button" aria-label="roll a seed" title="roll a seed" onClick=${() => onSeed(String(randomSeed()))}>⚄</button>
      </div>
    </div>
  </div>`;
}

/** The file to start from, where a model has that, and those of its options. */
function InputFields({ model, inputs, note, onChange }) {
  const files = model.options.filter((option) => isFile(option) && option.name !== "mask");
  const hasMask = model.options.some((option) => option.name === "mask");
  return html`${model.supports_init && html`<${FileInput} name="init" label=${STARTS[kindOfModel(model)] ?? "init"}
      input=${inputs.init} onChange=${onChange("init")} hasMask=${hasMask} description=${note} />`}
    ${files.map(({ name, description }) => html`<${FileInput} key=${name} name=${name} description=${description}
      input=${inputs[name]} isRequired=${name === model.required_option} onChange=${onChange(name)} />`)}`;
}

/** Return the kind of what a model makes. */
const kindOfModel = (model) => (model ? (KINDS[model.media] ?? "file") : "file");

/** Return a file of this server. */
async function loadFile(name, url) {
  const blob = await (await request(url)).blob();
  return new File([blob], name, { type: blob.type });
}

/** Options that have no effect as things are: `strength` without a file to start from. */
function hiddenOptions(inputs) {
  const hasMask = inputs.init?.strokes.length > 0;
  return new Set(!inputs.init || hasMask ? ["strength"] : []);
}

/** Return `values` with one more; undefined: without it. */
function withValue(values, name, value) {
  const { [name]: _, ...others } = values;
  return value === undefined ? others : { ...others, [name]: value };
}

/** Return those values of a form that the model has options for. */
function usableOptions(values, inputs, model) {
  const hidden = hiddenOptions(inputs);
  const names = model.options.filter((option) => !isFile(option) && !hidden.has(option.name)).map((option) => option.name);
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name)));
}

/** Return the files of a request by the names of their options; a mask is drawn from its strokes. */
async function requestFiles(inputs, model) {
  const files = {};
  const names = new Set(model.options.map((option) => option.name));
  for (const [name, input] of Object.entries(inputs)) {
    if (!input || !(name === "init" ? model.supports_init : names.has(name))) continue;
    files[name] = await inputFile(input);
    const mask = name === "init" && names.has("mask") ? await maskFile(input.url, input.strokes) : null;
    if (mask) files.mask = mask;
  }
  return files;
}
