// Whether the models answer: asked until they do, and again after an outage.

import { ask, element, say } from "./ask.js";

const RETRY = 2000; // milliseconds between two questions
const outages = new Set(); // the ids of elements that say that the gateway cannot be reached
let retry = 0; // the timer of the next question
let whenReady = null;

// Calls back with the description of the models whenever they are found to be ready.
export function watch(callback) {
  whenReady = callback;
  look();
}

async function look() {
  try {
    const models = await ask("/readyz");
    show("ready", `Models of version ${models.version}, ${models.width}×${models.height}`);
    for (const id of outages) say(id, null);
    outages.clear();
    whenReady(models);
  } catch (error) {
    show("waiting", `Not ready, trying again. ${error.message}`);
    lookSoon();
  }
}

function lookSoon() {
  clearTimeout(retry);
  retry = setTimeout(look, RETRY);
}

function show(state, words) {
  const status = element("status");
  status.className = `status ${state}`;
  if (status.textContent !== words) status.textContent = words; // or it would be read out every two seconds
}

// Says what went wrong. Without models, or without a gateway, it looks for them until they are back.
export function failed(id, error) {
  say(id, error);
  if (!error.status) outages.add(id);
  if (!error.status || error.status === 503) lookSoon();
}
