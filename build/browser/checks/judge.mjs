// Judges that run inside the page: each gets nothing and returns what is wrong.

/** Controls and pictures that have no name for who cannot see them. */
export function unnamed() {
  const bad = [];
  for (const el of document.querySelectorAll("button, a[href], input, select, textarea, [role=img], dialog[open], section")) {
    if (el.closest("[hidden]")) continue;
    const by = (el.getAttribute("aria-labelledby") ?? "").split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join("");
    const label = el.labels?.length ? [...el.labels].map((l) => l.textContent).join("") : "";
    const own = ["BUTTON", "A"].includes(el.tagName) ? el.textContent : "";
    if (el.id === "headline") continue; // it is read out by what it says
    if (!(el.getAttribute("aria-label") || by || label || own).trim()) bad.push(el.tagName.toLowerCase() + (el.id ? "#" + el.id : ""));
  }
  for (const img of document.querySelectorAll("img")) if (!img.hasAttribute("alt")) bad.push("img " + img.src);
  return bad;
}

/** What reaches over the right edge of the window. */
export function wide() {
  const edge = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= edge) return [];
  const over = [...document.querySelectorAll("body *")].filter((el) => el.getBoundingClientRect().right > edge + 1 && !el.closest(".scroll")).slice(0, 4).map((el) => el.tagName.toLowerCase() + "." + el.className + "#" + el.id + " " + Math.round(el.getBoundingClientRect().right));
  return over.length ? over : [`a text, by ${document.documentElement.scrollWidth - edge} px`];
}

/** Contrasts of the palette: of text with what it stands on, and of marks. */
export function luminance() {
  const css = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = css.getPropertyValue("--" + name).trim().slice(1);
    const [r, g, b] = [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const pairs = (list) => list.map(([a, b]) => [`${a} on ${b}`, ratio(a, b)]);
  const grounds = ["panel", "bg"];
  return {
    text: pairs([...grounds.flatMap((g) => ["ink", "muted", "ok", "warn", "bad", "note"].map((t) => [t, g])), ...["ok", "warn", "bad", "note"].map((t) => ["ink", t + "-soft"]), ["panel", "ink"]]),
    marks: pairs([...["urgent", "normal", "batch", "bad"].map((m) => [m, "lane"]), ...["ok", "warn", "bad", "note"].map((m) => [m, m + "-soft"]), ["focus", "panel"], ["focus", "bg"]]),
  };
}
