// Pictures from this machine, or a card of the grid, judged by the discriminator.

import { ask, element, newest, say } from "./ask.js";
import { failed } from "./ready.js";

const begin = newest();

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

export async function score(files) {
  if (!files.length) return;
  const form = new FormData();
  for (const file of files) form.append("files", file);
  const signal = begin();
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
