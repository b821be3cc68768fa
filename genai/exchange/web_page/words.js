// Words of a prompt as ids, as genai's PromptEncoder has them.
"use strict";

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const LETTER = /^[\p{L}\p{N}_]$/u;
const MARK = /^\p{M}$/u;
const SPACE = /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/u; // Python's str.isspace
const WORD_OR_SIGN = /[\p{L}\p{N}_]+|[^\p{L}\p{N}_\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/gu;
const NO_SPACES = new RegExp(
  "^[\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3005-\\u3007\\u3040-\\u30ff\\u31f0-\\u31ff\\uff66-\\uff9f" +
    "\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{3ffff}]$",
  "u"
); // characters of scripts that put no spaces between words

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC_TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function splitWords(prompt, segmentation) {
  prompt = prompt.toLowerCase();
  if (segmentation === "spaces" || /^[\0-\x7f]*$/.test(prompt)) return prompt.match(WORD_OR_SIGN) ?? [];
  const words = [];
  let joins = false;
  for (const character of prompt.normalize("NFC")) {
    const isLetter = LETTER.test(character);
    const isMark = MARK.test(character);
    const hasSpaces = !NO_SPACES.test(character);
    if (words.length && (isMark || (joins && hasSpaces && isLetter))) words[words.length - 1] += character;
    else if (!SPACE.test(character)) words.push(character);
    joins = (isMark && joins) || (hasSpaces && isLetter);
  }
  return words;
}

// Rows of words in two tables, (prompts, words, 2), padded with `rows`.
function wordIds(prompts, { rows, max_words: maxWords, segmentation }) {
  const lines = prompts.map((prompt) => ["", ...splitWords(prompt, segmentation).slice(0, maxWords)]);
  const length = Math.max(...lines.map((line) => line.length));
  const ids = new Int32Array(lines.length * length * 2).fill(rows);
  const encoder = new TextEncoder();
  lines.forEach((line, item) =>
    line.forEach((word, place) =>
      ["", "again "].forEach((prefix, table) => {
        ids[(item * length + place) * 2 + table] = crc32(encoder.encode(prefix + word)) % rows;
      })
    )
  );
  return { ids, shape: [lines.length, length, 2] };
}
