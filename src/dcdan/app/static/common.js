// What all views share: requests whose errors are sentences, elements, announcements, events of the server.

export const $ = (id) => document.getElementById(id);

/** Make an element. Keys that begin with "on" are listeners, others are attributes; false and null are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const percent = (value) => `${Math.round(100 * value)} %`;

/** Tell a screen reader what has changed. */
export function announce(text) {
  $("status").textContent = text;
}

export function showError(error) {
  const place = $("error");
  place.textContent = error ? error.message || String(error) : "";
  place.hidden = !error;
  if (error) place.scrollIntoView({ block: "nearest" });
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: start `dcdan app` again and open its new address.");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let sentence = text;
  try {
    sentence = JSON.parse(text).error || text;
  } catch {
    // a refusal is plain text
  }
  throw new Error(sentence || `The server answered ${answer.status}.`);
}

export const get = async (path) => (await request(path)).json();

export const post = async (path, content = {}) =>
  (await request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) })).json();

/** Listen to events of the server; `again` is called when a lost connection is back, as events may be missing. */
export function listen(handlers, again = () => {}) {
  const source = new EventSource("/api/events");
  let lost = false;
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  source.addEventListener("error", () => (lost = true));
  source.addEventListener("open", () => {
    if (lost) again();
    lost = false;
  });
  window.addEventListener("pagehide", () => source.close());
}

/** Run an asynchronous listener and show its error as a sentence. */
export const guarded =
  (action) =>
  async (...given) => {
    try {
      showError(null);
      return await action(...given);
    } catch (error) {
      showError(error);
    }
  };

export function csv(rows) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return rows.map((row) => row.map((value) => cell(String(value))).join(",") + "\r\n").join("");
}

export function save(name, text, type = "text/csv") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

export function fill(select, values, text = (value) => value, chosen = undefined) {
  select.replaceChildren(...values.map((value) => make("option", { value, selected: value === chosen }, text(value))));
}

export const modelName = (value) => value || "the model of the package";

/** Show a long list piece by piece; the button adds the next piece. */
export function showPieces(list, button, items, toElement, piece = 200) {
  list.replaceChildren();
  let shown = 0;
  const more = () => {
    list.append(...items.slice(shown, shown + piece).map(toElement));
    shown = Math.min(items.length, shown + piece);
    button.hidden = shown >= items.length;
    button.textContent = `Show more faces (${items.length - shown} left)`;
  };
  button.onclick = more;
  more();
}
