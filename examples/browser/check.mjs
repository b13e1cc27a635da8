// node check.mjs FOLDER FACES ANSWERS GRAPH: answers in WebAssembly beside those of ONNX Runtime; called by check.py.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { Recogniser, similarity } from "./recogniser.mjs";

const [folder, facesFile, answersFile, graph] = process.argv.slice(2);
const ort = await import(pathToFileURL(`${process.cwd()}/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs`));
ort.env.wasm.numThreads = 1;
const info = JSON.parse(await readFile(`${folder}/model.json`, "utf8"));
const recogniser = await Recogniser.load(ort, new Uint8Array(await readFile(`${folder}/${graph}`)), info);
const faces = new Uint8Array(await readFile(facesFile));
const wanted = JSON.parse(await readFile(answersFile, "utf8"));

const one = recogniser.size ** 2 * 3;
const answers = await recogniser.recognise(faces);
const far = answers.flatMap((answer, i) => answer.probabilities.map((p, k) => Math.abs(p - wanted.probabilities[i][k])));
const times = [];
for (let i = 0; i < answers.length; i++) {
  const began = performance.now();
  await recogniser.recognise(faces.slice(i * one, (i + 1) * one));
  times.push(performance.now() - began);
}
const turned = similarity(wanted.points, recogniser.size);
console.log(JSON.stringify({
  largest_difference: Math.max(...far),
  same_answer: answers.filter((answer, i) => answer.expression === wanted.expressions[i]).length,
  alignment_difference: Math.max(...turned.map((value, i) => Math.abs(value - wanted.similarity[i]))),
  milliseconds: times.sort((a, b) => a - b)[Math.floor(times.length / 2)],
}));
