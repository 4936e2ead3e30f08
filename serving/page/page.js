// The page's whole behaviour: draw 16 cards, look at one, score pictures, and say in words what went wrong.

import { ask, askFile, busy, element, json, newest, save, say, useKey } from "./ask.js";
import { chooser, forget } from "./morph.js";

const CARDS = 16;
const RETRY = 2000; // milliseconds between questions to models that are not ready

const cards = element("cards");
let shown = null; // the card in the dialog: { url, name }
let drawn = null; // what the cards in the grid were asked with, their seed included
let retry = 0; // the timer of the next question to models that are not ready
const outages = new Set(); // where it is told that the gateway cannot be reached
const beginDrawing = newest();
const beginScoring = newest();

element("unlock").addEventListener("submit", async (event) => {
  event.preventDefault();
  useKey(element("key").value.trim());
  element("closer-image").hidden = true; // a link brings no key: it would lead to a refusal
  if (!(await draw(request())).length) return;
  element("unlock").hidden = true;
  element("generate").focus(); // what had the focus is gone
});

// --- Readiness -------------------------------------------------------------------------------------

async function watch() {
  try {
    const { version, width, height, classes } = await ask("/readyz");
    show("ready", `Models of version ${version}, ${width}×${height}`);
    offerKinds(classes);
    for (const id of outages) say(id, null);
    outages.clear();
    if (!cards.querySelector("img")) drawFromAddress();
  } catch (error) {
    show("waiting", `Not ready, trying again. ${error.message}`);
    watchSoon();
  }
}

function show(state, words) {
  const status = element("status");
  status.className = `status ${state}`;
  if (status.textContent !== words) status.textContent = words; // or it would be read out every two seconds
}

// Tell what went wrong; models that are not there, or a gateway, are looked for until they are back.
function failed(id, error) {
  say(id, error);
  if (!error.status) outages.add(id);
  if (!error.status || error.status === 503) watchSoon();
}

function offerKinds(classes) {
  const chosen = element("label").value;
  element("label").replaceChildren(new Option("any", ""), ...classes.map((name) => new Option(name, name)));
  element("kind").hidden = !classes.length;
  chooseKind(chosen);
}

// Models that were exported since may not know the kind that a link or an earlier choice names.
function chooseKind(name) {
  const known = [...element("label").options].some((option) => option.value === name);
  element("label").value = known ? name : "";
}

function watchSoon() {
  clearTimeout(retry);
  retry = setTimeout(watch, RETRY);
}

// --- Drawing ---------------------------------------------------------------------------------------

function blanks() {
  cards.replaceChildren(...Array.from({ length: CARDS }, () => {
    const item = document.createElement("li");
    const blank = document.createElement("div");
    blank.className = "blank";
    const number = document.createElement("span");
    number.className = "number";
    item.append(blank, number);
    return item;
  }));
}

function nameOf(card) {
  return card.label === null ? `Seed ${card.seed}` : `Seed ${card.seed}, ${card.label}`;
}

function cardItem(card, truncation) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "card";
  button.title = "Look closer";
  const image = document.createElement("img");
  image.src = `data:${card.media_type};base64,${card.b64_json}`;
  image.alt = nameOf(card);
  image.width = card.width;
  image.height = card.height;
  button.append(image);
  button.addEventListener("click", () => look(card, truncation, image.src));
  item.append(button, chooser(card.seed));
  return item;
}

async function draw(request) {
  const signal = beginDrawing();
  cards.setAttribute("aria-busy", "true");
  try {
    const drawing = await ask("/generate", { ...json({ n: CARDS, ...request }), signal });
    drawn = { ...request, n: CARDS, seed: drawing.data[0].seed };
    forget(request.truncation, request.label);
    for (const id of ["sheet", "zip"]) element(id).disabled = false;
    cards.replaceChildren(...drawing.data.map((card) => cardItem(card, request.truncation)));
    element("drawn").textContent = `${CARDS} cards, seeds ${drawn.seed} to ${drawing.data.at(-1).seed}.`;
    say("draw-error", null);
    return drawing.data;
  } catch (error) {
    if (!signal.aborted) failed("draw-error", error);
    return [];
  } finally {
    if (!signal.aborted) cards.setAttribute("aria-busy", "false");
  }
}

function request() {
  const seed = element("seed").value.trim();
  return {
    truncation: Number(element("truncation").value),
    seed: seed ? Number(seed) : null,
    label: element("label").value || null,
  };
}

function showTruncation() {
  element("truncation-value").textContent = Number(element("truncation").value).toFixed(2);
}

element("truncation").addEventListener("input", showTruncation);
for (const id of ["truncation", "label"]) {
  element(id).addEventListener("change", () => {
    // The same cards, wilder, tamer or of another kind, are the clearest way to see what a control does.
    const first = cards.querySelector(".number");
    if (first) draw({ ...request(), seed: Number(first.textContent) });
  });
}
element("draw").addEventListener("submit", (event) => {
  event.preventDefault();
  busy(element("generate"), () => draw(request()));
});

for (const [id, accept, layout] of [["sheet", "image/png", "sheet"], ["zip", "application/zip", "cards"]]) {
  element(id).addEventListener("click", () => busy(element(id), async () => {
    try {
      save(await askFile("/generate", { ...drawn, layout }, accept));
      say("draw-error", null);
    } catch (error) {
      failed("draw-error", error);
    }
  }));
}

// --- One card --------------------------------------------------------------------------------------

function permalink({ seed, label }, truncation) {
  const address = new URL(location.pathname, location.href);
  address.hash = new URLSearchParams({ seed, truncation, ...(label !== null && { label }) }).toString();
  return address.href;
}

// The card's own address: an image file, for whoever wants to show it elsewhere.
function imageAddress({ seed, label }, truncation) {
  const query = new URLSearchParams({ seed, truncation, ...(label !== null && { label }) });
  return new URL(`/generate?${query}`, location.href).href;
}

async function drawFromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const truncation = Number(asked.get("truncation"));
  if (truncation) {
    element("truncation").value = truncation;
    showTruncation();
  }
  chooseKind(asked.get("label"));
  if (!asked.has("seed")) return draw(request());
  const seed = asked.get("seed");
  if (!/^[0-9]+$/.test(seed)) {
    await draw(request());
    say("draw-error", new Error(`The link names no card: its seed is “${seed}”. These are others.`));
    return;
  }
  element("seed").value = seed;
  // The slider has steps, a link need not.
  if ((await draw({ ...request(), ...(truncation && { truncation }) })).length) cards.querySelector(".card").click();
}

// A link to a card that is opened where the page is open already; looking closer changes the address in silence.
window.addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("seed")) drawFromAddress();
});

function look(card, truncation, url) {
  const address = permalink(card, truncation);
  const name = `card-${card.seed}.png`;
  shown = { url, name };
  element("closer-title").textContent = nameOf(card);
  element("closer-card").src = url;
  element("closer-card").alt = nameOf(card);
  element("closer-link").href = address;
  element("closer-link").textContent = address;
  element("closer-image").href = imageAddress(card, truncation);
  element("closer-save").href = url;
  element("closer-save").download = name;
  element("closer-said").textContent = `Truncation ${truncation}`;
  history.replaceState(null, "", address);
  if (!element("closer").open) element("closer").showModal();
}

element("closer-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(element("closer-link").href);
    element("closer-said").textContent = "The link is on the clipboard.";
  } catch {
    // Browsers give the clipboard only to secure pages.
    element("closer-said").textContent = "This browser does not let the page copy. Copy the link by hand.";
  }
});
element("closer-score").addEventListener("click", () => {
  const bytes = Uint8Array.from(atob(shown.url.split(",")[1]), (character) => character.charCodeAt(0));
  element("closer").close();
  score([new File([bytes], shown.name, { type: "image/png" })]);
});
element("closer-close").addEventListener("click", () => element("closer").close());
element("closer").addEventListener("click", (event) => {
  if (event.target === element("closer")) element("closer").close(); // the backdrop
});

// --- Scoring ---------------------------------------------------------------------------------------

function scoreItem(file, result) {
  const item = document.createElement("li");
  if (result.error) {
    const refusal = document.createElement("p");
    refusal.className = "error";
    refusal.textContent = `${result.filename}: ${result.error.detail}`;
    item.append(refusal);
    return item;
  }
  const image = document.createElement("img");
  image.src = URL.createObjectURL(file);
  image.alt = "Your picture";
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  const facts = document.createElement("div");
  const name = document.createElement("p");
  name.className = "name";
  name.textContent = result.filename;
  name.title = result.filename;
  const meter = document.createElement("meter");
  meter.value = result.probability;
  meter.setAttribute("aria-label", "Probability of being real");
  const list = document.createElement("dl");
  for (const [term, value] of [
    ["Probability", `${(100 * result.probability).toFixed(1)} %`],
    ["Percentile", result.percentile.toFixed(1)],
    ["Logit", result.logit.toFixed(3)],
  ]) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = value;
    dd.dataset.fact = term.toLowerCase();
    list.append(dt, dd);
  }
  facts.append(name, meter, list);
  item.append(image, facts);
  return item;
}

async function score(files) {
  if (!files.length) return;
  const form = new FormData();
  for (const file of files) form.append("files", file);
  const signal = beginScoring();
  element("drop").setAttribute("aria-busy", "true");
  element("judging").textContent = files.length === 1 ? "Judging a picture…" : `Judging ${files.length} pictures…`;
  try {
    // A bad picture is answered beside the good ones, each in its place.
    const headers = { Prefer: "handling=lenient" };
    const judgement = await ask("/score", { method: "POST", body: form, headers, signal });
    element("scores").replaceChildren(...judgement.data.map((result, i) => scoreItem(files[i], result)));
    element("scores").firstChild.scrollIntoView({ block: "nearest" }); // on a phone it is far from a card's dialog
    say("score-error", null);
  } catch (error) {
    if (signal.aborted) return;
    element("scores").replaceChildren();
    failed("score-error", error);
  } finally {
    if (!signal.aborted) {
      element("drop").setAttribute("aria-busy", "false");
      element("judging").textContent = "";
    }
  }
}

element("file").addEventListener("change", () => {
  const files = [...element("file").files];
  element("file").value = ""; // so that the same file can be chosen again
  score(files);
});
for (const kind of ["dragenter", "dragover"]) {
  element("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  element("drop").addEventListener(kind, () => element("drop").classList.remove("over"));
}
element("drop").addEventListener("drop", (event) => {
  event.preventDefault();
  const { files, items } = event.dataTransfer;
  if ([...items].some((item) => item.webkitGetAsEntry?.()?.isDirectory)) {
    say("score-error", new Error("A folder was dropped. Drop the pictures that are in it, up to 16 at once."));
  } else if (!files.length) {
    say("score-error", new Error("What was dropped is no file. Save the picture first, then drop the file."));
  } else {
    score([...files]);
  }
});
// A file that misses the frame would take the page's place, and its cards with it.
for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => {
    if (event.defaultPrevented || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  });
}

blanks();
watch();
