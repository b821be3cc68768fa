/** A small picture of the form as it is, drawn again while an option changes. Of several changes the newest one counts. */

import { html, useEffect, useRef, useState } from "./htm-preact.js";
import { request } from "./api.js";
import { isOver, newJob, runJob } from "./takes.js";
import { ErrorLine } from "./ui.js";

const [INTERVAL, FEW_STEPS] = [150, 4];
/** Least milliseconds between two requests, and steps of a preview in which something else than the steps is changed. */

/**
 * Draws previews, one request at a time. One that is no longer the newest is canceled, and the next one is sent when it
 * has ended. It is no state of the form, whose fields would lose what is being typed whenever a picture comes.
 */
export class Previewer {
  #build = null;
  #job = null;
  #generation = 0;
  #isRunning = false;
  shown = null;
  onChange = () => {};

  #show(shown) {
    this.shown = shown;
    this.onChange(shown);
  }

  /** Ask for a picture; `build` makes {body, files}. */
  ask(build) {
    this.#forget();
    this.#build = build;
    if (!this.#isRunning) this.#run();
  }

  /** Ask for no more pictures. */
  stop() {
    this.#forget();
  }

  /** The same, and show none. */
  clear() {
    this.#forget();
    this.#job = null;
    this.#show(null);
  }

  /** Let what was asked for so far be outdated: built, sent or running. */
  #forget() {
    this.#generation++;
    this.#build = null;
    if (this.#job) this.#cancel(this.#job);
  }

  /** Cancel a request; before its first event, which a job that is forgotten does not send, wait for that. */
  #cancel(job) {
    job.isOutdated = true;
    if (!job.isFollowed || job.isCanceled || isOver(job)) return;
    job.isCanceled = true;
    request(`/api/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
  }

  async #run() {
    this.#isRunning = true;
    while (this.#build) {
      const [build, generation] = [this.#build, this.#generation];
      this.#build = null;
      const pause = new Promise((resolve) => setTimeout(resolve, INTERVAL));
      try {
        const asked = await build();
        if (generation === this.#generation) await this.#draw(asked);
      } catch (error) {
        if (generation === this.#generation) this.#show({ isDone: true, error });
      }
      await pause;
    }
    this.#isRunning = false;
  }

  #draw({ body, files }) {
    const job = (this.#job = newJob(body, files));
    return new Promise((resolve) => runJob(job, (changes) => {
      Object.assign(job, changes);
      job.isFollowed ||= changes.progress !== undefined;
      if (job.isOutdated) this.#cancel(job);
      const src = job.items[0]?.src;
      if (src && !job.isCanceled && this.#job === job) this.#show({ src, body, isDone: isOver(job), error: job.error });
      else if (job.error && !job.isOutdated) this.#show({ body, isDone: true, error: job.error });
      if (isOver(job)) resolve();
    }));
  }
}

/** Return the options of a preview after `name` was changed: few steps, unless the steps are what is changed. */
export function previewOptions(options, name, model) {
  const steps = model.options.find((option) => option.name === "steps");
  if (!steps || name === "steps") return options;
  return { ...options, steps: Math.min(options.steps ?? steps.default, FEW_STEPS) };
}

/** Show what a previewer draws, and let people keep its seed. */
export function Preview({ previewer, model, onSeed }) {
  const [preview, setPreview] = useState(previewer.shown);
  useEffect(() => {
    previewer.onChange = setPreview;
    setPreview(previewer.shown);
    return () => previewer.onChange === setPreview && (previewer.onChange = () => {});
  }, []);
  const isFirst = useRef(true);
  /** Scroll to the first picture; later ones stay where people have put them. */
  const reveal = (event) => {
    if (isFirst.current) event.target.closest("figure").scrollIntoView({ block: "nearest" });
    isFirst.current = false;
  };
  if (!preview) return null;
  const { src, body, isDone, error } = preview;
  const steps = body?.options.steps ?? model.options.find((option) => option.name === "steps")?.default;
  return html`<figure class="preview" aria-label="preview" aria-busy=${!isDone}>
    ${src && html`<img src=${src} alt=${`preview, seed ${body.seed}`} class="pixels" onLoad=${reveal} />`}
    ${body && html`<figcaption>
      <span>preview${steps ? `, ${steps} ${steps === 1 ? "step" : "steps"}` : ""}</span>
      <button type="button" class="quiet" title=${`seed ${body.seed}`} onClick=${() => onSeed(String(body.seed))}>keep its seed</button>
    </figcaption>`}
    <${ErrorLine} error=${error} />
  </figure>`;
}
