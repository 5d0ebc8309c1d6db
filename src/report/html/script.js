// The table of instances and the sheet of one. All text of models, logs and programs is put in by
// textContent; nothing here makes markup from data.
"use strict";
(() => {
const $ = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const FLAKY = 1, SUSPICIOUS = 2, FORGED = 4, EVIDENCE = 8, KNOWN = 16, RETRIED = 32;
const LETTERS = { resolved: "✓", unresolved: "✗", empty_patch: "∅", patch_rejected: "P", test_patch_rejected: "T", tests_stopped: "S", log_unusable: "L", infra: "!", open: "…" };
const words = (name) => name.replaceAll("_", " ");
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// ---- theme
const theme = $("theme");
const themes = ["auto", "light", "dark"];
const stored = () => { try { return localStorage.getItem("evalrun-theme"); } catch { return null; } };
const wear = (name) => {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  theme.textContent = `Theme: ${name}`;
  try { localStorage.setItem("evalrun-theme", name); } catch { /* a page from disk may keep nothing */ }
};
let worn = themes.includes(stored()) ? stored() : "auto";
theme.hidden = false;
wear(worn);
theme.addEventListener("click", () => { worn = themes[(themes.indexOf(worn) + 1) % themes.length]; wear(worn); });

// ---- data
const unpack = async (id) => {
  const text = $(id).textContent.trim();
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
};
const chunks = new Map();
const chunk = (number) => {
  if (!chunks.has(number)) chunks.set(number, unpack(`chunk-${number}`));
  return chunks.get(number);
};

let data, rows, shown = [], order = { key: "id", up: true }, current = 0, height = 34, start = -1, end = -1;

const main = async () => {
  data = await unpack("index");
  rows = data.instances.map((one, at) => {
    const [id, repo, version, hard, language, tests] = one;
    const attempts = data.attempts[at].map(([model, attempt, verdict, cause, flags, seconds, memory]) => ({ model, attempt, verdict, cause, flags, seconds, memory }));
    const causes = new Set(attempts.map((a) => (a.cause < 0 ? "" : data.causes[a.cause])));
    const verdicts = new Set(attempts.map((a) => words(data.verdicts[a.verdict])));
    return {
      at, id, repo, version, hard, language, attempts,
      flags: attempts.reduce((all, a) => all | a.flags, 0),
      resolved: attempts.filter((a) => data.verdicts[a.verdict] === "resolved").length,
      seconds: Math.max(0, ...attempts.map((a) => a.seconds)),
      memory: Math.max(0, ...attempts.map((a) => a.memory)),
      text: [id, data.repos[repo], version, hard < 0 ? "" : data.difficulties[hard], language < 0 ? "" : data.languages[language], ...causes, ...verdicts, ...tests].join("\n").toLowerCase(),
    };
  });
  head();
  tools();
  apply();
  fromHash();
};

// ---- table
const columns = () => [
  { key: "id", name: "instance", class: "c-id" },
  { key: "repo", name: "repository", class: "c-repo repo" },
  ...(data.difficulties.length ? [{ key: "hard", name: "difficulty", class: "c-hard hard" }] : []),
  ...data.models.map((name, model) => ({ key: `m${model}`, name, class: "c-model" })),
  { key: "seconds", name: "test time", class: "c-time number time" },
  { key: "memory", name: "memory", class: "c-mem number mem" },
];
const head = () => {
  const row = make("tr");
  for (const column of columns()) {
    const button = make("button", { type: "button", text: column.name, title: column.name });
    button.addEventListener("click", () => sortBy(column.key));
    row.append(make("th", { scope: "col", class: column.class, "data-key": column.key }, button));
  }
  $("table").tHead.replaceChildren(row);
};
const sortBy = (key) => {
  const first = !(key.startsWith("m") || key === "seconds");
  order = { key, up: order.key === key ? !order.up : first };
  apply();
};
const solved = (row, model) => row.attempts.reduce((sum, a) => sum + (a.model === model && data.verdicts[a.verdict] === "resolved" ? 1 : 0), 0);
const keyOf = (row) => {
  const { key } = order;
  if (key === "id") return row.id;
  if (key === "repo") return data.repos[row.repo];
  if (key === "hard") return row.hard;
  if (key === "seconds" || key === "memory") return row[key];
  return solved(row, Number(key.slice(1)));
};
const collator = new Intl.Collator("en", { numeric: true });
const compare = (a, b) => (typeof a === "string" ? collator.compare(a, b) : a - b);

const wanted = () => {
  const text = $("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  const verdict = $("by-verdict").value, model = number("by-model"), repo = number("by-repo");
  const hard = number("by-hard"), flag = $("by-flag").value;
  const has = (a) => (model === null || a.model === model) && (verdict === "" || (verdict === "not" ? data.verdicts[a.verdict] !== "resolved" : data.verdicts[a.verdict] === verdict));
  const marked = (row) => {
    if (flag === "") return true;
    const own = row.attempts.filter((a) => model === null || a.model === model);
    if (flag === "differ") return new Set(own.map((a) => data.verdicts[a.verdict] === "resolved")).size > 1;
    if (flag === "none") return own.every((a) => data.verdicts[a.verdict] !== "resolved");
    if (flag === "all") return own.length > 0 && own.every((a) => data.verdicts[a.verdict] === "resolved");
    return own.some((a) => a.flags & Number(flag));
  };
  return (row) => (repo === null || row.repo === repo) && (hard === null || row.hard === hard)
    && ((verdict === "" && model === null) || row.attempts.some(has)) && marked(row)
    && text.every((word) => row.text.includes(word));
};

const apply = () => {
  const keys = new Map();
  shown = rows.filter(wanted());
  for (const row of shown) keys.set(row, keyOf(row));
  const sign = order.up ? 1 : -1;
  shown.sort((a, b) => sign * compare(keys.get(a), keys.get(b)) || collator.compare(a.id, b.id));
  for (const cell of $("table").tHead.querySelectorAll("th")) {
    if (cell.dataset.key === order.key) cell.setAttribute("aria-sort", order.up ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
  }
  $("table").setAttribute("aria-rowcount", shown.length + 1);
  $("count").textContent = shown.length === rows.length ? plural(rows.length, "instance") : `${shown.length} of ${plural(rows.length, "instance")}`;
  current = 0;
  $("grid").scrollTop = 0;
  draw(true);
};

const mark = (attempt) => {
  const verdict = data.verdicts[attempt.verdict];
  const odd = attempt.flags & (FLAKY | SUSPICIOUS | FORGED);
  const said = [data.models[attempt.model], attempt.attempt > 1 ? `attempt ${attempt.attempt}` : "", words(verdict), attempt.cause < 0 ? "" : data.causes[attempt.cause], attempt.flags & FLAKY ? "flaky" : "", attempt.flags & SUSPICIOUS ? "suspicious" : "", attempt.flags & FORGED ? "forged" : ""].filter(Boolean).join(", ");
  return make("span", { class: `mark v-${verdict}${odd ? " odd" : ""}${attempt.flags & FORGED ? " danger" : ""}`, role: "img", "aria-label": said, title: said, text: LETTERS[verdict] });
};
const time = (seconds) => (seconds < 60 ? `${seconds.toFixed(1)} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s` : `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`);
const memory = (mib) => (mib < 1024 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`);

const line = (row, at) => {
  const node = make("tr", { "aria-rowindex": at + 2, "data-at": at });
  const open = make("button", { type: "button", class: "open", text: row.id, title: row.id, tabindex: at === current ? 0 : -1 });
  node.append(make("th", { scope: "row" }, open), make("td", { class: "repo", text: data.repos[row.repo], title: data.repos[row.repo] }));
  if (data.difficulties.length) node.append(make("td", { class: "hard", text: row.hard < 0 ? "" : data.difficulties[row.hard] }));
  data.models.forEach((_, model) => {
    const marks = make("div", { class: "marks" }, ...row.attempts.filter((a) => a.model === model).map(mark));
    node.append(make("td", {}, marks));
  });
  node.append(make("td", { class: "number time", text: row.seconds ? time(row.seconds) : "" }), make("td", { class: "number mem", text: row.memory ? memory(row.memory) : "" }));
  return node;
};
const pad = (pixels) => {
  const seen = [...$("table").tHead.querySelectorAll("th")].filter((one) => one.offsetParent !== null).length;
  const cell = make("td", { colspan: Math.max(1, seen), "aria-hidden": true });
  cell.style.height = `${pixels}px`;
  return make("tr", { class: "pad", role: "presentation" }, cell);
};
const draw = (anew = false, all = false) => {
  const grid = $("grid"), body = $("table").tBodies[0];
  const from = all ? 0 : Math.max(0, Math.floor(grid.scrollTop / height) - 12);
  const to = all ? shown.length : Math.min(shown.length, Math.ceil((grid.scrollTop + grid.clientHeight) / height) + 12);
  if (!anew && from === start && to === end) return;
  const focused = document.activeElement?.closest?.("#table tbody") ? current : null;
  [start, end] = [from, to];
  const lines = shown.slice(from, to).map((row, i) => line(row, from + i));
  body.replaceChildren(...(from ? [pad(from * height)] : []), ...lines, ...(to < shown.length ? [pad((shown.length - to) * height)] : []));
  if (focused !== null) body.querySelector(`tr[data-at="${focused}"] .open`)?.focus({ preventScroll: true });
};
const go = (at) => {
  if (!shown.length) return;
  current = Math.max(0, Math.min(shown.length - 1, at));
  const grid = $("grid"), top = current * height, room = grid.clientHeight - height - 40;
  if (top < grid.scrollTop) grid.scrollTop = top;
  else if (top > grid.scrollTop + room) grid.scrollTop = top - room;
  draw(true);
  $("table").querySelector(`tr[data-at="${current}"] .open`)?.focus({ preventScroll: true });
};

// As the style has it: on a phone a row has two lines.
const rowHeight = () => (matchMedia("(max-width: 760px)").matches ? 66 : 34);

// ---- tools
const options = (id, first, entries) => {
  $(id).replaceChildren(make("option", { value: "", text: first }), ...entries.map(([value, text]) => make("option", { value, text })));
};
const tools = () => {
  $("tools").hidden = $("grid").hidden = false;
  height = rowHeight();
  $("table").style.setProperty("--models", Math.max(1, data.models.length));
  const met = new Set(rows.flatMap((row) => row.attempts.map((a) => a.verdict)));
  options("by-verdict", "Any verdict", [...(met.size > 1 ? [["not", "not resolved"]] : []), ...[...met].sort((a, b) => a - b).map((v) => [data.verdicts[v], words(data.verdicts[v])])]);
  options("by-model", "Any model", data.models.map((name, at) => [at, name]));
  options("by-repo", "Any repository", data.repos.map((name, at) => [at, name]));
  options("by-hard", "Any difficulty", data.difficulties.map((name, at) => [at, name]));
  options("by-flag", "Any remark", [["differ", "verdicts differ"], ["all", "resolved by all"], ["none", "resolved by none"], [FLAKY, "flaky"], [SUSPICIOUS, "suspicious"], [FORGED, "forged"], [EVIDENCE, "evidence of infra"], [RETRIED, "retried"], [KNOWN, "known verdict"]]);
  $("by-hard").hidden = !data.difficulties.length;
  $("by-model").hidden = data.models.length < 2;
  for (const id of ["by-verdict", "by-model", "by-repo", "by-hard", "by-flag"]) $(id).addEventListener("change", apply);
  $("search").addEventListener("input", apply);
  $("clear").addEventListener("click", () => {
    for (const id of ["search", "by-verdict", "by-model", "by-repo", "by-hard", "by-flag"]) $(id).value = "";
    apply();
    $("search").focus();
  });
  $("grid").addEventListener("scroll", () => draw(), { passive: true });
  addEventListener("resize", () => { height = rowHeight(); draw(true); });
  addEventListener("beforeprint", () => draw(true, true));
  addEventListener("afterprint", () => draw(true));
  $("table").addEventListener("click", (event) => {
    const at = event.target.closest("tbody tr")?.dataset.at;
    if (at === undefined) return;
    current = Number(at);
    open(shown[current]);
  });
};
addEventListener("keydown", (event) => {
  if (!data || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, select, textarea");
  if ($("sheet").open) {
    const turn = event.target.getAttribute?.("role") === "tab";
    if (!typing && !turn && (event.key === "ArrowLeft" || event.key === "k")) step(-1);
    else if (!typing && !turn && (event.key === "ArrowRight" || event.key === "j")) step(1);
    return;
  }
  if (event.key === "/" && !typing) { event.preventDefault(); $("search").focus(); return; }
  if (event.key === "ArrowDown" && event.target === $("search")) { event.preventDefault(); go(current); return; }
  if (!event.target.closest?.("#grid") || event.target.closest("thead")) return;
  const page = Math.max(1, Math.floor($("grid").clientHeight / height) - 2);
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (!(event.key in moves)) {
    if (event.key === "Enter" && event.target === $("grid") && shown.length) { event.preventDefault(); open(shown[current]); }
    return;
  }
  event.preventDefault();
  const move = moves[event.key];
  go(event.target === $("grid") && Math.abs(move) === 1 ? current : move === -Infinity ? 0 : move === Infinity ? shown.length - 1 : current + move);
});

// ---- one instance
let opened = null;
const step = (by) => {
  const at = shown.indexOf(opened);
  const next = shown[(at < 0 ? current : at) + by];
  if (next) { current = shown.indexOf(next); open(next); }
};
const open = async (row, wish = null) => {
  opened = row;
  $("sheet-title").textContent = row.id;
  $("sheet-about").textContent = [data.repos[row.repo], row.version, row.hard < 0 ? "" : data.difficulties[row.hard], row.language < 0 ? "" : data.languages[row.language]].filter(Boolean).join(" · ");
  const at = shown.indexOf(row);
  $("before").disabled = at <= 0;
  $("after").disabled = at < 0 || at >= shown.length - 1;
  if (!$("sheet").open) $("sheet").showModal();
  const inside = await chunk(Math.floor(row.at / data.chunk));
  if (opened !== row) return;
  const details = inside[row.at % data.chunk];
  tabs(row, details, wish ?? firstOf(row));
  history.replaceState(null, "", `#i=${encodeURIComponent(row.id)}`);
};
const firstOf = (row) => {
  const model = $("by-model").value;
  const at = row.attempts.findIndex((a) => model !== "" && a.model === Number(model));
  return Math.max(0, at);
};
const tabs = (row, details, chosen) => {
  const select = (at, focus) => {
    [...$("tabs").children].forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === at));
      tab.tabIndex = i === at ? 0 : -1;
      if (i === at && focus) tab.focus();
    });
    show(row.attempts[at], details[at]);
  };
  $("tabs").replaceChildren(...row.attempts.map((attempt, at) => {
    const name = data.models[attempt.model] + (attempt.attempt > 1 ? ` #${attempt.attempt}` : "");
    const tab = make("button", { type: "button", role: "tab", "aria-controls": "body", title: name }, mark(attempt), make("span", { text: name }));
    tab.addEventListener("click", () => select(at, false));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) select((at + by + row.attempts.length) % row.attempts.length, true);
    });
    return tab;
  }));
  if (row.attempts.length) select(Math.min(chosen, row.attempts.length - 1), false);
  else $("body").replaceChildren(make("p", { class: "soft", text: "There is no prediction for this instance." }));
};

const part = (title, ...content) => make("section", { class: "stack" }, make("h3", { text: title }), ...content);
const notes = (list, kind) => list.map((text) => make("p", { class: `note ${kind}`, text }));
const show = (attempt, d) => {
  const verdict = data.verdicts[attempt.verdict];
  const parts = [];
  const fact = (name, value) => (value === null || value === undefined || value === "" ? [] : [make("div", {}, make("dt", { text: name }), make("dd", { text: value }))]);
  const tests = (pair) => (pair ? `${pair[0]} of ${pair[1]}` : null);
  parts.push(make("dl", { class: "facts" },
    ...fact("verdict", words(verdict) + (d.why ? `: ${d.why}` : "")),
    ...fact("cause", attempt.cause < 0 ? null : data.causes[attempt.cause]),
    ...fact("FAIL_TO_PASS", tests(d.mended)), ...fact("PASS_TO_PASS", tests(d.kept)),
    ...fact("wall time", d.wall === null ? null : time(d.wall)), ...fact("CPU time", d.cpu === null ? null : time(d.cpu)),
    ...fact("peak memory", d.memory ? memory(d.memory / 1048576) : null), ...fact("output", d.output ? `${d.output.toLocaleString("en")} bytes` : null),
    ...fact("round", d.round > 1 ? d.round : null), ...fact("patch went in by", d.applied), ...fact("trust", d.trust)));
  if (d.phases.length) parts.push(part("Time", phases(d.phases)));
  if (d.known) parts.push(...notes([`This verdict was not found out in this run: it was known from run ${d.known}.`], "info"));
  if (attempt.flags & FLAKY) parts.push(...notes(["Flaky: not resolved officially, but every test that failed passed when it ran again."], "info"));
  else if (d.reruns) parts.push(...notes([`Failed tests ran again ${plural(d.reruns[0], "time")}; ${d.reruns[1].length ? `these passed then: ${d.reruns[1].join(", ")}` : "none passed then"}.`], "info"));
  if (d.failed.length) {
    const list = d.failed.map((test, at) => {
      const summary = make("summary", {}, make("em", { text: test.kept ? "should pass still" : "should pass now" }), document.createTextNode(test.name));
      const body = test.log.length ? make("pre", { tabindex: 0, text: test.log.join("\n") }) : make("p", { class: "note", text: "Its part of the log is not shown here." });
      return make("details", { class: "test", open: at === 0 && test.log.length > 0 }, summary, body);
    });
    if (d.more) list.push(make("p", { class: "soft", text: `… and ${d.more} more` }));
    parts.push(part(`Failing tests: ${d.failed.length + d.more}`, ...list));
  }
  if (d.end.length) parts.push(part("End of the log", make("pre", { tabindex: 0, text: d.end.join("\n") })));
  const signs = d.signs.map(([reason, trust, evidence]) => [trust, `${words(reason)} (${trust}): ${evidence}`]);
  if (signs.length) parts.push(part("Integrity", ...signs.flatMap(([trust, text]) => notes([text], trust === "forged" ? "bad" : trust === "suspicious" ? "warn" : ""))));
  if (d.evidence.length) parts.push(part("Evidence of trouble in the environment", ...notes(d.evidence.map(([reason, tier, witness, detail]) => `${words(reason)} (${tier}, told by the ${witness}): ${detail}`), "warn")));
  if (d.trouble) parts.push(part("Our own trouble", make("pre", { tabindex: 0, text: d.trouble })));
  if (d.retried.length) parts.push(part("Rounds that do not count", ...notes(d.retried.map(([reason, detail]) => `${words(reason)}: ${detail}`), "warn")));
  if (d.notes.length) parts.push(part("Notes", ...notes(d.notes, "")));
  if (d.patch) parts.push(part("Patch", diff(d.patch), d.left ? make("p", { class: "soft", text: `… ${d.left.toLocaleString("en")} bytes more in ${d.place}/patch.diff` }) : null));
  parts.push(make("p", { class: "soft" }, make("span", { text: `Files: ${d.place}/ · patch sha256 ` }), make("code", { text: d.sha })));
  $("body").replaceChildren(...parts);
  $("body").scrollTop = 0;
};
const phases = (list) => {
  const total = list.reduce((sum, [, took]) => sum + took, 0) || 1;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 1000 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("class", "bar");
  svg.setAttribute("aria-label", list.map(([name, took]) => `${name} ${time(took)}`).join(", "));
  let x = 0;
  for (const [name, took] of list) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const width = (took / total) * 1000;
    for (const [key, value] of Object.entries({ x, y: 0, width, height: 10, class: `f-${name}` })) rect.setAttribute(key, value);
    svg.append(rect);
    x += width;
  }
  return make("div", {}, svg, make("p", { class: "soft", text: list.map(([name, took]) => `${name} ${time(took)}`).join(" · ") }));
};
const diff = (text) => {
  const pre = make("pre", { class: "diff", tabindex: 0 });
  let inside = false;
  for (const one of text.replace(/\n$/, "").split("\n")) {
    if (one.startsWith("diff --git ")) inside = false;
    else if (one.startsWith("@@")) inside = true;
    const kind = !inside ? "file" : one.startsWith("@@") ? "hunk" : one.startsWith("+") ? "add" : one.startsWith("-") ? "cut" : "";
    pre.append(make("span", { class: kind, text: one || " " }));
  }
  return pre;
};
$("close").addEventListener("click", () => $("sheet").close());
$("before").addEventListener("click", () => step(-1));
$("after").addEventListener("click", () => step(1));
$("sheet").addEventListener("click", (event) => { if (event.target === $("sheet")) $("sheet").close(); });
$("sheet").addEventListener("close", () => {
  opened = null;
  history.replaceState(null, "", location.pathname + location.search);
  go(current);
});
const fromHash = () => {
  const named = /^#i=(.+)$/.exec(location.hash);
  if (!named) return;
  let id;
  try { id = decodeURIComponent(named[1]); } catch { return; }
  const row = rows.find((one) => one.id === id);
  if (row) { current = Math.max(0, shown.indexOf(row)); open(row); }
};
addEventListener("hashchange", fromHash);
main().catch((error) => {
  $("grid").hidden = false;
  $("grid").replaceChildren(make("p", { class: "note bad", text: `The table cannot be shown: ${error}. A browser of 2023 or later is needed.` }));
});
})();
