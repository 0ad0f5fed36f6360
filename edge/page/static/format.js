// Numbers, spans and times as a person reads them. Pure: the language is handed in.

const NBSP = "\u00a0";

/** A number with its thousands set apart. */
export function count(n, lang) {
  return Number.isFinite(n) ? new Intl.NumberFormat(lang).format(n) : "–";
}

/**
 * A share as percent. What is not everything is never rounded up to 100, and what is
 * not nothing never down to 0: a single late task of a million must not vanish.
 */
export function percent(share, digits = 0) {
  if (!Number.isFinite(share)) return "–";
  const scale = 10 ** digits;
  let n = Math.round(share * 100 * scale) / scale;
  const least = 1 / scale;
  if (share < 1 && n >= 100) n = 100 - least;
  if (share > 0 && n <= 0) n = least;
  return n.toFixed(n === 100 || n === 0 ? 0 : digits) + NBSP + "%";
}

const UNITS = {
  en: { ms: "ms", s: "s", min: "min", h: "h", d: "d" },
  zh: { ms: "毫秒", s: "秒", min: "分钟", h: "小时", d: "天" },
};

/** A span of milliseconds in at most two units; never negative. */
export function span(ms, lang = "en") {
  if (!Number.isFinite(ms)) return "–";
  const u = UNITS[lang] ?? UNITS.en;
  const put = (n, unit) => n + NBSP + unit;
  ms = Math.max(0, ms);
  if (ms < 1) return put(ms < 0.001 ? 0 : Number(ms.toPrecision(2)), u.ms);
  if (ms < 10) return put(Number(ms.toFixed(1)), u.ms);
  if (ms < 1000) return put(Math.round(ms), u.ms);
  const s = Math.floor(ms / 1000);
  if (s < 10 && ms % 1000 >= 100 && ms < 10_000) return put((Math.floor(ms / 100) / 10).toFixed(1), u.s);
  if (s < 120) return put(s, u.s);
  const min = Math.floor(s / 60);
  if (min < 60) return put(min, u.min);
  const h = Math.floor(min / 60);
  if (h < 48) return h < 6 && min % 60 ? put(h, u.h) + " " + put(min % 60, u.min) : put(h, u.h);
  return put(Math.floor(h / 24), u.d);
}

/** A span in whole seconds or longer units: for what counts up while one looks. */
export function age(ms, lang = "en") {
  if (ms < 1000) return "0" + NBSP + (UNITS[lang] ?? UNITS.en).s;
  return span(Math.floor(ms / 1000) * 1000, lang);
}

/** Bytes in powers of 1024, as memory is counted. */
export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < names.length - 1) {
    n /= 1024;
    i++;
  }
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + NBSP + names[i];
}

/** The time of day of an instant in milliseconds, by the node's own clock in UTC offset of the reader. */
export function clockTime(ms) {
  if (!Number.isFinite(ms)) return "–";
  const d = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
}

/** The same, with the day in place of the seconds when that is another one. */
export function moment(ms, now, lang) {
  if (!Number.isFinite(ms) || new Date(ms).toDateString() === new Date(now).toDateString()) return clockTime(ms);
  return new Intl.DateTimeFormat(lang, { day: "numeric", month: "short" }).format(ms) + " " + clockTime(ms).slice(0, 5);
}

/** What is worth showing of an image's reference: without registry, digest shortened. */
export function image(ref = "") {
  const [name, digest] = ref.split("@");
  const short = name.slice(name.indexOf("/") + 1) || name;
  return digest && !/:[^/]+$/.test(name) ? short + "@" + digest.replace(/^sha256:/, "").slice(0, 12) : short;
}

/** Milliseconds since the epoch of an RFC 3339 text; NaN where there is none. */
export function instant(text) {
  return typeof text === "string" && !text.startsWith("0001-") ? Date.parse(text) : NaN;
}
