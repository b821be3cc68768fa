// The page: a form, a canvas, and one model.
"use strict";

const find = (id) => document.getElementById(id);
const config = globalThis.CONFIG;
const model = new Model(config);
const [channels, height, width] = config.shape;
const canvas = find("canvas");
let stopped = false;

const FIELDS = {
  seed: { label: "Seed", value: 0, min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
  steps: { label: "Steps", min: 1, max: 1000, step: 1 },
  guidance: { label: "Guidance", min: 0, max: 100, step: "any", needsPrompt: true },
  truncation: { label: "Truncation", min: 0, max: 1, step: "any" },
  sampler: { label: "Sampler", choices: Object.keys(SAMPLERS) },
};

function addField(name, { label, choices, needsPrompt, value = config.options[name], ...limits }) {
  if (value === undefined || (needsPrompt && !config.prompt)) return;
  const box = document.createElement("div");
  box.className = "field";
  const text = Object.assign(document.createElement("label"), { htmlFor: name, textContent: label });
  const input = document.createElement(choices ? "select" : "input");
  input.id = name;
  if (choices) input.append(...choices.map((choice) => new Option(choice, choice, choice === value, choice === value)));
  else Object.assign(input, { type: "number", required: true, ...limits, value });
  box.append(text, input);
  find("options").append(box);
}

function readOptions() {
  const names = Object.keys(FIELDS).filter((name) => name !== "seed" && find(name));
  return Object.fromEntries(names.map((name) => [name, FIELDS[name].choices ? find(name).value : Number(find(name).value)]));
}

function show(pixels) {
  const image = new ImageData(width, height);
  const area = width * height;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[(c % channels) * area + i];
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

async function offer(prompt, seed, options) {
  const save = find("save");
  if (save.href) URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(await labeledPng(canvas, config.xmp, { seed, options: { ...config.options, ...options } }));
  save.download = `${(prompt.match(/[\p{L}\p{N}]+/gu) ?? ["picture"]).join("-").slice(0, 60)}-${seed}.png`;
  save.hidden = false;
}

function setBusy(isBusy) {
  find("form").setAttribute("aria-busy", String(isBusy));
  for (const id of ["draw", "another"]) find(id).disabled = isBusy;
  find("stop").hidden = !isBusy;
}

async function draw(event) {
  event.preventDefault();
  const [prompt, seed, options] = [config.prompt ? find("prompt").value : "", Number(find("seed").value), readOptions()];
  stopped = false;
  setBusy(true);
  find("save").hidden = true;
  canvas.scrollIntoView({ block: "nearest" });
  const start = performance.now();
  try {
    for await (const { progress, pixels } of model.draw(prompt, seed, options)) {
      show(pixels);
      find("progress").value = progress;
      find("status").textContent = `Drawing: ${Math.round(100 * progress)} %`;
      await new Promise(requestAnimationFrame);
      if (stopped) break;
    }
    canvas.setAttribute("aria-label", `Picture made by a model${prompt && `, from the prompt: ${prompt}`}`);
    find("status").textContent = stopped ? "Stopped" : `Drawn in ${((performance.now() - start) / 1000).toFixed(1)} s`;
    await offer(prompt, seed, options);
  } catch (error) {
    find("status").textContent = `This did not work: ${error.message ?? error}`;
  }
  setBusy(false);
}

async function begin() {
  [canvas.width, canvas.height] = [width, height];
  const space = config.prompt ? "" : " It takes no prompt.";
  find("about").textContent = `It makes pictures of ${width} x ${height} pixels in this browser. Nothing is sent anywhere.${space}`;
  find("label").textContent = `Made by a model (${config.name}). The saved file says so.`;
  find("prompt-field").hidden = !config.prompt;
  find("prompt").value = config.examples[0] ?? "";
  for (const example of config.examples) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: example });
    button.onclick = () => (find("prompt").value = example);
    find("examples").append(button);
  }
  for (const [name, field] of Object.entries(FIELDS)) addField(name, field);
  find("form").onsubmit = draw;
  find("stop").onclick = () => (stopped = true);
  find("another").onclick = () => {
    find("seed").value = Number(find("seed").value) + 1;
    find("form").requestSubmit();
  };
  try {
    await model.load((fraction) => (find("progress").value = fraction));
    find("progress").value = 0;
    find("status").textContent = "Ready";
    setBusy(false);
  } catch (error) {
    find("status").textContent = `The model cannot be loaded: ${error.message ?? error}`;
  }
}

begin();
