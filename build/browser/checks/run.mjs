// Runs every check and tells of each in one line of JSON. Most of a check is waiting, so
// some run at once; what measures time runs alone.
import { launch, stage } from "./rig.mjs";
import { look } from "./look.mjs";

const TOGETHER = 5;
const browser = await launch();
const only = process.env.HOLDFAST_ONLY ?? "";

/** What a check may use, all of it taken away after it. */
function house() {
  const open = [];
  return {
    newContext: async (options) => {
      const context = await browser.newContext(options);
      open.push(context);
      return context;
    },
    stage: async (scene) => {
      const set = await stage(scene);
      open.push(set);
      return set;
    },
    close: async () => {
      for (const one of open) await one.close().catch(() => {});
    },
  };
}

async function run([name, check]) {
  const begun = performance.now();
  const result = { name, ok: true, detail: "", notes: [] };
  const own = house();
  try {
    await check(own, (note) => result.notes.push(note));
  } catch (problem) {
    result.ok = false;
    result.detail = String(problem.stack ?? problem);
  }
  await own.close();
  result.ms = Math.round(performance.now() - begun);
  process.stdout.write(JSON.stringify(result) + "\n");
}

async function all({ checks, alone }) {
  const fits = ([name]) => name.includes(only);
  const list = Object.entries(checks).filter(fits);
  const worker = async () => {
    for (let next = list.shift(); next; next = list.shift()) await run(next);
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
  for (const one of Object.entries(alone).filter(fits)) await run(one);
}

try {
  if (process.env.HOLDFAST_PICTURES) {
    const own = house();
    await look(own, process.env.HOLDFAST_PICTURES);
    await own.close();
  } else await all(await import("./checks.mjs"));
} finally {
  await browser.close();
}
