// One card in a dialog: its link, its picture, its score.

import { element } from "./ask.js";
import { score } from "./score.js";

let shown = null; // the card in the dialog: { url, name }

export function nameOf(card) {
  return card.label === null ? `Seed ${card.seed}` : `Seed ${card.seed}, ${card.label}`;
}

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

export function look(card, truncation, url) {
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
