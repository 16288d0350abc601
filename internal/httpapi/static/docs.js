// Shows /openapi.json: operations by tag, their parameters, bodies and answers, and a curl command for each.
'use strict';

const el = (tag, attributes, ...children) => {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
};

let doc;

// resolve follows a reference inside the document.
const resolve = (schema) => {
  let s = schema || {};
  for (let i = 0; s.$ref && i < 16; i++) {
    s = s.$ref.slice(2).split('/').reduce((at, key) => at && at[key.replace(/~1/g, '/').replace(/~0/g, '~')], doc) || {};
  }
  return s;
};

const typesOf = (schema) => [].concat(resolve(schema).type || []).filter((t) => t !== 'null');

const typeName = (schema) => {
  const s = resolve(schema);
  const types = typesOf(s);
  let name = types.join(' or ') || 'any JSON';
  if (types.includes('array')) name = 'list of ' + typeName(s.items);
  if (s.enum) name += ': ' + s.enum.join(', ');
  if (s.format && s.format !== 'int64' && s.format !== 'double') name += ' (' + s.format + ')';
  for (const [key, text] of [['minimum', 'from'], ['maximum', 'to'], ['minLength', 'min. length'], ['maxLength', 'max. length'], ['default', 'default']]) {
    if (s[key] !== undefined && s[key] !== null) name += ', ' + text + ' ' + s[key];
  }
  return name;
};

// example makes a value of a schema.
const example = (schema, depth = 0) => {
  const s = resolve(schema);
  const given = (schema && schema.examples) || s.examples;
  if (given && given.length) return given[0];
  if (s.example !== undefined) return s.example;
  if (s.default !== undefined) return s.default;
  if (s.enum) return s.enum[0];
  const type = typesOf(s)[0];
  if (depth > 6) return null;
  if (type === 'array') return [example(s.items, depth + 1)];
  if (type === 'object') {
    const out = {};
    for (const [name, property] of Object.entries(s.properties || {})) {
      if (!s.required || s.required.includes(name)) out[name] = example(property, depth + 1);
    }
    return out;
  }
  if (type === 'integer' || type === 'number') return s.minimum || 0;
  if (type === 'boolean') return true;
  if (type === 'string') return s.format === 'date-time' ? '2026-01-02T15:04:05.000Z' : 'text';
  return {};
};

// fields is a table of an object's properties, those of objects inside folded.
const fields = (schema, depth = 0) => {
  const s = resolve(schema);
  if (typesOf(s).includes('array')) return fields(s.items, depth);
  const needed = (name) => ((s.required || []).includes(name) ? 0 : 1);
  const properties = Object.entries(s.properties || {}).sort(([a], [b]) => needed(a) - needed(b));
  if (!properties.length || depth > 6) return null;
  return el('table', {}, el('tbody', {}, ...properties.map(([name, property]) => {
    const p = resolve(property);
    const inner = fields(property, depth + 1);
    return el('tr', {},
      el('td', { class: (s.required || []).includes(name) ? 'required' : '' }, name),
      el('td', {}, el('div', { class: 'soft' }, typeName(property)), property.description || p.description || '',
        inner && el('details', {}, el('summary', {}, 'fields'), inner)));
  })));
};

const parameters = (operation) => {
  const all = operation.parameters || [];
  if (!all.length) return null;
  return el('div', {}, el('h4', {}, 'Parameters'), el('table', {}, el('tbody', {}, ...all.map((p) => el('tr', {},
    el('td', { class: p.required ? 'required' : '' }, p.name),
    el('td', {}, el('div', { class: 'soft' }, p.in + ' · ' + typeName(p.schema)), p.description || ''))))));
};

const jsonBody = (content) => content && (content['application/json'] || content['application/problem+json']);

const pathExample = (path, operation) => (operation.parameters || []).filter((p) => p.in === 'path').reduce((at, p) => {
  const value = p.example !== undefined ? p.example : example(p.schema);
  return at.replace('{' + p.name + '}', encodeURIComponent(value));
}, path);

const curl = (method, path, operation) => {
  const lines = ['curl ' + (method === 'GET' ? '' : '-X ' + method + ' ') + location.origin + pathExample(path, operation)];
  const body = operation.requestBody && jsonBody(operation.requestBody.content);
  for (const p of operation.parameters || []) {
    if (p.in === 'header' && p.name === 'Idempotency-Key') lines.push("-H 'Idempotency-Key: " + (p.example || 'order-42') + "'");
  }
  if (body) {
    const value = body.example !== undefined ? body.example : example(body.schema);
    lines.push("-H 'Content-Type: application/json'", "-d '" + JSON.stringify(value, null, 2).replace(/'/g, "'\\''") + "'");
  }
  return lines.join(' \\\n  ');
};

const answers = (operation) => {
  const rows = Object.entries(operation.responses || {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return el('div', {}, el('h4', {}, 'Answers'), ...rows.map(([status, answer]) => {
    const body = jsonBody(answer.content);
    const inner = body && fields(body.schema);
    const kinds = Object.keys(answer.content || {}).join(', ');
    return el('details', {}, el('summary', {}, el('b', {}, status), ' ' + (answer.description || '') + ' ', el('span', { class: 'soft' }, kinds)),
      inner, body && !inner && el('pre', {}, JSON.stringify(example(body.schema), null, 2)));
  }));
};

const section = (method, path, operation) => {
  const body = operation.requestBody && jsonBody(operation.requestBody.content);
  return el('section', { id: operation.operationId },
    el('h3', {}, el('span', { class: 'verb ' + method }, method), path),
    el('p', {}, el('b', {}, operation.summary || ''), operation.description ? ' — ' + operation.description : ''),
    parameters(operation),
    body && el('div', {}, el('h4', {}, 'Body (application/json)'), fields(body.schema)),
    el('h4', {}, 'Example'), el('pre', {}, curl(method, path, operation)),
    answers(operation));
};

const show = () => {
  const groups = new Map((doc.tags || []).map((t) => [t.name, { about: t.description || '', list: [] }]));
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [verb, operation] of Object.entries(item)) {
      if (!operation || !operation.operationId) continue;
      const tag = (operation.tags || ['other'])[0];
      if (!groups.has(tag)) groups.set(tag, { about: '', list: [] });
      groups.get(tag).list.push([verb.toUpperCase(), path, operation]);
    }
  }
  const nav = document.getElementById('nav');
  const main = document.getElementById('main');
  document.title = doc.info.title + ' API';
  nav.replaceChildren();
  main.replaceChildren(el('h1', {}, doc.info.title + ' API'),
    el('p', { class: 'soft' }, 'Version ' + doc.info.version + ' · OpenAPI ' + doc.openapi + ' · ', el('a', { href: '/openapi.json' }, 'openapi.json')),
    el('p', {}, doc.info.description || ''));
  for (const [tag, group] of groups) {
    if (!group.list.length) continue;
    nav.append(el('h2', {}, tag));
    main.append(el('h2', {}, tag), el('p', {}, group.about));
    for (const [method, path, operation] of group.list) {
      nav.append(el('a', { href: '#' + operation.operationId }, el('span', { class: 'verb ' + method }, method), operation.summary || path));
      main.append(section(method, path, operation));
    }
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
};

fetch('/openapi.json').then((answer) => {
  if (!answer.ok) throw new Error('status ' + answer.status);
  return answer.json();
}).then((json) => { doc = json; show(); }).catch((error) => {
  document.getElementById('main').replaceChildren(el('p', {}, 'The document at /openapi.json cannot be shown: ' + error.message + '. Reload the page.'));
});
