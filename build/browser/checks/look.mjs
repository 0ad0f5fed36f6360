// Pictures of the page for the documentation: each scene in light, dark and on a phone.
import { open, when } from "./rig.mjs";

const SIZES = { light: { width: 1280, height: 1060 }, dark: { width: 1280, height: 1060 }, phone: { width: 390, height: 844 } };

export async function look(browser, dir) {
  for (const scene of ["healthy", "overloaded", "cutoff"]) {
    const { url } = await browser.stage(scene);
    for (const [kind, viewport] of Object.entries(SIZES)) {
      const page = await open(browser, url, { viewport, colorScheme: kind === "dark" ? "dark" : "light", deviceScaleFactor: kind === "phone" ? 1.5 : 1 });
      await when(page, () => window.holdfast?.node.bars.length > 0 && window.holdfast.node.samples.length > 295);
      await page.waitForTimeout(400);
      if (page.complaints.length) console.log(page.complaints.join("\n"));
      await page.screenshot({ path: `${dir}/${scene}-${kind}.png` });
      await page.context().close();
    }
  }
}
