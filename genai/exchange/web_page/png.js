// A PNG whose metadata (XMP) say that a model made it, and from which seed and options. They do not tell the prompt.
"use strict";

const escapeXml = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

async function labeledPng(canvas, xmp, recipe) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const content = new Uint8Array(await blob.arrayBuffer());
  const packet = xmp.replace("/></rdf:RDF>", ` genai:Recipe="${escapeXml(JSON.stringify(recipe))}"/></rdf:RDF>`);
  const body = new TextEncoder().encode("iTXtXML:com.adobe.xmp\0\0\0\0\0" + packet);
  const chunk = new Uint8Array(body.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4);
  chunk.set(body, 4);
  view.setUint32(body.length + 4, crc32(body));
  return new Blob([content.subarray(0, 33), chunk, content.subarray(33)], { type: "image/png" }); // 33: after the header
}
