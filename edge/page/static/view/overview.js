// What is asked first: the sentence at the top, the warnings, and whether tasks are on
// time.

import { each, find, h, mark, say, show } from "../dom.js";
import { factsOf, headline } from "../headline.js";
import { plot } from "../plots.js";
import { CLASSES } from "../state.js";
import { instant } from "../format.js";

export function renderTop(page) {
  const { node, stream, w } = page;
  const s = node.status;
  say(find("node"), s?.node ?? node.hello?.node ?? "holdfast");
  const bits = [];
  const version = s?.version ?? node.hello?.version;
  if (version) bits.push(w.t("version", { v: version }));
  if (node.hello?.started) bits.push(w.t("up", { span: node.ageOf(node.hello.started) }));
  say(find("sub"), bits.join(" · "));
  const pulse = find("pulse");
  mark(pulse, "data-state", stream.state);
  say(find("pulse-text"), w.t(stream.state, { span: node.silentFor() }));
  const score = s?.health?.score;
  show(find("score"), Number.isFinite(score));
  if (Number.isFinite(score)) each(find("score"), [0, 1], (i) => i, (i) => ({ el: i ? h("b") : h("span") }), (row, i) => say(row.el, i ? Math.round(score) : w.t("health")));
  const stale = version && document.documentElement.dataset.version !== version && stream.state === "live";
  say(find("foot-note"), stale ? w.t("reload", { v: version }) : "");
  say(find("foot-time"), s ? w.t("nodeClock", { at: w.clockTime(node.clock.now()) }) : "");
}

export function renderHeadline(page) {
  const head = headline(factsOf(page.node, page.stream));
  const [first, ...rest] = page.w.sentences(head);
  mark(find("headline"), "data-tone", head.tone);
  // What counts up each second is not to be read out each second.
  const codes = head.parts.map((p) => p.lead).join();
  mark(find("headline"), "aria-live", codes === page.saidCodes ? "off" : "polite");
  page.saidCodes = codes;
  say(find("headline-lead"), first);
  if (head.more > 0) rest.push(page.w.t("h.more", { n: head.more }) + ".");
  show(find("headline-rest"), rest.length > 0);
  say(find("headline-rest"), rest.join(" "));
  document.title = (head.tone === "bad" ? "◆ " : head.tone === "warn" ? "▲ " : "") + (page.node.status?.node ?? "holdfast") + " · holdfast";
}

export function renderWarnings(page) {
  const { node, w } = page;
  const list = node.status?.warnings ?? [];
  show(find("warnings"), list.length > 0);
  each(find("warning-list"), list.slice(0, 50), (x) => x.code + " " + x.subject, () => {
    const code = h("span", { class: "code" });
    const text = h("span");
    const since = h("span", { class: "fine" });
    const remedy = h("p", { class: "remedy" });
    return { el: h("li", {}, h("p", { class: "detail" }, code, text), since, remedy), code, text, since, remedy };
  }, (row, x) => {
    say(row.code, x.code);
    say(row.text, x.subject && x.detail !== x.subject ? x.subject + ": " + x.detail : x.detail);
    say(row.since, w.t("sinceW", { span: node.ageOf(x.since) }));
    say(row.remedy, x.remedy ? w.t("remedy") + ": " + x.remedy : "");
    show(row.remedy, Boolean(x.remedy));
  });
}

export function renderClasses(page) {
  const { node } = page;
  const lately = node.lately();
  const reports = Object.fromEntries((node.status?.scheduler?.classes ?? []).map((c) => [c.class, c]));
  each(find("classes"), CLASSES, (c) => c, makeClass, (row, c) => updateClass(row, c, lately[c], reports[c], page));
}

function makeClass(c) {
  const name = h("span");
  const big = h("p", { class: "big" });
  const words = h("p", { class: "words" });
  const line = plot(c);
  const el = h("div", { class: "class", "data-class": c }, h("p", { class: "name" }, h("span", { class: "swatch " + c, "aria-hidden": "true" }), name), big, line.el, words);
  return { el, name, big, words, line };
}

function updateClass(row, c, now, report, page) {
  const { w, node } = page;
  say(row.name, w.t(c));
  const share = now.ended > 0 ? now.onTime / now.ended : NaN;
  say(row.big, now.ended > 0 ? w.percent(share, share < 1 ? 1 : 0) : w.t("nothingEnded"));
  mark(row.big, "class", "big" + (now.ended === 0 ? " none" : share >= 0.99 ? "" : now.missed + now.failed > 0 ? " bad" : " warm"));
  const settled = report?.settled ?? {};
  const all = ["completed", "missed", "refused", "evicted", "failed"].reduce((n, o) => n + (settled[o] ?? 0), 0);
  const words = [["", w.t("lastMinute") + (now.ended > 0 ? " · " + w.t("ofEnded", { n: now.ended }) : "")]];
  words.push(["", w.t("sinceStart") + " " + (all > 0 ? w.percent((settled.completed ?? 0) / all, 2) : "–")]);
  if (now.refused > 0) words.push(["warm", w.count(now.refused) + " " + w.t("refusedN")]);
  if (now.missed > 0) words.push(["hot", w.count(now.missed) + " " + w.t("lateN")]);
  if (now.failed > 0) words.push(["hot", w.count(now.failed) + " " + w.t("failedN")]);
  if (report?.waiting > 0) words.push(["", w.count(report.waiting) + " " + w.t("waitingN")]);
  each(row.words, words.map((x, i) => [i, ...x]), (x) => x[0], () => ({ el: h("span") }), (r, [, cls, text]) => {
    mark(r.el, "class", cls || null);
    say(r.el, text);
  });
  const points = rates(node, c);
  row.line.draw(points, node.clock.mono() - 300_000, node.clock.mono(), topOf(points));
}

const CALM = 10; // seconds that each point of a rate is the mean of

/** Tasks ended a second, of one class, over time. */
function rates(node, c) {
  const out = [];
  const n = node.samples.length;
  for (let i = 1; i < n; i++) {
    const s = node.samples.at(i);
    const before = node.samples.at(Math.max(0, i - CALM));
    const took = (s.mono - before.mono) / 1000;
    if (s.epoch !== before.epoch || took > CALM * 2) continue;
    const ended = (s.ended?.[c]?.[1] ?? 0) - (before.ended?.[c]?.[1] ?? 0);
    out.push([s.mono, Math.max(0, ended) / Math.max(1, took)]);
  }
  return out;
}

const topOf = (points) => points.reduce((most, p) => Math.max(most, p[1]), 0.5) * 1.15;

export function renderQueue(page) {
  const { node, w } = page;
  const list = node.waiting.slice(0, 9);
  show(find("waiting-none"), node.waitingTotal === 0);
  const rows = list.map((t) => ({ ...t, key: t.id }));
  if (node.waitingTotal > list.length) rows.push({ key: "more", more: node.waitingTotal - list.length });
  each(find("waiting-list"), rows, (t) => t.key, (t) => {
    const swatch = h("span", { class: "swatch " + (t.class ?? ""), "aria-hidden": "true" });
    const what = h("span", { class: "what" });
    const due = h("span", { class: "due" });
    return { el: h("li", {}, t.more ? null : swatch, what, due), what, due };
  }, (row, t) => {
    if (t.more) return say(row.what, w.t("andMore", { n: t.more }));
    say(row.what, t.model + " · " + w.t(t.class));
    const left = instant(t.deadline) - node.clock.now();
    say(row.due, !Number.isFinite(left) ? w.t("noDeadline") : left < 0 ? w.t("overdue") : w.t("due", { span: w.span(left) }));
  });
  const unseen = node.unseen();
  show(find("skipped"), unseen > 0);
  say(find("skipped"), w.t("skipped", { n: unseen }));
}
