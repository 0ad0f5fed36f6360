// Small plots as inline SVG: one path, no library.

import { h, mark } from "./dom.js";

const W = 240;
const H = 44;

/** A line over time with the area under it. Returns {el, draw(points, from, to, top)}. */
export function plot(kind = "") {
  const area = h("path", { class: "area" });
  const line = h("path", { class: "stroke" });
  const el = h("svg", { class: "plot " + kind, viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, line);
  return { el, draw: (points, from, to, top) => drawPlot(area, line, points, from, to, top) };
}

function drawPlot(area, line, points, from, to, top) {
  let d = "";
  let fill = "";
  let begun = NaN;
  let last = NaN;
  const end = () => {
    if (Number.isFinite(begun)) fill += `L${last} ${H}L${begun} ${H}Z`;
  };
  let before = NaN;
  for (const [at, value] of points) {
    if (at < from || !Number.isFinite(value)) continue;
    const x = Math.round(((at - from) / (to - from)) * W * 10) / 10;
    const y = Math.round((H - 2 - (H - 4) * Math.min(1, Math.max(0, value / (top || 1)))) * 10) / 10;
    // More than three seconds without a sample is a hole, not a line.
    const hole = !(at - before < 3500);
    if (hole) {
      end();
      begun = x;
    }
    d += (hole ? "M" : "L") + x + " " + y;
    fill += (hole ? "M" : "L") + x + " " + y;
    last = x;
    before = at;
  }
  end();
  mark(line, "d", d);
  mark(area, "d", fill);
}

/** Stretches of one state each over time, as a strip: up whole, down hatched, nothing else. */
export function strip() {
  const el = h("svg", { class: "strip", viewBox: "0 0 300 16", preserveAspectRatio: "none", "aria-hidden": "true" });
  const up = h("path", { class: "strip-up" });
  const down = h("path", { class: "strip-down" });
  el.append(up, down);
  return { el, draw: (samples, from, to) => drawStrip(up, down, samples, from, to) };
}

function drawStrip(up, down, samples, from, to) {
  let ups = "";
  let downs = "";
  let before = null;
  const x = (at) => (((at - from) / (to - from)) * 300).toFixed(2);
  let start = null;
  const end = (at) => {
    if (!start) return;
    const a = x(Math.max(from, start.mono));
    const b = x(at);
    if (start.link === "up") ups += `M${a} 3H${b}V13H${a}Z`;
    // Narrow and low: a shape of its own, not a colour alone.
    else if (start.link === "down") downs += `M${a} 10H${b}V13H${a}Z`;
    start = null;
  };
  for (const s of samples) {
    if (s.mono < from) continue;
    const hole = before && s.mono - before.mono > 3500;
    if (hole) end(before.mono);
    if (!start || start.link !== s.link) {
      end(s.mono);
      start = s;
    }
    before = s;
  }
  if (before) end(Math.min(to, before.mono + 1000));
  mark(up, "d", ups);
  mark(down, "d", downs);
}
