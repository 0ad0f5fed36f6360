// Pictures of the page for the documentation: each scene in light, dark and on a phone.
import { open, when } from "./rig.mjs";

const SIZES = { light: { width: 1280, height: 1060 }, dark: { width: 1280, height: 1060 }, phone: { width: 390, height: 844 } };
const WATCHED = 14_000; // ms, so that the slots show what the page has seen itself: tasks that were halted

export async function look(browser, dir) {
  for (const scene of ["healthy", "overloaded", "cutoff", "both"]) {
    const { url } = await browser.stage(scene);
    const pages = {};
    for (const [kind, viewport] of Object.entries(SIZES)) {
      pages[kind] = await open(browser, url, { viewport, colorScheme: kind === "dark" ? "dark" : "light", deviceScaleFactor: kind === "phone" ? 1.5 : 1 });
      await when(pages[kind], () => window.holdfast?.node.samples.length > 290);
    }
    await pages.light.waitForTimeout(WATCHED);
    for (const [kind, page] of Object.entries(pages)) {
      if (page.complaints.length) console.log(page.complaints.join("\n"));
      await page.screenshot({ path: `${dir}/${scene}-${kind}.png` });
      await page.context().close();
    }
  }
}
