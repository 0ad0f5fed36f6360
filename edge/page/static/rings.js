// Memory of fixed size: a page that stays open for a month must not grow.

/** Ring keeps the latest values. */
export class Ring {
  constructor(size) {
    this.size = size;
    this.values = [];
    this.next = 0;
  }
  get length() {
    return this.values.length;
  }
  push(value) {
    if (this.values.length < this.size) {
      this.values.push(value);
      return;
    }
    this.values[this.next] = value;
    this.next = (this.next + 1) % this.size;
  }
  /** i from 0, the oldest; negative counts from the latest. */
  at(i) {
    const n = this.values.length;
    if (i < 0) i += n;
    if (i < 0 || i >= n) return undefined;
    return this.values[(this.next + i) % n];
  }
  /** Oldest first. */
  *[Symbol.iterator]() {
    for (let i = 0; i < this.values.length; i++) yield this.at(i);
  }
}

/** What a bar is: bits of Bars.flags. */
export const LATE = 1;
export const FAILED = 2;
export const HALTED = 4; // a part in which the task was suspended
export const CUT = 8; // where it ended is not known

/**
 * Bars keeps the latest pieces of what ran in the slots, in arrays of numbers: at a
 * thousand tasks a second objects would keep the collector busy.
 */
export class Bars {
  constructor(size) {
    this.size = size;
    this.from = new Float64Array(size); // monotonic ms
    this.to = new Float64Array(size);
    this.due = new Float64Array(size); // NaN: none
    this.slot = new Uint16Array(size);
    this.kind = new Uint8Array(size); // class, 0 urgent
    this.flags = new Uint8Array(size);
    this.name = new Uint16Array(size);
    this.next = 0;
    this.length = 0;
  }
  push(slot, from, to, due, kind, flags, name) {
    const i = this.next;
    this.from[i] = from;
    this.to[i] = to;
    this.due[i] = due;
    this.slot[i] = slot;
    this.kind[i] = kind;
    this.flags[i] = flags;
    this.name[i] = name;
    this.next = (i + 1) % this.size;
    if (this.length < this.size) this.length++;
  }
  /** Index of the k-th latest piece, k from 0. */
  latest(k) {
    return (this.next - 1 - k + 2 * this.size) % this.size;
  }
}

/** Names keeps short numbers for names, at most `size` of them; 0 is what did not fit. */
export class Names {
  constructor(size) {
    this.size = size;
    this.list = [""];
    this.index = new Map();
  }
  number(name) {
    const known = this.index.get(name);
    if (known !== undefined) return known;
    if (this.list.length >= this.size) return 0;
    this.index.set(name, this.list.length);
    this.list.push(name);
    return this.list.length - 1;
  }
}
