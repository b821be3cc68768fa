/** The studio: five pages behind one address. Each stays as it is while another one is shown. */

import { html, render, useEffect, useState } from "./htm-preact.js";
import { getJSON } from "./api.js";
import { Chat } from "./chat.js";
import { Gallery } from "./gallery.js";
import { Make } from "./make.js";
import { Runs } from "./runs.js";
import { ErrorLine, Guarded, useLoaded } from "./ui.js";
import { Verify } from "./verify.js";

const PAGES = { make: "Make", chat: "Chat", gallery: "Gallery", runs: "Runs", verify: "Verify" };

/** Return [page, id] of the address, such as `#/runs/ID`. */
function currentPlace() {
  const [, page, id] = location.hash.split("/");
  try {
    return [Object.hasOwn(PAGES, page ?? "") ? page : "make", id ? decodeURIComponent(id) : null];
  } catch {
    return ["runs", null]; // a broken escape
  }
}

function App() {
  const [[page, id], setPlace] = useState(currentPlace);
  const [draft, setDraft] = useState(null);
  const [models, error, reload] = useLoaded(async () => (await getJSON("/api/models")).data, []);
  useEffect(() => {
    const move = () => {
      setPlace(currentPlace());
      reload();
    };
    window.addEventListener("hashchange", move);
    return () => window.removeEventListener("hashchange", move);
  }, []);
  useEffect(() => (document.title = `${PAGES[page]} · genai studio`), [page]);
  const make = (request) => {
    setDraft({ ...request });
    location.hash = "#/make";
  };
  return html`
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), document.getElementById("main").focus())}>skip to the content</a>
    <header class="top">
      <a class="logo" href="#/make"><img src="/studio/icon.svg" alt="" width="28" height="28" />genai</a>
      <nav aria-label="pages">${Object.entries(PAGES).map(([name, title]) => html`<a href=${`#/${name}`}
        aria-current=${name === page ? "page" : undefined}>${title}</a>`)}</nav>
    </header>
    <main id="main" tabindex="-1">
      <h1 class="hidden">${PAGES[page]}</h1>
      <${ErrorLine} error=${error} />
      <div hidden=${page !== "make"}><${Guarded}><${Make} models=${models} draft=${draft} isShown=${page === "make"} /><//></div>
      <div hidden=${page !== "chat"}><${Guarded}><${Chat} models=${models} isShown=${page === "chat"} /><//></div>
      <div hidden=${page !== "gallery"}><${Guarded}><${Gallery} isShown=${page === "gallery"} onAgain=${make} /><//></div>
      <div hidden=${page !== "runs"}><${Guarded}><${Runs} isShown=${page === "runs"} id=${id} onMake=${(model) => make({ model })} /><//></div>
      <div hidden=${page !== "verify"}><${Guarded}><${Verify} isShown=${page === "verify"} /><//></div>
    </main>
    <footer><a href="/docs">for programs: /docs</a></footer>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
