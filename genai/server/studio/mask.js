/** The mask brush: paint what is made new. White on black, in the size of the picture. */

import { html, useEffect, useLayoutEffect, useRef, useState } from "./htm-preact.js";

const MAX_SIDE = 2048;
const KEY_STEP = 0.02;
/** Part of the width that an arrow key moves the brush. */

/**
 * Paint on a picture. `strokes` is the list of strokes, which the owner keeps: [{isEraser, size, points: [[x, y]]}], in
 * parts of the width. `onChange(strokes)`.
 */
export function MaskEditor({ src, strokes, onChange }) {
  const [picture, setPicture] = useState(null);
  const [tool, setTool] = useState({ isEraser: false, size: 0.12 });
  const [zoom, setZoom] = useState(1);
  const [undone, setUndone] = useState([]);
  const [cursor, setCursor] = useState(null);
  const canvas = useRef();
  const stroke = useRef(null);

  useEffect(() => {
    const image = new Image();
    image.onload = () => setPicture(image);
    image.src = src;
  }, [src]);
  useEffect(() => {
    if (picture) drawEditor(canvas.current, picture, strokes, cursor, tool);
  }, [picture, strokes, cursor, tool, zoom]);

  // The middle of what is seen stays when the zoom changes.
  const seen = useRef(1);
  useLayoutEffect(() => {
    const { parentElement: frame } = canvas.current;
    const factor = zoom / seen.current;
    frame.scrollLeft = (frame.scrollLeft + frame.clientWidth / 2) * factor - frame.clientWidth / 2;
    frame.scrollTop = (frame.scrollTop + frame.clientHeight / 2) * factor - frame.clientHeight / 2;
    seen.current = zoom;
  }, [zoom]);

  const place = (event) => {
    const box = canvas.current.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
  };
  const paint = (points) => onChange([...strokes.slice(0, -1), { ...strokes.at(-1), points }]);
  const begin = (point) => {
    setUndone([]);
    stroke.current = [point];
    onChange([...strokes, { ...tool, points: [point] }]);
  };
  const handlers = {
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      canvas.current.setPointerCapture(event.pointerId);
      begin(place(event));
    },
    onPointerMove: (event) => {
      setCursor(place(event));
      if (!stroke.current) return;
      const events = event.getCoalescedEvents?.() ?? [event];
      stroke.current.push(...(events.length ? events : [event]).map(place));
      paint([...stroke.current]);
    },
    onPointerUp: () => (stroke.current = null),
    onPointerLeave: () => setCursor(null),
  };

  const undo = () => {
    if (strokes.length) setUndone([...undone, strokes.at(-1)]), onChange(strokes.slice(0, -1));
  };
  const redo = () => {
    if (undone.length) onChange([...strokes, undone.at(-1)]), setUndone(undone.slice(0, -1));
  };
  const resize = (factor) => setTool({ ...tool, size: Math.min(0.6, Math.max(0.01, tool.size * factor)) });
  const height = picture ? picture.naturalHeight / picture.naturalWidth : 1;
  const onKeyDown = (event) => {
    const [x, y] = cursor ?? [0.5, height / 2];
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    const actions = {
      " ": () => (begin([x, y]), (stroke.current = null), setCursor([x, y])),
      "[": () => resize(0.8),
      "]": () => resize(1.25),
      e: () => setTool({ ...tool, isEraser: !tool.isEraser }),
      z: undo,
      Z: redo,
      y: redo,
      "+": () => setZoom(Math.min(8, zoom * 1.5)),
      "-": () => setZoom(Math.max(1, zoom / 1.5)),
    };
    if (move) {
      const clip = (value, limit) => Math.min(limit, Math.max(0, value));
      setCursor([clip(x + KEY_STEP * move[0], 1), clip(y + KEY_STEP * move[1], height)]);
    } else if (!actions[event.key] || event.altKey || (event.ctrlKey && !"zyZ".includes(event.key))) return;
    else actions[event.key]();
    event.preventDefault();
  };

  return html`<div class="mask">
    <div class="row tools" role="toolbar" aria-label="Mask">
      <button type="button" aria-pressed=${!tool.isEraser} onClick=${() => setTool({ ...tool, isEraser: false })}>brush</button>
      <button type="button" aria-pressed=${tool.isEraser} onClick=${() => setTool({ ...tool, isEraser: true })}>eraser</button>
      <label class="brush">size
        <input type="range" min="0.01" max="0.6" step="0.01" value=${tool.size}
          onInput=${(event) => setTool({ ...tool, size: Number(event.target.value) })} />
      </label>
      <button type="button" disabled=${!strokes.length} onClick=${undo}>undo</button>
      <button type="button" disabled=${!undone.length} onClick=${redo}>redo</button>
      <button type="button" disabled=${!strokes.length} onClick=${() => (onChange([]), setUndone([]))}>clear</button>
      <small>${Math.round(100 * zoom)} %</small>
      <button type="button" aria-label="zoom in" onClick=${() => setZoom(Math.min(8, zoom * 1.5))}>+</button>
      <button type="button" aria-label="zoom out" disabled=${zoom === 1} onClick=${() => setZoom(Math.max(1, zoom / 1.5))}>−</button>
    </div>
    <div class="canvas" tabindex="-1">
      <canvas ref=${canvas} style=${{ width: `${100 * zoom}%` }} tabindex="0" role="application" ...${handlers}
        onKeyDown=${onKeyDown} class=${picture && picture.naturalWidth <= 128 ? "pixels" : ""}
        aria-label="Mask: arrow keys move the brush, space paints, E changes to the eraser, [ and ] change the size, Z undoes, plus and minus zoom"></canvas>
    </div>
    <small>${strokes.length ? "What is painted is made new; the rest stays as it is." : "Paint what should be made new."}
      ${" "}Keys: arrows, space, E, [ ], Z, Y, + −.</small>
  </div>`;
}

function drawEditor(canvas, picture, strokes, cursor, tool) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.round((width * picture.naturalHeight) / picture.naturalWidth);
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = picture.naturalWidth > 128;
  context.drawImage(picture, 0, 0, width, height);
  context.globalAlpha = 0.55;
  context.drawImage(paintStrokes(strokes, width, height, "#1f9d90"), 0, 0);
  context.globalAlpha = 1;
  if (!cursor) return;
  for (const [color, line] of [["#000", 3], ["#fff", 1.5]]) {
    context.beginPath();
    context.arc(cursor[0] * width, cursor[1] * width, (tool.size * width) / 2, 0, 2 * Math.PI);
    Object.assign(context, { strokeStyle: color, lineWidth: line });
    context.stroke();
  }
}

/** Return a canvas with strokes in one color, transparent elsewhere. */
function paintStrokes(strokes, width, height, color) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  Object.assign(context, { lineCap: "round", lineJoin: "round", strokeStyle: color });
  for (const { isEraser, size, points, mask } of strokes) {
    if (mask) {
      context.drawImage(tinted(mask, width, height, color), 0, 0);
      continue;
    }
    context.globalCompositeOperation = isEraser ? "destination-out" : "source-over";
    context.lineWidth = size * width;
    context.beginPath();
    points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * width, y * width));
    if (points.length === 1) context.lineTo(points[0][0] * width + 0.01, points[0][1] * width);
    context.stroke();
  }
  return canvas;
}

/** Return a mask in one color, scaled. */
function tinted(mask, width, height, color) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(mask, 0, 0, width, height);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = color;
  context.fillRect(0, 0, width, height);
  return canvas;
}

/** Return the strokes of a mask file, white where something is made: one stroke, which holds all of it. */
export async function strokesOfMask(file) {
  const picture = await createImageBitmap(file);
  const mask = new OffscreenCanvas(picture.width, picture.height);
  const context = mask.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i] >= 128 ? pixels.data[i + 3] : 0;
  context.putImageData(pixels, 0, 0);
  return [{ mask }];
}

/** Return the mask as a PNG, white where something is made; null if nothing is painted. */
export async function maskFile(src, strokes) {
  if (!strokes.length) return null;
  const picture = new Image();
  picture.src = src;
  await picture.decode();
  const scale = Math.min(1, MAX_SIDE / Math.max(picture.naturalWidth, picture.naturalHeight));
  const [width, height] = [picture.naturalWidth, picture.naturalHeight].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = paintStrokes(strokes, width, height, "#fff");
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, width, height);
  let count = 0;
  for (let i = 0; i < pixels.data.length; i += 4) {
    const isPainted = pixels.data[i + 3] >= 128;
    count += isPainted;
    pixels.data.fill(isPainted ? 255 : 0, i, i + 3);
    pixels.data[i + 3] = 255;
  }
  if (!count) return null;
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
