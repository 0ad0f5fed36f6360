// What runs: workloads, their instances, and what is being replaced.

import { each, find, h, mark, say, show } from "../dom.js";
import { readiness } from "../headline.js";
import { image } from "../format.js";
import { state } from "./governance.js";

const KEY = (w) => (w.workload.app ? w.workload.app + "/" : "") + w.workload.name;
const TONES = { ready: "ok", starting: "note", unready: "bad", suspended: "note", waiting: "note", backoff: "bad", stopping: "note", ended: "note", unknown: "warn" };
const PHASES = { trial: "note", canary: "note", paused: "warn", failed: "bad", "taken-back": "warn" };

export function renderWorkloads(page) {
  const list = page.node.status?.workloads;
  if (!list) return;
  show(find("runs-none"), list.length === 0);
  each(find("runs-body"), list, KEY, (x) => makeWorkload(KEY(x), page), (row, x) => updateWorkload(row, x, page));
}

function makeWorkload(key, page) {
  const r = { title: h("span", { class: "title" }), state: h("span", { class: "state" }), image: h("span", { class: "muted" }), more: h("span", { class: "muted" }), update: h("p", { class: "update" }), list: h("ul", { class: "instances" }) };
  const button = (word, act) => h("button", { type: "button", class: "small", onclick: act, "data-act": word });
  r.logs = button("logs", () => page.actions.logs(key));
  r.restart = button("restart", () => page.actions.restart(key));
  const header = h("header", {}, r.title, r.state, r.image, r.more, h("span", { class: "act" }, r.logs, r.restart));
  r.el = h("article", { class: "workload", "data-key": key }, header, r.update, r.list);
  return r;
}

function updateWorkload(r, x, page) {
  const { w } = page;
  const { ready, wanted, tool } = readiness(x);
  say(r.title, KEY(x));
  state(r.state, ready >= wanted ? "ok" : ready > 0 ? "warn" : "bad", tool ? w.t("pool", { warm: x.oneShot.warm, busy: x.oneShot.busy }) : ready + " / " + wanted + " " + w.t("readyN"));
  say(r.image, image(x.workload.image));
  const restarts = (x.instances ?? []).reduce((n, i) => n + (i.restarts ?? 0), 0);
  say(r.more, [restarts > 0 ? w.t("restartsN", { n: restarts }) : "", x.adjusted ? w.t("adjusted") : ""].filter(Boolean).join(" · "));
  for (const [el, word] of [[r.logs, "logs"], [r.restart, "restart"]]) {
    say(el, w.t(word));
    mark(el, "aria-label", w.t(word) + " " + KEY(x));
  }
  updateText(r.update, x, page);
  each(r.list, (x.instances ?? []).slice(0, 40), (i) => i.id, (i) => makeInstance(i, page), (row, i) => updateInstance(row, i, x, page));
}

function updateText(el, x, page) {
  const { w } = page;
  const u = x.update;
  show(el, Boolean(u));
  if (!u) return;
  const bits = [w.t("phase." + (u.phase === "trial" && !u.good ? "first" : u.phase), { share: u.canary?.share ?? 0 }) + ": " + image(u.image)];
  if (u.why) bits.push(u.why);
  const figure = (f) => ({ tasks: f?.tasks ?? 0, failed: f?.failed ?? 0, median: f?.medianNs ? w.span(f.medianNs / 1e6) : "–" });
  if (u.canary) bits.push(w.t("canaryNew", figure(u.canary.new)), w.t("canaryOld", figure(u.canary.old)));
  say(el, bits.join(" · "));
  mark(el, "class", "update " + (PHASES[u.phase] ?? "note"));
}

function makeInstance() {
  const r = { id: h("span", { class: "id" }), state: h("span", { class: "state" }), cpu: h("span", { class: "muted" }), memory: h("span", { class: "muted" }), since: h("span", { class: "muted" }), mark: h("span", { class: "muted" }), detail: h("span", { class: "detail" }) };
  r.el = h("li", {}, r.id, r.state, r.cpu, r.memory, r.since, r.mark, r.detail);
  return r;
}

function updateInstance(r, i, x, page) {
  const { node, w } = page;
  say(r.id, i.id);
  mark(r.id, "title", i.id);
  state(r.state, TONES[i.state] ?? "note", w.t("i." + i.state));
  const u = node.usageOf.get(i.id);
  say(r.cpu, Number.isFinite(u?.share) ? w.t("cpu") + " " + w.percent(u.share) : "");
  say(r.memory, u ? w.bytes(u.memory) + (u.limit ? " / " + w.bytes(u.limit) : "") : "");
  say(r.since, i.running && i.started ? w.t("since", { span: node.ageOf(i.started) }) : i.nextTry ? w.t("nextTry", { span: Math.max(0, Date.parse(i.nextTry) - node.clock.now()) }) : "");
  const canary = x.update?.canary && i.specHash === x.update.wanted;
  say(r.mark, [canary ? w.t("canary") : "", i.restarts > 0 && x.instances.length > 1 ? w.t("restartsN", { n: i.restarts }) : ""].filter(Boolean).join(" · "));
  say(r.detail, i.detail ?? "");
  show(r.detail, Boolean(i.detail));
}
