// The only way anything comes into the document: as text. There is no innerHTML here
// or anywhere else in the page.

/** Makes an element. `class`, `text` and on… are what they say; the rest are attributes. */
export function h(tag, props = {}, ...children) {
  const el = tag === "svg" || tag === "path" || tag === "use" || tag === "line" || tag === "circle"
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") el.textContent = value;
    else if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) el.append(child);
  }
  return el;
}

/** Sets a text, and touches nothing when it says that already. */
export function say(el, text) {
  text = String(text ?? "");
  if (el.textContent !== text) el.textContent = text;
}

/** Sets or takes away an attribute, likewise. */
export function mark(el, name, value) {
  if (value === undefined || value === null || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== String(value)) {
    el.setAttribute(name, String(value));
  }
}

export function show(el, on) {
  if (el.hidden === on) el.hidden = !on;
}

const known = new WeakMap(); // of an element: what its children stand for

/**
 * Makes the children of an element those of a list: what has stayed keeps its element,
 * and with it the focus of whoever works with the keyboard.
 */
export function each(parent, items, key, make, update) {
  const old = known.get(parent) ?? new Map();
  const rows = new Map();
  let before = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    if (rows.has(k)) continue;
    let row = old.get(k);
    if (!row) row = make(item);
    rows.set(k, row);
    update(row, item);
    if (row.el === before) before = before.nextElementSibling;
    else parent.insertBefore(row.el, before);
  }
  for (const [k, row] of old) if (!rows.has(k)) row.el.remove();
  known.set(parent, rows);
}

export const find = (id) => document.getElementById(id);
