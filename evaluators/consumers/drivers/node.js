// JavaScript's readers: `node node.js json`. The protocol is told in python.py.
'use strict';
const fs = require('fs');
const path = require('path');
const LONGEST = 5_000_000;
const scratch = Buffer.alloc(8);

// Where packages are looked for: NODE_PATH, and what npm installs with -g.
const folders = (process.env.NODE_PATH || '').split(path.delimiter).filter(Boolean);
folders.push(path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules'));

function found(name) {
  const folder = folders.map((each) => path.resolve(each, name)).find((each) => fs.existsSync(each));
  if (!folder) throw new Error(`there is no package ${name}`);
  return folder;
}

function load(name) {
  return require(found(name));
}

function versionOf(name) {
  return JSON.parse(fs.readFileSync(path.join(found(name), 'package.json'), 'utf8')).version;
}

function reader(name) {
  if (name === 'json') return [JSON.parse, process.version.slice(1)];
  if (name === 'js-yaml') {
    const yaml = load('js-yaml');
    return [(text) => yaml.load(text), versionOf('js-yaml')];
  }
  if (name === 'smol-toml') {
    const toml = load('smol-toml');
    return [(text) => toml.parse(text), versionOf('smol-toml')];
  }
  const [library, version] = name.split('@');
  const yaml = load(library);
  return [(text) => yaml.parse(text, { version, logLevel: 'error' }), versionOf(library)];
}

function bytesOf(text) {
  if (!/[\ud800-\udfff]/.test(text) || text.isWellFormed()) return Buffer.from(text);
  const parts = []; // a lone surrogate in the three bytes that UTF-8 would have for it
  for (const char of text) {
    const code = char.codePointAt(0);
    const lone = code >= 0xd800 && code <= 0xdfff;
    parts.push(lone
      ? Buffer.from([0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)])
      : Buffer.from(char));
  }
  return Buffer.concat(parts);
}

function scalar(value) {
  if (value === null || value === undefined) return 'n';
  if (typeof value === 'boolean') return value ? 't' : 'f';
  if (typeof value === 'bigint') return `i${value};`;
  if (typeof value === 'number') {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 53) return `i${value + 0};`;
    scratch.writeDoubleBE(value);
    return 'd' + scratch.toString('hex');
  }
  const other = typeof value !== 'string';
  if (value instanceof Uint8Array) value = Buffer.from(value).toString('base64');
  const text = value instanceof Date && !Number.isNaN(value.getTime())
    ? value.toISOString() : String(value);
  const data = bytesOf(text);
  return `${other ? 'o' : 's'}${data.length}:` + data.toString('latin1');
}

function dump(root) {
  const found = []; // texts of latin1, each character a byte
  let size = 0;
  const stack = [[[root], 0, '']];
  while (stack.length) {
    const top = stack[stack.length - 1];
    if (top[1] === top[0].length) {
      found.push(top[2]);
      stack.pop();
      continue;
    }
    const value = top[0][top[1]++];
    if (Array.isArray(value)) {
      found.push('[');
      stack.push([value, 0, ']']);
    } else if (value instanceof Map) {
      found.push('{');
      stack.push([[...value].flat(), 0, '}']);
    } else if (value !== null && typeof value === 'object' && !(value instanceof Date)
        && !(value instanceof Uint8Array)) {
      found.push('{');
      const flat = [];
      for (const key of Object.keys(value)) flat.push(key, value[key]);
      stack.push([flat, 0, '}']);
    } else {
      const text = scalar(value);
      found.push(text);
      size += text.length;
    }
    size += 8;
    if (size > LONGEST) return '?';
  }
  return found.join('');
}

let held = Buffer.alloc(0);
const chunk = Buffer.alloc(1 << 16);

function more() {
  for (;;) {
    try {
      const count = fs.readSync(0, chunk, 0, chunk.length, null);
      return Buffer.from(chunk.subarray(0, count));
    } catch (error) {
      if (error.code === 'EOF') return Buffer.alloc(0);
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

function request() {
  let end;
  while ((end = held.indexOf(10)) < 0) {
    const part = more();
    if (!part.length) return null;
    held = Buffer.concat([held, part]);
  }
  const size = Number(held.subarray(0, end).toString());
  const parts = [held.subarray(end + 1)];
  let have = parts[0].length;
  while (have < size) {
    const part = more();
    if (!part.length) return null;
    parts.push(part);
    have += part.length;
  }
  const all = parts.length === 1 ? parts[0] : Buffer.concat(parts);
  held = all.subarray(size);
  return all.subarray(0, size);
}

function answer(sign, text, encoding) {
  const data = Buffer.from(sign + text, encoding);
  const whole = Buffer.concat([Buffer.from(`${data.length}\n`), data]);
  for (let at = 0; at < whole.length;) {
    try {
      at += fs.writeSync(1, whole, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
  }
}

let chosen;
try {
  chosen = reader(process.argv[2]);
} catch (error) {
  answer('!', String(error.message).split('\n')[0], 'utf8');
  process.exit(0);
}
const [read, version] = chosen;
answer('=', version, 'utf8');
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
for (let data; (data = request()) !== null;) {
  let value;
  try {
    value = read(utf8.decode(data));
  } catch (error) {
    answer('-', String(error.message).slice(0, 500).toWellFormed(), 'utf8');
    continue;
  }
  answer('+', dump(value), 'latin1');
}
