// The agent's clock as the page knows it.
//
// Everything the page keeps is placed on the browser's monotonic clock at the moment
// it arrives, and the agent's wall clock is an offset to that. When the node's clock
// is set, the offset moves and what was kept does not: the axis stays whole, and no
// age becomes negative.

const STEP = 2000; // ms by which two looks at the clock must differ to be no mere delay
const AGREE = 800; // ms by which two looks may differ and still say the same
const KEPT = 512; // texts whose place is remembered

export class Clock {
  constructor(mono = () => performance.now()) {
    this.mono = mono;
    this.offset = NaN;
    this.doubt = NaN;
    this.steps = []; // {at: mono, by: ms}, the latest 8
    this.places = new Map();
  }

  /** Takes a look at the agent's clock. Returns the step it has made, or 0. */
  see(wall, mono = this.mono()) {
    if (!Number.isFinite(wall)) return 0;
    const offset = wall - mono;
    if (!Number.isFinite(this.offset)) {
      this.offset = offset;
      return 0;
    }
    const by = offset - this.offset;
    if (Math.abs(by) < STEP) {
      this.doubt = NaN;
      this.offset += by * 0.1;
      return 0;
    }
    // One late message is not a step; two that agree are.
    if (!(Math.abs(offset - this.doubt) < AGREE)) {
      this.doubt = offset;
      return 0;
    }
    this.doubt = NaN;
    this.offset = offset;
    this.steps.push({ at: mono, by });
    if (this.steps.length > 8) this.steps.shift();
    return by;
  }

  /** After a silence the next look is believed as it is. */
  forget() {
    this.offset = NaN;
    this.doubt = NaN;
  }

  /** The agent's time now, in ms since the epoch. */
  now() {
    return this.wall(this.mono());
  }

  wall(mono) {
    return mono + (Number.isFinite(this.offset) ? this.offset : Date.now() - this.mono());
  }

  /** Where a wall time lies on the monotonic clock, by the offset of now. */
  place(wall) {
    return wall - (Number.isFinite(this.offset) ? this.offset : Date.now() - this.mono());
  }

  /** The same for a text, which keeps the place it was first given. */
  placeOf(text, parse) {
    const known = this.places.get(text);
    if (known !== undefined) return known;
    const wall = parse(text);
    if (!Number.isFinite(wall)) return NaN;
    // While it is not clear whether the clock was set, a new text is by the clock it may have been set to.
    if (Number.isFinite(this.doubt)) return wall - this.doubt;
    const place = this.place(wall);
    if (!Number.isFinite(this.offset)) return place;
    if (this.places.size >= KEPT) this.places.delete(this.places.keys().next().value);
    this.places.set(text, place);
    return place;
  }
}
