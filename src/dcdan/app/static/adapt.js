// Choose a folder, start, watch, and take the result or keep the old model.
import { $, announce, get, guarded, listen, make, percent, post, request, showPieces } from "./common.js";

let state = null;
let shares = [];

/** Set one share and divide what is left among the others, in the proportion that they have; the sum stays 1. */
export function withShare(values, index, value) {
  const rest = values.reduce((sum, each, number) => (number === index ? sum : sum + each), 0);
  const left = 1 - value;
  return values.map((each, number) => (number === index ? value : rest > 1e-9 ? (each / rest) * left : left / (values.length - 1)));
}

function showShares() {
  for (const [number, line] of [...$("sliders").children].entries()) {
    line.querySelector("input").value = (100 * shares[number]).toFixed(1);
    line.querySelector("output").textContent = `${(100 * shares[number]).toFixed(1)} %`;
  }
}

function sliders() {
  shares = state.classes.map((name) => state.source_shares[name] ?? 1 / state.classes.length);
  const sum = shares.reduce((a, b) => a + b, 0);
  shares = shares.map((each) => each / sum);
  $("sliders").replaceChildren(
    ...state.classes.map((name, number) => {
      const id = `share-${name}`;
      const change = (event) => {
        shares = withShare(shares, number, Number(event.target.value) / 100);
        showShares();
      };
      const slider = make("input", { type: "range", id, min: 0, max: 100, step: 0.5, oninput: change });
      return make("p", {}, make("label", { for: id }, name), slider, make("output", { for: id }));
    }),
  );
  showShares();
}

function progress(job) {
  const running = job?.state === "running";
  $("start").disabled = running;
  $("stop").hidden = !running;
  $("running").hidden = !job || job.state === "done";
  if (!job) return;
  $("plan").textContent = job.error || job.plan || (running ? "Starting" : "");
  if (job.total) {
    $("bar").max = job.total;
    $("bar").value = job.done;
  } else $("bar").removeAttribute("value");
  const ended = { stopped: "Stopped; what is done is saved. ", failed: "Failed. " }[job.state] || "";
  $("counted").textContent = ended + (job.total ? `${job.done} of ${job.total} pictures` : "");
  $("bar").hidden = !running;
}

const begin = guarded(async (content) => {
  $("result").hidden = true;
  progress(await post("/api/adapt", content));
  announce("Started.");
});

function offered(found) {
  $("unfinished").replaceChildren(
    ...found.map((each) =>
      make(
        "li",
        { class: "line" },
        `The adaptation to ${each.target} was stopped.`,
        make("button", { type: "button", onclick: () => begin({ target: each.target, groups: each.groups, shares: each.shares }) }, "Go on"),
      ),
    ),
  );
}

function pair(face) {
  const name = `${face.path}${face.changed ? "" : ", not changed"}`;
  return make(
    "li",
    {},
    make("img", { src: `/api/faces/${face.row}/small`, alt: face.path.split("/").pop(), width: 96, height: 96, loading: "lazy" }),
    make(
      "div",
      {},
      make("p", { class: face.changed ? "changed" : null }, `Before: ${face.before} ${percent(face.before_probability)}`),
      make("p", { class: face.changed ? "changed" : null }, `After: ${face.after} ${percent(face.after_probability)}`),
      make("p", { class: "note" }, name),
    ),
  );
}

function chosen(choice, run) {
  $("take").setAttribute("aria-pressed", String(choice === "take"));
  $("keep").setAttribute("aria-pressed", String(choice === "keep"));
  $("chosen").textContent =
    choice === "take" ? `This page uses it now; elsewhere: dcdan predict FACES --model ${run}` : choice === "keep" ? "This page uses the old model." : "";
}

const showResult = guarded(async () => {
  const found = await get("/api/adapt/result");
  const { verdict } = found;
  $("verdict").textContent = `Verdict: ${verdict.answer}`;
  $("reason").textContent = verdict.reason;
  const { value, low, high, name } = verdict.estimate;
  const missing = found.without_face ? ` ${found.without_face} pictures show no face.` : "";
  $("estimate").textContent =
    `Accuracy of the model that predicts now: ${percent(value)} (${percent(low)} to ${percent(high)}, by ${name}). ` +
    `${found.changed_faces} of ${found.faces} answers changed.${missing}`;
  const measured = Object.entries(found.measured_accuracy || {});
  $("measured").replaceChildren(
    ...measured.map(([model, each]) => make("li", {}, `${model}: ${percent(each.value)} (${percent(each.low)} to ${percent(each.high)})`)),
  );
  chosen(found.choice, found.run);
  for (const [id, take] of [["take", true], ["keep", false]]) {
    $(id).onclick = guarded(async () => {
      await post("/api/adapt/choice", { take });
      chosen(take ? "take" : "keep", found.run);
    });
  }
  showPieces($("faces"), $("show-more"), found.rows, pair);
  $("result").hidden = false;
});

$("known").addEventListener("change", () => ($("shares").hidden = $("known").value !== "sliders"));
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const known = $("known").value;
  const written = state.classes.map((name, number) => `${name}=${Math.floor(shares[number] * 1e6) / 1e6}`);
  begin({ target: $("target").value.trim(), groups: $("groups").value, shares: known === "sliders" ? declared(written) : known });
});

/** The last share is what is left, so that rounding cannot make the sum another. */
function declared(written) {
  return written.slice(0, -1).join(",");
}

$("stop").addEventListener("click", guarded(async () => post("/api/adapt/stop")));
$("export").addEventListener(
  "click",
  guarded(async () => {
    $("chosen").textContent = "Making the int8 graph";
    try {
      await (await request("/api/adapt/export", { method: "POST" })).json();
      $("chosen").replaceChildren("Done. ", make("a", { href: "/api/adapt/files/model-int8.onnx", download: true }, "Save the int8 graph"));
    } catch (error) {
      $("chosen").textContent = "";
      throw error;
    }
  }),
);

const load = guarded(async () => {
  state = await get("/api/adapt");
  $("targets").replaceChildren(...state.targets.map((value) => make("option", { value })));
  if (!$("target").value) $("target").value = state.targets[0] || "";
  if (!$("sliders").children.length) sliders();
  offered(state.unfinished);
  progress(state.job);
  if (state.run && state.job?.state !== "running") await showResult();
});

listen(
  {
    adapt: async (job) => {
      progress(job);
      if (job.state !== "running") {
        announce(job.error || job.state);
        await load();
      }
    },
  },
  load,
);
load();
