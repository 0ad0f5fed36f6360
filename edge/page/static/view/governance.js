// What governs the node, which version of the agent does, and how it stands with its fleet.

import { each, h, mark, say, show } from "../dom.js";
import { instant } from "../format.js";
import { outbox } from "../headline.js";
import { strip } from "../plots.js";

/** A list of facts: [[name, value, class]]. What has no value is left out. */
export function facts(parent, rows) {
  const items = rows.filter((r) => r && r[1] !== "" && r[1] !== undefined && r[1] !== null).flatMap(([name, value, cls]) => [["dt", name, ""], ["dd", value, cls ?? "", name]]);
  each(parent, items, (x) => x[0] + (x[3] ?? x[1]), (x) => ({ el: h(x[0]) }), (row, x) => {
    say(row.el, x[1]);
    mark(row.el, "class", x[2] || null);
  });
}

/** A state in words, with a shape of its own beside the colour. */
export function state(el, tone, text) {
  mark(el, "class", "state " + tone);
  say(el, text);
}

export function makePolicy(body) {
  const row = { lead: h("p", { class: "lead" }), state: h("span", { class: "state" }), list: h("dl", { class: "facts" }), says: h("p", { class: "says warn" }) };
  row.stateLine = h("p", { class: "under" }, row.state);
  body.append(row.lead, row.stateLine, row.list, row.says);
  return row;
}

const TONES = { none: "bad", factory: "note", current: "ok", previous: "warn", degraded: "warn" };

export function renderPolicy(row, page) {
  const { node, w } = page;
  const p = node.status?.policy;
  if (!p) return;
  const has = Boolean(p.name);
  say(row.lead, !p.governed ? w.t("ungoverned") : !has ? w.t("noPolicyYet") : p.name + " · " + w.t("policyVersion", { v: p.version }));
  mark(row.lead, "class", p.governed ? "lead" : "muted");
  show(row.stateLine, p.governed);
  state(row.state, TONES[p.state] ?? "note", w.t("state." + p.state) + (p.trial ? " · " + w.t("onTrial") : ""));
  const ms = (ns) => (ns ?? 0) / 1e6;
  const lease = p.lease?.hours ? w.age(ms(p.leaseLeftNs)) + (p.leaseBootsLeft ? " · " + w.t("boots", { n: p.leaseBootsLeft }) : "") : w.t("noLease");
  facts(row.list, !p.governed || !has ? [] : [
    [w.t("inForce"), w.t("for", { span: p.ageNs ? ms(p.ageNs) : node.ageOf(p.since) })],
    [w.t("signedBy"), (p.signers ?? []).join(", ") || "–"],
    [w.t("leaseLeft"), lease, p.state === "degraded" ? "hot" : ""],
    [w.t("root"), p.root ? w.t("policyVersion", { v: p.root }) : ""],
    [w.t("digest"), (p.digest ?? "").replace("sha256:", "").slice(0, 16), "mono"],
  ]);
  const notes = [];
  if (p.failedVersion) notes.push(w.t("failedBefore", { v: p.failedVersion, why: p.failedWhy ?? "" }));
  if (has && p.kept === false) notes.push(w.t("notKept"));
  say(row.says, notes.join(" "));
  show(row.says, notes.length > 0);
}

/** What is said of a version that can be replaced: which it is, how it stands, and what became of others. */
function makeVersion(body, id) {
  const row = { name: h("h3"), lead: h("p", { class: "lead" }), state: h("span", { class: "state" }), list: h("dl", { class: "facts" }), says: h("p", { class: "says warn" }) };
  row.stateLine = h("p", { class: "under" }, row.state);
  row.el = h("div", { id }, row.name, row.lead, row.stateLine, row.list, row.says);
  row.el.toggleAttribute("hidden", true);
  body.append(row.el);
  return row;
}

export const makeAgent = (body) => makeVersion(body, "agent-version");
export const makeSystem = (body) => makeVersion(body, "system-version");

/** How the agent stands between its own versions; nothing where it cannot be updated. */
export function renderAgent(row, page) {
  const { node, w } = page;
  const a = node.status?.agent;
  show(row.el, Boolean(a?.slot));
  if (!a?.slot) return;
  say(row.name, w.t("ownVersion"));
  say(row.lead, w.t("version", { v: node.status.version }) + " · " + (a.slot === "factory" ? w.t("fromFactory") : w.t("fromSlot", { slot: a.slot })));
  const [tone, word] = a.rescue ? ["bad", "inRescue"] : a.trial ? [a.unwell ? "warn" : "note", "onTrial"] : ["ok", "inUse"];
  state(row.state, tone, w.t(word));
  facts(row.list, [...(a.trial ? trialOf(a, page) : []), underWay(a, w), lastUpdate(a.last, w)]);
  const notes = [a.rescue, a.trial ? a.unwell : ""].filter(Boolean);
  say(row.says, notes.join(" · "));
  show(row.says, notes.length > 0);
}

/** How the whole system below the agent stands; nothing where it cannot be replaced. */
export function renderSystem(row, page) {
  const { node, w } = page;
  const s = node.status?.system;
  show(row.el, Boolean(s));
  if (!s) return;
  say(row.name, w.t("wholeSystem"));
  say(row.lead, [s.version ? w.t("version", { v: s.version }) : w.t("noVersion"), s.slot ? w.t("fromSlot", { slot: s.slot }) : ""].filter(Boolean).join(" · "));
  state(row.state, s.trial ? "note" : "ok", w.t(s.trial ? "onTrial" : "inUse"));
  show(row.stateLine, !s.trouble);
  say(row.says, s.trouble);
  show(row.says, Boolean(s.trouble));
  facts(row.list, [
    systemUnderWay(s, w),
    s.waiting && !s.phase ? [w.t("nextStart"), w.t("version", { v: s.waiting }), "hot"] : null,
    lastUpdate(s.last && { ...s.last, result: s.last.runs ? "kept" : "left" }, w),
  ]);
}

function systemUnderWay(s, w) {
  if (s.phase !== "installing") return underWay(s, w);
  return underWay({ ...s, total: 0, origin: [w.percent((s.done ?? 0) / 100), s.origin].filter(Boolean).join(" · ") }, w);
}

function trialOf(a, { node, w }) {
  const left = instant(a.trialUntil) - node.clock.now();
  return [
    [w.t("keptIn"), a.unwell ? w.t("notWell") : Number.isFinite(left) ? w.age(Math.max(0, left)) : "", a.unwell ? "hot" : ""],
    [w.t("elseBack"), w.t("version", { v: a.previous ?? "–" })],
    [w.t("triesLeft"), w.count(a.triesLeft ?? 0)],
  ];
}

function underWay(a, w) {
  if (!a.phase) return null;
  const parts = [w.t("phase." + a.phase)];
  if (a.wanted) parts.push(w.t("version", { v: a.wanted }));
  if (a.total) parts.push(w.t("ofTotal", { done: w.bytes(a.done ?? 0), total: w.bytes(a.total) }));
  if (a.origin) parts.push(a.origin);
  return [w.t("update"), parts.join(" · ")];
}

function lastUpdate(last, w) {
  if (!last?.result) return null;
  const what = last.version ? w.t("version", { v: last.version }) + " · " : "";
  return [w.t("lastUpdate"), what + w.t("result." + last.result) + (last.why ? ": " + last.why : ""), last.result === "kept" ? "" : "hot"];
}

export function makeLink(body) {
  const row = { lead: h("p", { class: "lead" }), state: h("span", { class: "state" }), since: h("span", { class: "muted" }), strip: strip(), from: h("span"), legend: h("span"), to: h("span"), figures: h("div", { class: "figures" }), says: h("p", { class: "says warn" }), site: h("p", { class: "says" }) };
  row.box = h("div", { role: "img" }, row.strip.el);
  row.lead.append(row.state, " ", row.since);
  row.ends = h("p", { class: "ends" }, row.from, row.legend, row.to);
  row.none = h("p", { class: "muted" });
  body.append(row.none, row.lead, row.box, row.ends, row.figures, row.says, row.site);
  return row;
}

export function renderLink(row, page) {
  const { node, w } = page;
  if (!node.status) return;
  const l = node.status.link;
  for (const el of [row.lead, row.box, row.ends, row.figures]) show(el, Boolean(l));
  show(row.none, !l);
  say(row.none, w.t("noLink"));
  if (l) renderFleet(row, l, page);
  show(row.says, Boolean(l?.detail || l?.held));
  say(row.says, [l?.phase === "up" ? "" : l?.detail, l?.held ? w.t("held") : ""].filter(Boolean).join(" · "));
  show(row.says, row.says.textContent !== "");
  const site = node.status.site;
  show(row.site, Boolean(site));
  if (site) say(row.site, w.t("site") + ": " + (site.phase === "up" ? w.t("linkUp") : w.t("linkDown") + (site.detail ? " · " + site.detail : "")) + " · " + site.broker);
}

function renderFleet(row, l, page) {
  const { node, w } = page;
  const up = l.phase === "up";
  state(row.state, up ? "ok" : "bad", w.t(up ? "linkUp" : "linkDown"));
  say(row.since, w.t("for", { span: node.ageOf(l.since) }) + " · " + l.broker);
  const now = node.clock.mono();
  row.strip.draw(node.samples, now - 300_000, now);
  let ups = 0;
  let all = 0;
  for (const s of node.samples) {
    if (s.mono < now - 300_000) continue;
    all++;
    if (s.link === "up") ups++;
  }
  mark(row.box, "aria-label", w.t("timelineName", { up: w.percent(all ? ups / all : NaN) }));
  say(row.from, "−" + w.age(300_000));
  say(row.legend, "▮ " + w.t("up5") + "   ▂ " + w.t("down5"));
  say(row.to, w.t("now"));
  const budget = l.budget ? w.t("ofBudget", { used: w.bytes(l.bytes ?? 0), budget: w.bytes(l.budget) }) : w.t("unbounded", { used: w.bytes(l.bytes ?? 0) });
  const heard = node.ageOf(l.heard);
  const figures = [
    ["outbox", w.count(outbox(l)), w.t("outboxN")],
    ["heard", Number.isFinite(heard) ? w.t("ago", { span: heard }) : w.t("never"), w.t("heardN")],
    ["budget", budget, w.t("budget")],
  ];
  if (l.confirms) figures.push(["confirmed", w.count((l.streams ?? []).reduce((n, s) => n + (s.confirmed ?? 0), 0)), w.t("confirms")]);
  each(row.figures, figures, (f) => f[0], () => {
    const b = h("b");
    const span = h("span");
    return { el: h("p", { class: "figure" }, b, span), b, span };
  }, (r, f) => {
    say(r.b, f[1]);
    say(r.span, f[2]);
  });
}
