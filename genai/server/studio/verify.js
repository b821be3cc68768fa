/** Where does a file come from? Drop it, and read what it says of itself, and whether that is proven. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { request } from "./api.js";
import { ErrorLine, numberText } from "./ui.js";

const STATUS = {
  verified: ["Verified", "A known signer said what stands below, and the content has not changed since."],
  unsigned: ["Said, not proven", "The file says that a model made it. Nobody known here signed that, so anybody can have written it."],
  tampered: ["Changed", "The content was changed after it was signed, or its credentials cannot be read."],
  "no evidence": [
    "No evidence",
    "Nothing shows how this file was made. That does not make it real: saving a file again, or a screenshot, removes every label.",
  ],
};
const KINDS = { text: "text", sound: "sound", picture: "picture" };

/** Return the file to look at and the .c2pa that came with it. */
function sortFiles(files) {
  const all = [...files];
  const credentials = all.length > 1 ? all.find(({ name }) => name.endsWith(".c2pa")) : undefined;
  return [all.find((file) => file !== credentials), credentials];
}

export function Verify({ isShown }) {
  const [isOver, setOver] = useState(false);
  const [state, setState] = useState({});
  const [chooser, newest] = [useRef(), useRef(0)];
  const take = async (files) => {
    const [file, credentials] = sortFiles(files ?? []);
    if (!file) return;
    const number = ++newest.current;
    setState({ name: file.name, isWaiting: true });
    const form = new FormData();
    form.append("file", file);
    if (credentials) form.append("credentials", credentials);
    const next = { name: file.name };
    try {
      next.answer = await (await request("/v1/genai/verify", { method: "POST", body: form })).json();
    } catch (error) {
      next.error = error;
    }
    if (number === newest.current) setState(next);
  };
  useEffect(() => {
    if (!isShown) return;
    const paste = (event) => take(event.clipboardData.files);
    window.addEventListener("paste", paste);
    return () => window.removeEventListener("paste", paste);
  }, [isShown]);
  const over = (event) => (event.preventDefault(), setOver(true));
  const drop = (event) => (event.preventDefault(), setOver(false), take(event.dataTransfer.files));
  const choose = (event) => {
    take(event.target.files);
    event.target.value = ""; // the same file again is a change
  };
  return html`<div class="verify">
    <div class=${`drop ${isOver ? "over" : ""}`} onDragOver=${over} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <button type="button" class="primary" onClick=${() => chooser.current.click()}>Choose a file</button>
      <span>or drop or paste it here</span>
      <input type="file" ref=${chooser} multiple hidden onChange=${choose} aria-label="file to verify" />
    </div>
    <p class="note">Texts, <code>.ogg</code> and <code>.webm</code> have their signature in a <code>.c2pa</code> beside them: choose
      both. This server reads the file and forgets it.</p>
    <div aria-live="polite">
      ${state.isWaiting && html`<p class="note">reading ${state.name}</p>`}
      <${ErrorLine} error=${state.error} />
      ${state.answer && html`<${Answer} name=${state.name} answer=${state.answer} />`}
    </div>
  </div>`;
}

function Answer({ name, answer }) {
  const [title, sentence] = STATUS[answer.status] ?? [answer.status, ""];
  const { watermark } = answer;
  const rows = {
    "in short": answer.text,
    "signed by": answer.signer,
    "with": answer.tool,
    "made by a model": answer.is_synthetic ? "yes" : answer.status === "no evidence" ? "" : "not said",
    "model": answer.model,
    "version": answer.version,
    "model known here": answer.known_as || (answer.checkpoint_sha256 ? "no" : ""),
    "edited from": answer.edited_from?.join(", "),
    "watermark": watermark && `p = ${numberText(watermark.p)}${watermark.key ? `, key ${watermark.key}` : ""}: how likely a
      ${KINDS[watermark.kind] ?? "file"} without this mark looks as if it had it`,
  };
  return html`<section class=${`card verdict ${answer.status.split(" ")[0]}`} aria-label="what the file says">
    <h2>${title}</h2>
    <p>${sentence}</p>
    ${answer.status === "tampered" && answer.signer && html`<p class="note">What stands below is of the version that was signed, not of this file.</p>`}
    ${answer.note && html`<p class="note">${answer.note}</p>`}
    <dl>
      <dt>file</dt><dd>${name}</dd>
      ${Object.entries(rows).map(([key, value]) => value && html`<dt>${key}</dt><dd>${value}</dd>`)}
    </dl>
    ${answer.recipe && html`<details>
      <summary>how it was made</summary>
      <pre>${JSON.stringify(answer.recipe, null, 1)}</pre>
    </details>`}
  </section>`;
}
