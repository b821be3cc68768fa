// Tokenize texts and continue prompts greedily with llama.cpp, on the CPU.
// stdin: {modules: folder node_modules, file: GGUF, texts: [text], prompts: [text], count: number of new tokens}
// stdout, last line: {ids: [[id]], special: [[id]], continued: [[id]]}; `special` reads special tokens in the texts
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { modules, file, texts, prompts, count } = JSON.parse(readFileSync(0, "utf8"));
const { getLlama } = await import(pathToFileURL(`${modules}/node-llama-cpp/dist/index.js`).href);
const llama = await getLlama({ gpu: false, build: "never", logLevel: "warn", maxThreads: 1 });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: Math.min(model.trainContextSize, 2048), threads: 1 });
const sequence = context.getSequence();
const continued = [];
for (const prompt of prompts) {
    await sequence.clearHistory();
    const tokens = [];
    for await (const token of sequence.evaluate(model.tokenize(prompt, true), { temperature: 0, yieldEogToken: true })) {
        tokens.push(token);
        if (tokens.length >= count) break;
    }
    continued.push(tokens);
}
const ids = texts.map((text) => model.tokenize(text, false));
const special = texts.map((text) => model.tokenize(text, true));
process.stdout.write(`\n${JSON.stringify({ ids, special, continued })}\n`, () => process.exit(0));
