// What the checks stand on: the browser, the director of the scenes, and ways to look.
import { chromium } from "playwright-core";

const director = process.env.HOLDFAST_DIRECTOR;

async function ask(path) {
  const answer = await fetch(director + path, { method: "POST" });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer;
}

/** Opens a scene: {url, turn(knob), close()}. */
export async function stage(scene) {
  const { url, set } = await (await ask(`/open/${scene}`)).json();
  return { url, turn: async (knob) => (await ask(`/do/${set}/${knob}`)).json(), close: () => ask(`/close/${set}`) };
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.HOLDFAST_CHROMIUM,
    // The tests run as root, in a container as often as not.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info", "--js-flags=--expose-gc"],
  });
}

/** Opens the page in a context of its own, and takes note of whatever it complains of. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1280, height: 900 }, timezoneId: "UTC", ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.foreign = [];
  page.on("console", (m) => {
    // A connection that breaks is part of some scenes, and Chromium's own remark.
    if (m.type() === "error" && !/net::ERR_|Failed to load resource/.test(m.text())) page.complaints.push(m.text());
  });
  page.on("pageerror", (e) => page.complaints.push(String(e)));
  page.on("request", (r) => {
    if (new URL(r.url()).origin !== new URL(url).origin) page.foreign.push(r.url());
  });
  await page.goto(url);
  return page;
}

export const text = (page, selector) => page.locator(selector).innerText();

/** Waits until a text fits, and says what it was if it does not. */
export async function until(page, selector, wanted, timeout = 8000) {
  const end = Date.now() + timeout;
  let got = "";
  while (Date.now() < end) {
    got = (await page.locator(selector).innerText().catch(() => "")).replace(/\u00a0/g, " ");
    if (wanted.test(got)) return got;
    await page.waitForTimeout(80);
  }
  throw new Error(`${selector} says ${JSON.stringify(got)}, want ${wanted}`);
}

/** Waits until something holds in the page. The page's own policy forbids Playwright's way of waiting, as it should. */
export async function when(page, holds, arg, timeout = 8000) {
  for (const end = Date.now() + timeout; Date.now() < end; ) {
    const got = await page.evaluate(holds, arg);
    if (got) return got;
    await page.waitForTimeout(60);
  }
  throw new Error(`still not: ${holds}\n${page.complaints.join("\n")}`);
}

export function want(condition, message) {
  if (!condition) throw new Error(message);
}
