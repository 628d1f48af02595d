// Reads YAML texts as js-yaml 4 and as `yaml` in its modes 1.2 and 1.1 do, for yaml_readers.py.
//
//   node benchmarks/yaml_readers.mjs DIR    DIR holds node_modules with js-yaml and yaml
//   in:  ["a: 1"]                           one JSON line per batch of texts
//   out: [[[1, {"a": 1}], [1, {"a": 1}], [1, {"a": 1}]]]   per text and reader, [0, why] if refused

import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const installed = createRequire(resolve(process.argv[2], "package.json"));
const jsYaml = installed("js-yaml");
const yaml = installed("yaml");
const quiet = { logLevel: "error" };
const readers = [
  (text) => jsYaml.load(text),
  (text) => yaml.parse(text, { ...quiet, version: "1.2" }),
  (text) => yaml.parse(text, { ...quiet, version: "1.1" }),
];

// What JSON does not hold becomes a text that no YAML of the comparison holds.
function shown(value) {
  if (value === undefined) return "\u0000undefined";
  if (typeof value === "number" && !Number.isFinite(value)) return `\u0000${value}`;
  if (value instanceof Date) return `\u0000${value.toISOString()}`;
  if (value instanceof Uint8Array || value instanceof Map || value instanceof Set)
    return `\u0000${value.constructor.name}`;
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === "object") {
    const copy = Object.create(null);
    for (const key of Object.keys(value)) copy[key] = shown(value[key]);
    return copy;
  }
  return value;
}

function read(reader, text) {
  try {
    return [1, shown(reader(text))];
  } catch (error) {
    return [0, String(error.message).slice(0, 200)];
  }
}

for await (const line of createInterface({ input: process.stdin }))
  console.log(JSON.stringify(JSON.parse(line).map((text) => readers.map((r) => read(r, text)))));
