// Pictures, folders, videos and the camera: boxes, names and probabilities.
import { $, announce, csv, fill, get, guarded, make, modelName, percent, request, save, showError } from "./common.js";

const VIDEO = /\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|flv|ogv|3gp|ts|mts|m2ts)$/i;
const AT_ONCE = 2;
let model = null;
let table = [];
let waiting = [];
let working = 0;
let rounds = 0;

const query = (name) => `name=${encodeURIComponent(name)}&model=${encodeURIComponent($("model").value)}`;

function boxes(place, rows, size) {
  place.replaceChildren(
    ...rows
      .filter((row) => row.box && row.expression)
      .map((row) => {
        const [x0, y0, x1, y1] = row.box;
        const box = make("div", { class: row.unsure ? "box unsure" : "box" }, make("span", {}, named(row)));
        box.style.left = `${(100 * x0) / size[0]}%`;
        box.style.top = `${(100 * y0) / size[1]}%`;
        box.style.width = `${(100 * (x1 - x0)) / size[0]}%`;
        box.style.height = `${(100 * (y1 - y0)) / size[1]}%`;
        return box;
      }),
  );
}

const named = (row) => `${row.expression}${row.unsure ? " ?" : ""} ${percent(row.probability)}`;

function bars(values) {
  const list = make("dl", { class: "bars" });
  for (const [name, value] of Object.entries(values).sort((a, b) => b[1] - a[1])) {
    const inner = make("i");
    inner.style.width = percent(value).replace(" ", "");
    list.append(make("dt", {}, name), make("dd", { class: "bar", "aria-hidden": "true" }, inner), make("dd", { class: "number" }, percent(value)));
  }
  return list;
}

function answer(row, many) {
  if (!row.expression) return [make("p", { class: "answer" }, row.status.replaceAll("_", " "))];
  const unsure = row.unsure ? make("span", { class: "unsure-note" }, " unsure") : null;
  const number = many ? `Face ${row.face + 1}: ` : "";
  const parts = [make("p", { class: "answer" }, `${number}${row.expression} ${percent(row.probability)}`, unsure)];
  parts.push(make("details", { open: !many }, make("summary", {}, "Probabilities"), bars(row.probabilities)));
  if (Object.keys(row.actions || {}).length) {
    parts.push(make("details", {}, make("summary", {}, "Facial actions"), bars(row.actions)));
  }
  return parts;
}

function keep(cells) {
  table.push(...cells);
  for (const id of ["save", "copy", "clear"]) $(id).disabled = false;
  counted();
}

function counted() {
  const left = waiting.length + working;
  const rows = table.length === 1 ? "1 row" : `${table.length} rows`;
  $("count").textContent = table.length || left ? rows + (left ? `, ${left} files to go` : "") : "Nothing yet.";
}

function card(name) {
  const item = make("li", { "aria-busy": "true" }, make("h3", {}, name), make("p", { class: "note" }, "Waiting"));
  $("answers").prepend(item);
  return item;
}

function failed(item, name, sentence) {
  item.removeAttribute("aria-busy");
  item.replaceChildren(make("h3", {}, name), make("p", { class: "error" }, sentence));
  announce(`${name}: ${sentence}`);
}

async function picture(file, name, item) {
  if (file.size > model.most_picture_bytes) {
    return failed(item, name, `It is larger than ${model.most_picture_bytes >> 20} MB: make it smaller.`);
  }
  const found = await (await request(`/api/recognise?${query(name)}`, { method: "POST", body: file })).json();
  keep(found.cells);
  item.removeAttribute("aria-busy");
  const parts = [make("h3", {}, name)];
  const many = found.rows.length > 1;
  if (found.size) {
    const place = make("div", { class: "boxes" });
    const image = make("img", { alt: `${name}, with a box at each face`, width: found.size[0], height: found.size[1] });
    image.style.height = "auto";
    image.style.aspectRatio = `${found.size[0]} / ${found.size[1]}`;
    image.style.width = `min(100%, calc(22rem * ${found.size[0] / found.size[1]}), ${Math.max(found.size[0], 160)}px)`;
    image.src = URL.createObjectURL(file);
    const tight = make("div", { class: "frame" }, image, place);
    boxes(place, found.rows, found.size);
    parts.push(tight);
  }
  if (found.reason) parts.push(make("p", { class: "note" }, found.reason));
  item.replaceChildren(...parts, ...found.rows.flatMap((row) => answer(row, many)));
  announce(`${name}: ${found.rows.map((row) => row.expression || row.status).join(", ")}`);
}

async function* lines(answered) {
  const reader = answered.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

async function video(file, name, item) {
  if (file.size > model.most_video_bytes) {
    return failed(item, name, "It is larger than 1 GB: use `dcdan predict`.");
  }
  const place = make("div", { class: "boxes" });
  const player = make("video", { controls: true, muted: true, "aria-label": name, src: URL.createObjectURL(file) });
  const told = make("p", { class: "answer" }, "Uploading");
  item.replaceChildren(make("h3", {}, name), make("div", { class: "frame" }, player, place), told);
  const frames = [];
  const draw = () => {
    const last = frames.findLast((frame) => frame.time <= player.currentTime + 0.01) || frames[0];
    if (last) boxes(place, last.rows, last.size);
  };
  player.addEventListener("timeupdate", draw);
  player.addEventListener("seeked", draw);
  const answered = await request(`/api/video?${query(name)}`, { method: "POST", body: file });
  for await (const frame of lines(answered)) {
    if (frame.error) return failed(item, name, frame.error);
    if (frame.done) {
      if (frame.warning) item.append(make("p", { class: "note" }, frame.warning));
      break;
    }
    frames.push(frame);
    keep(frame.cells);
    told.textContent = `${frame.frame}${frame.frames ? ` of ${frame.frames}` : ""} frames`;
    if (frames.length === 1) draw();
  }
  const shares = {};
  const all = frames.flatMap((frame) => frame.rows).filter((row) => row.expression);
  for (const row of all) shares[row.expression] = (shares[row.expression] || 0) + 1 / all.length;
  told.textContent = `${frames.length} frames, ${all.length} faces`;
  item.append(bars(shares));
  item.removeAttribute("aria-busy");
  announce(`${name}: ${told.textContent}`);
}

function next() {
  while (working < AT_ONCE && waiting.length) {
    const { file, name, item, round } = waiting.shift();
    working += 1;
    const work = VIDEO.test(name) || file.type.startsWith("video/") ? video : picture;
    work(file, name, item)
      .catch((error) => failed(item, name, error.message))
      .finally(() => {
        working -= 1;
        if (round !== rounds) item.remove();
        counted();
        next();
      });
  }
  counted();
}

const add = guarded(async (files) => {
  if (!model) await describe();
  const free = model.most_files - waiting.length;
  if (files.length > free) {
    showError(new Error(`${files.length - free} of ${files.length} files were left out: give at most ${model.most_files}, or use \`dcdan predict\`.`));
  }
  for (const { file, name } of files.slice(0, Math.max(0, free))) waiting.push({ file, name, item: card(name), round: rounds });
  next();
});

async function entries(entry, prefix = "") {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: prefix + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const piece = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!piece.length) break;
    for (const inner of piece) found.push(...(await entries(inner, `${prefix}${entry.name}/`)));
  }
  return found;
}

const drop = $("drop");
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files].map((file) => ({ file, name: file.name }));
  const found = items.length ? (await Promise.all(items.map((entry) => entries(entry)))).flat() : plain;
  add(found.filter(({ name }) => !name.split("/").pop().startsWith(".")));
});
for (const id of ["files", "folder"]) {
  $(id).addEventListener("change", () => {
    add([...$(id).files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    $(id).value = "";
  });
}

// The camera sends the next frame when the last one is answered.
let stream = null;

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("live").hidden = true;
  $("camera").setAttribute("aria-pressed", "false");
}

async function watchCamera() {
  const view = $("view");
  const canvas = document.createElement("canvas");
  while (stream) {
    [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
    canvas.getContext("2d").drawImage(view, 0, 0);
    const frame = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
    const found = await (await request(`/api/recognise?${query("camera")}`, { method: "POST", body: frame })).json();
    if (!stream) return;
    if (found.size) boxes($("live-boxes"), found.rows, found.size);
    const seen = found.rows.filter((row) => row.expression);
    $("live-answer").textContent = seen.length ? seen.map(named).join(" · ") : "No face.";
  }
}

$("camera").addEventListener(
  "click",
  guarded(async () => {
    if (stream) return stopCamera();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true });
    } catch (error) {
      throw new Error(`The camera cannot be used (${error.message || error.name}): plug one in, and allow this page to use it.`);
    }
    $("camera").setAttribute("aria-pressed", "true");
    $("live").hidden = false;
    $("view").srcObject = stream;
    await $("view").play();
    try {
      await watchCamera();
    } catch (error) {
      stopCamera();
      throw error;
    }
  }),
);

const text = () => csv([model.columns, ...table]);
$("save").addEventListener("click", () => save("faces.csv", text()));
$("copy").addEventListener(
  "click",
  guarded(async () => {
    await navigator.clipboard.writeText(text());
    announce("Copied.");
    $("count").textContent = `${table.length} rows copied.`;
  }),
);
$("clear").addEventListener("click", () => {
  rounds += 1;
  table = [];
  waiting = [];
  $("answers").replaceChildren();
  for (const id of ["save", "copy", "clear"]) $(id).disabled = true;
  counted();
});

async function describe() {
  model = await get("/api/model");
  fill($("model"), model.models, modelName, model.current);
}

$("model").addEventListener("change", () => $("clear").click());
guarded(describe)();
