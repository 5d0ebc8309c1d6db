// Drives the page of a run in headless Chromium: what it shows, how quick it is, that hostile text in it
// does nothing, and what axe says of it.
//
//     npm ci && node report.js PAGE.html [FOLDER FOR SCREENSHOTS]
//
// PAGE.html is `evalrun report --format html` of what `examples/synthetic_run` made: 2294 instances, three
// models (one with a hostile name), two attempts.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page_file, shots] = process.argv.slice(2);
assert(page_file, "name the page");
const url = pathToFileURL(resolve(page_file)).href;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const QUICK = 100; // milliseconds, from an input to the frame that shows its effect
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });

let passed = 0;
const slow = [];
const test = async (name, { expected = null, ...options }, body) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options, bypassCSP: options.bypassCSP ?? false });
  const page = await context.newPage();
  const trouble = [];
  page.on("pageerror", (error) => trouble.push(`error: ${error}`));
  page.on("console", (message) => { if (message.type() === "error") trouble.push(`console: ${message.text()}`); });
  page.on("dialog", (dialog) => { trouble.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!/^(file|data|blob):/.test(request.url())) trouble.push(`network: ${request.url()}`); });
  try {
    await page.goto(url);
    if (options.javaScriptEnabled !== false) await page.waitForSelector("#table tbody .open");
    await body(page);
    if (options.javaScriptEnabled !== false) assert.equal(await page.evaluate(() => globalThis.pwned), undefined, "hostile text did something");
    assert.deepEqual(trouble.filter((one) => !expected?.test(one)), []);
    passed += 1;
    console.log(`ok: ${name}`);
  } catch (error) {
    console.error(`FAILED: ${name}\n${error.stack}`);
    process.exitCode = 1;
  }
  await context.close();
};

// How long the page takes from doing something to the next frame: the median of five, since the machine
// that tests may be busy with other things.
const timed = async (page, what, acts) => {
  const took = [];
  for (const act of acts) {
    took.push(await page.evaluate(async ([id, value, click]) => {
      const node = click ? document.querySelector(click) : document.getElementById(id);
      const began = performance.now();
      if (click) node.click();
      else { node.value = value; node.dispatchEvent(new Event(node.type === "search" ? "input" : "change", { bubbles: true })); }
      document.getElementById("grid").getBoundingClientRect();
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
      return performance.now() - began;
    }, act));
  }
  const median = [...took].sort((a, b) => a - b)[Math.floor(took.length / 2)];
  console.log(`    ${what}: ${median.toFixed(0)} ms`);
  if (median > QUICK) slow.push(`${what}: ${took.map((ms) => ms.toFixed(0)).join(", ")} ms`);
};
const ids = (page) => page.$$eval("#table tbody .open", (nodes) => nodes.map((node) => node.textContent));
const count = (page) => page.textContent("#count");
const violations = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join(" | ")}`);
};
const shot = async (page, name, options = {}) => { if (shots) await page.screenshot({ path: resolve(shots, name), ...options }); };

await test("the headline and the tables are there without any script", { javaScriptEnabled: false }, async (page) => {
  assert.equal(await page.locator(".model").count(), 3);
  assert.match(await page.textContent(".model .big"), /\d+\.\d % \d+ of 2294 resolved/);
  for (const id of ["h-repository", "h-difficulty", "h-language", "h-causes", "h-time", "h-durations", "h-memory"]) {
    assert(await page.locator(`#${id}`).isVisible(), id);
  }
  assert((await page.locator(".plot svg rect").count()) > 300);
});

await test("sorting, filtering and searching", {}, async (page) => {
  assert.equal(await count(page), "2294 instances");
  const drawn = (await ids(page)).length;
  assert(drawn > 10 && drawn < 120, `${drawn} rows are drawn`);
  await page.click("[data-key=seconds] button");
  const times = await page.$$eval("#table tbody td.time", (nodes) => nodes.map((node) => node.textContent));
  assert.equal(await page.getAttribute("[data-key=seconds]", "aria-sort"), "descending");
  await page.click("[data-key=seconds] button");
  assert.equal(await page.getAttribute("[data-key=seconds]", "aria-sort"), "ascending");
  const turned = await page.$$eval("#table tbody td.time", (nodes) => nodes.map((node) => node.textContent));
  assert.notDeepEqual(times, turned);
  await page.fill("#search", "sympy 1-4");
  const found = await ids(page);
  assert(found.length > 0 && found.every((id) => id.startsWith("sympy__")), found.join());
  assert.match(await count(page), /^\d+ of 2294 instances$/);
  await page.click("#clear");
  await page.selectOption("#by-verdict", "infra");
  assert((await page.locator("#table tbody tr:not(.pad)").count()) > 3);
  for (const row of await page.$$("#table tbody tr:not(.pad)")) assert(await row.$(".v-infra"));
  await page.selectOption("#by-verdict", "");
  await page.selectOption("#by-flag", { label: "flaky" });
  assert((await page.locator(".mark.odd").count()) > 3);
  await page.click("#clear");
  await page.fill("#search", "no such thing anywhere");
  assert.equal(await count(page), "0 of 2294 instances");
  await page.click("#clear");
  await page.$eval("#grid", (grid) => { grid.scrollTop = grid.scrollHeight; });
  await page.waitForFunction(() => document.querySelector('#table tr[aria-rowindex="2295"]'));
});

await test("it answers at once", {}, async (page) => {
  const sort = (key) => [null, null, `[data-key=${key}] button`];
  await timed(page, "sorting", [sort("seconds"), sort("m0"), sort("repo"), sort("memory"), sort("id")]);
  await timed(page, "filtering", [["by-verdict", "unresolved"], ["by-repo", "0"], ["by-repo", ""], ["by-flag", "differ"], ["by-verdict", ""]]);
  await timed(page, "searching", [["search", "d"], ["search", "dj"], ["search", "django test_area"], ["search", "timed out"], ["search", ""]]);
});

await test("an instance opens to patch, failing tests, log, evidence and attempts", {}, async (page) => {
  await page.selectOption("#by-model", { label: "aurora-2" });
  await page.selectOption("#by-verdict", "unresolved");
  const [id] = await ids(page);
  await page.click("#table tbody .open");
  await page.waitForSelector("#sheet[open] pre.diff");
  assert.equal(await page.textContent("#sheet-title"), id);
  assert.equal(await page.locator("#tabs [role=tab]").count(), 6);
  assert.match(await page.textContent("#tabs [aria-selected=true]"), /aurora-2/);
  assert.match(await page.evaluate(() => location.hash), new RegExp(`^#i=${id}`));
  const row = page.locator("#tabs .mark.v-unresolved").first();
  await row.click();
  assert.match(await page.textContent("#body"), /Failing tests: \d/);
  assert.match(await page.textContent("#body details.test pre"), /AttributeError/);
  assert((await page.locator("#body pre.diff .add").count()) > 0);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#sheet", { state: "hidden" });
  await page.click("#clear");
  await page.selectOption("#by-flag", { label: "forged" });
  await page.click("#table tbody .open");
  await page.waitForSelector("#sheet[open] #tabs .danger");
  await page.click("#tabs .danger");
  assert.match(await page.textContent("#body"), /Integrity.*canary passed \(forged\)/s);
});

await test("the keyboard is enough", {}, async (page) => {
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.type("django");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const third = await page.evaluate(() => document.activeElement.textContent);
  assert.equal(third, (await ids(page))[2]);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#sheet[open] #tabs [role=tab]");
  assert.equal(await page.textContent("#sheet-title"), third);
  await page.focus("#body");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction((before) => document.getElementById("sheet-title").textContent !== before, third);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#sheet", { state: "hidden" });
  await page.waitForFunction(() => document.activeElement.closest("tr")?.dataset.at === "3");
  await page.keyboard.press("End");
  await page.waitForFunction(() => document.activeElement.closest("tr")?.getAttribute("aria-rowindex") === document.getElementById("table").getAttribute("aria-rowcount"));
  await page.keyboard.press("Home");
  await page.waitForFunction(() => document.activeElement.closest("tr")?.dataset.at === "0");
});

await test("hostile names, logs and patches are text", { expected: /Content Security Policy/ }, async (page) => {
  await page.selectOption("#by-model", { index: 1 });
  assert.match(await page.textContent("#by-model option:checked"), /^<img src=x onerror/);
  await page.fill("#search", "mends_0");
  await page.selectOption("#by-verdict", "unresolved");
  let seen = false;
  for (let at = 0; at < 40 && !seen; at += 1) {
    await page.locator("#table tbody .open").nth(Math.min(at, 9)).click();
    await page.waitForSelector("#sheet[open] #body > *");
    for (const tab of await page.$$("#tabs [role=tab]")) {
      await tab.click();
      for (const one of await page.$$("#body details.test")) await one.evaluate((node) => { node.open = true; });
      const text = await page.textContent("#body");
      seen ||= text.includes("</script><script>window.pwned=1</script>");
      assert(!text.includes("\u001b"), "an escape character is left");
    }
    await page.keyboard.press("Escape");
    await page.waitForSelector("#sheet", { state: "hidden" });
    if (at === 9) await page.fill("#search", "keeps_0");
  }
  assert(seen, "no hostile log was met");
  assert.equal(await page.locator("main img, dialog img, main script, dialog script").count(), 0);
  // And if markup came in nevertheless, the page's policy would stop it.
  await page.evaluate(() => {
    const node = document.createElement("div");
    node.innerHTML = "<img src=x onerror='window.tried=1'>";
    document.body.append(node);
    const script = document.createElement("script");
    script.textContent = "window.tried=1";
    document.body.append(script);
  });
  await page.waitForTimeout(100);
  assert.equal(await page.evaluate(() => globalThis.tried), undefined, "the policy lets scripts run");
});

await test("a link leads to an instance", {}, async (page) => {
  await page.evaluate(() => { location.hash = "#i=django__django-10006"; });
  const all = await page.evaluate(() => document.getElementById("count").textContent);
  assert.equal(all, "2294 instances");
  await page.fill("#search", "django");
  const id = (await ids(page))[5];
  await page.goto(`${url}#i=${id}`);
  await page.reload();
  await page.waitForSelector("#sheet[open]");
  assert.equal(await page.textContent("#sheet-title"), id);
});

await test("everything is printed", {}, async (page) => {
  await page.fill("#search", "pallets");
  await page.click("#clear");
  await page.fill("#search", "sphinx");
  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  const [some] = (await count(page)).split(" ");
  assert.equal((await ids(page)).length, Number(some));
  assert(!(await page.isVisible("#tools")));
});

for (const colorScheme of ["light", "dark"]) {
  await test(`axe finds nothing serious, ${colorScheme}`, { colorScheme, bypassCSP: true }, async (page) => {
    assert.deepEqual(await violations(page), []);
    await shot(page, `report-${colorScheme}.png`);
    await page.locator("#time").scrollIntoViewIfNeeded();
    await page.evaluate(() => document.getElementById("outcomes").scrollIntoView());
    await shot(page, `report-outcomes-${colorScheme}.png`);
    await page.evaluate(() => document.getElementById("time").scrollIntoView());
    await shot(page, `report-time-${colorScheme}.png`);
    await page.evaluate(() => document.getElementById("instances").scrollIntoView());
    await shot(page, `report-instances-${colorScheme}.png`);
    await page.selectOption("#by-verdict", "unresolved");
    await page.locator("#table tbody .open").nth(3).click();
    await page.waitForSelector("#sheet[open] pre.diff");
    const tab = page.locator("#tabs .mark.v-unresolved").first();
    if (await tab.count()) await tab.click();
    assert.deepEqual(await violations(page), []);
    await shot(page, `report-instance-${colorScheme}.png`);
  });
}

await test("it can be read on a phone", { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, bypassCSP: true }, async (page) => {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(wide <= 0, `the page is ${wide} pixels too wide`);
  assert.deepEqual(await violations(page), []);
  await shot(page, "report-phone.png");
  await page.evaluate(() => document.getElementById("instances").scrollIntoView());
  await shot(page, "report-phone-instances.png");
  await page.locator("#table tbody .open").nth(2).tap();
  await page.waitForSelector("#sheet[open] #body > *");
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert(over <= 0, `the sheet is ${over} pixels too wide`);
  await shot(page, "report-phone-instance.png");
});

await browser.close();
if (slow.length) {
  // Told, and an error only where nothing else uses the machine: EVALRUN_TEST_QUICK says so.
  console.error(`slower than ${QUICK} ms: ${slow.join("; ")}`);
  if (process.env.EVALRUN_TEST_QUICK) process.exitCode = 1;
}
console.log(`${passed} passed`);
