/** Make samples: choose a model, fill its form, watch them grow. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { getJSON, request } from "./api.js";
import { FileInput, inputFile, newInput } from "./inputs.js";
import { maskFile, strokesOfMask } from "./mask.js";
import { KINDS } from "./media.js";
import { isFile, OptionFields } from "./options.js";
import { newJob, runJob, Take } from "./takes.js";
import { Empty, ErrorLine, useLoaded, useStored } from "./ui.js";

const [MAX_TAKES, MAX_EXAMPLES] = [40, 5];
const STARTS = { image: "picture to start from", video: "first frame, or clip to go on", audio: "sound to go on", text: "text to go on" };
/** What `init` is, by the kind of what is made, and the kinds of files that it can be. */
const START_KINDS = { image: ["image"], video: ["image", "video"], audio: ["audio"], text: ["text"] };
const focusSecond = () => setTimeout(() => document.getElementById("second")?.select());
const randomSeed = () => Math.floor(Math.random() * 2 ** 31);

/** `draft`: a request to fill the form with, such as one of the gallery. */
export function Make({ models, draft, isShown, canTrain }) {
  const [modelId, setModelId] = useStored("make.model", null);
  const [prompt, setPrompt] = useState("");
  const [second, setSecond] = useState(null);
  const [n, setN] = useState(4);
  const [seed, setSeed] = useState("");
  const [values, setValues] = useState({});
  const [inputs, setInputs] = useState({});
  const [takes, setTakes] = useState([]);
  const [error, setError] = useState(null);
  const [note, setNote] = useState("");
  const promptBox = useRef();
  const current = models?.some((model) => model.id === modelId) ? modelId : (models?.[0]?.id ?? null);
  const [description, loadError] = useLoaded(
    async () => current && { id: current, ...(await getJSON(`/api/options?model=${encodeURIComponent(current)}`)) },
    [current],
  );
  const model = description?.id === current ? description : null; // not that of the model before
  const kind = model ? (KINDS[model.media] ?? "file") : "file";
  const names = new Set(model?.options.map((option) => option.name));
  const settable = new Set(model?.options.filter((option) => !isFile(option)).map((option) => option.name));

  const examples = model?.prompts.filter(Boolean) ?? [];
  useEffect(() => {
    const type = inputs.init?.file.type.split("/")[0];
    const isUsable = !model || !type || (model.supports_init && (START_KINDS[kind] ?? [type]).includes(type));
    if (!isUsable) setInput("init")(null);
    setNote(isUsable ? "" : "The file was removed: this model cannot start from it.");
  }, [model?.id]);
  useEffect(() => {
    if (!draft) return;
    if (draft.model) setModelId(draft.model);
    setPrompt(draft.prompt ?? "");
    setSecond(null);
    setSeed(draft.seed === undefined ? "" : String(draft.seed));
    setN(1);
    setValues(Object.fromEntries(Object.entries(draft.options ?? {}).filter(([, value]) => value !== null)));
    setInputs({});
    useAddresses(draft.inputs ?? {}).catch(setError);
  }, [draft]);
  useEffect(() => {
    const paste = (event) => {
      const file = event.clipboardData?.files[0];
      if (isShown && file && model?.supports_init) setInput("init")(newInput(file));
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, [isShown, model]);

  const setInput = (name) => (input) => setInputs((each) => ({ ...each, [name]: input }));
  /** Take files from addresses of this server, by the names of their options; a mask becomes strokes. */
  const useAddresses = async ({ mask, ...addresses }, label) => {
    const load = async (name, url) => {
      const blob = await (await request(url)).blob();
      return new File([blob], name, { type: blob.type });
    };
    for (const [name, url] of Object.entries(addresses)) {
      const input = newInput(await load(name, url), label ?? name);
      if (name === "init" && mask) input.strokes = await strokesOfMask(await load("mask", mask));
      setInput(name)(input);
    }
  };
  const changeJob = (takeKey, jobKey) => (changes) =>
    setTakes((all) => all.map((take) => (take.key !== takeKey ? take
      : { ...take, jobs: take.jobs.map((job) => (job.key === jobKey ? { ...job, ...changes } : job)) })));

  const send = async (request) => {
    setError(null);
    try {
      const files = await requestFiles(inputs, names);
      const hidden = hiddenOptions(inputs);
      const options = Object.fromEntries(Object.entries(values).filter(([name]) => settable.has(name) && !hidden.has(name)));
      const shared = { model: current, n, options, save: true, seed: seed === "" ? randomSeed() : Number(seed), ...request };
      const prompts = second === null || request.prompt !== undefined ? [request.prompt ?? prompt] : [prompt, second];
      const jobs = prompts.map((each) => newJob({ ...shared, prompt: each }, files));
      const take = { key: jobs[0].key, kind, jobs };
      setTakes((all) => [take, ...all].slice(0, MAX_TAKES));
      setTimeout(() => document.querySelector(".take")?.scrollIntoView({ block: "nearest" }));
      for (const job of jobs) runJob(job, changeJob(take.key, job.key));
    } catch (failure) {
      setError(failure);
    }
  };
  const actions = {
    onUse: model?.supports_init && kind !== "text" ? (item) => useAddresses({ init: item.src }, `seed ${item.seed}`).catch(setError) : null,
    onVary: (item, job) => send({ prompt: item.prompt, n: Math.max(4, job.body.n), seed: randomSeed(), options: job.body.options }),
    onPrompt: (item) => {
      setSeed(String(item.seed));
      setN(1);
      setPrompt(item.prompt);
      setSecond(item.prompt);
      focusSecond();
    },
  };
  const submit = (event) => (event.preventDefault(), send({}));

  if (models && !models.length) {
    return html`<${Empty} title="No model yet" command="python -m genai.train modality=image minutes=5">
      Train one, and it appears here when it is finished.${canTrain ? " Or start it on the page Runs." : ""}
    <//>`;
  }
  return html`<div class="make">
    <form class="card" onSubmit=${submit} data-model=${model?.id}>
      <div class="field">
        <label for="model">model</label>
        <select id="model" value=${current ?? ""} onChange=${(event) => (setModelId(event.target.value), setValues({}))}>
          ${(models ?? []).map((each) => html`<option value=${each.id}>${each.name || each.id}</option>`)}
        </select>
        <small>${model ? model.description : loadError ? "" : "loading the model"}</small>
        <${ErrorLine} error=${loadError} />
      </div>
      ${model?.takes_prompt === false && html`<p class="hint">This model was trained without prompts.</p>`}
      ${model?.takes_prompt && html`
        <div class="field">
          <label for="prompt">${kind === "text" ? "beginning" : "prompt"}</label>
          <textarea id="prompt" ref=${promptBox} rows=${kind === "text" ? 4 : 2} value=${prompt}
            onInput=${(event) => setPrompt(event.target.value)}
            onKeyDown=${(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(event)}></textarea>
          <small>Ctrl+Enter makes</small>
          ${examples.length > 0 && html`<div class="chips" role="group" aria-label="examples">
            ${examples.slice(0, MAX_EXAMPLES).map((each) => html`<button type="button" class="chip" onClick=${() => setPrompt(each)}>${each.slice(0, 60)}</button>`)}
          </div>`}
        </div>
        ${second === null
          ? html`<button type="button" class="quiet" onClick=${() => (setSecond(prompt), focusSecond())}>compare with another prompt, same seed</button>`
          : html`<div class="field">
              <div class="label"><label for="second">other prompt</label>
                <button type="button" class="quiet" onClick=${() => setSecond(null)}>remove</button></div>
              <textarea id="second" rows="2" value=${second} onInput=${(event) => setSecond(event.target.value)}></textarea>
            </div>`}`}
      ${model && html`
        <div class="pair">
          <div class="field">
            <label for="n">samples</label>
            <input id="n" type="number" min="1" max="64" value=${n} onChange=${(event) => setN(Math.max(1, Number(event.target.value)))} />
          </div>
          <div class="field">
            <label for="seed">seed</label>
            <div class="with-button">
              <input id="seed" type="number" min="0" placeholder="random" value=${seed} onInput=${(event) => setSeed(event.target.value)} />
              <button type="button" aria-label="roll a seed" title="roll a seed" onClick=${() => setSeed(String(randomSeed()))}>⚄</button>
            </div>
          </div>
        </div>
        ${model.supports_init && html`<${FileInput} name="init" label=${STARTS[kind] ?? "init"} input=${inputs.init} onChange=${setInput("init")}
          hasMask=${names.has("mask")} description=${note} />`}
        ${model.options.filter((option) => isFile(option) && option.name !== "mask").map((option) => html`<${FileInput}
          key=${option.name} name=${option.name} description=${option.description} input=${inputs[option.name]}
          isRequired=${option.name === model.required_option} onChange=${setInput(option.name)} />`)}
        <${OptionFields} options=${model.options} values=${values} hidden=${hiddenOptions(inputs)}
          onChange=${(name, value) => setValues((all) => withValue(all, name, value))} />
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

/** Return the files of a request by the names of their options; a mask is drawn from its strokes. */
async function requestFiles(inputs, names) {
  const files = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (!input) continue;
    files[name] = await inputFile(input);
    const mask = name === "init" && names.has("mask") ? await maskFile(input.url, input.strokes) : null;
    if (mask) files.mask = mask;
  }
  return files;
}
