// What the page asks of the node beyond looking: each answer as {ok, status, body}.

const KEY = "holdfast-token";

export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

const PATIENCE = 60_000; // ms: a browser lets six tabs ask one host, and the next wait unheard

/**
 * Asks once, with the token where that is needed and there is one: whoever else listens
 * there while the agent is away is not to be told it unasked. What comes back is never an
 * exception: ok, the status (0: nobody answered), and the body as JSON or text.
 */
async function ask(method, path, { body, headers = {}, trusted = false } = {}) {
  const all = { ...headers };
  if (trusted && token()) all.Authorization = "Bearer " + token();
  if (body !== undefined) all["Content-Type"] = "application/json";
  const begun = performance.now();
  try {
    const answer = await fetch(path, { method, headers: all, body, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(PATIENCE) });
    const text = await answer.text();
    return { ok: answer.ok, status: answer.status, body: parsed(answer, text), took: performance.now() - begun };
  } catch (problem) {
    return { ok: false, status: 0, body: { error: String(problem.message ?? problem) }, took: performance.now() - begun };
  }
}

function parsed(answer, text) {
  if (!(answer.headers.get("Content-Type") ?? "").includes("json")) return answer.ok ? text : { error: text.trim() || String(answer.status) };
  try {
    return JSON.parse(text);
  } catch {
    return { error: text };
  }
}

/** The last lines of a workload's or instance's output, as text. */
export const logs = (target, lines = 60) => ask("GET", "/v1/logs/" + target.split("/").map(encodeURIComponent).join("/") + "?lines=" + lines, { trusted: true });
export const restart = (target) => ask("POST", "/v1/restart?target=" + encodeURIComponent(target), { trusted: true });
export const drain = () => ask("POST", "/v1/drain", { trusted: true });
export const undrain = () => ask("POST", "/v1/undrain", { trusted: true });
export const workloads = () => ask("GET", "/v1/workloads");
export const model = (name) => ask("GET", "/v2/models/" + encodeURIComponent(name));
export const infer = (name, body, headers) => ask("POST", "/v2/models/" + encodeURIComponent(name) + "/infer", { body, headers });
