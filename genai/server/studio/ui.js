/** Small parts that all views use: dialogs, notices, empty states, texts with code in them. */

import { html, useEffect, useErrorBoundary, useRef, useState } from "./htm-preact.js";
import { getJSON } from "./api.js";

/** Return a text in which ``name`` stands for code. */
export function withCode(text) {
  return text.split(/``?([^`]+)``?/).map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
}

/** Return the sentences of an option for people: without sources, with code as code. */
export function plainHelp(text) {
  const plain = text.replace(/\s*\([^()]*arXiv:[^()]*(\([^()]*\)[^()]*)*\)/g, "").replace(/``None``/g, "empty");
  return withCode(plain);
}

/** Tell where nothing is yet, and what to type next. */
export function Empty({ title, children, command }) {
  return html`<div class="empty">
    <h2>${title}</h2>
    <p>${children}</p>
    ${command && html`<${Command} text=${command} />`}
  </div>`;
}

/** Show a command of the terminal, with a button that copies it. */
export function Command({ text }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return; // the browser does not allow it; the text can be selected
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`<div class="command">
    <code tabindex="0">${text}</code>
    ${navigator.clipboard && html`<button type="button" class="quiet" onClick=${copy}>${isCopied ? "copied" : "copy"}</button>`}
  </div>`;
}

/** Show an error in a sentence. */
export const ErrorLine = ({ error }) => error && html`<p class="error" role="alert">${error.message ?? error}</p>`;

/** A modal dialog, which Escape closes. */
export function Dialog({ title, onClose, children, wide = false }) {
  const element = useRef();
  useEffect(() => {
    const opener = document.activeElement;
    element.current.showModal();
    return () => opener?.focus?.();
  }, []);
  const closeOutside = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose} onClick=${closeOutside}>
    <div class="dialog">
      <header>
        <h2>${title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick=${onClose}>✕</button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/** Ask before something is lost. */
export function Confirm({ question, action, onConfirm, onClose }) {
  return html`<${Dialog} title=${question} onClose=${onClose}>
    <div class="row">
      <button type="button" class="danger" onClick=${() => (onClose(), onConfirm())}>${action}</button>
      <button type="button" onClick=${onClose}>Cancel</button>
    </div>
  <//>`;
}

/** Show children; if one of them fails, say so instead of an empty page. */
export function Guarded({ children }) {
  const [error, reset] = useErrorBoundary();
  if (!error) return children;
  return html`<p class="error" role="alert">This page has failed: ${error.message}
    <button type="button" class="quiet" onClick=${reset}>try again</button></p>`;
}

/** Load something when `keys` change; return [value, error, reload]. */
export function useLoaded(load, keys) {
  const [state, setState] = useState([null, null]);
  const [count, setCount] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    load().then(
      (value) => isCurrent && setState([value, null]),
      (error) => isCurrent && setState(([value]) => [value, error]),
    );
    return () => (isCurrent = false);
  }, [...keys, count]);
  return [...state, () => setCount((each) => each + 1)];
}

/** Load what a model can do; return [description, error]; the description is null until that of `id` is there. */
export function useModel(id, isShown = true) {
  const load = async () => isShown && id && { id, ...(await getJSON(`/api/options?model=${encodeURIComponent(id)}`)) };
  const [model, error] = useLoaded(load, [id, isShown]);
  return [model?.id === id ? model : null, error];
}

/** Return the id that the browser keeps under `key`, or the first one if it is not among `models`, and a setter. */
export function useModelId(key, models) {
  const [stored, setStored] = useStored(key, null);
  return [models?.some(({ id }) => id === stored) ? stored : (models?.[0]?.id ?? null), setStored];
}

/** Let people choose two things of a list; return their ids, what a checkbox does, and a button that opens `compare`. */
export function useTwo(compare) {
  const [ids, setIds] = useState([]);
  const [isComparing, setComparing] = useState(false);
  const toggle = (id) => setIds((all) => (all.includes(id) ? all.filter((each) => each !== id) : [...all.slice(-1), id]));
  const forget = (id) => setIds((all) => all.filter((each) => each !== id));
  const controls = html`
    <button type="button" disabled=${ids.length !== 2} onClick=${() => setComparing(true)}>compare two${ids.length ? ` (${ids.length} chosen)` : ""}</button>
    ${ids.length > 0 && html`<button type="button" class="quiet" onClick=${() => setIds([])}>clear selection</button>`}
    ${isComparing && compare(ids, () => setComparing(false))}`;
  return { ids, toggle, forget, controls };
}

/** Return a state that the browser keeps under `key`. */
export function useStored(key, initial) {
  const [value, setValue] = useState(() => {
    try {
      return JSON.parse(localStorage.getItem(key)) ?? initial;
    } catch {
      return initial;
    }
  });
  useEffect(() => {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // private windows and full disks keep nothing
    }
  }, [value]);
  return [value, setValue];
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
/** Return a time in seconds as people write it. */
export const dateText = (seconds) => (seconds ? DATE.format(new Date(seconds * 1000)) : "");

/** Return a duration in words. */
export function durationText(seconds) {
  if (seconds == null) return "";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Return a number with four digits that count. */
export const numberText = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : (value ?? ""));
