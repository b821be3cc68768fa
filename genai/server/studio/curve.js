/** Curves as SVG: several series over steps, with a cursor that reads values. */

import { html, useRef, useState } from "./htm-preact.js";
import { numberText } from "./ui.js";

const [WIDTH, HEIGHT] = [640, 260];
const [LEFT, RIGHT, TOP, BOTTOM] = [58, 12, 12, 30];
const COLORS = ["--accent", "--second", "--third", "--quiet"];

/** Show series [{name, x: [...], y: [... or null]}]. */
export function Chart({ series, title }) {
  const [cursor, setCursor] = useState(null);
  const [isLog, setLog] = useState(false);
  const svg = useRef();
  const lines = series.map(({ name, x, y }) => ({ name, points: x.map((at, i) => [at, y[i]]).filter(([, value]) => Number.isFinite(value) && (!isLog || value > 0)) }))
    .filter(({ points }) => points.length);
  const logButton = html`<button type="button" class="quiet" aria-pressed=${isLog} onClick=${() => setLog(!isLog)}>log</button>`;
  if (!lines.length) return html`<p class="hint">No values ${isLog ? html`above 0 ${logButton}` : "yet"}</p>`;
  const all = lines.flatMap(({ points }) => points);
  const [x0, x1] = extent(all.map(([x]) => x));
  const [low, high] = valueRange(lines, isLog);
  const scale = (value) => (isLog ? Math.log10(value) : value);
  const px = (x) => LEFT + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT);
  const py = (y) => TOP + (1 - Math.min(1, Math.max(0, (scale(y) - low) / (high - low || 1)))) * (HEIGHT - TOP - BOTTOM);
  const move = (event) => {
    const box = svg.current.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    setCursor(x0 + ((at - LEFT) / (WIDTH - LEFT - RIGHT)) * (x1 - x0));
  };
  const read = cursor === null ? [] : lines.map(({ points }) => nearest(points, cursor));
  const yTicks = ticks(low, high, 5).map((tick) => (isLog ? 10 ** tick : tick));
  const ends = lines.map(({ name, points }) => `${name} ${numberText(points.at(-1)[1])}`).join(", ");
  return html`<figure class="chart">
    <figcaption class="row">
      <strong>${title}</strong>
      ${lines.map(({ name, points }, i) => html`<span class="legend"><i style=${{ background: `var(${COLORS[i % 4]})` }}></i>${name} <b>${numberText((read[i] ?? points.at(-1))[1])}</b></span>`)}
      ${cursor !== null && html`<small>step ${Math.round(read[0][0])}</small>`}
      ${logButton}
    </figcaption>
    <svg ref=${svg} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${`${title}: at the end ${ends}`}
      onPointerMove=${move} onPointerLeave=${() => setCursor(null)}>
      ${yTicks.map((value) => html`<g><line class="rule" x1=${LEFT} x2=${WIDTH - RIGHT} y1=${py(value)} y2=${py(value)} />
        <text x=${LEFT - 8} y=${py(value) + 4} text-anchor="end">${numberText(value)}</text></g>`)}
      ${ticks(x0, x1, 6).map((x) => html`<text x=${px(x)} y=${HEIGHT - 8} text-anchor=${px(x) > WIDTH - 40 ? "end" : "middle"}>${x.toLocaleString()}</text>`)}
      <text x=${LEFT - 8} y=${HEIGHT - 8} text-anchor="end">step</text>
      ${lines.map(({ points }, i) => html`<g style=${{ color: `var(${COLORS[i % 4]})` }}>
        <polyline class="line" points=${points.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ")} />
        ${points.length === 1 && html`<circle class="dot" cx=${px(points[0][0])} cy=${py(points[0][1])} r="3" />`}
        ${read[i] && html`<circle class="dot" cx=${px(read[i][0])} cy=${py(read[i][1])} r="4" />`}</g>`)}
    </svg>
  </figure>`;
}

const extent = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);

/** Return the range of values to show. */
function valueRange(lines, isLog) {
  const values = lines.flatMap(({ points }) => points).map(([, y]) => (isLog ? Math.log10(y) : y));
  const [low, high] = extent(values);
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - pad, high + pad];
}

function nearest(points, x) {
  return points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
}

/** Return about `count` round numbers from `low` to `high`. */
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const first = Math.ceil(low / step) * step;
  const values = Array.from({ length: 2 * count + 1 }, (_, i) => Number((first + i * step).toPrecision(12)));
  return values.filter((value) => value <= high);
}
