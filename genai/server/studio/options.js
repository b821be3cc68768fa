/** The form of a model: one field for each option that the server describes. */

import { html } from "./htm-preact.js";
import { plainHelp } from "./ui.js";

/** Options that most requests set; the others are below "More options". */
const MAIN = new Set([
  "length", "seconds", "frames", "temperature", "guidance", "steps", "strength",
  "speaker", "speed", "pitch", "pause", "variation",
]);
const FEW = 6;
const SLIDER_SPAN = 4;
/** So many options are all shown; a slider ends at so many times the default, where the allowed range is much longer. */

export const isFile = (option) => option.format === "binary";

/**
 * Show the options. `values` holds those that were changed; `onChange(name, value)`, undefined: the default. Children are
 * shown below the option of the name `below`.
 */
export function OptionFields({ options, values, onChange, hidden, below, children }) {
  const fields = options.filter((option) => !isFile(option) && !hidden.has(option.name) && hasChoice(option));
  const field = (option) => html`<${Field} key=${option.name} option=${option} value=${values[option.name]}
    onChange=${(value) => onChange(option.name, value)} />
    ${option.name === below && children}`;
  const isMain = (option) => fields.length <= FEW || MAIN.has(option.name);
  const others = fields.filter((option) => !isMain(option));
  const changed = others.filter((option) => isChanged(option, values[option.name])).length;
  return html`<div class="options">
    ${fields.filter(isMain).map(field)}
    ${others.length > 0 && html`<details>
      <summary>More options${changed ? ` (${changed} changed)` : ""}</summary>
      ${others.map(field)}
    </details>`}
  </div>`;
}

/** Whether an option has more than one value: a model of one voice has no list of speakers. */
const hasChoice = (option) => !option.enum || option.enum.length > 1;

const isChanged = (option, value) => value !== undefined && JSON.stringify(value) !== JSON.stringify(option.default);

function Field({ option, value, onChange }) {
  const id = `option-${option.name}`;
  const Control = controlOf(option);
  return html`<div class="field">
    <div class="label">
      <label for=${id}>${option.name}</label>
      ${isChanged(option, value) && html`<button type="button" class="quiet" onClick=${() => onChange(undefined)}
        aria-label=${`reset ${option.name}`}>reset</button>`}
    </div>
    <${Control} id=${id} option=${option} value=${value} onChange=${onChange} />
    <small id=${`${id}-help`} title=${option.description}>${plainHelp(option.description)}</small>
  </div>`;
}

function controlOf(option) {
  if (option.enum) return Choice;
  if (option.type === "boolean") return Switch;
  if (option.type === "integer" || option.type === "number") return sliderRange(option) ? Slider : NumberBox;
  if (option.type === "array") return Lines;
  return option.type === "object" || !option.type ? JSONBox : TextBox;
}

/** Return [from, to, step] of a slider; null where the range has no useful end. */
function sliderRange(option) {
  const from = option.minimum ?? option.exclusiveMinimum ?? null;
  const start = option.default;
  const limit = option.maximum ?? Infinity;
  if (from === null || typeof start !== "number" || (start === 0 && limit > 1)) return null;
  const to = Math.min(limit, limit <= 1 ? limit : Math.max(from, start, 1) * SLIDER_SPAN);
  if (!(to > from)) return null;
  return option.type === "integer" ? [from, Math.floor(to), 1] : [from, to, to <= 1 ? 0.01 : 0.05];
}

function Slider({ id, option, value, onChange }) {
  const [from, to, step] = sliderRange(option);
  const current = value ?? option.default;
  const set = (event) => event.target.value !== "" && onChange(Number(event.target.value));
  return html`<div class="slider">
    <input type="range" id=${id} min=${from} max=${to} step=${step} value=${Math.min(current, to)} onInput=${set}
      aria-describedby=${`${id}-help`} />
    <input type="number" min=${option.minimum} max=${option.maximum} step=${option.type === "integer" ? 1 : "any"}
      value=${current} onChange=${set} aria-label=${`${option.name} as a number`} />
  </div>`;
}

function NumberBox({ id, option, value, onChange }) {
  const set = (event) => onChange(event.target.value === "" ? undefined : Number(event.target.value));
  return html`<input type="number" id=${id} min=${option.minimum} max=${option.maximum}
    step=${option.type === "integer" ? 1 : "any"} value=${value ?? option.default ?? ""}
    placeholder="default" onChange=${set} aria-describedby=${`${id}-help`} />`;
}

function Choice({ id, option, value, onChange }) {
  const set = (event) => onChange(event.target.value || undefined);
  return html`<select id=${id} value=${value ?? option.default ?? ""} onChange=${set} aria-describedby=${`${id}-help`}>
    ${option.nullable && html`<option value="">default</option>`}
    ${option.enum.map((each) => html`<option value=${each}>${each}</option>`)}
  </select>`;
}

function Switch({ id, option, value, onChange }) {
  const set = (event) => onChange(event.target.checked);
  return html`<input type="checkbox" id=${id} checked=${value ?? option.default} onChange=${set}
    aria-describedby=${`${id}-help`} />`;
}

function TextBox({ id, value, onChange }) {
  const set = (event) => onChange(event.target.value || undefined);
  return html`<input type="text" id=${id} value=${value ?? ""} onChange=${set} aria-describedby=${`${id}-help`} />`;
}

/** A list, one entry a line; numbers where the entries are numbers. */
function Lines({ id, option, value, onChange }) {
  const isNumeric = ["integer", "number"].includes(option.items?.type);
  const set = (event) => {
    const lines = event.target.value.split("\n").filter((line) => line !== "");
    onChange(lines.length ? (isNumeric ? lines.map(Number) : lines) : undefined);
  };
  return html`<textarea id=${id} rows="2" placeholder="one a line" value=${(value ?? []).join("\n")} onChange=${set}
    aria-describedby=${`${id}-help`}></textarea>`;
}

/** An object, written in JSON. */
function JSONBox({ id, value, onChange }) {
  const set = (event) => {
    const { target } = event;
    target.setCustomValidity("");
    if (target.value.trim() === "") return onChange(undefined);
    try {
      onChange(JSON.parse(target.value));
    } catch {
      target.setCustomValidity("This is not JSON.");
      target.reportValidity();
    }
  };
  return html`<textarea id=${id} rows="2" placeholder="JSON" onChange=${set} aria-describedby=${`${id}-help`}
    value=${value === undefined ? "" : JSON.stringify(value)}></textarea>`;
}
