// What the node measures about itself, each with its last five minutes.

import { each, find, h, say, show } from "../dom.js";
import { plot } from "../plots.js";

const WIDTH = 300_000;

export function renderVitals(page) {
  const { node, w } = page;
  const v = node.status?.vitals;
  if (!v) return;
  const last = node.samples.at(-1) ?? {};
  const total = v.memoryTotal || 1;
  const hot = last.temperature ?? v.temperature;
  const rows = [
    ["cpuAll", w.percent(last.cpu ?? v.cpu), (s) => s.cpu, 1],
    ["memoryAll", w.bytes(last.memoryUsed ?? v.memoryUsed) + " / " + w.bytes(total), (s) => s.memoryUsed / total, 1],
    ["temperature", hot ? hot.toFixed(0) + "\u00a0°C" : w.t("noSensor"), hot ? (s) => s.temperature : null, 100],
    ["disk", w.t("free", { n: w.bytes(v.diskFree) }) + " / " + w.bytes(v.diskTotal), null, 1],
    ["agent", w.bytes(last.agentRss ?? v.agentRss) + " · " + w.t("ofCore", { n: w.percent(last.agentCpu ?? 0, 1) }), (s) => s.agentCpu, 0],
  ];
  const score = node.status.health;
  if (score) rows.push(["score", String(Math.round(score.score)), null, 1, w.t("scoreOf", { cpu: w.percent(score.cpu / 100), memory: w.percent(score.memory / 100), errors: w.percent(score.errorRate / 100, 1), latency: w.span((score.latencyNs ?? 0) / 1e6) })]);
  each(find("vitals-body"), rows, (r) => r[0], makeVital, (row, r) => updateVital(row, r, node, w));
}

function makeVital(r) {
  const row = { name: h("span", { class: "name" }), value: h("b"), line: plot(""), fine: h("span", { class: "fine" }) };
  row.el = h("div", { class: "vital", "data-vital": r[0] }, row.name, row.value, row.line.el, row.fine);
  return row;
}

function updateVital(row, [name, value, of, top, fine], node, w) {
  say(row.name, w.t(name));
  say(row.value, value);
  say(row.fine, fine ?? "");
  show(row.fine, Boolean(fine));
  row.line.el.toggleAttribute("hidden", !of);
  if (!of) return;
  const now = node.clock.mono();
  const points = [];
  let most = 0;
  for (const s of node.samples) {
    const y = of(s);
    points.push([s.mono, y]);
    if (y > most) most = y;
  }
  row.line.draw(points, now - WIDTH, now, top || Math.max(0.02, most * 1.2));
}
