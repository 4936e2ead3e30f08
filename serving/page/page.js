// The page: draws 16 cards as the controls or the link say; the other modules do the rest.

import { ask, askFile, busy, element, json, newest, save, say, useKey } from "./ask.js";
import { look, nameOf } from "./closer.js";
import { chooser, forget } from "./morph.js";
import { failed, watch } from "./ready.js";
import "./score.js";

const CARDS = 16;

const cards = element("cards");
let drawn = null; // what the cards in the grid were asked with, their seed included
const begin = newest();

element("unlock").addEventListener("submit", async (event) => {
  event.preventDefault();
  useKey(element("key").value.trim());
  element("closer-image").hidden = true; // a link brings no key: it would lead to a refusal
  if (!(await draw(request())).length) return;
  element("unlock").hidden = true;
  element("generate").focus(); // what had the focus is gone
});

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
  const signal = begin();
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

blanks();
watch(({ classes }) => {
  offerKinds(classes);
  if (!cards.querySelector("img")) drawFromAddress();
});
