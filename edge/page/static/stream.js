// The live stream: an EventSource that does not give up, and knows when it is being
// told nothing.

const KINDS = ["hello", "history", "sample", "status", "tasks", "event"];
const QUIET = 5000; // ms without a word (there is one each second) before the connection is taken for dead
const LONGEST = 8000; // ms between attempts

export class Stream {
  /**
   * take(kind, data) gets every message; told() is called when the state changes.
   * make() opens an EventSource, ask() finds out why there is none.
   */
  constructor({ url = "/v1/live", take, told = () => {}, make = (u) => new EventSource(u), ask = (u, signal) => fetch(u, { signal, headers: { Accept: "text/event-stream" } }) }) {
    Object.assign(this, { url, take, told, make, ask });
    this.state = "first"; // first, live, silent or lost
    this.said = ""; // why the agent gives no stream, in its own words
    this.tries = 0;
    this.last = performance.now();
    this.bad = 0; // messages that could not be read
  }

  start() {
    this.open();
    this.watch = setInterval(() => this.look(), 1000);
  }

  open() {
    this.source?.close();
    const source = this.make(this.url);
    this.source = source;
    this.opened = performance.now();
    for (const kind of KINDS) source.addEventListener(kind, (message) => this.hear(kind, message));
    source.onerror = () => this.failed(source);
  }

  hear(kind, message) {
    this.last = performance.now();
    this.tries = 0;
    this.said = "";
    let data;
    try {
      data = JSON.parse(message.data);
    } catch {
      this.bad++;
      return;
    }
    this.take(kind, data);
    this.become("live");
  }

  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.told();
  }

  /** An EventSource tries again by itself, but not after an answer that is no stream. */
  failed(source) {
    if (source !== this.source) return;
    this.become(this.state === "first" ? "first" : "lost");
    if (source.readyState !== 2) return;
    this.why();
    this.again();
  }

  again() {
    clearTimeout(this.timer);
    const wait = Math.min(LONGEST, 500 * 2 ** this.tries++) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.open(), wait);
  }

  /** Asks what stands in the way, so that it can be said. */
  async why() {
    const stop = new AbortController();
    const limit = setTimeout(() => stop.abort(), 2000);
    try {
      const answer = await this.ask(this.url, stop.signal);
      if (answer.ok) {
        answer.body?.cancel();
      } else {
        const body = await answer.json();
        this.said = String(body.error ?? answer.status);
        this.told();
      }
    } catch {
      this.said = ""; // nobody there at all: the state says so
    } finally {
      clearTimeout(limit);
    }
  }

  look() {
    const quiet = performance.now() - this.last;
    if (this.state === "live" && quiet > QUIET / 2) this.become("silent");
    if (quiet > QUIET && this.state === "first") this.become("lost");
    // Open, and yet nothing comes: the other end is gone and nobody has told.
    if (quiet > QUIET && performance.now() - this.opened > QUIET && this.source.readyState === 1) {
      this.become("lost");
      this.open();
    }
    if (this.state !== "live") this.told();
  }
}
