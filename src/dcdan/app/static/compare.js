// Two models on one folder: where they differ.
import { $, announce, fill, get, guarded, listen, make, modelName, percent, post, showPieces } from "./common.js";

function progress(job) {
  const running = job?.state === "running";
  $("start").disabled = running;
  $("stop").hidden = !running;
  $("running").hidden = !job || job.state === "done";
  if (!job) return;
  if (job.total) {
    $("bar").max = job.total;
    $("bar").value = job.done;
  } else $("bar").removeAttribute("value");
  $("bar").hidden = !running;
  $("counted").textContent = job.error || (job.total ? `${job.done} of ${job.total} pictures` : "Starting");
}

const verdict = (face, answer) => (face.label ? (face.label === answer ? " (right)" : " (wrong)") : "");

function pair(face, number) {
  return make(
    "li",
    {},
    make("img", { src: `/api/compare/faces/${number}`, alt: face.path.split("/").pop(), width: 96, height: 96, loading: "lazy" }),
    make(
      "div",
      {},
      make("p", { class: face.differs ? "changed" : null }, `First: ${face.first} ${percent(face.first_probability)}${verdict(face, face.first)}`),
      make("p", { class: face.differs ? "changed" : null }, `Second: ${face.second} ${percent(face.second_probability)}${verdict(face, face.second)}`),
      face.label ? make("p", {}, `Label: ${face.label}`) : null,
      make("p", { class: "note" }, `${face.path}, gap ${percent(face.gap)}`),
    ),
  );
}

function show(found) {
  const { counts } = found;
  const notes = [
    counts.without_face ? `${counts.without_face} pictures show no face` : "",
    counts.unmatched ? `${counts.unmatched} faces were found for one of the models only` : "",
    counts.left_out ? `${counts.left_out} pictures beyond the first 2000 were left out` : "",
  ].filter(Boolean);
  $("summary").textContent = `They differ on ${found.differ} of ${found.faces} faces. ${notes.join("; ")}`;
  $("labelled").textContent = found.labelled
    ? `Of ${found.labelled} labelled faces the first is right on ${found.right[0]}, the second on ${found.right[1]}.`
    : "";
  let number = 0;
  showPieces($("faces"), $("show-more"), found.rows.map((face) => [face, number++]), ([face, place]) => pair(face, place));
  $("result").hidden = false;
}

const load = guarded(async () => {
  const state = await get("/api/compare");
  if (!$("first").children.length) {
    fill($("first"), state.models, modelName, state.job?.first ?? state.models[0]);
    fill($("second"), state.models, modelName, state.job?.second ?? state.models[1] ?? state.models[0]);
    $("targets").replaceChildren(...state.targets.map((value) => make("option", { value })));
    $("target").value = state.job?.target ?? state.targets[0] ?? "";
  }
  progress(state.job);
  if (state.result && state.job.state !== "running" && state.job.state !== "failed") show(state.result);
});

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    $("result").hidden = true;
    progress(await post("/api/compare", { first: $("first").value, second: $("second").value, target: $("target").value.trim() }));
  })();
});
$("stop").addEventListener("click", guarded(async () => post("/api/compare/stop")));
listen(
  {
    compare: async (job) => {
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
