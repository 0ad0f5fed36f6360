// What the page knows of the node, and how each message changes it. No document, no
// network: this runs in node's test runner as it runs in a browser.

import { Clock } from "./clock.js";
import { Bars, Names, Ring, LATE, FAILED, HALTED, CUT } from "./rings.js";
import { instant } from "./format.js";

export const CLASSES = ["urgent", "normal", "batch"];
const MINUTE = 60_000;

// How much is kept: ten minutes of seconds, half a minute of bars at 250 tasks a
// second, the events of a busy hour.
const SAMPLES = 600;
const BARS = 8192;
const EVENTS = 500;

export class Node {
  constructor(mono) {
    this.clock = new Clock(mono);
    this.hello = null;
    this.status = null;
    this.samples = new Ring(SAMPLES); // {mono, …sample}
    this.bars = new Bars(BARS);
    this.names = new Names(4096);
    this.open = new Map(); // running tasks by id: {parts, …}
    this.waiting = [];
    this.waitingTotal = 0;
    this.notListed = 0; // ended tasks the agent did not list, lately
    this.notListedAt = -Infinity;
    this.blind = -Infinity; // until when bars are missing, as the agent listed the latest alone
    this.greeted = false; // the first tasks of a stream tell of a past that nobody watched
    this.turnedAway = new Bars(1024); // refused or evicted: an instant each
    this.events = new Ring(EVENTS);
    this.seen = new Set(); // keys of the events kept
    this.gaps = new Ring(16); // {from, to, restarted}: no word from the agent
    this.heard = NaN; // when the last message came
    this.restarted = null; // {at, silent}: when another agent answered
    this.usageOf = new Map(); // instances: {cpu, mono, share, memory, limit}
    this.changed = 0; // grows with every message
  }

  /** Takes one message of the stream. */
  take(kind, data) {
    const mono = this.clock.mono();
    if (kind === "hello") this.takeHello(data, mono);
    else if (kind === "history") this.takeHistory(data, mono);
    else if (kind === "sample") this.takeSample(data, mono);
    else if (kind === "status") this.takeStatus(data);
    else if (kind === "tasks") this.takeTasks(data, mono);
    else if (kind === "event") this.takeEvent(data);
    this.heard = mono;
    this.changed++;
  }

  countUnseen(n, mono, oldest) {
    if (this.greeted && n > 0) {
      if (mono - this.notListedAt > MINUTE) this.notListed = 0;
      this.notListed += n;
      this.notListedAt = mono;
    }
    if (!this.greeted && n > 0) this.blind = this.within(oldest?.started ?? oldest?.arrived, mono);
    this.greeted = true;
  }

  /** How many tasks ended lately that the agent did not list one by one. */
  unseen() {
    return this.clock.mono() - this.notListedAt < MINUTE ? this.notListed : 0;
  }

  takeHello(hello, mono) {
    this.greeted = false;
    const before = this.hello;
    const other = before && (before.pid !== hello.pid || before.started !== hello.started);
    if (before) {
      this.gaps.push({ from: this.heard, to: mono, restarted: Boolean(other) });
      this.clock.forget();
    }
    if (other) {
      this.restarted = { at: mono, silent: Math.max(0, mono - this.heard) };
      this.usageOf.clear();
    }
    if (before) this.abandon(this.heard);
    this.hello = hello;
  }

  takeHistory(history, mono) {
    const list = history.samples ?? [];
    const last = list[list.length - 1];
    // The newest is at most a second old; it places the others.
    if (last) this.clock.see(instant(last.at), mono);
    const have = this.samples.at(-1)?.mono ?? -Infinity;
    const epoch = this.hello?.started;
    for (const s of list) {
      const at = this.clock.place(instant(s.at));
      if (Number.isFinite(at) && at > have + 500) this.samples.push({ ...s, mono: at, epoch });
    }
  }

  takeSample(sample, mono) {
    this.clock.see(instant(sample.at), mono);
    const have = this.samples.at(-1)?.mono ?? -Infinity;
    // By the monotonic clock, so that a node whose clock goes back goes on here.
    const at = Math.max(Math.min(this.clock.place(instant(sample.at)), mono), have + 1);
    this.samples.push({ ...sample, mono: Math.abs(at - mono) < 2000 ? at : mono, epoch: this.hello?.started });
  }

  takeStatus(status) {
    this.status = status;
  }

  /** What the instances use, which the stream does not tell: measuring is asked for apart. */
  takeUsage(workloads, mono = this.clock.mono()) {
    const now = new Map();
    for (const i of workloads.flatMap((w) => w.instances ?? [])) {
      if (!i.usage) continue;
      const was = this.usageOf.get(i.id);
      const cpu = i.usage.cpuNs;
      const share = !was || cpu < was.cpu ? NaN : (cpu - was.cpu) / 1e6 / Math.max(1, mono - was.mono);
      now.set(i.id, { cpu, mono, share, memory: i.usage.memory, limit: i.usage.memoryLimit });
    }
    this.usageOf = now;
    this.changed++;
  }

  takeTasks(tasks, mono) {
    const at = mono;
    this.waiting = tasks.waiting ?? [];
    this.waitingTotal = tasks.waitingTotal ?? this.waiting.length;
    this.countUnseen(tasks.endedSkipped ?? 0, mono, tasks.ended?.[0]);
    for (const t of tasks.ended ?? []) this.endTask(t, at);
    const there = new Set();
    for (const t of tasks.running ?? []) {
      there.add(t.id);
      this.runTask(t, at);
    }
    // What neither runs nor was listed as ended has ended unlisted.
    for (const [id, o] of this.open) if (!there.has(id)) this.close(id, o, at, o.late ? LATE : 0);
  }

  /** Where a task's own time lies; never after now, nor long before. */
  within(text, mono, otherwise = mono) {
    const place = this.clock.place(instant(text));
    return place <= mono + 50 && place > mono - 10 * MINUTE ? Math.min(place, mono) : otherwise;
  }

  runTask(t, mono) {
    const halted = t.state === "suspended";
    let o = this.open.get(t.id);
    if (!o && !Number.isFinite(t.slot)) return; // it runs elsewhere
    if (!o) {
      o = {
        id: t.id, model: t.model, name: this.names.number(t.model), kind: kindOf(t.class), tenant: t.tenant,
        slot: t.slot, from: this.within(t.started, mono), due: this.dueOf(t, mono), halted: false, late: false,
      };
      this.open.set(t.id, o);
    }
    const slot = t.slot ?? o.slot;
    if (halted !== o.halted || slot !== o.slot) {
      this.bars.push(o.slot, o.from, mono, o.halted ? NaN : o.due, o.kind, o.halted ? HALTED : 0, o.name);
      o.from = mono;
      o.halted = halted;
      o.slot = slot;
    }
    o.late = o.due < mono;
  }

  /** The deadline, from what is left rather than from clocks where that is possible. */
  dueOf(t, mono) {
    const wall = instant(t.deadline);
    if (!Number.isFinite(wall)) return NaN;
    const arrived = instant(t.arrived);
    const began = instant(t.started);
    if (Number.isFinite(arrived) && Number.isFinite(began)) return this.within(t.started, mono) + (wall - began);
    return this.clock.place(wall);
  }

  endTask(t, mono) {
    const flags = (t.state === "missed" ? LATE : 0) | (t.state === "failed" ? FAILED : 0);
    const open = this.open.get(t.id);
    if (open) {
      this.close(t.id, open, Math.max(open.from, this.endOf(t, mono)), flags);
      return;
    }
    if (t.state === "refused" || t.state === "evicted") {
      const when = this.clock.place(instant(t.arrived) + (t.queueNs ?? 0) / 1e6);
      const at = when <= mono && when > mono - 10 * MINUTE ? when : mono;
      this.turnedAway.push(0, at, at, NaN, kindOf(t.class), 0, 0);
      return;
    }
    if (!t.started || !Number.isFinite(t.slot)) return;
    const end = this.endOf(t, mono);
    const from = Math.min(end, this.within(t.started, mono, end - (t.computeNs ?? 0) / 1e6));
    const due = instant(t.deadline) - instant(t.started);
    this.bars.push(t.slot, from, end, from + due, kindOf(t.class), flags, this.names.number(t.model));
  }

  endOf(t, mono) {
    const began = instant(t.started);
    if (!Number.isFinite(began)) return mono;
    const end = this.clock.place(began + (t.computeNs ?? 0) / 1e6);
    return end <= mono + 50 && end > mono - 10 * MINUTE ? Math.min(end, mono) : mono;
  }

  close(id, o, mono, flags) {
    this.bars.push(o.slot, o.from, mono, o.halted ? NaN : o.due, o.kind, flags | (o.halted ? HALTED : 0), o.name);
    this.open.delete(id);
  }

  /** What ran when the agent fell silent: nobody saw its end. */
  abandon(mono) {
    for (const [id, o] of this.open) this.close(id, o, Math.max(o.from, mono), CUT);
    this.waiting = [];
    this.waitingTotal = 0;
  }

  takeEvent(event) {
    const key = event.seq + " " + event.at;
    if (this.seen.has(key)) return;
    if (this.events.length === EVENTS) {
      const old = this.events.at(0);
      this.seen.delete(old.seq + " " + old.at);
    }
    this.seen.add(key);
    this.events.push(event);
  }

  /** How long ago the agent's text says it was; never negative. */
  ageOf(text) {
    const place = this.clock.placeOf(text, instant);
    return Number.isFinite(place) ? Math.max(0, this.clock.mono() - place) : NaN;
  }

  silentFor() {
    return Number.isFinite(this.heard) ? Math.max(0, this.clock.mono() - this.heard) : NaN;
  }

  /**
   * What became of each class's tasks lately, from cumulative counts. A counter that
   * falls, or another agent's, has counted from 0: what it counts has all come since.
   */
  lately(now = this.clock.mono(), width = MINUTE) {
    const sums = Object.fromEntries(CLASSES.map((name) => [name, [0, 0, 0, 0]]));
    let before = null;
    for (const s of this.samples) {
      if (s.mono < now - width - 1500) continue;
      if (before) for (const name of CLASSES) addRise(sums[name], s.ended?.[name], before.ended?.[name], s.epoch !== before.epoch);
      before = s;
    }
    const out = {};
    for (const [name, [onTime, ended, refused, missed]] of Object.entries(sums)) {
      out[name] = { onTime, ended, refused, missed, failed: Math.max(0, ended - onTime - refused - missed) };
    }
    return out;
  }
}

/** Adds what four counters have risen by: on time, ended, refused or evicted, missed. */
function addRise(sums, now = [0, 0, 0, 0], was = [0, 0, 0, 0], other) {
  const anew = other || now[1] < was[1];
  for (let i = 0; i < sums.length; i++) sums[i] += Math.max(0, (now[i] ?? 0) - (anew ? 0 : was[i] ?? 0));
}

export function kindOf(name) {
  const i = CLASSES.indexOf(name);
  return i < 0 ? 1 : i;
}
