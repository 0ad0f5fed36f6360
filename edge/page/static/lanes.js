// The slots over time, on a canvas: every task a bar in the lane of its slot, its
// deadline a tick, what is suspended hatched. The class is told by colour and by
// height, so that neither eyes nor print need the colour.

import { CUT, FAILED, HALTED, LATE } from "./rings.js";

const LANE = 42; // px
const AXIS = 22;
const STRIP = 12; // where what was turned away is marked
const LABEL = 52;
const BAND = 6; // at the top of a lane, for what is halted: another task runs below
const HEIGHTS = [25, 19, 13]; // of a bar, by class
const AHEAD = 0.16; // part of the axis that lies in the future, for deadlines
const NARROW = 7; // px under which a bar has no marks of its own
const MOST = 64; // lanes drawn

export class Lanes {
  constructor(canvas) {
    this.canvas = canvas;
    this.span = 30_000;
    this.paused = NaN; // the instant shown while it stands still
    this.colours = null;
    this.hatches = new Map();
    this.frames = 0;
    this.size = { w: 0, h: 0 };
    new ResizeObserver(() => (this.size.w = 0)).observe(canvas);
  }

  /** Forgets the colours: the theme has changed. */
  repaint() {
    this.colours = null;
    this.hatches.clear();
  }

  read() {
    if (this.colours) return this.colours;
    const css = getComputedStyle(document.documentElement);
    const c = (name) => css.getPropertyValue("--" + name).trim();
    this.colours = {
      ink: c("ink"), muted: c("muted"), line: c("line"), lane: c("lane"), bad: c("bad"), warn: c("warn"), panel: c("panel"),
      kinds: [c("urgent"), c("normal"), c("batch")],
    };
    return this.colours;
  }

  fit(slots) {
    const w = Math.max(200, this.canvas.clientWidth);
    const h = AXIS + STRIP + Math.min(slots, MOST) * LANE + 4;
    const scale = Math.min(3, window.devicePixelRatio || 1);
    if (this.size.w === w && this.size.h === h && this.size.scale === scale) return;
    this.size = { w, h, scale };
    this.canvas.width = Math.round(w * scale);
    this.canvas.height = Math.round(h * scale);
    this.canvas.style.height = h + "px";
  }

  draw(node, t, words) {
    const slots = Math.max(1, node.status?.scheduler?.slots ?? 1);
    this.fit(slots);
    const g = this.canvas.getContext("2d");
    const { w, h, scale } = this.size;
    const c = this.read();
    const now = Number.isFinite(this.paused) ? this.paused : node.clock.mono();
    const left = Math.min(LABEL, w * 0.14);
    const perMs = (w - left) * (1 - AHEAD) / this.span;
    const v = { g, c, t, words, now, left, right: w, perMs, from: now - this.span, x: (mono) => left + (mono - now + this.span) * perMs, slots: Math.min(slots, MOST), bottom: AXIS + STRIP + Math.min(slots, MOST) * LANE };
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, w, h);
    this.frame(v, node);
    g.save();
    g.beginPath();
    g.rect(left, 0, w - left, h);
    g.clip();
    this.gaps(v, node);
    this.bars(v, node);
    this.open(v, node);
    this.away(v, node);
    this.nowLine(v);
    g.restore();
    this.frames++;
  }

  frame(v, node) {
    const { g, c, t } = v;
    g.font = "11px Inter, system-ui, sans-serif";
    g.textBaseline = "middle";
    for (let i = 0; i < v.slots; i++) {
      const y = AXIS + STRIP + i * LANE;
      g.fillStyle = c.lane;
      g.fillRect(v.left, y + 2, v.right - v.left, LANE - 4);
      g.fillStyle = c.muted;
      g.textAlign = "left";
      g.fillText(t("slot", { n: i + 1 }), 0, y + LANE / 2);
    }
    this.axis(v, node);
  }

  axis(v, node) {
    const { g, c } = v;
    const step = this.span <= 10_000 ? 2000 : this.span <= 30_000 ? 5000 : 30_000;
    const wall = node.clock.wall(v.now);
    g.textAlign = "center";
    g.strokeStyle = c.line;
    g.lineWidth = 1;
    let last = -Infinity;
    for (let at = Math.ceil((wall - this.span) / step) * step; ; at += step) {
      const x = v.x(v.now + at - wall);
      if (x > v.right) break;
      g.beginPath();
      g.moveTo(Math.round(x) + 0.5, AXIS);
      g.lineTo(Math.round(x) + 0.5, v.bottom);
      g.stroke();
      if (x - last < 74 || x < v.left + 24 || x > v.right - 24) continue;
      last = x;
      g.fillStyle = c.muted;
      g.fillText(new Date(at).toTimeString().slice(0, 8), x, AXIS / 2);
    }
  }

  gaps(v, node) {
    const { g, c, t } = v;
    if (node.blind > v.from) this.blank(v, v.from, node.blind, "notListed");
    for (const gap of node.gaps) this.blank(v, gap.from, gap.to, "noWord");
    const silent = node.silentFor();
    if (silent > 3000) this.blank(v, node.heard, v.now, "noWord");
    for (const s of node.clock.steps) {
      const x = v.x(s.at);
      if (x < v.left) continue;
      g.strokeStyle = c.warn;
      g.setLineDash([4, 3]);
      g.beginPath();
      g.moveTo(x, AXIS);
      g.lineTo(x, v.bottom);
      g.stroke();
      g.setLineDash([]);
      g.fillStyle = c.warn;
      g.textAlign = "left";
      g.fillText(t("clockStep", { by: (s.by < 0 ? "−" : "+") + v.words.span(Math.abs(s.by)) }), x + 4, AXIS + 6);
    }
  }

  blank(v, from, to, word) {
    const { g, c, t } = v;
    const x = Math.max(v.left, v.x(from));
    const w = v.x(to) - x;
    if (!(w > 0) || x + w < v.left) return;
    g.fillStyle = this.hatch(g, c.muted, 10, 0.25);
    g.fillRect(x, AXIS, w, v.bottom - AXIS);
    const text = t(word);
    const width = g.measureText(text).width + 14;
    if (w < width) return;
    const y = AXIS + STRIP + (v.bottom - AXIS - STRIP) / 2;
    g.fillStyle = c.panel;
    g.fillRect(x + (w - width) / 2, y - 9, width, 18);
    g.fillStyle = c.ink;
    g.textAlign = "center";
    g.fillText(text, x + w / 2, y);
  }

  /** A pattern of slanted lines in one colour. */
  hatch(g, colour, gap = 5, alpha = 1) {
    const key = colour + gap + alpha;
    const known = this.hatches.get(key);
    if (known) return known;
    const tile = document.createElement("canvas");
    tile.width = tile.height = gap;
    const p = tile.getContext("2d");
    p.globalAlpha = alpha;
    p.strokeStyle = colour;
    p.lineWidth = Math.max(1.2, gap / 5);
    p.beginPath();
    for (const d of [-gap, 0, gap]) {
      p.moveTo(d - 1, gap + 1);
      p.lineTo(d + gap + 1, -1);
    }
    p.stroke();
    const pattern = g.createPattern(tile, "repeat");
    this.hatches.set(key, pattern);
    return pattern;
  }

  bars(v, node) {
    // The axis moves to the left of a bar at the latest a while after it has ended; what
    // is older than the axis plus the longest disorder ends the walk.
    // Low bars first: what ran while they were halted stands before them.
    for (const low of [true, false]) this.walk(v, node, low);
  }

  walk(v, node, low) {
    const b = node.bars;
    for (let k = 0; k < b.length; k++) {
      const i = b.latest(k);
      if (b.to[i] < v.from) {
        if (b.to[i] < v.from - 5000) break;
        continue;
      }
      if (Boolean(b.kind[i] === 2 || b.flags[i] & HALTED) !== low) continue;
      this.bar(v, node, b.slot[i], b.from[i], b.to[i], b.due[i], b.kind[i], b.flags[i], b.name[i], false);
    }
  }

  open(v, node) {
    for (const o of node.open.values()) {
      const late = o.due < v.now ? LATE : 0;
      this.bar(v, node, o.slot, o.from, v.now, o.halted ? NaN : o.due, o.kind, late | (o.halted ? HALTED : 0), o.name, true);
    }
  }

  bar(v, node, slot, from, to, due, kind, flags, name, runs) {
    if (slot >= MOST) return;
    const { g, c } = v;
    const x = v.x(from);
    const w = Math.max(0.8, v.x(to) - x);
    const halted = flags & HALTED;
    const height = halted ? BAND : HEIGHTS[kind];
    const base = halted ? AXIS + STRIP + slot * LANE + 4 + BAND : AXIS + STRIP + slot * LANE + LANE - 6;
    const y = base - height;
    const colour = flags & (LATE | FAILED) ? c.bad : c.kinds[kind];
    g.fillStyle = halted || flags & CUT ? this.hatch(g, colour) : colour;
    g.fillRect(x, y, w > 3 ? w - 0.6 : w, height);
    if (halted) {
      g.strokeStyle = colour;
      g.lineWidth = 1;
      g.strokeRect(x + 0.5, y + 0.5, Math.max(0.5, w - 1), height - 1);
      return;
    }
    if (w < NARROW && !runs) {
      if (flags & LATE) this.flag(v, x + w / 2, y - 1);
      return;
    }
    if (Number.isFinite(due)) this.tick(v, x + w, v.x(due), base, flags & LATE, runs);
    if (flags & LATE) this.flag(v, x + w - 3, y - 1);
    if (flags & FAILED) this.cross(v, x + w / 2, base - height / 2);
    this.label(v, node.names.list[name], Math.max(x, v.left), x + w, base - height / 2);
  }

  label(v, text, x, right, y) {
    const { g, c } = v;
    if (!text || right - x < 40) return;
    g.fillStyle = c.panel;
    g.textAlign = "left";
    const room = right - x - 8;
    if (g.measureText(text).width > room) {
      if (room < 40) return;
      while (text.length > 3 && g.measureText(text + "…").width > room) text = text.slice(0, -1);
      text += "…";
    }
    g.fillText(text, x + 5, y + 0.5);
  }

  /**
   * The deadline: a tick under the lane, and for what still runs a whole one with a line
   * to it, so that one sees how much is left.
   */
  tick(v, end, x, base, late, runs) {
    const { g, c } = v;
    if (x < v.left || (!runs && x > v.right)) return;
    const at = Math.round(Math.min(x, v.right - 6)) + 0.5;
    g.strokeStyle = late ? c.bad : c.ink;
    g.globalAlpha = late || runs ? 0.9 : 0.5;
    g.lineWidth = runs ? 1.4 : 1;
    g.beginPath();
    g.moveTo(at, base + 5);
    g.lineTo(at, runs ? base - 13 : base + 1);
    if (runs && at > end) {
      g.moveTo(end, base + 1.5);
      g.lineTo(at, base + 1.5);
    }
    if (at < x - 1 && runs) {
      // It lies beyond what is drawn.
      g.moveTo(at - 4, base - 8);
      g.lineTo(at, base - 4);
      g.lineTo(at - 4, base);
    }
    g.stroke();
    g.globalAlpha = 1;
  }

  flag(v, x, y) {
    const { g, c } = v;
    g.fillStyle = c.bad;
    g.beginPath();
    g.moveTo(x - 4, y - 6);
    g.lineTo(x + 4, y - 6);
    g.lineTo(x, y);
    g.fill();
  }

  cross(v, x, y) {
    const { g, c } = v;
    g.strokeStyle = c.panel;
    g.lineWidth = 2;
    g.beginPath();
    g.moveTo(x - 3, y - 3);
    g.lineTo(x + 3, y + 3);
    g.moveTo(x + 3, y - 3);
    g.lineTo(x - 3, y + 3);
    g.stroke();
  }

  away(v, node) {
    const { g, c } = v;
    const a = node.turnedAway;
    for (let k = 0; k < a.length; k++) {
      const i = a.latest(k);
      if (a.from[i] < v.from) break;
      const x = v.x(a.from[i]);
      g.strokeStyle = c.kinds[a.kind[i]];
      g.lineWidth = 1.2;
      g.strokeRect(x - 2.5, AXIS + 3, 5, 5);
    }
  }

  nowLine(v) {
    const { g, c } = v;
    const x = Math.round(v.x(v.now)) + 0.5;
    g.strokeStyle = c.ink;
    g.lineWidth = 1.5;
    g.beginPath();
    g.moveTo(x, AXIS - 4);
    g.lineTo(x, v.bottom);
    g.stroke();
  }
}
