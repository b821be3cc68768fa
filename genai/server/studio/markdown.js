/** Markdown as elements of the page. No HTML is read: all text is text, and links go to http(s) alone. */

import { html } from "./htm-preact.js";

const MAX_DEPTH = 6;
/** Deeper quotes and emphasis stay text. */
const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*(\S(?:.*?\S)?)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/s;

/** Return Markdown as a list of elements: headings, lists, quotes, code, tables of text, emphasis, links. */
export function markdown(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  while (lines.length) blocks.push(takeBlock(lines, depth));
  return blocks.filter(Boolean);
}

function takeBlock(lines, depth) {
  const line = lines[0];
  if (!line.trim()) return void lines.shift();
  const fence = line.match(/^\s*(```+|~~~+)/);
  if (fence) return takeCode(lines, fence[1]);
  const heading = line.match(/^(#{1,6})\s+(.*)/);
  if (heading) return lines.shift(), html`<p class=${`heading h${heading[1].length}`}>${inline(heading[2])}</p>`;
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return lines.shift(), html`<hr />`;
  if (/^\s*>/.test(line) && depth < MAX_DEPTH) {
    const quoted = takeWhile(lines, (each) => /^\s*>/.test(each)).map((each) => each.replace(/^\s*> ?/, ""));
    return html`<blockquote>${markdown(quoted.join("\n"), depth + 1)}</blockquote>`;
  }
  if (/^\s*[-*+]\s+/.test(line)) return html`<ul>${takeItems(lines, /^\s*[-*+]\s+/)}</ul>`;
  const number = line.match(/^\s*(\d{1,9})[.)]\s+/);
  if (number) return html`<ol start=${Number(number[1])}>${takeItems(lines, /^\s*\d{1,9}[.)]\s+/)}</ol>`;
  const paragraph = [lines.shift(), ...takeWhile(lines, (each) => each.trim() && !/^\s*(```|~~~|#{1,6}\s|>|[-*+]\s+|\d{1,9}[.)]\s+)/.test(each))];
  return html`<p>${inline(paragraph.join("\n"))}</p>`;
}

function takeCode(lines, fence) {
  lines.shift();
  const code = takeWhile(lines, (each) => !each.trim().startsWith(fence));
  lines.shift();
  return html`<pre tabindex="0"><code>${code.join("\n")}</code></pre>`;
}

function takeItems(lines, mark) {
  const items = [];
  while (lines.length && mark.test(lines[0])) {
    const first = lines.shift().replace(mark, "");
    items.push([first, ...takeWhile(lines, (each) => /^\s+\S/.test(each) && !mark.test(each))].join("\n"));
  }
  return items.map((item) => html`<li>${inline(item)}</li>`);
}

function takeWhile(lines, isWanted) {
  const taken = [];
  while (lines.length && isWanted(lines[0])) taken.push(lines.shift());
  return taken;
}

/** Return a text with emphasis, code and links as elements. */
function inline(text, depth = 0) {
  const parts = [];
  for (let rest = text; rest; ) {
    const match = rest.match(INLINE);
    if (!match || depth > MAX_DEPTH) return parts.push(rest), parts;
    parts.push(rest.slice(0, match.index));
    const [all, , code, strong, strongToo, emphasis, label, address] = match;
    if (code !== undefined) parts.push(html`<code>${code}</code>`);
    else if (strong ?? strongToo) parts.push(html`<strong>${inline(strong ?? strongToo, depth + 1)}</strong>`);
    else if (emphasis) parts.push(html`<em>${inline(emphasis, depth + 1)}</em>`);
    else parts.push(html`<a href=${address} target="_blank" rel="noopener noreferrer">${label}</a>`);
    rest = rest.slice(match.index + all.length);
  }
  return parts;
}
