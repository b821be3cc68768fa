// Normal noise from a seed, as torch.randn draws it on a CPU.
"use strict";

class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = Number(BigInt(seed) & 0xffffffffn);
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, last) + i;
    }
    this.index = 624;
  }

  next() {
    if (this.index === 624) this.#twist();
    let value = this.state[this.index++];
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c5680;
    value ^= (value << 15) & 0xefc60000;
    return (value ^ (value >>> 18)) >>> 0;
  }

  #twist() {
    const state = this.state;
    for (let i = 0; i < 624; i++) {
      const value = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (value >>> 1) ^ (value & 1 ? 0x9908b0df : 0);
    }
    this.index = 0;
  }

  uniform(count) {
    return Float32Array.from({ length: count }, () => (this.next() & 0xffffff) / 0x1000000);
  }

  // At least 16 values: Box and Muller, sixteen values at a time.
  normal(count) {
    const values = this.uniform(count);
    for (let start = 0; start + 16 <= count; start += 16) toNormal(values.subarray(start, start + 16));
    if (count % 16) values.set(toNormal(this.uniform(16)), count - 16);
    return values;
  }
}

function toNormal(values) {
  for (let i = 0; i < 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]));
    const angle = 2 * Math.PI * values[i + 8];
    values[i] = radius * Math.cos(angle);
    values[i + 8] = radius * Math.sin(angle);
  }
  return values;
}

// Noise for samplers that need new noise at each step.
function stepNoise(seed) {
  const first = new MersenneTwister(seed);
  first.next();
  const generator = new MersenneTwister(first.next());
  return (count) => generator.normal(count);
}
