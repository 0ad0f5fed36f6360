// The page as a whole: it takes the stream, keeps what it knows, and draws it at most
// once a frame, and not at all while nobody looks.

import { each, find, h, mark, say } from "./dom.js";
import { bytes, clockTime, moment } from "./format.js";
import { Lanes } from "./lanes.js";
import { makeActions } from "./dialogs.js";
import * as api from "./api.js";
import { CLASSES, Node } from "./state.js";
import { Stream } from "./stream.js";
import { LANGUAGES, choose, words } from "./words.js";
import { renderClasses, renderHeadline, renderQueue, renderTop, renderWarnings } from "./view/overview.js";
import { makeAgent, makeLink, makePolicy, makeSystem, renderAgent, renderLink, renderPolicy, renderSystem } from "./view/governance.js";
import { renderWorkloads } from "./view/workloads.js";
import { fillKinds, makeEvents, makeTable, renderEvents, renderModels, renderRoutes, renderTenants } from "./view/lists.js";
import { renderVitals } from "./view/vitals.js";

const PANELS_EVERY = 250; // ms: faster is not read
const LANES_EVERY = 50; // ms: 20 pictures a second move smoothly enough
const USAGE_EVERY = 3000; // ms: each instance is measured for it
const LANES_CALM = 500; // ms, for who wants less motion
const SECTIONS = ["ontime", "lanes", "governs", "connected", "runs", "events", "vitals", "models"];

/** Storage that is not there, or is full, is no reason to show nothing. */
const kept = {
  read: (key) => {
    try {
      return localStorage.getItem(key) ?? "";
    } catch {
      return "";
    }
  },
  write: (key, value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // It holds for this visit alone.
    }
  },
};

class Page {
  constructor() {
    this.node = new Node();
    this.lanes = new Lanes(find("lane-canvas"));
    this.stream = new Stream({ take: (kind, data) => this.node.take(kind, data), told: () => (this.dirty = true) });
    this.actions = makeActions(this);
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.dirty = true;
    this.drawn = { panels: -Infinity, lanes: -Infinity, changed: -1, second: -1 };
    this.frames = { panels: 0, lanes: 0, slowest: 0 };
  }

  start() {
    this.policy = makePolicy(find("governs-body"));
    this.agent = makeAgent(find("governs-body"));
    this.system = makeSystem(find("governs-body"));
    this.link = makeLink(find("connected-body"));
    this.models = makeTable(find("models-body"), this, "noModels");
    this.tenants = makeTable(find("tenants-body"), this, "noTenants");
    makeEvents(this);
    this.controls();
    this.speak(choose(navigator.languages, kept.read("holdfast-language")));
    this.wear(kept.read("holdfast-theme"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.lanes.repaint());
    document.addEventListener("visibilitychange", () => (this.dirty = true));
    this.stream.start();
    setInterval(() => this.measure(), USAGE_EVERY);
    requestAnimationFrame((at) => this.frame(at));
  }

  frame(at) {
    requestAnimationFrame((next) => this.frame(next));
    if (document.hidden) return;
    const begun = performance.now();
    const second = Math.floor(at / 1000);
    const fresh = this.dirty || this.node.changed !== this.drawn.changed || second !== this.drawn.second;
    if (fresh && at - this.drawn.panels >= PANELS_EVERY) {
      this.drawn = { ...this.drawn, panels: at, changed: this.node.changed, second };
      this.dirty = false;
      this.panels();
    }
    if (at - this.drawn.lanes >= (this.calm.matches ? LANES_CALM : LANES_EVERY) && this.node.status) {
      this.drawn.lanes = at;
      this.lanes.draw(this.node, (key, vars) => this.w.t(key, vars), this.w);
      this.frames.lanes++;
    }
    this.frames.slowest = Math.max(this.frames.slowest, performance.now() - begun);
  }

  /** Asks what the instances use, while somebody looks. */
  async measure() {
    if (document.hidden || this.stream.state !== "live" || this.measuring) return;
    this.measuring = true;
    const answer = await api.workloads();
    this.measuring = false;
    if (answer.ok && Array.isArray(answer.body)) this.node.takeUsage(answer.body);
  }

  panels() {
    this.frames.panels++;
    for (const render of [renderTop, renderHeadline, renderWarnings, renderClasses, renderQueue, renderWorkloads, renderEvents, renderRoutes, renderVitals]) render(this);
    renderPolicy(this.policy, this);
    renderAgent(this.agent, this);
    renderSystem(this.system, this);
    renderLink(this.link, this);
    renderModels(this.models, this);
    renderTenants(this.tenants, this);
    const q = this.node.status?.scheduler;
    if (!q) return;
    mark(find("lane-canvas"), "aria-label", this.w.t("lanesName", { running: q.running, suspended: q.suspended ?? 0, waiting: q.waiting }));
    const draining = this.node.status.draining || q.draining;
    say(find("drain-button"), this.w.t(draining ? "undrain" : "drain"));
  }

  /** Says everything in one language. */
  speak(lang) {
    this.w = { ...words(lang), bytes, clockTime, moment };
    document.documentElement.lang = lang === "zh" ? "zh-Hans" : lang;
    for (const el of document.querySelectorAll("[data-w]")) say(el, this.w.t(el.dataset.w));
    for (const el of document.querySelectorAll("[data-n]")) {
      mark(el, "aria-label", this.w.t(el.dataset.n));
      if (el.tagName === "BUTTON") mark(el, "title", this.w.t(el.dataset.n));
    }
    for (const el of document.querySelectorAll("[data-p]")) mark(el, "placeholder", this.w.t(el.dataset.p));
    fillKinds(this);
    this.legend();
    this.spans();
    this.dirty = true;
  }

  /** Light, dark, or as the machine has it. */
  wear(theme) {
    mark(document.documentElement, "data-theme", theme === "light" || theme === "dark" ? theme : null);
    this.lanes.repaint();
    this.dirty = true;
  }

  turn() {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    const next = dark ? "light" : "dark";
    kept.write("holdfast-theme", next);
    this.wear(next);
  }

  otherLanguage() {
    const all = Object.keys(LANGUAGES);
    const next = all[(all.indexOf(this.w.lang) + 1) % all.length];
    kept.write("holdfast-language", next);
    this.speak(next);
  }

  legend() {
    const keys = [...CLASSES.map((c) => ["swatch " + c, c]), ["key due", "deadline"], ["key halted", "suspended"], ["key late", "lateMark"], ["key failed", "failedMark"], ["key away", "turnedAway"]];
    each(find("legend"), keys, (k) => k[1], (k) => {
      const text = h("span");
      return { el: h("span", {}, h("span", { class: k[0], "aria-hidden": "true" }), text), text };
    }, (row, k) => say(row.text, this.w.t(k[1])));
  }

  spans() {
    each(find("spans"), [10_000, 30_000, 120_000], (ms) => ms, (ms) => ({ el: h("button", { type: "button", class: "small", onclick: () => this.show(ms) }) }), (row, ms) => {
      say(row.el, this.w.age(ms));
      mark(row.el, "aria-pressed", String(ms === this.lanes.span));
    });
  }

  show(ms) {
    this.lanes.span = ms;
    this.spans();
  }

  halt() {
    const on = !Number.isFinite(this.lanes.paused);
    this.lanes.paused = on ? this.node.clock.mono() : NaN;
    mark(find("pause"), "aria-pressed", String(on));
    find("pause").dataset.w = on ? "resume" : "pause";
    say(find("pause"), this.w.t(on ? "resume" : "pause"));
  }

  controls() {
    const on = (id, act) => find(id).addEventListener("click", act);
    on("theme", () => this.turn());
    on("language", () => this.otherLanguage());
    on("help", () => this.actions.help());
    on("pause", () => this.halt());
    on("sample-button", () => this.actions.sample());
    on("drain-button", () => this.actions.drain());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || find("dialog").open) return;
    if (event.target.closest?.("input, textarea, select")) return;
    const acts = { "?": () => this.actions.help(), t: () => this.turn(), l: () => this.otherLanguage(), p: () => this.halt(), s: () => this.actions.sample(), d: () => this.actions.drain(), "/": () => find("event-filter").focus() };
    const act = acts[event.key] ?? (/^[1-8]$/.test(event.key) ? () => this.jump(SECTIONS[event.key - 1]) : null);
    if (!act) return;
    event.preventDefault();
    act();
  }

  jump(id) {
    find(id).scrollIntoView({ behavior: this.calm.matches ? "auto" : "smooth", block: "start" });
    find(id).focus({ preventScroll: true });
  }
}

const page = new Page();
page.start();
// For whoever debugs a page in front of them, and for its tests.
window.holdfast = page;
