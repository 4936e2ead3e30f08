// Asking the gateway: JSON or a file comes back, or an Error in the problem's own words.

let key = ""; // of a gateway that asks for one; kept nowhere else, so that it is gone with the page

export function useKey(secret) {
  key = secret;
}

async function answer(address, options) {
  let response;
  try {
    const headers = { ...options?.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    response = await fetch(address, { ...options, headers });
  } catch (error) {
    throw broken(error, options);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => null);
  const error = new Error(problem?.detail ?? `The gateway answered ${response.status} without a reason.`);
  error.status = response.status;
  const seconds = response.headers.get("Retry-After");
  if (seconds && !/again (in|after)/i.test(error.message)) error.message += ` Try again in ${seconds} s.`;
  if (error.status === 401) {
    element("unlock").hidden = false;
    // The problem names headers; here there is a field.
    if (!key) error.message = "A key is needed: enter yours above. Whoever runs the gateway gives out keys.";
  }
  throw error;
}

function broken(error, options) {
  if (options?.signal?.aborted) return error; // by the page itself
  return new Error("The gateway cannot be reached, or it closed the connection. Is it running?");
}

export async function ask(address, options) {
  const response = await answer(address, options);
  return response.json().catch((error) => { throw broken(error, options); });
}

export function json(body, accept = "application/json") {
  const headers = { "Content-Type": "application/json", Accept: accept };
  return { method: "POST", headers, body: JSON.stringify(body) };
}

// Returns { url, name } of a file; whoever asked lets go of the url by URL.revokeObjectURL.
export async function askFile(address, body, accept) {
  const response = await answer(address, json(body, accept));
  const name = response.headers.get("Content-Disposition").match(/filename="(.+)"/)[1];
  const file = await response.blob().catch((error) => { throw broken(error); });
  return { url: URL.createObjectURL(file), name };
}

export function save({ url, name }) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // browsers may start to read it only now
}

export const element = (id) => document.getElementById(id);

export function say(id, error) {
  element(id).hidden = !error;
  element(id).textContent = error?.message ?? "";
  if (error) element(id).scrollIntoView({ block: "nearest" });
}

// While a button's work is under way it takes no second press. It is not `disabled`: it would lose the focus.
export async function busy(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

// For work of which only the newest counts: start() ends what was begun before, and returns a signal for fetch.
export function newest() {
  let current = null;
  return () => {
    current?.abort();
    current = new AbortController();
    return current.signal;
  };
}
