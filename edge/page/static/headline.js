// One sentence on what is wrong and what it means. Pure: facts in, words out; what a
// fact is called in which language is words.js's matter.

import { CLASSES } from "./state.js";

// A share of tasks that is worth a word, and how many there must have been to speak of
// a share at all.
const WORTH = 0.01;
const ENOUGH = 5;

/** What the headline needs to know, out of everything the page knows. */
export function factsOf(node, link = { state: "live" }) {
  const s = node.status;
  const facts = {
    agent: link.state, // first, live, silent or lost
    silent: node.silentFor(),
    said: link.said ?? "",
    restarted: node.restarted ? { ago: node.clock.mono() - node.restarted.at, silent: node.restarted.silent } : null,
    known: Boolean(s),
  };
  if (!s) return facts;
  const wanted = (s.workloads ?? []).map((w) => ({ ...readiness(w), name: w.workload.name, trial: Boolean(w.update?.good) && ["trial", "canary"].includes(w.update.phase) }));
  return {
    ...facts,
    daemon: s.containerd?.connected !== false,
    policy: s.policy ?? { governed: false, state: "none" },
    leaseLeft: (s.policy?.leaseLeftNs ?? 0) / 1e6,
    link: s.link ? { up: s.link.phase === "up", for: node.ageOf(s.link.since), waiting: outbox(s.link), held: Boolean(s.link.held) } : null,
    classes: node.lately(),
    workloads: wanted,
    draining: Boolean(s.draining || s.scheduler?.draining),
    inside: (s.scheduler?.running ?? 0) + (s.scheduler?.waiting ?? 0),
    upstreams: (s.upstreams ?? []).filter((u) => u.state === "down").map((u) => u.name),
    warnings: (s.warnings ?? []).length,
    self: { version: s.version, ...s.agent },
    health: s.health?.low ? s.health.score : NaN,
  };
}

export function readiness(w) {
  const pool = w.oneShot;
  if (pool) return { ready: pool.warm + pool.busy, wanted: pool.target, tool: true };
  return { ready: w.ready ?? 0, wanted: w.workload.replicas ?? 1, tool: false };
}

export function outbox(link) {
  return (link?.streams ?? []).reduce((n, s) => n + (s.waiting ?? 0), 0);
}

/**
 * The headline: {tone: ok|note|warn|bad, parts: [{lead, says: [{word, with}]}]}. The
 * parts are in the order of what presses most; words.js makes a sentence of them.
 */
export function headline(f) {
  if (f.agent === "first") return whole("note", "first");
  if (f.agent !== "live") return whole("bad", f.said ? "gone-said" : f.known ? "gone" : "gone-unknown", { span: f.silent, said: f.said });
  if (!f.known) return whole("note", "first");
  const parts = [noPolicy(f), notReady(f), late(f), overloaded(f), failing(f), cutOff(f), noDaemon(f), lease(f), rolledBack(f), draining(f), upstream(f), unwell(f), ownVersion(f)].filter(Boolean);
  parts.sort((a, b) => rank(b.tone) - rank(a.tone));
  if (parts.length === 0) parts.push(restarted(f) ?? ownTrial(f) ?? trial(f) ?? well(f));
  else if (restarted(f)) parts.push(restarted(f));
  return { tone: parts[0].tone, parts: parts.slice(0, 3), more: Math.max(0, parts.length - 3) };
}

const rank = (tone) => ["ok", "note", "warn", "bad"].indexOf(tone);
const whole = (tone, lead, vars = {}) => ({ tone, parts: [part(tone, lead, vars)], more: 0 });
const part = (tone, lead, vars = {}, says = []) => ({ tone, lead, with: vars, says: says.filter(Boolean) });
const word = (name, vars = {}) => ({ word: name, with: vars });

/** Whether what was let in was answered in time: what a person wants to hear first. */
function kept(f) {
  const all = CLASSES.map((c) => f.classes[c]);
  const sum = (what) => all.reduce((n, c) => n + c[what], 0);
  if (sum("ended") === 0) return word("no-tasks");
  const late = sum("missed");
  if (late === 0) return word(overloaded(f) ? "deadlines-kept-in" : "deadlines-kept");
  return word("deadlines-share", { share: sum("onTime") / (sum("onTime") + late) });
}

function cutOff(f) {
  if (!f.link || f.link.up) return null;
  return part(f.link.for < 10_000 ? "note" : "warn", "cut-off", { span: f.link.for }, [
    kept(f),
    f.link.waiting > 0 ? word("entries-wait", { n: f.link.waiting }) : word("nothing-waits"),
  ]);
}

/** What was turned away or given up for want of time, of what was asked for. */
function overloaded(f) {
  // Then there is another reason why tasks are refused, and it is said.
  if (f.draining || noPolicy(f) || notReady(f)?.tone === "bad" || (!f.daemon && f.workloads.every((w) => w.ready === 0))) return null;
  const hit = CLASSES.filter((c) => f.classes[c].ended >= ENOUGH && away(f.classes[c]) >= WORTH);
  if (hit.length === 0) return null;
  const says = [word("refused", { hit: hit.map((c) => ({ class: c, share: away(f.classes[c]) })) })];
  const fine = CLASSES.filter((c) => !hit.includes(c) && f.classes[c].ended > 0 && f.classes[c].onTime === f.classes[c].ended);
  if (fine.length > 0) says.push(word("class-on-time", { classes: fine }));
  return part(hit.includes("urgent") ? "bad" : "warn", "overloaded", {}, says);
}

const away = (c) => c.refused / Math.max(1, c.ended);
const lateShare = (c) => c.missed / Math.max(1, c.onTime + c.missed);
const isLate = (c) => c.missed > 0 && lateShare(c) >= WORTH;

function late(f) {
  const hit = CLASSES.filter((c) => isLate(f.classes[c]));
  if (hit.length === 0) return null;
  return part("bad", "late", {}, [word("missed", { hit: hit.map((c) => ({ class: c, n: f.classes[c].missed })) })]);
}

function failing(f) {
  const hit = CLASSES.filter((c) => f.classes[c].failed >= ENOUGH && f.classes[c].failed / f.classes[c].ended >= WORTH);
  if (hit.length === 0) return null;
  return part("bad", "failing", {}, [word("failed", { hit: hit.map((c) => ({ class: c, n: f.classes[c].failed })) })]);
}

function noDaemon(f) {
  if (f.daemon) return null;
  const some = f.workloads.some((w) => w.ready > 0);
  return part("bad", "no-containerd", {}, [word(some ? "models-answer" : "nothing-runs"), word("nothing-starts")]);
}

function noPolicy(f) {
  return f.policy.governed && f.policy.state === "none" ? part("bad", "no-policy", {}, [word("nothing-allowed")]) : null;
}

function lease(f) {
  return f.policy.state === "degraded" ? part("warn", "lease-ended", {}, [word("runs-on"), word("risky-refused")]) : null;
}

function rolledBack(f) {
  if (f.policy.state !== "previous") return null;
  return part("warn", "policy-back", { failed: f.policy.failedVersion ?? 0, version: f.policy.version ?? 0 });
}

function notReady(f) {
  if (!f.daemon) return null;
  const gone = f.workloads.filter((w) => !w.tool && w.wanted > 0 && w.ready === 0);
  const few = f.workloads.filter((w) => !w.tool && w.ready > 0 && w.ready < w.wanted);
  if (gone.length > 0) return part("bad", "not-ready", { names: gone.map((w) => w.name) }, [word("not-ready-means")]);
  if (few.length > 0) return part("warn", "few-ready", { names: few.map((w) => w.name) }, few.map((w) => word("ready-of", { name: w.name, ready: w.ready, wanted: w.wanted })));
  return null;
}

function draining(f) {
  return f.draining ? part("warn", "draining", {}, [word("inside", { n: f.inside })]) : null;
}

function upstream(f) {
  return f.upstreams.length > 0 ? part("warn", "upstream-down", { names: f.upstreams }, [word("answered-here")]) : null;
}

function unwell(f) {
  return Number.isFinite(f.health) ? part("warn", "health-low", { score: f.health }) : null;
}

function restarted(f) {
  return f.restarted && f.restarted.ago < 60_000 ? part("note", "restarted", { span: f.restarted.ago }, [word("silence", { span: f.restarted.silent })]) : null;
}

/** A version of the agent itself that cannot stay as it is. */
function ownVersion(f) {
  if (f.self?.rescue) return part("warn", "agent-rescue", { version: f.self.version });
  if (!f.self?.trial || !f.self.unwell) return null;
  return part("warn", "agent-unwell", { version: f.self.version, why: f.self.unwell }, [word("goes-back", { version: f.self.previous ?? "" })]);
}

function ownTrial(f) {
  return f.self?.trial ? part("note", "agent-trial", { version: f.self.version }, [kept(f)]) : null;
}

function trial(f) {
  const w = f.workloads.find((w) => w.trial); // a first version has none to go back to
  return w ? part("note", "updating", { name: w.name }, [kept(f)]) : null;
}

function well(f) {
  const ready = f.workloads.reduce((n, w) => n + Math.min(w.ready, w.wanted), 0);
  const wanted = f.workloads.reduce((n, w) => n + w.wanted, 0);
  const tail = wanted > 0 ? word("all-ready", { ready, wanted }) : word("no-workloads");
  if (f.warnings > 0) return part("note", "works", {}, [kept(f), tail, word("see-warnings", { n: f.warnings })]);
  const ended = CLASSES.reduce((n, c) => n + f.classes[c].ended, 0);
  return ended > 0 ? part("ok", "well", {}, [kept(f), tail]) : part("ok", "quiet", {}, [word("no-tasks"), tail]);
}
