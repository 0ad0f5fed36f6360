// Every fixed word of the page, in English and in Chinese. What the agent says itself
// (causes, details, remedies, hints) is shown as it says it.

import { age, count, percent, span } from "./format.js";

const EN = {
  // the frame
  title: "holdfast", skip: "To the content", language: "中文", languageName: "Change the language to Chinese",
  theme: "Theme", themeName: "Change between light and dark", help: "Keys", helpName: "Show the keyboard shortcuts",
  more: "Actions", live: "live", first: "connecting", silent: "no word for {span}", lost: "trying again",
  version: "version {v}", up: "up {span}", health: "health", reload: "The agent is now version {v}: reload the page",
  noscript: "This page needs JavaScript, all of it from this node.",
  // headline leads
  "h.first": "Connecting to the agent",
  "h.gone": "No word from the agent for {span}; trying again. What is shown is from before",
  "h.gone-unknown": "No word from the agent for {span}; trying again",
  "h.gone-said": "The agent sends no data: {said}. Trying again",
  "h.well": "All is well", "h.quiet": "All is well", "h.works": "The node does its work",
  "h.cut-off": "Cut off from the fleet for {span}",
  "h.overloaded": "Overloaded", "h.late": "Late", "h.failing": "Models fail",
  "h.no-containerd": "No word from containerd", "h.no-policy": "No policy is in force",
  "h.lease-ended": "The policy’s lease has ended",
  "h.policy-back": "Policy version {failed} failed and was taken back; version {version} governs",
  "h.not-ready": "{names} cannot answer", "h.few-ready": "{names} is short of instances", "h.draining": "Draining",
  "h.upstream-down": "{names} is left alone, as it does not answer", "h.health-low": "The health score is low, at {score}",
  "h.restarted": "The agent was restarted {span} ago", "h.updating": "A new version of {name} is on trial",
  "h.agent-trial": "Version {version} of the agent is on trial", "h.agent-unwell": "Version {version} of the agent is on trial and not well ({why})",
  "h.agent-rescue": "The program that came with the node, {version}, stands in for another version of the agent",
  // headline says
  "s.deadlines-kept": "deadlines are kept", "s.deadlines-kept-in": "what was let in is answered in time", "s.deadlines-share": "{share} of what was let in was answered in time",
  "s.no-tasks": "no tasks came in the last minute",
  "s.entries-wait": ({ n }, f) => n === 1 ? "1 entry waits to be sent" : `${f.count(n)} entries wait to be sent`,
  "s.nothing-waits": "nothing waits to be sent",
  "s.refused": ({ hit }, f) => f.and(hit.map((x) => `${f.percent(x.share)} of ${x.class}`)) + " tasks refused in the last minute", "s.class-on-time": "{classes} all on time",
  "s.missed": ({ hit }, f) => f.and(hit.map((x) => `${f.count(x.n)} ${x.class}`)) + (hit.length === 1 && hit[0].n === 1 ? " task" : " tasks") + " missed the deadline in the last minute",
  "s.failed": ({ hit }, f) => f.and(hit.map((x) => `${f.count(x.n)} ${x.class}`)) + " tasks failed in the last minute",
  "s.models-answer": "what runs goes on answering", "s.nothing-runs": "no model can answer",
  "s.nothing-starts": "nothing can be started or restarted until it is back",
  "s.nothing-allowed": "the node runs nothing and refuses every task until a signed policy comes",
  "s.runs-on": "what runs keeps running", "s.risky-refused": "new images and risky commands are refused",
  "s.not-ready-means": "its tasks are refused at once", "s.ready-of": "{ready} of {wanted} ready",
  "s.inside": ({ n }, f) => n === 0 ? "no new tasks are let in, and none is inside" : `no new tasks are let in, ${f.count(n)} still inside`,
  "s.answered-here": "its tasks are answered by the node as far as their routes allow",
  "s.silence": "nothing was heard from it for {span}",
  "s.goes-back": "if that lasts, version {version} runs again",
  "s.all-ready": "{ready} of {wanted} instances ready", "s.no-workloads": "no workloads are wanted",
  "s.see-warnings": ({ n }, f) => n === 1 ? "1 warning below" : `${f.count(n)} warnings below`,
  "h.more": ({ n }, f) => `${f.count(n)} more below`, nodeClock: "{at} by the node’s clock",
  // sections
  warnings: "Warnings", ontime: "On time", lanes: "Slots", queue: "Waiting", governs: "What governs",
  connected: "Connected", runs: "What runs", routes: "Servers elsewhere", events: "What happened", vitals: "Vitals",
  tenants: "Tenants", models: "Models",
  // on time
  urgent: "urgent", normal: "normal", batch: "batch", lastMinute: "last minute", sinceStart: "since start",
  nothingEnded: "none ended", refusedN: "refused", lateN: "late", failedN: "failed", waitingN: "waiting",
  ofEnded: "of {n} ended", curves: "curves: tasks a second, the last 5 minutes",
  // lanes
  slot: "slot {n}", deadline: "deadline", suspended: "suspended", lateMark: "late", failedMark: "failed", turnedAway: "refused",
  now: "now", noWord: "no word", notListed: "not listed", clockStep: "clock moved {by}", pause: "Pause", resume: "Resume", span: "Span",
  skipped: "{n} tasks ended unseen: more came than are listed one by one",
  lanesName: "The slots over time: each task a bar, its deadline a tick. {running} running, {suspended} suspended, {waiting} waiting.",
  // queue
  due: "due in {span}", overdue: "past its deadline", nobody: "Nothing waits.", andMore: "and {n} more", noDeadline: "no deadline",
  // policy
  ungoverned: "No policy governs this node: it is a developer’s, and its workloads come from a Compose file.",
  noPolicyYet: "No policy is in force. The node waits for one that its root document vouches for.",
  "state.none": "none", "state.factory": "factory", "state.current": "current", "state.previous": "previous", "state.degraded": "degraded",
  policyVersion: "version {v}", state: "state", inForce: "in force", signedBy: "signed by", leaseLeft: "lease left", boots: "{n} boots",
  noLease: "without end", onTrial: "on trial", notKept: "in memory only: it would be lost at a restart", root: "root document",
  failedBefore: "version {v} was taken back: {why}", digest: "digest",
  // the agent's own version
  ownVersion: "The agent", fromFactory: "as it came with the node", fromSlot: "from slot {slot}", inUse: "in use", inRescue: "in rescue",
  keptIn: "kept in", notWell: "not well", elseBack: "should it fail", triesLeft: "starts left", update: "update", ofTotal: "{done} of {total}", lastUpdate: "last update",
  wholeSystem: "The whole system", noVersion: "of no version", nextStart: "runs after the next start of the machine",
  "phase.seeking": "asking for the release", "phase.fetching": "fetching", "phase.testing": "trying it on a copy of the store", "phase.leaving": "about to start anew",
  "phase.installing": "installing", "phase.restarting": "the machine starts anew", "phase.confirming": "waits to be called good",
  "result.kept": "kept", "result.left": "tried, and left", "result.refused": "refused", "result.awaited": "cannot be had now",
  // link
  noLink: "No fleet is configured.", linkUp: "connected", linkDown: "cut off", site: "link to the site", for: "for {span}",
  outboxN: "wait to be sent", heardN: "the fleet last answered", ago: "{span} ago", never: "not yet", budget: "used this month", ofBudget: "{used} of {budget}",
  unbounded: "{used}, unbounded", held: "history waits for the budget", up5: "up", down5: "cut off", 
  timelineName: "The link over the last five minutes: {up} connected.", confirms: "confirmed by the fleet", 
  // workloads
  readyN: "ready", noWorkloads: "No workloads are wanted here.",
  restart: "Restart", logs: "Log", trySample: "Try a model", restartsN: ({ n }, f) => n === 1 ? "1 restart" : `${f.count(n)} restarts`, "phase.trial": "new version on trial", "phase.first": "first version, still being watched", "phase.canary": "canary: {share} % of the tasks", "phase.paused": "update paused",
  "phase.failed": "new version failed", "phase.taken-back": "new version taken back", canary: "canary", adjusted: "replicas set by a command",
  pool: "{warm} warm, {busy} at work", since: "since {span}", cpu: "CPU", canaryNew: "new: {tasks} tasks, {failed} failed, median {median}",
  canaryOld: "old: {tasks} tasks, {failed} failed, median {median}", nextTry: "next try in {span}",
  "i.starting": "starting", "i.ready": "ready", "i.unready": "not ready", "i.suspended": "suspended", "i.waiting": "waiting", "i.backoff": "backing off",
  "i.stopping": "stopping", "i.ended": "ended", "i.unknown": "unknown",
  // upstreams
  noRoutes: "Every task is answered here.", "u.up": "answers", "u.down": "left alone", "u.probed": "being tried", answeredOf: "{n} of {all} answered", spared: "{n} not asked meanwhile", 
  // events
  filter: "Filter", allKinds: "everything", kindTasks: "tasks", kindInstances: "instances", kindLink: "link", kindPolicy: "policy", kindWarnings: "warnings", noEvents: "Nothing has happened yet.", noneMatch: "Nothing matches.",
  eventsShown: "{n} of {all}",
  // vitals
  cpuAll: "processor", memoryAll: "memory", temperature: "temperature", disk: "disk", agent: "the agent itself", noSensor: "no sensor", free: "{n} free", score: "health score",
  scoreOf: "processor {cpu}, memory {memory}, errors {errors}, answers in {latency}", ofCore: "{n} of a core",
  // tenants, models
  tenant: "tenant", rate: "rate", submitted: "asked", overQuota: "over quota", denied: "denied", noTenants: "The policy bounds nobody.", shut: "shut",
  model: "model", counted: "counted with", median: "median", p99: "99th", runsN: "runs", bias: "against the plan", noModels: "No model is served.",
  // warnings
  remedy: "Remedy", sinceW: "for {span}", 
  // actions
  drain: "Drain", undrain: "Undrain", cancel: "Cancel", close: "Close", send: "Send", confirm: "Do it",
  confirmRestart: "Restart {name}?", confirmRestartText: "Its instances are replaced as its update rules say. Tasks it holds may take longer, or be answered elsewhere.",
  confirmDrain: "Drain the node?", confirmDrainText: "No new task is let in until it is undrained; those inside are finished. Callers are told at once.",
  confirmUndrain: "Take tasks again?", confirmUndrainText: "New tasks are let in from now on.",
  token: "Token", tokenTitle: "A token is needed", tokenText: "What changes the node needs the token of its API (api.tokenFile). It is kept by this tab alone and forgotten when it closes.",
  tokenWrong: "The agent did not take that token.", forgetToken: "Forget the token", done: "Done.", working: "Working…", hint: "Hint", noAnswer: "No answer came: {said}",
  logTitle: "Last lines of {name}", logEmpty: "It has said nothing.", refresh: "Again",
  sampleTitle: "Send a task", sampleModel: "Model", sampleClass: "Class", sampleDeadline: "Deadline", sampleBody: "Input (Open Inference Protocol)",
  zeros: "a tensor of zeros, not real input", real: "a real handwritten 7 that the model never saw", answerIn: "answered in {span}", asClass: "of the class", badJson: "This is not JSON: {said}",
  // help
  keysTitle: "Keys", "k.?": "this list", "k.t": "light or dark", "k.l": "language", "k.p": "pause the slots", "k./": "filter what happened", "k.s": "send a task", "k.d": "drain or undrain", "k.1": "to the first … eighth part", "k.Esc": "close",
};

const ZH = {
  title: "holdfast", skip: "跳到正文", language: "English", languageName: "切换为英文", theme: "主题", themeName: "切换浅色与深色", help: "按键", helpName: "显示键盘快捷键",
  more: "操作", live: "实时", first: "正在连接", silent: "{span}没有消息", lost: "正在重试", version: "版本 {v}", up: "已运行 {span}", health: "健康", reload: "代理现为版本 {v}：请重新载入页面",
  noscript: "本页需要 JavaScript，全部来自本节点。",
  "h.first": "正在连接代理", "h.gone": "代理已 {span}没有消息，正在重试；所示为此前的情况", "h.gone-unknown": "代理已 {span}没有消息，正在重试", "h.gone-said": "代理不发送数据：{said}。正在重试",
  "h.well": "一切正常", "h.quiet": "一切正常", "h.works": "节点工作正常", "h.cut-off": "与机群断开已 {span}", "h.overloaded": "过载", "h.late": "有任务超时", "h.failing": "模型出错",
  "h.no-containerd": "containerd 没有应答", "h.no-policy": "没有生效的策略", "h.lease-ended": "策略租期已到", "h.policy-back": "策略版本 {failed} 失败并已撤回，版本 {version} 生效",
  "h.not-ready": "{names} 无法应答", "h.few-ready": "{names} 实例不足", "h.draining": "正在排空", "h.upstream-down": "{names} 不应答，暂不询问", "h.health-low": "健康分偏低，为 {score}",
  "h.restarted": "代理于 {span}前重启", "h.updating": "{name} 的新版本正在试运行",
  "h.agent-trial": "代理的版本 {version} 正在试运行", "h.agent-unwell": "代理的版本 {version} 正在试运行，状况不佳（{why}）", "h.agent-rescue": "节点自带的程序 {version} 暂代另一版本的代理", "s.goes-back": "若持续如此，将恢复运行版本 {version}",
  "s.deadlines-kept": "截止时间都得到遵守", "s.deadlines-kept-in": "已接受的任务都按时应答", "s.deadlines-share": "已接受的任务有 {share} 按时应答", "s.no-tasks": "最近一分钟没有任务", "s.entries-wait": "{n} 条记录等待发送", "s.nothing-waits": "没有记录等待发送",
  "s.refused": ({ hit }, f) => "最近一分钟" + hit.map((x) => f.word(x.class) + "任务 " + f.percent(x.share)).join("、") + " 被拒绝", "s.class-on-time": "{classes}全部按时", "s.missed": ({ hit }, f) => "最近一分钟" + hit.map((x) => f.count(x.n) + " 个" + f.word(x.class) + "任务").join("、") + "超过截止时间", "s.failed": ({ hit }, f) => "最近一分钟" + hit.map((x) => f.count(x.n) + " 个" + f.word(x.class) + "任务").join("、") + "失败",
  "s.models-answer": "正在运行的继续应答", "s.nothing-runs": "没有模型能应答", "s.nothing-starts": "在它恢复之前什么也无法启动或重启", "s.nothing-allowed": "在收到签名策略之前，节点不运行任何负载并拒绝所有任务",
  "s.runs-on": "正在运行的继续运行", "s.risky-refused": "拒绝新镜像和高风险命令", "s.not-ready-means": "它的任务会立即被拒绝", "s.ready-of": "{wanted} 个中 {ready} 个就绪", "s.inside": "不再接收新任务，内部还有 {n} 个",
  "s.answered-here": "在路由允许时由本节点应答", "s.silence": "其间 {span}没有消息", "s.all-ready": "{wanted} 个实例中 {ready} 个就绪", "s.no-workloads": "不需要任何负载", "s.see-warnings": "下方有 {n} 条警告", "h.more": "下方另有 {n} 项", nodeClock: "节点时钟 {at}",
  warnings: "警告", ontime: "按时率", lanes: "执行槽", queue: "等待中", governs: "当前策略", connected: "连接", runs: "运行中的负载", routes: "其他服务器", events: "事件", vitals: "体征", tenants: "租户", models: "模型",
  urgent: "紧急", normal: "普通", batch: "批量", lastMinute: "最近一分钟", sinceStart: "自启动以来", nothingEnded: "没有任务结束", refusedN: "拒绝", lateN: "超时", failedN: "失败", waitingN: "等待", ofEnded: "共结束 {n}", curves: "曲线：最近 5 分钟每秒任务数",
  slot: "槽 {n}", deadline: "截止时间", suspended: "已挂起", lateMark: "超时", failedMark: "失败", turnedAway: "被拒绝", now: "现在", noWord: "无消息", notListed: "未列出", clockStep: "时钟调整 {by}", pause: "暂停", resume: "继续", span: "范围",
  skipped: "{n} 个任务未逐一列出：数量超过可列出的上限", lanesName: "执行槽随时间的情况：每个任务一条，截止时间为刻度。运行 {running}，挂起 {suspended}，等待 {waiting}。", 
  due: "{span}后到期", overdue: "已过截止时间", nobody: "没有任务等待。", andMore: "另有 {n} 个", noDeadline: "无截止时间",
  ungoverned: "本节点没有策略约束：这是开发者的节点，负载来自 Compose 文件。", noPolicyYet: "没有生效的策略。节点等待其根文档所认可的策略。",
  "state.none": "无", "state.factory": "出厂", "state.current": "当前", "state.previous": "上一个", "state.degraded": "降级", policyVersion: "版本 {v}", state: "状态", inForce: "已生效", signedBy: "签名者", leaseLeft: "剩余租期", boots: "{n} 次启动", noLease: "无限期", onTrial: "试行中", notKept: "仅在内存中：重启即失", root: "根文档", failedBefore: "版本 {v} 已撤回：{why}", digest: "摘要",
  ownVersion: "代理", fromFactory: "出厂自带", fromSlot: "来自槽 {slot}", inUse: "使用中", inRescue: "救援中", keptIn: "确认还需", notWell: "状况不佳", elseBack: "失败则恢复", triesLeft: "剩余启动次数", update: "更新", ofTotal: "{total} 中的 {done}", lastUpdate: "上次更新",
  wholeSystem: "整个系统", noVersion: "无版本号", nextStart: "下次启动后运行",
  "phase.seeking": "正在请求发布", "phase.fetching": "正在下载", "phase.testing": "正在用数据副本试运行", "phase.leaving": "即将重新启动",
  "phase.installing": "正在安装", "phase.restarting": "机器正在重新启动", "phase.confirming": "等待确认良好",
  "result.kept": "已保留", "result.left": "试运行后放弃", "result.refused": "被拒绝", "result.awaited": "暂时无法取得",
  noLink: "未配置机群。", linkUp: "已连接", linkDown: "断开", site: "与站点的连接", for: "已 {span}", outboxN: "等待发送", heardN: "机群最近应答", ago: "{span}前", never: "尚无", budget: "本月用量", ofBudget: "{used} / {budget}", unbounded: "{used}，无上限", held: "历史记录等待流量额度", up5: "连接", down5: "断开", timelineName: "最近五分钟的连接：{up} 已连接。", confirms: "由机群确认", 
  readyN: "就绪", noWorkloads: "这里不需要任何负载。", restart: "重启", logs: "日志", trySample: "试用模型", restartsN: "重启 {n} 次", "phase.trial": "新版本试运行", "phase.first": "首个版本，仍在观察", "phase.canary": "金丝雀：{share} % 的任务", "phase.paused": "更新已暂停", "phase.failed": "新版本失败", "phase.taken-back": "新版本已撤回", canary: "金丝雀", adjusted: "副本数由命令设定", pool: "{warm} 个待命，{busy} 个工作中", since: "已 {span}", cpu: "CPU", canaryNew: "新：{tasks} 个任务，{failed} 个失败，中位 {median}", canaryOld: "旧：{tasks} 个任务，{failed} 个失败，中位 {median}", nextTry: "{span}后重试",
  "i.starting": "启动中", "i.ready": "就绪", "i.unready": "未就绪", "i.suspended": "已挂起", "i.waiting": "等待依赖", "i.backoff": "退避中", "i.stopping": "停止中", "i.ended": "已结束", "i.unknown": "未知",
  noRoutes: "所有任务都在本地应答。", "u.up": "应答", "u.down": "暂不询问", "u.probed": "试探中", answeredOf: "{all} 次询问中应答 {n}", spared: "其间 {n} 次未询问", 
  filter: "筛选", allKinds: "全部", kindTasks: "任务", kindInstances: "实例", kindLink: "连接", kindPolicy: "策略", kindWarnings: "警告", noEvents: "还没有事件。", noneMatch: "没有匹配。", eventsShown: "{all} 中的 {n}",
  cpuAll: "处理器", memoryAll: "内存", temperature: "温度", disk: "磁盘", agent: "代理自身", noSensor: "无传感器", free: "剩余 {n}", score: "健康分", scoreOf: "处理器 {cpu}，内存 {memory}，错误 {errors}，应答 {latency}", ofCore: "一个核的 {n}",
  tenant: "租户", rate: "速率", submitted: "请求", overQuota: "超额", denied: "被拒", noTenants: "策略未限制任何租户。", shut: "关闭", model: "模型", counted: "计划用时", median: "中位", p99: "第 99 百分位", runsN: "次数", bias: "与计划之比", noModels: "没有模型。",
  remedy: "处理", sinceW: "已 {span}", 
  drain: "排空", undrain: "恢复接收", cancel: "取消", close: "关闭", send: "发送", confirm: "执行", confirmRestart: "重启 {name}？", confirmRestartText: "按其更新规则替换实例。其中的任务可能更久，或在别处应答。", confirmDrain: "排空节点？", confirmDrainText: "在恢复之前不接收新任务；内部任务会完成，调用方立即得知。", confirmUndrain: "恢复接收任务？", confirmUndrainText: "从现在起接收新任务。",
  token: "令牌", tokenTitle: "需要令牌", tokenText: "改变节点需要其 API 的令牌（api.tokenFile）。只保存在此标签页，关闭即忘。", tokenWrong: "代理不接受该令牌。", forgetToken: "忘记令牌", done: "完成。", working: "进行中…", hint: "提示", noAnswer: "没有应答：{said}", logTitle: "{name} 的最后几行", logEmpty: "没有输出。", refresh: "再取",
  sampleTitle: "发送任务", sampleModel: "模型", sampleClass: "类别", sampleDeadline: "期限", sampleBody: "输入（Open Inference Protocol）", zeros: "全零张量，并非真实输入", real: "模型从未见过的真实手写 7", answerIn: "{span}内应答", asClass: "按类别", badJson: "不是 JSON：{said}",
  keysTitle: "按键", "k.?": "此列表", "k.t": "浅色或深色", "k.l": "语言", "k.p": "暂停执行槽", "k./": "筛选事件", "k.s": "发送任务", "k.d": "排空或恢复", "k.1": "到第一…第八部分", "k.Esc": "关闭",
};

export const LANGUAGES = { en: EN, zh: ZH };

/** The language to begin with, of those a browser wishes for. */
export function choose(wishes = [], kept = "") {
  if (kept in LANGUAGES) return kept;
  for (const wish of wishes) {
    const short = String(wish).toLowerCase().split("-")[0];
    if (short in LANGUAGES) return short;
  }
  return "en";
}

/** Words in one language: t("key", {vars}) and the sentence of a headline. */
export function words(lang) {
  const own = LANGUAGES[lang] ?? EN;
  const f = { count: (n) => count(n, lang), span: (ms) => span(ms, lang), age: (ms) => age(ms, lang), percent, word: (key) => own[key] ?? key, and: (texts) => texts.join(", ").replace(/, ([^,]*)$/, " and $1") };
  const list = (names) => names.map((n) => own[n] ?? n).join(lang === "zh" ? "、" : ", ").replace(/, ([^,]*)$/, lang === "zh" ? "、$1" : " and $1");
  const show = (name, value) => {
    if (Array.isArray(value)) return list(value);
    if (typeof value !== "number") return name === "class" ? own[value] ?? value : String(value);
    if (name === "span") return f.age(value);
    if (name === "share") return percent(value);
    return f.count(name === "score" ? Math.round(value) : value);
  };
  const t = (key, vars = {}) => {
    const entry = own[key] ?? EN[key] ?? key;
    if (typeof entry === "function") return entry(vars, f);
    return entry.replace(/\{(\w+)\}/g, (whole, name) => (name in vars ? show(name, vars[name]) : whole));
  };
  const sentence = (part) => {
    const lead = t("h." + part.lead, part.with);
    const says = part.says.map((s) => t("s." + s.word, s.with));
    if (says.length === 0) return lead + (lang === "zh" ? "。" : ".");
    return lang === "zh" ? lead + "：" + says.join("，") + "。" : lead + ": " + says.join(", ") + ".";
  };
  return { t, lang, ...f, sentence, sentences: (head) => head.parts.map(sentence) };
}
