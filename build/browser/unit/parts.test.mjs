import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../../edge/page/static/clock.js";
import { age, bytes, clockTime, image, instant, percent, span } from "../../../edge/page/static/format.js";
import { Bars, Names, Ring } from "../../../edge/page/static/rings.js";
import { sample, write } from "../../../edge/page/static/sample.js";
import { Node } from "../../../edge/page/static/state.js";
import { LANGUAGES, choose } from "../../../edge/page/static/words.js";
import { fits, toneOf } from "../../../edge/page/static/view/lists.js";

const plain = (s) => s.replace(/\u00a0/g, " ");
const iso = (ms) => new Date(ms).toISOString();

test("format: shares are never rounded to all or nothing", () => {
  for (const [share, digits, want] of [[1, 0, "100 %"], [0.9999, 0, "99 %"], [0.99999, 2, "99.99 %"], [0.0001, 0, "1 %"], [0, 1, "0 %"], [0.123, 0, "12 %"], [NaN, 0, "–"]]) {
    assert.equal(plain(percent(share, digits)), want);
  }
});

test("format: spans", () => {
  for (const [ms, want] of [[-5, "0 ms"], [0.25, "0.25 ms"], [45.2, "45 ms"], [1200, "1.2 s"], [12_000, "12 s"], [119_000, "119 s"], [247_000, "4 min"], [3.6e6, "1 h"], [5.4e6, "1 h 30 min"], [3e8, "3 d"], [NaN, "–"]]) {
    assert.equal(plain(span(ms)), want);
  }
  assert.equal(plain(age(1900)), "1 s");
});

test("format: bytes, times, images", () => {
  assert.equal(plain(bytes(1536)), "1.5 KiB");
  assert.equal(plain(bytes(3 << 20)), "3.0 MiB");
  assert.equal(clockTime(NaN), "–");
  assert.ok(Number.isNaN(instant("0001-01-01T00:00:00Z")), "Go's zero time is none");
  assert.equal(image("registry.example/line/digits:1.8@sha256:0123456789abcdef"), "line/digits:1.8");
  assert.equal(image("registry.example/digits@sha256:0123456789abcdef"), "digits@0123456789ab");
});

test("rings: the latest, oldest first", () => {
  const r = new Ring(3);
  for (let i = 1; i <= 7; i++) r.push(i);
  assert.deepEqual([...r], [5, 6, 7]);
  assert.equal(r.at(-1), 7);
  assert.equal(r.at(3), undefined);
  const b = new Bars(4);
  for (let i = 0; i < 9; i++) b.push(0, i, i + 1, NaN, 0, 0, 0);
  assert.equal(b.from[b.latest(0)], 8);
  assert.equal(b.from[b.latest(3)], 5);
  const n = new Names(3);
  assert.deepEqual(["a", "b", "c", "a"].map((x) => n.number(x)), [1, 2, 0, 1]);
});

test("clock: a step is seen when two looks agree, and what was kept stays where it is", () => {
  let mono = 1000;
  const c = new Clock(() => mono);
  c.see(1_700_000_001_000);
  const kept = c.placeOf(iso(1_699_999_941_000), instant);
  assert.equal(mono - kept, 60_000);
  mono += 1000;
  assert.equal(c.see(1_700_000_002_000 + 3.6e6), 0, "one look may be a late message");
  mono += 1000;
  assert.equal(c.see(1_700_000_003_000 + 3.6e6), 3.6e6);
  assert.equal(mono - c.placeOf(iso(1_699_999_941_000), instant), 62_000, "its age has grown by two seconds, not by an hour");
  assert.equal(c.now(), 1_700_000_003_000 + 3.6e6);
});

test("clock: a late message is no step", () => {
  let mono = 0;
  const c = new Clock(() => mono);
  c.see(10_000);
  mono = 6000;
  assert.equal(c.see(11_000), 0);
  mono = 7000;
  assert.equal(c.see(17_000), 0);
  assert.equal(c.steps.length, 0);
});

/** A node that has been told a little, by a clock of the test's own. */
function told() {
  const at = { mono: 5000 };
  const node = new Node(() => at.mono);
  const wall = (back = 0) => iso(1_700_000_000_000 + at.mono - back);
  node.take("hello", { node: "n", pid: 1, started: wall(1e6), version: "1" });
  return { at, node, wall };
}

const sampleAt = (at, onTime, ended, link = "up") => ({ at, link, ended: { urgent: [0, 0], normal: [onTime, ended, ended - onTime, 0], batch: [0, 0] } });

test("state: rates come from cumulative counts, over a restart too", () => {
  const { at, node, wall } = told();
  node.take("sample", sampleAt(wall(), 100, 100));
  at.mono += 1000;
  node.take("sample", sampleAt(wall(), 108, 110));
  assert.deepEqual([node.lately().normal.onTime, node.lately().normal.ended], [8, 10]);
  assert.deepEqual([node.lately().normal.refused, node.lately().normal.failed], [2, 0]);
  at.mono += 1000;
  node.take("hello", { node: "n", pid: 2, started: wall(), version: "1" });
  node.take("sample", sampleAt(wall(), 3, 3));
  assert.deepEqual([node.lately().normal.onTime, node.lately().normal.ended], [11, 13]);
  at.mono += 61_600;
  node.take("sample", sampleAt(wall(), 3, 3));
  assert.deepEqual([node.lately().normal.onTime, node.lately().normal.ended], [0, 0], "what is older than a minute is not of the last minute");
});

const task = (id, more = {}) => ({ id, model: "digits", class: "normal", state: "running", slot: 0, ...more });

test("state: a task is a bar with its deadline; halted it is another piece", () => {
  const { at, node, wall } = told();
  node.take("sample", sampleAt(wall(), 0, 0));
  node.take("tasks", { running: [task("a", { arrived: wall(200), started: wall(100), deadline: wall(-400) })] });
  const a = node.open.get("a");
  assert.deepEqual([at.mono - a.from, a.due - at.mono], [100, 400]);
  at.mono += 200;
  node.take("tasks", { running: [task("a", { state: "suspended", arrived: wall(400), started: wall(300), deadline: wall(-200) })] });
  assert.equal(node.bars.length, 1);
  at.mono += 300;
  node.take("tasks", { running: [], ended: [task("a", { state: "missed", slot: 0, arrived: wall(700), started: wall(600), deadline: wall(100), computeNs: 600e6 })] });
  assert.equal(node.open.size, 0);
  const last = node.bars.latest(0);
  assert.equal(node.bars.length, 2);
  assert.equal(node.bars.flags[last], 1 | 4, "late, and the piece in which it was halted");
  assert.ok(node.bars.to[last] <= at.mono);
});

test("state: a restart is noticed, its silence kept, and what ran is cut", () => {
  const { at, node, wall } = told();
  node.take("tasks", { running: [task("a", { started: wall(10) })] });
  at.mono += 4000;
  node.take("hello", { node: "n", pid: 7, started: wall(), version: "1" });
  assert.equal(node.restarted.silent, 4000);
  assert.deepEqual([...node.gaps].map((g) => [g.to - g.from, g.restarted]), [[4000, true]]);
  assert.equal(node.open.size, 0);
  assert.equal(node.bars.flags[node.bars.latest(0)], 8);
});

test("state: the same agent again is a gap and no restart", () => {
  const { at, node } = told();
  const hello = node.hello;
  at.mono += 2000;
  node.take("hello", { ...hello });
  assert.equal(node.restarted, null);
  assert.equal(node.gaps.length, 1);
});

test("state: events are kept once", () => {
  const { node, wall } = told();
  for (let round = 0; round < 2; round++) {
    for (let seq = 1; seq <= 700; seq++) node.take("event", { seq, at: "t" + seq, kind: "task-missed", subject: "x" });
  }
  assert.equal(node.events.length, 500);
  assert.ok(node.seen.size <= 501);
  void wall;
});

test("state: first tasks of a stream are no flood, later ones are", () => {
  const { node } = told();
  node.take("tasks", { ended: [], endedSkipped: 90_000 });
  assert.equal(node.unseen(), 0);
  node.take("tasks", { ended: [], endedSkipped: 50 });
  assert.equal(node.unseen(), 50);
});

test("state: what instances use is a share of the time between two looks", () => {
  const { at, node } = told();
  const look = (cpuNs) => node.takeUsage([{ instances: [{ id: "a", usage: { cpuNs, memory: 5 } }, { id: "b" }] }]);
  look(1e9);
  assert.ok(Number.isNaN(node.usageOf.get("a").share));
  at.mono += 2000;
  look(2e9);
  assert.deepEqual([node.usageOf.get("a").share, node.usageOf.get("a").memory, node.usageOf.size], [0.5, 5, 1]);
  look(1e6);
  assert.ok(Number.isNaN(node.usageOf.get("a").share), "a process that was started anew");
});

test("state: ages are never negative", () => {
  const { node, wall } = told();
  node.take("sample", sampleAt(wall(), 0, 0));
  assert.equal(node.ageOf(wall(-60_000)), 0);
  assert.ok(Number.isNaN(node.ageOf(undefined)));
});

test("state: ten minutes at a thousand tasks a second stay small", () => {
  const { at, node, wall } = told();
  const load = (n) => {
    for (let k = 0; k < n; k++) {
      at.mono += 250;
      const ended = Array.from({ length: 200 }, (_, i) => task("t" + at.mono + "-" + i, { state: i % 10 ? "completed" : "refused", arrived: wall(200), started: i % 10 ? wall(100) : undefined, deadline: wall(-100), computeNs: 1e6, queueNs: 1e6 }));
      node.take("tasks", { running: [task("r" + at.mono, { started: wall(1) })], waiting: [], waitingTotal: 0, ended, endedSkipped: 50 });
      if (k % 4 === 0) node.take("sample", sampleAt(wall(), k * 250, k * 250));
    }
  };
  const sizes = () => [node.bars.length, node.turnedAway.length, node.samples.length, node.events.length, node.open.size, node.names.list.length, node.clock.places.size].map((n) => n);
  load(2400);
  const after = sizes();
  load(400);
  assert.deepEqual(sizes(), after);
  assert.ok(Math.max(...after) <= 8192);
});

test("sample: what a model says of itself becomes a request", () => {
  const zero = sample({ name: "weld", inputs: [{ name: "frame", datatype: "UINT8", shape: [-1, 2, 2] }, { name: "note", datatype: "BYTES", shape: [1] }, { name: "on", datatype: "BOOL", shape: [1] }] });
  assert.equal(zero.real, false);
  assert.deepEqual(zero.body.inputs.map((i) => [i.shape, i.data]), [[[1, 2, 2], [0, 0, 0, 0]], [[1], [""]], [[1], [false]]]);
  const real = sample({ name: "digits", inputs: [{ name: "pixels", datatype: "FP32", shape: [-1, 64] }] });
  assert.equal(real.real, true);
  assert.equal(real.body.inputs[0].data.length, 64);
  assert.deepEqual(JSON.parse(write(real.body)), real.body);
  assert.equal(sample({ name: "digits", inputs: [{ name: "pixels", datatype: "FP32", shape: [-1, 65] }] }).real, false, "another model of that name");
});

test("words: both languages have the same, with the same blanks", () => {
  const blanks = (entry) => (typeof entry === "function" ? "" : [...entry.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort().join());
  const [en, zh] = [LANGUAGES.en, LANGUAGES.zh];
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const key of Object.keys(en)) {
    if (typeof en[key] === "function" || typeof zh[key] === "function") continue;
    assert.equal(blanks(zh[key]), blanks(en[key]), key);
  }
});

test("words: the language is chosen by what was chosen before, then by the browser", () => {
  assert.equal(choose(["fr", "zh-CN"], ""), "zh");
  assert.equal(choose(["zh-CN"], "en"), "en");
  assert.equal(choose(["fr"], "xx"), "en");
});

test("lists: events are found by group and by words", () => {
  const e = { kind: "instance-exited", subject: "line-weld-1", cause: "ended by SIGSEGV", facts: { code: "139" } };
  assert.ok(fits(e, "kindInstances", ["weld", "139"]));
  assert.ok(!fits(e, "kindTasks", []));
  assert.ok(!fits(e, "allKinds", ["digits"]));
  assert.deepEqual(["instance-exited", "task-refused", "link-up", "agent-started"].map(toneOf), ["bad", "warn", "ok", ""]);
});
