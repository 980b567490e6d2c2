"use strict";
// Adds to pages that are whole without it: news by server-sent events, and charts drawn from the tables. No other source of data.

let live = document.getElementById("live");
const language = document.documentElement.lang === "fr" ? "fr-FR" : "en-GB"; // as the gateway writes dates
const NEWS_MS = 5000; // between two readings of the page, however much comes
const AGEING_MS = 60000; // "on time" becomes "late" without any event
const AGAIN_MS = 30000; // after the gateway has refused the stream

const HEIGHT = 260; // of a chart, px

let stream = null;
let reading = false;
let wanted = false;
let lastRead = Date.now();
let charts = [];

function showLive(kind, moment) {
  const time = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: live.dataset.zone });
  const title = document.createElement("b");
  title.textContent = live.dataset.title;
  live.classList.toggle("lost", kind === "lost" || kind === "ended");
  live.dataset.state = kind;
  live.replaceChildren(title, ` ${live.dataset[kind]}${kind === "waiting" ? "" : ` ${time.format(moment)}`}`);
}

// Takes over what differs, and leaves alone what a person has focused or opened.
function renew(page) {
  const parts = (of) => [".warning", "#nodes", "#pages", "#series", "#frames"].map((part) => Boolean(of.querySelector(part))).join();
  const writing = document.activeElement?.matches("main input, main select");
  if (parts(document) !== parts(page) && !writing) {
    renewAll(page);
    return;
  }
  const focused = document.activeElement?.closest("[href]")?.getAttribute("href");
  for (const id of ["summary", "found", "pages"]) {
    const [ours, theirs] = [document.getElementById(id), page.getElementById(id)];
    if (ours && theirs && ours.innerHTML !== theirs.innerHTML && !ours.contains(document.activeElement)) ours.innerHTML = theirs.innerHTML;
  }
  renewList(document.querySelector("#nodes tbody"), page.querySelector("#nodes tbody"));
  renewNode(document.getElementById("node"), page.getElementById("node"));
  if (focused && document.activeElement === document.body) document.querySelector(`main [href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// A first node, a first reading, a warning that is over: the page has other parts now.
function renewAll(page) {
  document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
  live = document.getElementById("live");
  startCharts();
}

function renewList(ours, theirs) {
  if (!ours || !theirs) return;
  const known = new Map([...ours.rows].map((row) => [row.id, row]));
  const rows = [...theirs.rows].map((row) => {
    const old = known.get(row.id);
    if (!old) return row;
    let changed = false;
    [...row.cells].forEach((cell, number) => {
      if (old.cells[number].innerHTML !== cell.innerHTML) {
        old.cells[number].innerHTML = cell.innerHTML;
        changed = true;
      }
    });
    old.classList.toggle("fresh", changed);
    return old;
  });
  // moving a row takes the focus out of it, so rows that stand right stay where they are
  if (rows.length !== ours.rows.length || rows.some((row, number) => row !== ours.rows[number])) ours.replaceChildren(...rows);
}

function renewNode(ours, theirs) {
  if (!ours || !theirs) return;
  for (const part of [".facts", "#series tbody", "#frames tbody"]) {
    const [old, fresh] = [ours.querySelector(part), theirs.querySelector(part)];
    if (old && fresh && old.innerHTML !== fresh.innerHTML) {
      old.innerHTML = fresh.innerHTML;
      if (part === "#series tbody") drawCharts();
    }
  }
}


async function readAgain() {
  if (reading) {
    wanted = true;
    return;
  }
  reading = true;
  wanted = false;
  const wait = Math.max(0, lastRead + NEWS_MS - Date.now());
  if (wait) await new Promise((done) => setTimeout(done, wait));
  lastRead = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      showLive("ended", lastRead);
      stream?.close();
      stream = null;
    } else if (answer.ok) {
      renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
      showLive("on", lastRead);
    }
  } catch {
    showLive("lost", lastRead);
  }
  reading = false;
  if (wanted) readAgain();
}

function listen() {
  const node = document.getElementById("node")?.dataset.node;
  stream = new EventSource("/live");
  stream.addEventListener("hello", (event) => {
    // the page may have been made before the stream was there, or by a gateway that has been started again
    if (live.dataset.state === "waiting" && live.dataset.version === String(JSON.parse(event.data).version)) showLive("on", Number(live.dataset.now));
    else readAgain();
  });
  stream.addEventListener("news", (event) => {
    const { nodes } = JSON.parse(event.data);
    if (!node || nodes.length === 0 || nodes.includes(node)) readAgain();
  });
  stream.addEventListener("beat", () => {
    if (Date.now() - lastRead > AGEING_MS) readAgain();
  });
  stream.addEventListener("error", () => {
    showLive("lost", lastRead);
    if (stream?.readyState === EventSource.CLOSED) {
      readAgain(); // tells whether the session is over
      setTimeout(() => { if (live.dataset.state !== "ended") listen(); }, AGAIN_MS);
    }
  });
}

function drawCharts() {
  if (!window.uPlot) return;
  charts.forEach((chart) => chart.destroy());
  charts = [...document.querySelectorAll(".chart")].map((place) => draw(place, document.getElementById(place.dataset.table)));
}

function room(place) {
  const style = getComputedStyle(place);
  return Math.max(200, place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
}

function draw(place, table) {
  place.hidden = false; // what is hidden has no width
  const names = [...table.querySelectorAll("th[data-series]")].map((head) => head.textContent);
  const rows = [...table.tBodies[0].rows].reverse();
  const data = [rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000)];
  names.forEach((_, number) => data.push(rows.map((row) => {
    const value = row.querySelectorAll("td.value")[number].querySelector("data");
    return value ? Number(value.value) : null;
  })));
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const daily = "daily" in table.dataset;
  const zone = daily ? "UTC" : table.dataset.zone;
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: zone });
  const hour = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", timeZone: zone });
  const full = new Intl.DateTimeFormat(language, daily ? { dateStyle: "medium", timeZone: zone } : { dateStyle: "medium", timeStyle: "short", timeZone: zone });
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  const bars = table.dataset.shape === "bars";
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--faint"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const unit = table.dataset.unit;
  const options = {
    width: room(place),
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
    cursor: { drag: { x: false, y: false } },
    scales: { x: {}, y: { range: (_, __, most) => [0, table.dataset.most ? Number(table.dataset.most) : Math.max(1, most * 1.05)] } },
    axes: [
      { ...axis, values: (_, ticks) => ticks.map((tick) => {
        const local = uPlot.tzDate(new Date(tick * 1000), zone);
        return local.getHours() === 0 && local.getMinutes() === 0 ? day.format(tick * 1000) : hour.format(tick * 1000);
      }) },
      { ...axis, size: 70, label: unit, labelSize: 20, values: (_, ticks) => ticks.map((tick) => number.format(tick)) },
    ],
    series: [
      { label: table.tHead.rows[0].cells[0].textContent, value: (_, at) => (at === null ? "–" : full.format(at * 1000)) },
      ...names.map((label, which) => ({
        label,
        stroke: colour(`--series-${which + 1}`),
        fill: bars ? colour("--series-1") : undefined,
        width: 2,
        // the second line is dashed: colour is never alone
        dash: which === 1 ? [6, 4] : undefined,
        paths: bars ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
        points: { show: false },
        value: (_, value) => (value === null ? "–" : `${number.format(value)} ${unit}`),
      })),
    ],
  };
  if (bars && data[0].length) options.scales.x.range = () => [data[0][0] - 43200, data[0].at(-1) + 43200];
  const chart = new uPlot(options, data, place);
  // what it shows is in the sentence above it and in the table below it
  chart.root.setAttribute("aria-hidden", "true");
  return chart;
}

function startCharts() {
  const details = document.getElementById("series-details");
  if (!details || !window.uPlot) return;
  details.open = false; // the chart stands for it
  drawCharts();
}

startCharts();
addEventListener("resize", () => charts.forEach((chart) => chart.setSize({ width: room(chart.root.parentElement), height: HEIGHT })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
if (live) {
  showLive("waiting", lastRead);
  listen();
}
