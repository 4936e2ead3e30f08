// Cards chosen in the grid turn into each other, in one moving picture.

import { askFile, busy, element, save, say } from "./ask.js";

const FRAMES = 16; // from one card to the next, where they fit
const MOST = 128; // frames in one answer
let chosen = []; // seeds, in the order of their choice
let shown = null; // the picture: { url, name }
let drawing = null; // { truncation, label } of the cards in the grid

export function forget(truncation, label) {
  chosen = [];
  drawing = { truncation, label };
  tell();
}

// The line below a card: its number, which also chooses it.
export function chooser(seed) {
  const line = document.createElement("label");
  line.className = "number";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.setAttribute("aria-label", `Choose ${seed} for a morph`);
  box.addEventListener("change", () => {
    chosen = box.checked ? [...chosen, seed] : chosen.filter((other) => other !== seed);
    tell();
  });
  line.append(box, String(seed));
  return line;
}

function tell() {
  element("morph").disabled = chosen.length < 2;
  element("morph").textContent = chosen.length < 2 ? "Morph" : `Morph ${chosen.length} cards`;
}

function request() {
  return { seeds: chosen, frames: Math.min(FRAMES, Math.floor(MOST / chosen.length)), ...drawing };
}

async function morph() {
  try {
    const moving = await askFile("/morph", request(), "image/webp");
    if (shown) URL.revokeObjectURL(shown.url);
    shown = moving;
    element("moving").src = moving.url;
    element("moving").alt = `Cards ${chosen.join(", ")} turning into each other`;
    element("moving-save").href = moving.url;
    element("moving-save").download = moving.name;
    element("moving-gif").onclick = saveAs(request(), "image/gif");
    element("moving-frames").onclick = saveAs(request(), "application/zip");
    element("morphed").hidden = false;
    element("morphed").scrollIntoView({ block: "nearest" });
    element("drawn").textContent = `${element("moving").alt}: a moving picture.`;
    say("draw-error", null);
  } catch (error) {
    say("draw-error", error);
  }
}

function saveAs(body, accept) {
  return (event) => busy(event.target, async () => {
    try {
      save(await askFile("/morph", body, accept));
      say("draw-error", null);
    } catch (error) {
      say("draw-error", error);
    }
  });
}

element("morph").addEventListener("click", (event) => busy(event.target, morph));
