// Print what TensorFlow.js makes of the drawn picture with the graph of MobileNet-V1: see README.md beside this.
import fs from "node:fs";
import path from "node:path";
import * as tf from "@tensorflow/tfjs";

const SIDE = 64;
const file = process.argv[2];
const model = JSON.parse(fs.readFileSync(file, "utf8"));
const weights = model.weightsManifest[0].paths.map((name) => fs.readFileSync(path.join(path.dirname(file), name)));
const whole = Buffer.concat(weights);
// It is published for 224 px, but nothing before its last layers depends on that.
model.modelTopology.node.find((node) => node.op === "Placeholder").attr.shape.shape.dim.forEach((side, i) => {
  if (i === 1 || i === 2) side.size = "-1";
});
await tf.setBackend("cpu");
const graph = await tf.loadGraphModel(
  tf.io.fromMemory({
    modelTopology: model.modelTopology,
    weightSpecs: model.weightsManifest[0].weights,
    weightData: whole.buffer.slice(whole.byteOffset, whole.byteOffset + whole.length),
  }),
);
const mean = [123.68, 116.779, 103.939];
const picture = [];
for (let y = 0; y < SIDE; y++) {
  for (let x = 0; x < SIDE; x++) {
    for (const c of [2, 1, 0]) {
      // blue, green, red
      picture.push((((x * x * (c + 2) + y * y * 3 + x * y * (2 * c + 1)) >> 3) & 255) - mean[c]);
    }
  }
}
const names = { middle: "conv_pw_5_relu/clip_by_value", last: "conv_pw_13_relu/clip_by_value" };
const maps = graph.execute(tf.tensor4d(picture, [1, SIDE, SIDE, 3]), Object.values(names));
const printed = {};
Object.keys(names).forEach((name, i) => {
  printed[name] = { shape: maps[i].shape, values: Array.from(maps[i].dataSync()) };
});
console.log(JSON.stringify(printed));
