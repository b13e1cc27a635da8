// One face large, a key for each expression. The next face shows when the label is on the disk, and not before.
import { $, announce, get, guarded, listen, make, percent, post, showError } from "./common.js";

const AHEAD = 4;
const AROUND = 4;
let state = null;
let place = 0;
let busy = false;
let done = [];
let awaiting = null;
const images = new Map();
// A person who comes back goes on under the same name.
let labeller = sessionStorage.getItem("labeller") || "";

const current = () => state.faces[place];

function image(row) {
  if (!images.has(row)) {
    const found = make("img", { src: `/api/faces/${row}/large`, alt: "The face to label" });
    found.addEventListener("error", () => {
      images.delete(row);
      if (current()?.row === row) showError(new Error(`'${current().path}' cannot be read any more: skip it.`));
    });
    images.set(row, found);
    if (images.size > 60) images.delete(images.keys().next().value);
  }
  return images.get(row);
}

function show() {
  const face = current();
  if (!face) return;
  $("face").replaceChildren(image(face.row));
  $("face").dataset.row = face.row;
  $("face-title").textContent = `Face ${place + 1} of ${state.faces.length}`;
  const person = face.group ? `, group ${face.group}` : "";
  $("about").textContent = `${face.path}${person}${face.label ? ` - labelled: ${face.label}` : ""}`;
  $("group-line").hidden = !face.group;
  for (const button of $("keys").children) button.setAttribute("aria-pressed", String(button.dataset.name === face.label));
  neighbours();
  for (let ahead = 1; ahead <= AHEAD; ahead++) {
    if (state.faces[place + ahead]) image(state.faces[place + ahead].row).decode?.().catch(() => {});
  }
}

function neighbours() {
  const from = Math.max(0, Math.min(place - AROUND, state.faces.length - 2 * AROUND - 1));
  $("neighbours").replaceChildren(
    ...state.faces.slice(from, from + 2 * AROUND + 1).map((face, offset) => {
      const number = from + offset;
      const go = () => {
        place = number;
        show();
      };
      return make(
        "li",
        {},
        make(
          "button",
          { type: "button", onclick: go, "aria-current": number === place && "true", "aria-label": `Face ${number + 1}, ${face.label || "no label"}` },
          make("img", { src: `/api/faces/${face.row}/small`, alt: "", loading: "lazy" }),
          face.label || `${number + 1}`,
        ),
      );
    }),
  );
  const strip = $("neighbours");
  const here = strip.children[place - from];
  strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.clientWidth) / 2;
}

function confusion(classes, table) {
  const most = Math.max(1, ...table.flat());
  const head = make("tr", {}, make("th", { scope: "col" }, "label"), ...classes.map((name) => make("th", { scope: "col" }, name)));
  const rows = table.map((row, label) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, classes[label]),
      ...row.map((count, answer) => {
        const cell = make("td", { class: label === answer && "right" }, count ? String(count) : "");
        cell.style.background = `rgb(var(--heat) / ${(0.3 * count) / most})`;
        return cell;
      }),
    ),
  );
  const caption = make("caption", {}, "Labels (rows) and answers of the model (columns)");
  $("confusion").replaceChildren(caption, make("thead", {}, head), make("tbody", {}, ...rows));
}

function statistics(found) {
  state.statistics = found;
  $("progress").textContent = `${found.answered} of ${found.drawn} faces answered, ${found.labelled} of them with an expression.`;
  const range = found.accuracy;
  $("accuracy").textContent = range
    ? `Accuracy of the model: ${percent(range.value)} (${percent(range.low)} to ${percent(range.high)})`
    : "Accuracy of the model: no label yet";
  $("enough").textContent = found.why;
  $("finish").disabled = !found.enough || labeller !== "";
  const agreed = found.agreement;
  $("agreement").textContent = !agreed
    ? ""
    : agreed.faces === 0
      ? "No face is labelled by both people yet."
      : `Agreement with the first person on ${agreed.faces} faces: Cohen's kappa ${agreed.kappa === null ? "not defined" : agreed.kappa.toFixed(2)}`;
  confusion(state.classes, found.confusion);
}

const nextOpen = (from) => {
  const found = state.faces.findIndex((face, number) => number >= from && !face.label);
  return found >= 0 ? found : state.faces.findIndex((face) => !face.label);
};

const give = guarded(async (label, whole = $("whole-group").checked) => {
  const face = current();
  if (!face || busy) return;
  busy = true;
  try {
    const { changed } = await post("/api/labels", { row: face.row, label, labeller, whole_group: whole && Boolean(face.group) });
    done.push(changed);
    for (const each of state.faces) if (changed.includes(each.row)) each.label = label;
    $("whole-group").checked = false;
    const open = nextOpen(place + 1);
    if (open >= 0) place = open;
    show();
    announce(open >= 0 ? `${label}. Face ${place + 1} of ${state.faces.length}` : `${label}. All faces are answered.`);
  } finally {
    busy = false;
  }
});

const undo = guarded(async () => {
  if (busy) return;
  const rows = done.pop();
  if (!rows) return announce("There is nothing to undo.");
  busy = true;
  try {
    for (const row of rows) {
      await post("/api/labels", { row, label: null, labeller });
      const number = state.faces.findIndex((face) => face.row === row);
      if (number < 0) continue;
      state.faces[number].label = null;
      if (row === rows[0]) place = number;
    }
    show();
    announce(`Undone. Face ${place + 1} of ${state.faces.length}`);
  } finally {
    busy = false;
  }
});

const move = (by) => {
  place = Math.min(state.faces.length - 1, Math.max(0, place + by));
  show();
};

const actions = {
  skip: () => give("skip"),
  nothing: () => give("not a face"),
  undo,
  back: () => move(-1),
  on: () => move(1),
};
const letters = { s: "skip", n: "nothing", u: "undo", ArrowLeft: "back", ArrowRight: "on" };

document.addEventListener("keydown", (event) => {
  if (!state || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea, .scroll")) return;
  if (event.key === "g" && current()?.group) {
    $("whole-group").checked = !$("whole-group").checked;
    return;
  }
  const name = state.classes[Number(event.key) - 1];
  const act = letters[event.key];
  if (!name && !act) return;
  event.preventDefault();
  if (event.repeat) return;
  if (name) give(name);
  else actions[act]();
});
for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", () => actions[button.dataset.act]());

const load = guarded(async () => {
  let found;
  try {
    found = await get(`/api/labels?labeller=${encodeURIComponent(labeller)}`);
  } catch (error) {
    $("nothing").hidden = false;
    $("labelling").hidden = true;
    throw error;
  }
  const row = state && current()?.row;
  state = found;
  $("labelling").hidden = false;
  $("nothing").hidden = true;
  $("labeller").value = labeller;
  $("labellers").replaceChildren(...state.labellers.map((value) => make("option", { value })));
  $("keys").replaceChildren(
    ...state.classes.map((name, number) =>
      make("button", { type: "button", "data-name": name, "aria-pressed": "false", onclick: () => give(name) }, make("kbd", {}, String(number + 1)), name),
    ),
  );
  const before = state.faces.findIndex((face) => face.row === row);
  place = before >= 0 ? before : Math.max(0, nextOpen(0));
  statistics(state.statistics);
  show();
});

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  labeller = $("labeller").value.trim();
  sessionStorage.setItem("labeller", labeller);
  done = [];
  state = null;
  load();
  document.activeElement.blur();
});

const conclude = (count) =>
  guarded(async () => {
    awaiting = count ? "more" : "verdict";
    $("verdict").textContent = "Working";
    await post("/api/adapt/finish", count ? { count: count() } : {});
  });
$("finish").addEventListener("click", conclude(null));
$("more").addEventListener("click", conclude(() => state.faces.length + 40));

listen(
  {
    labels: (event) => {
      if (!state || event.run !== state.run || event.labeller !== labeller) return;
      let here = false;
      for (const face of state.faces) {
        if (!(face.row in event.labels)) continue;
        face.label = event.labels[face.row];
        here ||= face === current();
      }
      statistics(event.statistics);
      if (here) show();
      else neighbours();
    },
    problem: (event) => showError(new Error(event.error)),
    adapt: guarded(async (job) => {
      if (!awaiting || job.state === "running") return;
      const asked = awaiting;
      awaiting = null;
      $("verdict").textContent = "";
      if (job.error) throw new Error(job.error);
      await load();
      if (asked === "more") {
        place = Math.max(0, nextOpen(0));
        return show();
      }
      const { verdict } = await get("/api/adapt/result");
      $("verdict").replaceChildren(`Verdict: ${verdict.answer}. ${verdict.reason} `, make("a", { href: "/adapt" }, "See the faces"));
    }),
  },
  load,
);
load();
