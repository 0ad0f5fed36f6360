// Events, models, servers elsewhere and tenants.

import { each, find, h, mark, say, show } from "../dom.js";
import { instant } from "../format.js";
import { state } from "./governance.js";

const SHOWN = 200; // rows of events in the document at once

const GROUPS = {
  kindTasks: (k) => k.startsWith("task-"),
  kindInstances: (k) => /^(instance|workloads|image|dependency|update|canary|containerd)-/.test(k),
  kindLink: (k) => /^(link|partition|upstream|command|message)-/.test(k),
  kindPolicy: (k) => /^(policy|root|lease)-/.test(k),
  kindWarnings: (k) => /^warning-/.test(k) || toneOf(k) !== "",
};

export function toneOf(kind) {
  if (/(-lost|-failed|-missed|-out-of-memory|-unready|-exited|containerd-lost)$/.test(kind)) return "bad";
  if (/(-refused|-evicted|-down|-rolled-back|warning-raised|lease-ended|partition-began)$/.test(kind)) return "warn";
  if (/(-back|-ready|link-up|partition-over|warning-cleared|-promoted|-passed|policy-in-force)$/.test(kind)) return "ok";
  return "";
}

/** Whether an event fits the group chosen and the words typed, wherever they stand. */
export function fits(event, group, words) {
  if (GROUPS[group] && !GROUPS[group](event.kind)) return false;
  if (!words.length) return true;
  const text = [event.kind, event.subject, event.cause, ...Object.entries(event.facts ?? {}).flat()].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

export function makeEvents(page) {
  const again = () => {
    page.eventsSeen = null;
    renderEvents(page);
  };
  find("event-filter").addEventListener("input", again);
  find("event-kind").addEventListener("change", again);
}

export function fillKinds(page) {
  each(find("event-kind"), ["allKinds", ...Object.keys(GROUPS)], (k) => k, (k) => ({ el: h("option", { value: k }) }), (row, k) => say(row.el, page.w.t(k)));
}

export function renderEvents(page) {
  const { node, w } = page;
  const last = node.events.at(-1);
  const mark_ = w.lang + node.events.length + "/" + (last ? last.seq + last.at : "");
  if (page.eventsSeen === mark_) return;
  page.eventsSeen = mark_;
  const group = find("event-kind").value;
  const words = find("event-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [...node.events].reverse();
  const some = all.filter((e) => fits(e, group, words));
  const none = find("events-none");
  show(none, some.length === 0);
  say(none, all.length === 0 ? w.t("noEvents") : w.t("noneMatch"));
  say(find("events-shown"), some.length < all.length ? w.t("eventsShown", { n: some.length, all: all.length }) : "");
  each(find("event-list"), some.slice(0, SHOWN), (e) => e.seq + " " + e.at, makeEvent, (row, e) => updateEvent(row, e, page));
}

function makeEvent() {
  const r = { time: h("time"), kind: h("span", { class: "kind" }), subject: h("span"), cause: h("span", { class: "cause" }) };
  r.el = h("li", {}, r.time, r.kind, h("span", { class: "what" }, r.subject, r.cause));
  return r;
}

function updateEvent(r, e, page) {
  const { w } = page;
  const at = instant(e.at);
  say(r.time, w.moment(at, page.node.clock.now(), w.lang));
  mark(r.time, "datetime", Number.isFinite(at) ? new Date(at).toISOString() : null);
  say(r.kind, e.kind);
  mark(r.kind, "class", "kind " + toneOf(e.kind));
  say(r.subject, e.subject);
  const facts = Object.entries(e.facts ?? {}).map(([k, v]) => k + "=" + v.replace(/^(sha256:)?([0-9a-f]{12})[0-9a-f]{20,}$/, "$2")).join(" ");
  say(r.cause, [e.cause, facts].filter(Boolean).map((x) => " · " + x).join(""));
}

export function makeTable(body, page, none) {
  const r = { head: h("tr"), rows: h("tbody"), none: h("p", { class: "muted" }) };
  r.table = h("table", {}, h("thead", {}, r.head), r.rows);
  body.append(r.none, r.table);
  return { ...r, empty: none, page };
}

function fill(table, heads, rows, page) {
  show(table.table, rows.length > 0);
  show(table.none, rows.length === 0);
  say(table.none, page.w.t(table.empty));
  each(table.head, heads, (x) => x, () => ({ el: h("th", { scope: "col" }) }), (row, x) => say(row.el, page.w.t(x)));
  each(table.rows, rows.slice(0, 60), (x) => x[0], () => ({ el: h("tr") }), (row, x) => {
    each(row.el, x.map((text, i) => [i, text]), (c) => c[0], () => ({ el: h("td") }), (cell, c) => say(cell.el, c[1]));
  });
}

export function renderModels(table, page) {
  const { node, w } = page;
  const ms = (ns) => (ns ? w.span(ns / 1e6) : "–");
  const rows = (node.status?.scheduler?.models ?? []).map((m) => [m.model, ms(m.estimateNs), ms(m.medianNs), ms(m.p99Ns), w.count(m.runs ?? 0), m.bias ? "× " + m.bias.toFixed(2) : "–"]);
  fill(table, ["model", "counted", "median", "p99", "runsN", "bias"], rows, page);
}

export function renderTenants(table, page) {
  const { node, w } = page;
  const rate = (r) => (r ? (typeof r === "object" ? Object.values(r).join("/") : String(r)) : "–");
  const rows = (node.status?.tenants ?? []).map((t) => [t.tenant, w.count(t.submitted), w.count(t.overQuota), w.count(t.denied), t.shut ? w.t("shut") : rate(t.rate)]);
  fill(table, ["tenant", "submitted", "overQuota", "denied", "rate"], rows, page);
}

const UPSTREAM = { up: "ok", down: "bad", probed: "note" };

export function renderRoutes(page) {
  const { node, w } = page;
  const list = node.status?.upstreams ?? [];
  const body = find("routes-body");
  const rows = list.length ? list : [null];
  each(body, rows, (u) => u?.name ?? "", (u) => makeRoute(u), (row, u) => {
    if (!u) return say(row.el, w.t("noRoutes"));
    say(row.name, u.name);
    state(row.state, UPSTREAM[u.state] ?? "note", w.t("u." + u.state));
    say(row.says, [u.since ? w.t("for", { span: node.ageOf(u.since) }) : "", w.t("answeredOf", { n: u.answered, all: u.asked }), u.spared ? w.t("spared", { n: u.spared }) : ""].filter(Boolean).join(" · "));
    say(row.error, u.state === "up" || !u.lastError ? "" : u.lastError);
    show(row.error, row.error.textContent !== "");
  });
}

function makeRoute(u) {
  if (!u) return { el: h("p", { class: "muted" }) };
  const r = { name: h("span", { class: "name" }), state: h("span", { class: "state" }), says: h("p", { class: "fine" }), error: h("p", { class: "fine" }) };
  r.el = h("div", { class: "entry" }, h("p", { class: "head" }, r.name, r.state), r.says, r.error);
  return r;
}
