// The model: its graphs in onnxruntime-web, one thread of WebAssembly. All files come as scripts, so no server is needed.
"use strict";

const FILES = (globalThis.FILES = {});

function loadScript(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${source} is missing`));
    document.head.append(script);
  });
}

// The content of data/NAME.js: bytes, compressed by gzip, in base64.
async function loadBytes(name) {
  await loadScript(`data/${name}.js`);
  const text = atob(FILES[name]);
  delete FILES[name];
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const size = (shape) => shape.reduce((product, side) => product * side, 1);

class Model {
  constructor(config) {
    this.config = config;
    this.sessions = {};
  }

  // Calls report(fraction) after each part.
  async load(report) {
    const names = this.config.files;
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = (await loadBytes("wasm")).buffer;
    report(1 / (names.length + 1));
    const glue = new Blob([await loadBytes("glue")], { type: "text/javascript" });
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
    for (const [index, name] of names.entries()) {
      this.sessions[name] = await ort.InferenceSession.create(await loadBytes(name), { executionProviders: ["wasm"] });
      report((index + 2) / (names.length + 1));
    }
  }

  async run(name, inputs) {
    const session = this.sessions[name];
    const results = await session.run(Object.fromEntries(session.inputNames.map((key, i) => [key, inputs[i]])));
    return session.outputNames.map((key) => results[key]);
  }

  async encode(prompts) {
    if (!this.config.prompt) return [];
    const { ids, shape } = wordIds(prompts, this.config.prompt);
    return this.run("text_encoder", [new ort.Tensor("int32", ids, shape)]);
  }

  async decode(data) {
    const x = new ort.Tensor("float32", data, [1, ...this.config.data_shape]);
    return (await this.run("decoder", [x]))[0].data;
  }

  // Yields {progress, pixels}: pixels are (channels, height, width).
  async *draw(prompt, seed, options) {
    const values = { ...this.config.options, ...options };
    const noise = new MersenneTwister(seed).normal(size(this.config.input_shape));
    if (this.config.method === "gan") {
      const x = new ort.Tensor("float32", noise.map((value) => value * values.truncation), [1, noise.length]);
      const [images] = await this.run("generator", [x, ...(await this.encode([prompt]))]);
      yield { progress: 1, pixels: await this.decode(images.data) };
      return;
    }
    const times = sampleTimes(values.steps, values.shift ?? this.config.shift);
    const steps = SAMPLERS[values.sampler](this.denoiser(prompt, values), noise, times, stepNoise(seed));
    let number = 0;
    for await (const [time, x, data] of steps) {
      yield { progress: ++number / values.steps, pixels: await this.decode(time ? data : x) };
    }
  }

  // A function (x_t, t) -> predicted data, with guidance.
  denoiser(prompt, options) {
    const encoded = new Map();
    const shape = this.config.input_shape;
    return async (x, t) => {
      const scale = this.config.prompt ? guidanceAt(options, t) : 1;
      const terms = [[scale, prompt], [1 - scale, ""]].filter(([factor]) => factor !== 0);
      if (!encoded.has(scale)) encoded.set(scale, await this.encode(terms.map(([, text]) => text)));
      const inputs = new Float32Array(x.length * terms.length);
      terms.forEach((_, row) => inputs.set(x, row * x.length));
      const [output] = await this.run("denoiser", [
        new ort.Tensor("float32", inputs, [terms.length, ...shape]),
        new ort.Tensor("float32", new Float32Array(terms.length).fill(t), [terms.length]),
        ...encoded.get(scale),
      ]);
      const predicted = terms.map((_, row) => output.data.slice(row * x.length, (row + 1) * x.length));
      return combine(terms.map(([factor]) => factor), predicted, options.guidance_rescale);
    };
  }
}

// The weighted sum of predictions, with its contrast moved toward that of the first one.
function combine(factors, predicted, rescale) {
  const total = predicted[0].map((_, i) => factors.reduce((sum, factor, row) => sum + factor * predicted[row][i], 0));
  if (rescale === 0 || factors.length === 1) return total;
  const scale = 1 + rescale * (deviation(predicted[0]) / Math.max(deviation(total), 1e-6) - 1);
  return total.map((value) => value * scale);
}

function deviation(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
