"use strict";
// Draws the report from the JSON beside it. All text goes in as text, never as HTML.

const report = JSON.parse(document.getElementById("report").textContent);
const end = Math.max(report.seen, 1);  // images, the right end of every axis
const HEIGHT = 170, LEFT = 46, RIGHT = 10, TOP = 17, BOTTOM = 20;  // of a chart, in pixels
const PLAY = 350;  // milliseconds for a grid
const begun = report.seen > 0;
const NOTHING = "There is nothing to look at yet.";

const $ = id => document.getElementById(id);
const whole = value => Math.round(value).toLocaleString("en");
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const odd = value => value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e5);
const tiny = value => odd(value) ? value.toExponential(1).replace(".0e", "e").replace("e+", "e") : plain.format(value);

/** Make an element of HTML: a name with classes, as in "p.dim", its children, nodes or text. */
function html(name, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  element.append(...children);
  return element;
}

/** Make an element of SVG with attributes. */
function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/** Round steps between two values: about `count` of them, each 1, 2 or 5 times a power of ten. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find(factor => factor * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

/** Write pairs of names and values as a list of definitions. */
function define(list, pairs) {
  list.append(...Object.entries(pairs).map(([name, value]) => html("div", html("dt", name), html("dd", value))));
}

/** The findings and setbacks that are told on every time axis. */
const events = [
  ...report.findings.map(found => ({ images: found.images, level: found.severity, mark: found.id,
    text: `${found.id} ${found.name}` })),
  ...report.setbacks.map(back => ({ images: back.images, level: "warning", mark: "↩", text: `went back: ${back.broken}` })),
];

// -- The curves ---------------------------------------------------------------------------------------------

/** One chart: draws itself as wide as there is room, and tells its values where the cursor stands. */
class Chart {
  constructor(told) {
    this.told = told;
    this.names = Object.keys(told.signals).filter(name => report.curves[name]);
    this.curves = this.names.map(name => report.curves[name]);
    this.values = this.names.map(() => html("b"));
    this.picture = svg("svg", { role: "img", "aria-label": this.words(), height: HEIGHT });
    const legend = this.names.map((name, i) => {
      const swatch = html(i === 2 ? "i.broken" : "i");
      return html(`span.hue-${i}`, swatch, `${told.signals[name]} `, this.values[i]);
    });
    this.element = html("figure", html("figcaption", html("h3", told.title), html("p.legend", ...legend)),
      this.picture, html("p", told.hint));
    this.picture.addEventListener("pointermove", event => point(this.imagesAt(event)));
    this.picture.addEventListener("pointerleave", () => point(null));
  }

  /** Say what is drawn, for those who cannot see it. */
  words() {
    const said = this.names.map((name, i) => {
      const mean = this.curves[i].mean;
      const [low, high] = extent([mean]);
      return `${this.told.signals[name]} from ${tiny(mean[0])} to ${tiny(mean.at(-1))}, between ${tiny(low)} and ${tiny(high)}`;
    });
    return `${this.told.title}: ${said.join("; ")}`;
  }

  draw() {
    this.width = this.picture.clientWidth || 400;
    this.picture.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.scale();
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
    this.picture.replaceChildren(...this.axes(), ...this.events(), ...this.marks(),
      ...this.curves.map((curve, i) => this.curve(curve, i)).reverse().flat(), this.cursor);
  }

  /** Choose the range of the upright axis; logarithmic only where every value is positive. */
  scale() {
    const marks = Object.values(this.told.marks);
    let [low, high] = extent([...this.curves.map(curve => curve.mean), marks]);
    this.log = this.told.log && low > 0;
    if (this.told.share) [low, high] = [Math.min(0, low), Math.max(1, high)];
    if (this.log) [low, high] = [Math.log10(low), Math.log10(high)];
    else if (low > 0 && low < high / 2) low = 0;
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    this.low = this.told.share || low === 0 ? low : low - room;
    this.high = this.told.share ? high : high + room;
  }

  x(images) { return LEFT + images / end * (this.width - LEFT - RIGHT); }

  y(value) {
    const place = this.log ? Math.log10(value) : value;
    const clipped = Math.min(this.high, Math.max(this.low, place));
    return TOP + (this.high - clipped) / (this.high - this.low) * (HEIGHT - TOP - BOTTOM);
  }

  axes() {
    const heights = this.log ? this.powers() : ticks(this.low, this.high, 4);
    const upright = heights.flatMap(value => [
      svg("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: this.y(value), y2: this.y(value) }),
      svg("text", { x: LEFT - 7, y: this.y(value) + 4, "text-anchor": "end" }, tiny(value)),
    ]);
    const across = ticks(0, end, this.width / 90).map(images =>
      svg("text", { x: this.x(images), y: HEIGHT - 4, "text-anchor": anchor(images) }, compact.format(images)));
    return [...upright, ...across];
  }

  /** Powers of ten on a logarithmic axis, or its ends if it spans none. */
  powers() {
    const inside = ticks(this.low, this.high, 4).filter(Number.isInteger).map(power => 10 ** power);
    return inside.length > 1 ? inside : [10 ** this.low, 10 ** this.high];
  }

  events() {
    return events.map(event => {
      const x = this.x(event.images);
      const group = svg("g", { class: `event ${event.level}` });
      group.append(
        svg("title", {}, event.text),
        svg("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
        svg("text", { x, y: TOP - 4, "text-anchor": "middle" }, event.mark),
      );
      return group;
    });
  }

  /** Lines at heights to compare with, named at the right, and a second one at the left. */
  marks() {
    return Object.entries(this.told.marks).flatMap(([name, value], i) => {
      const y = this.y(value);
      const end = i % 2 ? { x: LEFT + 4, "text-anchor": "start" } : { x: this.width - RIGHT, "text-anchor": "end" };
      return [
        svg("line", { class: "mark", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }),
        svg("text", { ...end, y: y < TOP + 14 ? y + 13 : y - 4 }, name),
      ];
    });
  }

  curve(curve, i) {
    const across = curve.images.map(images => this.x(images).toFixed(1));
    const path = values => values.map((value, j) => `${across[j]} ${this.y(value).toFixed(1)}`);
    const parts = [];
    if (curve.low) {
      const outline = [...path(curve.high), ...path(curve.low).reverse()];
      parts.push(svg("path", { class: `band hue-${i}`, d: `M${outline.join("L")}Z` }));
    }
    const line = path(curve.mean);
    const dashes = i === 2 ? " broken" : "";
    parts.push(svg("path", { class: `curve hue-${i}${dashes}`, d: `M${line.join("L")}` }));
    if (line.length <= 30) {
      parts.push(...curve.mean.map((value, j) => svg("circle", { class: `dot hue-${i}`, cx: across[j], cy: this.y(value), r: 2.5 })));
    }
    return parts;
  }

  imagesAt(event) {
    const across = event.clientX - this.picture.getBoundingClientRect().left;
    return Math.min(1, Math.max(0, (across - LEFT) / (this.width - LEFT - RIGHT))) * end;
  }

  /** Move the cursor, and tell the values there. */
  point(images) {
    const x = this.x(images);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.curves.forEach((curve, i) => {
      this.values[i].textContent = ended(curve.images, images) ? "none" : tiny(curve.mean[nearest(curve.images, images)]);
    });
  }
}

const anchor = images => images === 0 ? "start" : images > end * 0.97 ? "end" : "middle";

/** The least and the greatest of lists of numbers. */
function extent(lists) {
  let low = Infinity, high = -Infinity;
  for (const value of lists.flat()) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

/** Whether a curve has broken off before a moment, such as one whose later values are no numbers. */
function ended(list, images) {
  const last = list.at(-1), each = (last - list[0]) / (list.length - 1);
  return images - last > 2 * each;
}

/** The place of the value nearest to another in a rising list. */
function nearest(list, value) {
  let low = 0, high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle; else high = middle;
  }
  return value - list[low] <= list[high] - value ? low : high;
}

// -- Time ---------------------------------------------------------------------------------------------------

const charts = report.charts.map(told => new Chart(told)).filter(chart => chart.curves.length);
const lines = [];  // where the slider stands, across each finding
let standing = end;  // images at the slider

/** Show a moment everywhere: where the pointer is, or, if nowhere, where the slider stands. */
function point(images) {
  for (const chart of charts) chart.point(images ?? standing);
}

function showSample() {
  const sample = report.samples[$("time").valueAsNumber];
  standing = sample.images;
  $("sample").src = sample.picture;
  $("sample").alt = `Cards drawn after ${whole(sample.images)} images`;
  $("when").textContent = `${whole(sample.images)} images`;
  $("time").setAttribute("aria-valuetext", $("when").textContent);
  for (const line of lines) line.style.left = `${standing / end * 100}%`;
  point(null);
}

let playing = null;

function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
}

function play() {
  if (playing) return stop();
  const slider = $("time");
  if (slider.valueAsNumber === report.samples.length - 1) slider.value = 0;
  else slider.stepUp();
  showSample();
  $("play").textContent = "Pause";
  playing = setInterval(() => {
    slider.stepUp();
    showSample();
    if (slider.valueAsNumber === report.samples.length - 1) stop();
  }, PLAY);
}

/** Move the slider to the grid that was drawn nearest to a moment. */
function goTo(images) {
  if (!report.samples.length) return point(images);
  $("time").value = nearest(report.samples.map(sample => sample.images), images);
  showSample();
}

// -- What the doctor found ----------------------------------------------------------------------------------

const percent = images => `${Math.min(100, images / end * 100)}%`;

function bar(found) {
  const span = html(found.until === null ? "span.span.lasts" : "span.span");
  span.style.left = percent(found.images);
  span.style.width = percent((found.until ?? end) - found.images);
  const treated = found.done.map(([images, text]) => {
    const mark = html("span.treated");
    mark.style.left = percent(images);
    mark.title = text;
    return mark;
  });
  const line = html("span.now");
  lines.push(line);
  return html("span.track", span, ...treated, line);
}

function finding(found) {
  const over = found.until === null ? "still so at the end" : `over by image ${whole(found.until)}`;
  const texts = {
    When: `image ${whole(found.images)}, ${over}`, Seen: found.evidence, Why: found.why, "To do": found.remedy,
    Done: found.done.map(([images, text]) => `image ${whole(images)}: ${text}`).join("\n"),
  };
  const list = html("dl.findings-text", html("dt", "What"), html("dd", found.what));
  for (const [name, text] of Object.entries(texts)) if (text) list.append(html("dt", name), html("dd", text));
  const name = html("span", html("span.chip", found.id), html("span.called", found.name));
  name.title = found.severity;
  const details = html("details", html("summary", name, bar(found)), list);
  details.addEventListener("toggle", () => { if (details.open) goTo(found.images); });
  return html(`li.${found.severity}`, details);
}

function findings() {
  $("doctor").textContent = report.doctor;
  $("findings").append(...report.findings.map(finding));
  $("setbacks").append(...report.setbacks.map(back => html("li", `Went back at image ${whole(back.images)}: ${back.broken}`)));
  const axis = report.findings.length ? ticks(0, end, 5) : [];
  $("axis").hidden = !axis.length;
  $("axis").append(...axis.map(images => {
    const label = html("span", compact.format(images));
    label.style.left = percent(images);
    return label;
  }));
  if (!report.findings.length) $("findings").append(begun ? html("li.well", "Nothing was wrong.") : html("li", NOTHING));
}

// -- The rest -----------------------------------------------------------------------------------------------

function head() {
  document.title = `${report.name} · Holofoil`;
  $("name").textContent = report.name;
  const progress = html("progress");
  progress.max = report.planned;
  progress.value = report.seen;
  progress.setAttribute("aria-label", "Images shown");
  $("state").append(`${whole(report.seen)} of ${whole(report.planned)} images`, progress);
  const found = report.findings.map(finding => `${finding.id} ${finding.name} by image ${whole(finding.images)}`);
  define($("facts"), { ...report.facts, Doctor: found.slice(0, 3).join(", ") || (begun ? "nothing was wrong" : NOTHING) });
  $("written").textContent = `Written ${report.written}. Everything lies in this file; it fetches nothing.`;
}

function table(section) {
  const heads = ["", "generated", "real"].map(text => html("th", text));
  for (const cell of heads) cell.scope = "col";
  const rows = section.rows.map(([name, ...values]) => {
    const row = html("th", name);
    row.scope = "row";
    return html("tr", row, ...values.map(value => html("td", value)));
  });
  return html("table", html("caption", section.title), html("thead", html("tr", ...heads)), html("tbody", ...rows));
}

function judged() {
  $("judged").hidden = !report.evaluation;
  $("near").hidden = !report.neighbours;
  if (report.neighbours) $("neighbours").src = report.neighbours;
  if (!report.evaluation) return;
  $("judged-when").textContent = `After ${whole(report.evaluation.images)} images. What real cards reach against other `
    + "real cards is the floor: no generator can be asked for more.";
  $("tables").append(...report.evaluation.sections.map(table));
  $("notes").append(...report.evaluation.notes.map(note => html("li", note)));
}

function data() {
  const { training_cards: known, held_out_cards: kept, pictures, note, folder } = report.data;
  const counts = known === null ? "" : `${whole(known)} cards to train on, ${whole(kept ?? 0)} held out, `;
  $("data").textContent = `${counts}from ${folder}. ${note}`;
  $("cards").append(...pictures.map((picture, i) => {
    const card = html("img");
    card.src = picture;
    card.alt = `Training card ${i + 1}`;
    return html("li", card);
  }));
}

head();
findings();
judged();
data();
define($("config"), report.config);
$("curves").append(...charts.map(chart => chart.element));
if (!charts.length) $("reading").textContent = NOTHING;
for (const chart of charts) chart.draw();
$("samples").hidden = !report.samples.length;
$("play").hidden = report.samples.length < 2;
if (report.samples.length) {
  $("time").max = report.samples.length - 1;
  $("time").value = report.samples.length - 1;
  $("time").addEventListener("input", () => { stop(); showSample(); });
  $("play").addEventListener("click", play);
  showSample();
} else {
  point(null);
}
new ResizeObserver(() => {
  for (const chart of charts) chart.draw();
  point(null);
}).observe($("curves"));
