// Samplers on the path x_t = (1 - t) x + t n, as generators of [time after the step, x_t, predicted data].
"use strict";

const EARLY_TIME = 0.95;
const MIN_LOG_RATIO = -7;

function sampleTimes(steps, shift) {
  return Array.from({ length: steps + 1 }, (_, step) => {
    const t = 1 - step / steps;
    return (shift * t) / (1 + (shift - 1) * t);
  });
}

function guidanceAt(options, t) {
  if (options.early_guidance !== null && t > EARLY_TIME) return options.early_guidance;
  return options.guidance_until <= t && t <= options.guidance_from ? options.guidance : 1;
}

const SAMPLERS = {
  async *euler(denoise, x, times) {
    for (let i = 0; i + 1 < times.length; i++) {
      const [start, end] = [times[i], times[i + 1]];
      const data = await denoise(x, start);
      x = x.map((value, j) => value + ((end - start) * (value - data[j])) / start);
      yield [end, x, data];
    }
  },

  async *euler_ancestral(denoise, x, times, drawNoise) {
    for (let i = 0; i + 1 < times.length; i++) {
      const [start, end] = [times[i], times[i + 1]];
      const data = await denoise(x, start);
      const ratio = (end * (1 - start)) / (start * (1 - end));
      const fresh = end > 0 ? drawNoise(x.length) : null;
      const factor = Math.sqrt(1 - ratio ** 2);
      x = x.map((value, j) => {
        const noise = (ratio * (value - (1 - start) * data[j])) / start + (fresh ? factor * fresh[j] : 0);
        return (1 - end) * data[j] + end * noise;
      });
      yield [end, x, data];
    }
  },

  async *heun(denoise, x, times) {
    for (let i = 0; i + 1 < times.length; i++) {
      const [start, end] = [times[i], times[i + 1]];
      let data = await denoise(x, start);
      let velocity = x.map((value, j) => (value - data[j]) / start);
      if (end > 0) {
        const next = x.map((value, j) => value + (end - start) * velocity[j]);
        data = await denoise(next, end);
        velocity = velocity.map((value, j) => (value + (next[j] - data[j]) / end) / 2);
      }
      x = x.map((value, j) => value + (end - start) * velocity[j]);
      yield [end, x, data];
    }
  },

  async *dpmpp_2m(denoise, x, times) {
    const logRatio = times.map((t) => (t > 0 && t < 1 ? Math.log((1 - t) / t) : MIN_LOG_RATIO));
    let previous = null;
    let previousWidth = 0;
    for (let i = 0; i + 1 < times.length; i++) {
      const [start, end] = [times[i], times[i + 1]];
      const data = await denoise(x, start);
      let blend = data;
      if (end > 0) {
        const width = logRatio[i + 1] - logRatio[i];
        const [last, factor] = [previous, width / (2 * previousWidth)];
        if (last) blend = data.map((value, j) => value + (value - last[j]) * factor);
        previousWidth = start === 1 ? Math.max(width, 1) : width;
      }
      x = x.map((value, j) => (value * end) / start + blend[j] * (1 - end / start));
      previous = data;
      yield [end, x, data];
    }
  },
};
