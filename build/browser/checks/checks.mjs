// What a person must find on the page, scene by scene.
import { luminance, unnamed, wide } from "./judge.mjs";
import { open, text, until, want, when } from "./rig.mjs";

const told = (page) => when(page, () => window.holdfast?.node.samples.length > 0 && document.getElementById("lane-canvas").hasAttribute("aria-label"));

/** Opens a scene and waits until its page is drawn. */
async function show(browser, scene, options) {
  const { url, turn } = await browser.stage(scene);
  const page = await open(browser, url, options);
  page.turn = turn;
  await told(page);
  return page;
}

/** What holds of every scene, looked at last. */
function sound(page) {
  want(page.complaints.length === 0, "the page complains: " + page.complaints.join("; "));
  want(page.foreign.length === 0, "something was asked of elsewhere: " + page.foreign.join(" "));
}

export const checks = {
  RealLine: realLine, // first, as it takes longest

  async RealAgent(browser, note) {
    const page = await show(browser, "agent");
    await until(page, "#headline", /^No word from containerd: no model can answer/);
    await until(page, "#node", /line-3-gw/);
    await until(page, "#governs", /No policy governs this node/);
    const before = await page.evaluate(() => window.holdfast.node.hello.pid);
    await page.turn("kill");
    await when(page, () => window.holdfast.stream.state !== "live");
    await page.turn("start");
    await when(page, (pid) => window.holdfast.node.hello.pid !== pid && window.holdfast.stream.state === "live", before, 12_000);
    await until(page, "#headline", /The agent was restarted \d+ s ago: nothing was heard from it for/);
    const gap = await page.evaluate(() => [...window.holdfast.node.gaps].map((g) => [Math.round(g.to - g.from), g.restarted]));
    note(`back after a kill: silence of ${gap[0][0]} ms`);
    want(gap.length === 1 && gap[0][1], "the gap is " + JSON.stringify(gap));
    await until(page, "#events", /agent-started/);
    sound(page);
  },

  async Healthy(browser, note) {
    const { url } = await browser.stage("healthy");
    const page = await open(browser, url);
    const head = await until(page, "#headline", /^All is well: deadlines are kept, 4 of 4 instances ready\.$/);
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN);
    const loaded = await page.evaluate(() => performance.getEntriesByType("resource").filter((r) => r.name.includes("/page/")).length);
    note(`first content after ${Math.round(paint)} ms, ${loaded} files; the headline: ${head}`);
    want(paint > 0, `first content after ${paint} ms`); // how fast is shown, and not held: the machine may be busy
    want((await page.locator("#headline").getAttribute("data-tone")) === "ok", "the tone is not ok");
    want(await page.locator("#warnings").isHidden(), "there are warnings");
    for (const name of ["urgent", "normal", "batch"]) want(/100\s%/.test(await text(page, `[data-class=${name}] .big`)), `${name} is not at 100 %`);
    await until(page, "#governs", /line-3 · version 12[\s\S]*current[\s\S]*for 19 h[\s\S]*release-1, plant-2[\s\S]*8 boots/);
    await until(page, "#connected", /connected for 3 d[\s\S]*wait to be sent[\s\S]*s ago[\s\S]*37\.0 MiB of 500 MiB/);
    await until(page, "#runs", /line\/digits\s+2 \/ 2 ready[\s\S]*line-weld-1[\s\S]*128 MiB/);
    await until(page, "#events", /task-missed\s+digits · its instance was restarted/);
    await until(page, "#vitals", /processor[\s\S]*420|4\d\d[\s\S]*5\d °C/);
    await until(page, "#routes", /plant\s+answers/);
    await until(page, "#tenants", /vision\s+88,214/);
    const drawn = await page.evaluate(() => {
      const c = document.getElementById("lane-canvas");
      const pixels = c.getContext("2d").getImageData(0, 30, c.width, c.height - 30).data;
      const colours = new Set();
      for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 200) colours.add(pixels[i] + "," + pixels[i + 1] + "," + pixels[i + 2]);
      const rgb = (name) => {
        const hex = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim().slice(1);
        return [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)).join();
      };
      return ["urgent", "normal", "batch", "ink"].map((n) => colours.has(rgb(n)));
    });
    want(drawn.every(Boolean), "the lanes lack a colour of urgent, normal, batch, deadline: " + drawn);
    want(/^The slots over time.*running/.test(await page.locator("#lane-canvas").getAttribute("aria-label")), "the lanes say nothing to who cannot see them");
    want(/^The link over the last five minutes: 100/.test(await page.locator("#connected [role=img]").getAttribute("aria-label")), "the timeline says nothing");
    sound(page);
  },

  async AgentOnTrial(browser, note) {
    const page = await show(browser, "agenttrial");
    note(await until(page, "#headline", /^Version 1\.5\.0 of the agent is on trial: deadlines are kept\.$/));
    note(await until(page, "#agent-version", /version 1\.5\.0 · from slot a[\s\S]*on trial[\s\S]*kept in\s+9 min[\s\S]*should it fail\s+version 1\.4\.2[\s\S]*starts left\s+1/));
    want(!/last update/.test(await text(page, "#agent-version")), "it tells of an update that has not ended");
    await page.keyboard.press("l");
    await until(page, "#agent-version", /代理[\s\S]*来自槽 a[\s\S]*剩余启动次数/);
    sound(page);
  },

  async AgentLeft(browser, note) {
    const page = await show(browser, "agentleft");
    note(await until(page, "#agent-version", /version 1\.4\.0 · as it came with the node[\s\S]*in use[\s\S]*update\s+fetching · version 1\.5\.1 · 9\.0 MiB of 24\.0 MiB · policy line-3 version 13[\s\S]*last update\s+version 1\.5\.0 · tried, and left: it was given 2 starts and confirmed itself in none/));
    const plain = await show(browser, "healthy");
    want(await plain.locator("#agent-version").isHidden(), "a node that cannot be updated tells of its versions");
    sound(page);
  },

  async SystemBack(browser, note) {
    const page = await show(browser, "systemback");
    note(await until(page, "#system-version", /The whole system[\s\S]*version 6 · from slot A[\s\S]*in use[\s\S]*update\s+installing · version 8 · 40 % · policy line-3 version 13[\s\S]*last update\s+version 7 · tried, and left: the former one runs/));
    await page.keyboard.press("l");
    await until(page, "#system-version", /整个系统[\s\S]*正在安装/);
    const plain = await show(browser, "healthy");
    want(await plain.locator("#system-version").isHidden(), "a node whose system nothing replaces tells of it");
    sound(page);
  },

  /** A check that cannot fail shows nothing: what finds all well must not find it on a node that is overloaded. */
  async Control(browser, note) {
    const elsewhere = { ...browser, stage: () => browser.stage("overloaded") };
    const found = await checks.Healthy(elsewhere, () => {}).then(() => "", (problem) => String(problem));
    want(/#headline says "Overloaded/.test(found), "on an overloaded node the check of a healthy one finds: " + (found || "nothing"));
    note("the check of a healthy node fails on an overloaded one");
  },

  async Overloaded(browser) {
    const page = await show(browser, "overloaded");
    const head = await until(page, "#headline", /^Overloaded: \d+ % of normal( and \d+ % of batch)? tasks refused in the last minute, urgent( and batch)? all on time\.$/);
    want((await page.locator("#headline").getAttribute("data-tone")) === "warn", head + ": the tone is not warn");
    const share = parseFloat(await text(page, "[data-class=normal] .big"));
    want(share > 40 && share < 99, `normal is at ${share} %`);
    want(/100\s%/.test(await text(page, "[data-class=urgent] .big")), "urgent is not at 100 %");
    await until(page, "[data-class=normal]", /\d+ refused/);
    await until(page, ".waiting", /digits · normal\s+due in/);
    sound(page);
  },

  async CutOff(browser) {
    const page = await show(browser, "cutoff");
    await until(page, "#headline", /^Cut off from the fleet for 4 min: deadlines are kept, 1,2\d\d entries wait to be sent\.$/);
    await until(page, "#connected", /cut off for 4 min[\s\S]*1,2\d\d\s+wait to be sent[\s\S]*4 min ago[\s\S]*no route to host/);
    await until(page, "#warnings", /link-down[\s\S]*Remedy: the node goes on alone/);
    const strip = await page.evaluate(() => [".strip-up", ".strip-down"].map((s) => document.querySelector(s).getBoundingClientRect().width));
    want(strip[0] > 60 && strip[1] > 3 * strip[0], "the timeline shows " + strip);
    sound(page);
  },

  async CutOffAndOverloaded(browser) {
    const page = await show(browser, "both");
    await until(page, "#headline", /^Overloaded: \d+ % of normal.*\n*Cut off from the fleet for 4 min: what was let in is answered in time, 1,2\d\d entries wait to be sent\.$/);
    sound(page);
  },

  async NoContainerd(browser) {
    const page = await show(browser, "nocontainerd");
    await until(page, "#headline", /^No word from containerd: what runs goes on answering, nothing can be started/);
    await until(page, "#warnings", /containerd-down[\s\S]*connection refused[\s\S]*systemctl status containerd/);
    want((await page.locator("#headline").getAttribute("data-tone")) === "bad", "the tone is not bad");
    sound(page);
  },

  async NoPolicy(browser) {
    const page = await show(browser, "nopolicy");
    await until(page, "#headline", /^No policy is in force: the node runs nothing/);
    await until(page, "#governs", /The node waits for one/);
    await until(page, "#runs", /No workloads are wanted here/);
    sound(page);
  },

  async AgentGone(browser) {
    const page = await show(browser, "healthy");
    await until(page, "#headline", /^All is well/);
    await page.turn("freeze");
    await page.turn("drop");
    await until(page, "#headline", /^No word from the agent for \d+ s; trying again\. What is shown is from before\.$/, 12_000);
    want((await page.locator("#pulse").getAttribute("data-state")) === "lost", "the pulse still beats");
    await until(page, "#runs", /line\/digits/); // what was known is still shown
    await page.turn("thaw");
    await until(page, "#headline", /^All is well/, 15_000);
    const gaps = await page.evaluate(() => [...window.holdfast.node.gaps].map((g) => [g.to - g.from, g.restarted]));
    want(gaps.length === 1 && gaps[0][0] > 2000 && !gaps[0][1], "the silence is kept as " + JSON.stringify(gaps));
    sound(page);
  },

  async AgentRestarted(browser) {
    const page = await show(browser, "healthy");
    await page.turn("restart");
    await until(page, "#headline", /^The agent was restarted \d+ s ago: nothing was heard from it for/, 12_000);
    await until(page, "#pulse", /live/);
    const gaps = await page.evaluate(() => [...window.holdfast.node.gaps].map((g) => g.restarted));
    want(gaps.length === 1 && gaps[0], "the restart is not among the gaps");
    const doubled = await page.evaluate(() => window.holdfast.node.events.length - new Set([...window.holdfast.node.events].map((e) => e.seq)).size);
    want(doubled === 0, `${doubled} events are shown twice`);
    sound(page);
  },

  async TooManyStreams(browser) {
    const { url, turn } = await browser.stage("healthy");
    await turn("refuse");
    const page = await open(browser, url);
    await until(page, "#headline", /as many live streams are read already as may be/, 10_000);
    await turn("admit");
    await until(page, "#headline", /^All is well/, 15_000);
    sound(page);
  },

  async Markup(browser) {
    const page = await show(browser, "markup");
    const name = '<img src=x onerror="window.pwned=1"><b>digits</b>';
    for (const place of ["#node", "#governs", "#connected", "#runs", "#warnings", "#routes", "#tenants", "#models"]) {
      await when(page, ([p, n]) => document.querySelector(p).textContent.includes(n), [place, name]);
    }
    await when(page, (n) => [...window.holdfast.node.waiting, ...window.holdfast.node.names.list].some((t) => (t.model ?? t) === n), name);
    const grown = () => page.evaluate(() => [document.querySelectorAll("main img, main b b, [onerror]").length, window.pwned ?? 0]);
    want((await grown()).every((n) => n === 0), "a name has become markup");
    await page.getByRole("button", { name: "Restart" }).first().click();
    want((await page.locator("#dialog h2").textContent()).includes(name), "the dialog does not show the name");
    want((await page.evaluate(() => document.querySelectorAll("#dialog img").length)) === 0, "the dialog made an image of the name");
    // The control: markup that is markup is found.
    await page.evaluate(() => document.querySelector("main").append(Object.assign(document.createElement("p"), { innerHTML: '<img alt="">' })));
    want((await grown())[0] === 1, "an image in the page goes unseen");
    sound(page);
  },

  async DayLong(browser, note) {
    const page = await show(browser, "idle");
    const grown = await page.evaluate(async () => {
      const { Node } = await import("/page/state.js");
      let mono = 0;
      const node = new Node(() => mono);
      const iso = (back) => new Date(1.7e12 + mono - back).toISOString();
      const minutes = (n) => {
        for (let k = 0; k < n * 240; k++) {
          mono += 250;
          const ended = Array.from({ length: 200 }, (_, i) => ({ id: "t" + mono + i, model: "digits", class: "normal", state: "completed", slot: 0, arrived: iso(300), started: iso(200), deadline: iso(-100), computeNs: 1e6 }));
          node.take("tasks", JSON.parse(JSON.stringify({ running: [], waiting: [], waitingTotal: 0, ended, endedSkipped: 50 })));
          if (k % 4 === 0) node.take("sample", { at: iso(0), link: "up", ended: { urgent: [0, 0], normal: [k, k], batch: [0, 0] } });
          node.take("event", { seq: k, at: iso(0), kind: "task-missed", subject: "digits " + k });
        }
        window.gc();
        return performance.memory.usedJSHeapSize;
      };
      const first = minutes(2);
      const later = minutes(6);
      return [first, later, node.bars.length];
    });
    note(`heap after 2 minutes at 1,000 tasks/s ${(grown[0] / 1048576).toFixed(2)} MiB, after 8 minutes ${(grown[1] / 1048576).toFixed(2)} MiB`);
    want(grown[1] - grown[0] < 1.5 * 1048576, "the heap has grown by " + (grown[1] - grown[0]));
    sound(page);
  },

  async Hidden(browser) {
    const page = await show(browser, "healthy");
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    });
    await page.waitForTimeout(150);
    const before = await page.evaluate(() => ({ ...window.holdfast.frames }));
    await page.waitForTimeout(1300);
    const after = await page.evaluate(() => ({ ...window.holdfast.frames }));
    want(after.panels === before.panels && after.lanes === before.lanes, "it draws while nobody looks");
    await page.evaluate(() => delete document.hidden);
    await when(page, (n) => window.holdfast.frames.panels > n, after.panels);
    sound(page);
  },

  async ClockStep(browser) {
    const page = await show(browser, "cutoff");
    for (const [knob, by] of [["forward", 3.6e6], ["back", -7.2e6]]) {
      await page.turn(knob);
      await when(page, (want) => window.holdfast.node.clock.steps.some((s) => Math.abs(s.by - want) < 3000), by, 10_000);
      await page.waitForTimeout(1200);
      const got = await page.evaluate(() => document.body.innerText.replace(/\u00a0/g, " "));
      want(!/[-−]\d+ (ms|s|min|h)\b/.test(got.replace(/−5 min/, "")), "an age is negative");
      want(/Cut off from the fleet for [45] min/.test(got), `after ${knob}: ${got.slice(0, 400)}`);
      // A sample comes each second, later on a busy machine; an axis that went with the wrong clock stays wrong.
      await when(page, () => {
        const n = window.holdfast.node;
        const order = [...n.samples].every((s, i, all) => i === 0 || s.mono > all[i - 1].mono);
        return order && n.bars.length > 0 && Math.abs(n.clock.now() - Date.parse(n.samples.at(-1).at)) < 2500;
      }, null, 10_000);
    }
    sound(page);
  },

  async Keyboard(browser) {
    const page = await show(browser, "healthy");
    await page.keyboard.press("Tab");
    want((await page.evaluate(() => document.activeElement.className)) === "skip", "Tab does not begin at the skip link");
    await page.keyboard.press("Enter");
    want((await page.evaluate(() => document.activeElement.id)) === "content", "the skip link leads nowhere");
    const reached = [];
    for (let i = 0; i < 26; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const el = document.activeElement;
        const s = getComputedStyle(el);
        return { body: el === document.body, name: el.id || el.dataset.act || el.textContent.trim().slice(0, 20), ring: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 };
      });
      if (at.body) break; // once around
      want(at.ring, `the focus cannot be seen on ${at.name}`);
      reached.push(at.name);
    }
    for (const name of ["pause", "restart", "logs", "event-kind", "event-filter"]) want(reached.includes(name), `${name} is not reached: ${reached.join(" ")}`);
    await page.locator("h1").click();
    await page.keyboard.press("?");
    await until(page, "#dialog", /Keys[\s\S]*pause the slots/);
    await page.keyboard.press("Escape");
    want(!(await page.locator("#dialog").evaluate((d) => d.open)), "Escape does not close");
    await page.keyboard.press("p");
    want((await page.locator("#pause").getAttribute("aria-pressed")) === "true", "p does not pause");
    await page.keyboard.press("6");
    want((await page.evaluate(() => document.activeElement.id)) === "events", "6 does not lead to the events");
    await page.keyboard.press("/");
    await page.keyboard.type("weld SIGSEGV");
    await until(page, "#events-shown", /1 of 8/);
    want((await page.locator("#event-list li").count()) === 1, "the filter does not filter");
    await page.keyboard.press("Escape");
    sound(page);
  },

  async Phone(browser) {
    for (const [scene, options] of [["healthy", {}], ["markup", {}], ["both", { locale: "zh-CN" }]]) {
      const page = await show(browser, scene, { viewport: { width: 390, height: 844 }, hasTouch: true, ...options });
      await page.waitForTimeout(300);
      const out = await page.evaluate(wide);
      want(out.length === 0, `${scene} is wider than a phone: ${out.join("; ")}`);
      if (scene === "healthy") {
        const small = await page.evaluate(() => [...document.querySelectorAll(".tools button")].filter((b) => b.offsetParent && b.getBoundingClientRect().height < 40).length);
        want(small === 0, `${small} buttons are too small for a finger`);
        await page.evaluate(() => document.querySelector("main").append(Object.assign(document.createElement("p"), { textContent: "x".repeat(200) })));
        want((await page.evaluate(wide)).length > 0, "a line that is too long goes unseen");
      }
      sound(page);
      await page.context().close();
    }
  },

  async NamesAndContrast(browser, note) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await show(browser, "cutoff", { colorScheme });
      const nameless = await page.evaluate(unnamed);
      want(nameless.length === 0, "without a name: " + nameless.join(", "));
      const ratios = await page.evaluate(luminance);
      note(`${colorScheme}: least contrast of text ${Math.min(...ratios.text.map((r) => r[1])).toFixed(2)}, of marks ${Math.min(...ratios.marks.map((r) => r[1])).toFixed(2)}`);
      for (const [pair, ratio] of ratios.text) want(ratio >= 4.5, `${colorScheme}: ${pair} has a contrast of ${ratio.toFixed(2)}`);
      for (const [pair, ratio] of ratios.marks) want(ratio >= 3, `${colorScheme}: ${pair} has a contrast of ${ratio.toFixed(2)}`);
      const heads = await page.evaluate(() => [...document.querySelectorAll("h1,h2,h3")].map((e) => e.tagName));
      want(heads.filter((x) => x === "H1").length === 1 && heads[0] === "H1", "the headings are " + heads.slice(0, 3));
      // The control.
      await page.evaluate(() => {
        document.querySelector("main").append(document.createElement("button"));
        document.documentElement.style.setProperty("--muted", "#8a8f94");
      });
      want((await page.evaluate(unnamed)).length === 1, "a button without a name goes unseen");
      if (colorScheme === "light") want((await page.evaluate(luminance)).text.some((r) => r[1] < 4.5), "grey on white goes unseen");
      sound(page);
      await page.context().close();
    }
  },

  async ThemeAndLanguage(browser) {
    const page = await show(browser, "healthy", { locale: "zh-CN", colorScheme: "dark" });
    await until(page, "#headline", /^一切正常：截止时间都得到遵守/);
    want((await page.evaluate(() => document.documentElement.lang)) === "zh-Hans", "the document does not say its language");
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await ground();
    await page.locator("#theme").click();
    want((await ground()) !== dark, "the theme does not change");
    await page.locator("#language").click();
    await until(page, "#headline", /^All is well/);
    await page.reload();
    await told(page);
    await until(page, "#headline", /^All is well/);
    want((await ground()) !== dark, "the theme is forgotten");
    const english = await page.evaluate(() => document.body.innerText);
    want(!/undefined|NaN|\[object|\{\w+\}/.test(english), "a word is missing: " + /.{20}(undefined|NaN|\[object|\{\w+\}).{20}/s.exec(english)?.[0]);
    sound(page);
  },

  async ReducedMotion(browser) {
    const page = await show(browser, "healthy", { reducedMotion: "reduce" });
    const drawn = () => page.evaluate(() => ({ n: window.holdfast.frames.lanes, at: performance.now() }));
    const before = await drawn();
    await page.waitForTimeout(1500);
    const after = await drawn();
    const rate = (after.n - before.n) / ((after.at - before.at) / 1000);
    want(after.n > before.n && rate < 2.7, `the lanes were drawn ${rate.toFixed(1)} times a second`);
    sound(page);
  },

  async Forbidden(browser) {
    const page = await show(browser, "healthy");
    await page.getByRole("button", { name: "Restart line/digits" }).click();
    await page.locator("#dialog").getByRole("button", { name: "Restart" }).click();
    await until(page, "#dialog", /403: .*socket/);
    await until(page, "#dialog .hint", /Hint: /);
    sound(page);
  },

  async Actions(browser) {
    const page = await show(browser, "tokened");
    const dialog = page.locator("#dialog");
    await page.getByRole("button", { name: "Restart line/weld" }).click();
    await until(page, "#dialog", /Restart line\/weld\?/);
    want(((await page.turn("did")) ?? []).length === 0, "it acts before it is told to");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    want(((await page.turn("did")) ?? []).length === 0, "Cancel acts");
    await page.getByRole("button", { name: "Restart line/weld" }).click();
    await dialog.getByRole("button", { name: "Restart" }).click();
    await until(page, "#dialog", /A token is needed/);
    await page.locator("#token").fill("not-it");
    await page.keyboard.press("Enter");
    await until(page, "#dialog", /did not take that token/);
    await page.locator("#token").fill("open-sesame-0123456789");
    await page.keyboard.press("Enter");
    await until(page, "#dialog", /Done\./);
    await dialog.getByRole("button", { name: "Close" }).click();
    await page.keyboard.press("d");
    await until(page, "#dialog", /Drain the node\?/);
    await dialog.getByRole("button", { name: "Drain" }).click();
    await until(page, "#dialog", /Done\./); // and no token is asked for again
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Log line/weld" }).click();
    await until(page, "#dialog pre", /ready <b>on<\/b> \/run\/model\.sock/);
    await page.keyboard.press("Escape");
    const did = await page.turn("did");
    want(did.join() === "restart line/weld,drain,logs line/weld", "it did " + did);
    const kept = await page.evaluate(() => [Object.values(sessionStorage).includes("open-sesame-0123456789"), JSON.stringify(localStorage) + document.cookie]);
    want(kept[0] && !kept[1].includes("open-sesame"), "the token is kept elsewhere than in this tab");
    sound(page);
  },

  async Sample(browser) {
    const page = await show(browser, "healthy");
    await page.keyboard.press("s");
    await page.locator("#sample-model").selectOption("digits");
    await until(page, "#sample-label", /a real handwritten 7/);
    await page.locator("#dialog").getByRole("button", { name: "Send" }).click();
    await until(page, "#dialog pre", /"label"[\s\S]*\[7/);
    await page.locator("#sample-model").selectOption("weld");
    await until(page, "#sample-label", /a tensor of zeros, not real input/);
    await page.locator("#sample-body").fill("{oops");
    await page.locator("#dialog").getByRole("button", { name: "Send" }).click();
    await until(page, "#dialog .result", /This is not JSON/);
    await page.locator("#sample-body").fill('{"inputs":[]}');
    await page.locator("#dialog").getByRole("button", { name: "Send" }).click();
    await until(page, "#dialog .result", /400: /);
    sound(page);
  },
};

/** The real agent on a real containerd, with a real model: what a person does on a first visit. */
async function realLine(browser, note) {
  const page = await show(browser, "line");
  await until(page, "#headline", /^All is well: no tasks came in the last minute, 2 of 2 instances ready/);
  await until(page, "#runs", /line\/digits\s+2 \/ 2 ready[\s\S]*first version, still being watched: digits:1/);
  const pids = () => page.evaluate(() => window.holdfast.node.status.workloads.flatMap((w) => w.instances.map((i) => i.pid)).sort().join());
  const before = await pids();
  await page.keyboard.press("s");
  await until(page, "#sample-label", /a real handwritten 7/);
  await page.locator("#dialog").getByRole("button", { name: "Send" }).click();
  await until(page, "#dialog pre", /"label"[^}]*"data":\[7\]/);
  const answered = await text(page, "#dialog .ok");
  await page.keyboard.press("Escape");
  await until(page, "#headline", /: deadlines are kept/);
  await when(page, () => {
    const b = window.holdfast.node.bars;
    return b.length > 0 && b.to[b.latest(0)] >= b.from[b.latest(0)] && b.due[b.latest(0)] > b.to[b.latest(0)];
  });
  await page.getByRole("button", { name: "Restart line/digits" }).click();
  await page.locator("#dialog").getByRole("button", { name: "Restart" }).click();
  await page.locator("#token").fill("a-token-of-this-line");
  await page.keyboard.press("Enter");
  await until(page, "#dialog", /Done\./, 30_000);
  await page.keyboard.press("Escape");
  await when(page, (was) => window.holdfast.node.status.workloads.every((w) => w.ready === 2 && w.instances.every((i) => !was.includes(i.pid))), before, 15_000);
  await until(page, "#runs", /CPU \d+ %\s+\d+\.\d MiB \/ 64\.0 MiB/); // it was measured
  await page.getByRole("button", { name: "Log line/digits" }).click();
  await until(page, "#dialog pre", /model server ready/);
  note(`a real 7 was ${answered.replace(/\u00a0/g, " ")}; processes before the restart ${before}, after it ${await pids()}`);
  sound(page);
}

/** Checks that measure, and want the machine for themselves. */
export const alone = {
  async ThousandTasksASecond(browser, note) {
    const calm = await show(browser, "idle");
    const idle = await measured(calm);
    await calm.close();
    const page = await show(browser, "burst");
    const busy = await measured(page);
    note(`idle: frame ${idle.frame.toFixed(1)} ms, slowest work ${idle.slowest.toFixed(0)} ms, heap ${(idle.heap / 1048576).toFixed(1)} MiB; ${busy.tasks} tasks/s: frame ${busy.frame.toFixed(1)} ms, slowest work ${busy.slowest.toFixed(0)} ms, heap ${(busy.heap / 1048576).toFixed(1)} MiB`);
    want(busy.tasks > 700, `only ${busy.tasks} tasks a second came`);
    want(busy.heap < idle.heap + 12 * 1048576, `the heap is ${busy.heap}, idle ${idle.heap}`);
    want(busy.frame < Math.max(100, 4 * idle.frame), `a frame takes ${busy.frame} ms, idle ${idle.frame} ms`);
    want(busy.bars <= 8192 && busy.rows < 900, `${busy.bars} bars, ${busy.rows} elements`);
    await until(page, "#headline", /deadlines are kept|all on time|Overloaded/);
    sound(page);
  },
};

/** How a page does for some seconds. */
async function measured(page) {
  const found = await page.evaluate(async () => {
    const h = window.holdfast;
    h.frames.slowest = 0;
    const submitted = () => h.node.status.scheduler.classes.reduce((n, c) => n + c.submitted, 0);
    const tasks = submitted();
    const begun = performance.now();
    let frames = 0;
    await new Promise((done) => {
      const next = (at) => {
        frames++;
        if (at - begun < 3200) requestAnimationFrame(next);
        else done();
      };
      requestAnimationFrame(next);
    });
    const took = performance.now() - begun;
    window.gc();
    return { frame: took / frames, slowest: h.frames.slowest, heap: performance.memory.usedJSHeapSize, tasks: Math.round(((submitted() - tasks) / took) * 1000), bars: h.node.bars.length, rows: document.querySelectorAll("*").length };
  });
  return found;
}
