// What a person can do: each action asks what it must, does it, and shows what the
// node answered, with its hint.

import * as api from "./api.js";
import { find, h, say } from "./dom.js";
import { sample, write } from "./sample.js";

/** The actions of the page. */
export function makeActions(page) {
  const act = {
    restart: (name) => confirm(page, page.w.t("confirmRestart", { name }), page.w.t("confirmRestartText"), page.w.t("restart"), () => api.restart(name)),
    drain: () => {
      const on = page.node.status?.draining || page.node.status?.scheduler?.draining;
      const word = on ? "Undrain" : "Drain";
      return confirm(page, page.w.t("confirm" + word), page.w.t("confirm" + word + "Text"), page.w.t(word.toLowerCase()), on ? api.undrain : api.drain);
    },
    logs: (name) => showLogs(page, name),
    sample: () => showSample(page),
    help: () => showHelp(page),
  };
  return act;
}

/** Opens the one dialog with a title; returns where its content belongs. */
function open(page, title) {
  const dialog = find("dialog");
  const heading = h("h2", { id: "dialog-title", text: title });
  const body = h("div");
  dialog.replaceChildren(heading, body);
  if (!dialog.open) dialog.showModal();
  return { dialog, body, heading, close: () => dialog.close() };
}

const button = (text, props = {}) => h("button", { type: "button", ...props, text });

async function confirm(page, title, text, verb, run) {
  const { body, close } = open(page, title);
  const result = h("div", { class: "result", role: "status" });
  const go = button(verb, { class: "main" });
  const cancel = button(page.w.t("cancel"), { onclick: close });
  body.append(h("p", { text }), result, h("div", { class: "end" }, cancel, go));
  go.addEventListener("click", async () => {
    go.disabled = true;
    say(result, page.w.t("working"));
    const answer = await withToken(page, run);
    if (!answer) return;
    const again = answer.asked ? open(page, title) : null;
    if (again) again.body.append(result, h("div", { class: "end" }, cancel));
    tell(page, result, answer);
    go.hidden = answer.ok;
    go.disabled = false;
    say(cancel, page.w.t("close"));
    cancel.focus();
  });
  cancel.focus();
}

/**
 * Runs a request; where the node wants a token it is asked for, once, and the request
 * is made again. null: the person gave up.
 */
async function withToken(page, run) {
  let answer = await run();
  let asked = false;
  while (answer.status === 401) {
    const wrong = asked || api.token() !== "";
    asked = true;
    api.keepToken("");
    if (!(await askToken(page, wrong))) return null;
    answer = await run();
  }
  return { ...answer, asked };
}

function askToken(page, wrong) {
  return new Promise((resolve) => {
    const { dialog, body, close } = open(page, page.w.t("tokenTitle"));
    const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
    let given = false;
    const form = h("form", { method: "dialog" }, wrong ? h("p", { class: "says bad", text: page.w.t("tokenWrong") }) : null, h("label", {}, page.w.t("token"), input),
      h("div", { class: "end" }, button(page.w.t("cancel"), { onclick: close }), h("button", { type: "submit", class: "main", text: page.w.t("send") })));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!input.value.trim()) return;
      given = true;
      api.keepToken(input.value.trim());
      dialog.removeEventListener("close", gone);
      resolve(true);
    });
    const gone = () => resolve(given);
    dialog.addEventListener("close", gone, { once: true });
    body.append(h("p", { class: "muted", text: page.w.t("tokenText") }), form);
    input.focus();
  });
}

/** What the node answered, in its own words, with its hint. */
function tell(page, el, answer) {
  el.replaceChildren();
  if (answer.ok) {
    el.append(h("p", { class: "ok", text: page.w.t("done") }));
    return;
  }
  const said = answer.status === 0 ? page.w.t("noAnswer", { said: answer.body?.error ?? "" }) : answer.status + ": " + (answer.body?.error ?? answer.body ?? "");
  el.append(h("p", { class: "bad", text: said }));
  if (answer.body?.hint) el.append(h("p", { class: "hint", text: page.w.t("hint") + ": " + answer.body.hint }));
  if (answer.body?.earliest_us) el.append(h("p", { class: "hint", text: page.w.t("counted") + ": " + page.w.span(answer.body.earliest_us / 1000) }));
}

async function showLogs(page, name) {
  const title = page.w.t("logTitle", { name });
  const answer = await withToken(page, () => api.logs(name));
  if (!answer) return;
  const { body, close } = open(page, title);
  if (answer.ok) body.append(h("pre", { tabindex: "0", text: String(answer.body).trim() || page.w.t("logEmpty") }));
  else {
    const result = h("div", { class: "result" });
    tell(page, result, answer);
    body.append(result);
  }
  const shut = button(page.w.t("close"), { onclick: close });
  body.append(h("div", { class: "end" }, button(page.w.t("refresh"), { onclick: () => showLogs(page, name) }), shut));
  shut.focus();
  const pre = body.querySelector("pre");
  if (pre) pre.scrollTop = pre.scrollHeight;
}

function showSample(page) {
  const { w, node } = page;
  const { body, close } = open(page, w.t("sampleTitle"));
  const models = (node.status?.scheduler?.models ?? []).map((m) => m.model);
  const option = (value, text = value) => h("option", { value, text });
  const model = h("select", { id: "sample-model" }, models.map((m) => option(m)));
  const kind = h("select", { id: "sample-class" }, ["normal", "urgent", "batch"].map((c) => option(c, w.t(c))));
  const deadline = h("input", { type: "text", id: "sample-deadline", placeholder: w.t("asClass"), autocomplete: "off" });
  const text = h("textarea", { id: "sample-body", spellcheck: "false" });
  const label = h("p", { class: "fine", id: "sample-label" });
  const result = h("div", { class: "result", role: "status" });
  const send = h("button", { type: "submit", class: "main", text: w.t("send") });
  const form = h("form", {}, h("div", { class: "row" }, h("label", {}, w.t("sampleModel"), model), h("label", {}, w.t("sampleClass"), kind), h("label", {}, w.t("sampleDeadline"), deadline)),
    h("label", {}, w.t("sampleBody"), text), label, result, h("div", { class: "end" }, button(w.t("close"), { onclick: close }), send));
  const load = async () => {
    const name = model.value;
    if (!name) return say(label, w.t("noModels"));
    const meta = await api.model(name);
    if (name !== model.value) return;
    result.replaceChildren();
    if (!meta.ok) return tell(page, result, meta);
    const made = sample(meta.body);
    text.value = write(made.body);
    say(label, w.t(made.real ? "real" : "zeros"));
  };
  text.addEventListener("input", () => say(label, ""));
  model.addEventListener("change", load);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(page, { model: model.value, body: text.value, kind: kind.value, deadline: deadline.value.trim(), result, send, form });
  });
  body.append(form);
  model.focus();
  load();
}

async function submit(page, s) {
  const { w } = page;
  try {
    JSON.parse(s.body);
  } catch (problem) {
    s.result.replaceChildren(h("p", { class: "bad", text: w.t("badJson", { said: problem.message }) }));
    return;
  }
  s.send.disabled = true;
  const headers = { "X-Holdfast-Class": s.kind };
  if (s.deadline) headers["X-Holdfast-Deadline"] = s.deadline;
  const answer = await withToken(page, () => api.infer(s.model, s.body, headers));
  s.send.disabled = false;
  if (!answer) return;
  if (answer.asked) open(page, w.t("sampleTitle")).body.append(s.form);
  tell(page, s.result, answer);
  if (answer.ok) s.result.replaceChildren(h("p", { class: "ok", text: w.t("answerIn", { span: w.span(answer.took) }) }), h("pre", { tabindex: "0", text: pretty(answer.body) }));
}

/** JSON with one member a line, but arrays whole: tensors are long. */
function pretty(value) {
  if (typeof value !== "object" || value === null) return String(value);
  const { outputs, ...others } = value;
  const lines = Object.entries(others).map(([k, v]) => "  " + JSON.stringify(k) + ": " + JSON.stringify(v));
  if (outputs) lines.push('  "outputs": [\n' + outputs.map((o) => "    " + JSON.stringify(o)).join(",\n") + "\n  ]");
  return "{\n" + lines.join(",\n") + "\n}";
}

function showHelp(page) {
  const { w } = page;
  const { body, close } = open(page, w.t("keysTitle"));
  const list = h("dl", { class: "keys" });
  for (const k of ["?", "t", "l", "p", "/", "s", "d", "1", "Esc"]) list.append(h("dt", {}, h("kbd", { text: k === "1" ? "1 … 8" : k })), h("dd", { text: w.t("k." + k) }));
  const shut = button(w.t("close"), { onclick: close });
  const end = h("div", { class: "end" }, api.token() ? button(w.t("forgetToken"), { onclick: () => (api.keepToken(""), close()) }) : null, shut);
  body.append(list, end);
  shut.focus();
}
