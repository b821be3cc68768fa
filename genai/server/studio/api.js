/** Requests to the server. An answer that is no success becomes a RequestError with the server's own sentence. */

export class RequestError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Send a request and return the Response. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("The server does not answer. Does `python -m genai serve` still run?", 0);
  }
  if (response.ok) return response;
  let message = `The server answered with the status ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // an answer without a sentence
  }
  throw new RequestError(message, response.status);
}

export const getJSON = async (path) => (await request(path)).json();

export async function sendJSON(method, path, body, options = {}) {
  const headers = { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: JSON.stringify(body), ...options });
  return response.status === 204 ? null : response.json();
}

/** Begin a job. Files come by the name of their option: `{init: Blob, mask: Blob}`. Return its description. */
export async function createJob(body, files = {}) {
  const names = Object.keys(files);
  if (!names.length) return sendJSON("POST", "/api/jobs", body);
  const form = new FormData();
  form.append("request", JSON.stringify(body));
  for (const name of names) form.append(name, files[name], files[name].name ?? name);
  return (await request("/api/jobs", { method: "POST", body: form })).json();
}

const MAX_STREAMS = 3;
const POLL_MILLISECONDS = 700;
let numStreams = 0;

/**
 * Follow a job: `onStart()` at each connection, `onPart({number, part | state})`, `onProgress`, `onEnd(job)`, `onLost()`.
 * A browser has six connections to a server, so further jobs are asked for now and then, without parts.
 */
export function followJob(id, listeners) {
  return numStreams < MAX_STREAMS ? streamJob(id, listeners) : pollJob(id, listeners);
}

function streamJob(id, { onStart, onPart, onProgress, onEnd, onLost }) {
  const source = new EventSource(`/api/jobs/${id}/events`);
  const listen = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  numStreams++;
  const close = () => {
    if (source.readyState !== EventSource.CLOSED) source.close();
    numStreams--;
  };
  source.addEventListener("open", onStart);
  listen("part", onPart);
  listen("progress", onProgress);
  listen("end", (job) => {
    close();
    onEnd(job);
  });
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    numStreams--;
    onLost();
  });
}

async function pollJob(id, { onProgress, onEnd, onLost }) {
  try {
    for (;;) {
      const job = await getJSON(`/api/jobs/${id}`);
      if (!["queued", "running"].includes(job.state)) return onEnd(job);
      onProgress(job);
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  } catch {
    onLost();
  }
}

/** Yield the JSON of the server-sent events of a Response. */
export async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((each) => each.startsWith("data: "));
      if (line && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}
