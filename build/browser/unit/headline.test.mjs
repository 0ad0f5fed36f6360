import assert from "node:assert/strict";
import { test } from "node:test";
import { headline } from "../../../edge/page/static/headline.js";
import { words } from "../../../edge/page/static/words.js";

const none = { onTime: 0, ended: 0, refused: 0, missed: 0, failed: 0 };
const some = (n, less = {}) => ({ ...none, onTime: n, ended: n, ...less });

/** Facts of a node on which nothing is wrong, changed as a test wants. */
function facts(change = {}) {
  return {
    agent: "live", silent: 0, said: "", restarted: null, known: true, daemon: true,
    policy: { governed: true, state: "current", version: 12 }, link: { up: true, for: 3.6e6, waiting: 0, held: false },
    classes: { urgent: some(40), normal: some(100), batch: some(3) },
    workloads: [{ ready: 2, wanted: 2, tool: false, name: "digits" }], draining: false, inside: 0, upstreams: [], warnings: 0, health: NaN, ...change,
  };
}

const says = (f, lang = "en") => {
  const head = headline(f);
  return head.tone + " | " + words(lang).sentences(head).join(" ").replace(/\u00a0/g, " ");
};

const cut = { up: false, for: 4 * 60_000 + 7000, waiting: 1203, held: false };
const refusing = { urgent: some(40), normal: some(88, { ended: 100, refused: 12 }), batch: none };

const cases = {
  healthy: [{}, "ok | All is well: deadlines are kept, 2 of 2 instances ready."],
  quiet: [{ classes: { urgent: none, normal: none, batch: none } }, "ok | All is well: no tasks came in the last minute, 2 of 2 instances ready."],
  "cut off": [{ link: cut }, "warn | Cut off from the fleet for 4 min: deadlines are kept, 1,203 entries wait to be sent."],
  "cut off a moment ago": [{ link: { ...cut, for: 3000, waiting: 0 } }, "note | Cut off from the fleet for 3 s: deadlines are kept, nothing waits to be sent."],
  overloaded: [{ classes: refusing }, "warn | Overloaded: 12 % of normal tasks refused in the last minute, urgent all on time."],
  "urgent tasks refused": [{ classes: { ...refusing, urgent: some(30, { ended: 40, refused: 10 }) } }, "bad | Overloaded: 25 % of urgent and 12 % of normal tasks refused in the last minute."],
  "cut off and overloaded": [{ link: cut, classes: refusing }, "warn | Overloaded: 12 % of normal tasks refused in the last minute, urgent all on time. Cut off from the fleet for 4 min: what was let in is answered in time, 1,203 entries wait to be sent."],
  late: [{ classes: { ...refusing, normal: some(97, { ended: 100, missed: 3 }) } }, "bad | Late: 3 normal tasks missed the deadline in the last minute."],
  "late and cut off": [{ link: cut, classes: { urgent: none, batch: none, normal: some(97, { ended: 100, missed: 3 }) } }, "bad | Late: 3 normal tasks missed the deadline in the last minute. Cut off from the fleet for 4 min: 97 % of what was let in was answered in time, 1,203 entries wait to be sent."],
  failing: [{ classes: { urgent: none, batch: none, normal: some(80, { ended: 100, failed: 20 }) } }, "bad | Models fail: 20 normal tasks failed in the last minute."],
  "no containerd": [{ daemon: false }, "bad | No word from containerd: what runs goes on answering, nothing can be started or restarted until it is back."],
  "no containerd from the start": [{ daemon: false, workloads: [] }, "bad | No word from containerd: no model can answer, nothing can be started or restarted until it is back."],
  "no policy": [{ policy: { governed: true, state: "none" }, workloads: [] }, "bad | No policy is in force: the node runs nothing and refuses every task until a signed policy comes."],
  "a developer’s node": [{ policy: { governed: false, state: "none" } }, "ok | All is well: deadlines are kept, 2 of 2 instances ready."],
  "lease ended": [{ policy: { governed: true, state: "degraded" } }, "warn | The policy’s lease has ended: what runs keeps running, new images and risky commands are refused."],
  "taken back": [{ policy: { governed: true, state: "previous", version: 11, failedVersion: 12 } }, "warn | Policy version 12 failed and was taken back; version 11 governs."],
  "nothing ready": [{ workloads: [{ ready: 0, wanted: 2, name: "digits" }], classes: refusing }, "bad | digits cannot answer: its tasks are refused at once."],
  "short of instances": [{ workloads: [{ ready: 1, wanted: 2, name: "digits" }] }, "warn | digits is short of instances: 1 of 2 ready."],
  draining: [{ draining: true, inside: 3, classes: refusing }, "warn | Draining: no new tasks are let in, 3 still inside."],
  upstream: [{ upstreams: ["plant"] }, "warn | plant is left alone, as it does not answer: its tasks are answered by the node as far as their routes allow."],
  "on trial": [{ workloads: [{ ready: 2, wanted: 2, name: "digits", trial: true }] }, "note | A new version of digits is on trial: deadlines are kept."],
  "the agent on trial": [{ self: { version: "1.5.0", trial: true, previous: "1.4.2" } }, "note | Version 1.5.0 of the agent is on trial: deadlines are kept."],
  "the agent on trial, not well": [{ self: { version: "1.5.0", trial: true, previous: "1.4.2", unwell: "containerd does not answer" } }, "warn | Version 1.5.0 of the agent is on trial and not well (containerd does not answer): if that lasts, version 1.4.2 runs again."],
  "the agent in rescue": [{ self: { version: "1.4.0", slot: "factory", rescue: "both slots are damaged" } }, "warn | The program that came with the node, 1.4.0, stands in for another version of the agent."],
  "the agent in a slot": [{ self: { version: "1.5.0", slot: "a" } }, "ok | All is well: deadlines are kept, 2 of 2 instances ready."],
  warnings: [{ warnings: 2 }, "note | The node does its work: deadlines are kept, 2 of 2 instances ready, 2 warnings below."],
  restarted: [{ restarted: { ago: 12_000, silent: 3000 } }, "note | The agent was restarted 12 s ago: nothing was heard from it for 3 s."],
  "restarted long ago": [{ restarted: { ago: 61_000, silent: 3000 } }, "ok | All is well: deadlines are kept, 2 of 2 instances ready."],
  gone: [{ agent: "lost", silent: 12_400 }, "bad | No word from the agent for 12 s; trying again. What is shown is from before."],
  "gone, with its words": [{ agent: "lost", silent: 12_400, said: "16 live streams are read already" }, "bad | The agent sends no data: 16 live streams are read already. Trying again."],
  first: [{ agent: "first", known: false }, "note | Connecting to the agent."],
};

for (const [name, [change, want]] of Object.entries(cases)) {
  test("headline: " + name, () => assert.equal(says(facts(change)), want));
}

test("headline: a share of a few is no share", () => {
  const few = { ...none, onTime: 3, ended: 4, refused: 1 };
  assert.match(says(facts({ classes: { urgent: none, batch: none, normal: few } })), /^ok/);
});

test("headline: everything at once names three things and counts the rest", () => {
  const head = headline(facts({ link: cut, classes: { ...refusing, urgent: some(30, { ended: 40, missed: 10 }) }, daemon: false, draining: false, upstreams: ["plant"], policy: { governed: true, state: "degraded" } }));
  assert.equal(head.tone, "bad");
  assert.equal(head.parts.length, 3);
  assert.equal(head.more, 3);
});

test("headline: says it in Chinese, too", () => {
  assert.equal(says(facts({ link: cut }), "zh"), "warn | 与机群断开已 4 分钟：截止时间都得到遵守，1,203 条记录等待发送。");
  assert.equal(says(facts({ classes: refusing }), "zh"), "warn | 过载：最近一分钟普通任务 12 % 被拒绝，紧急全部按时。");
});
