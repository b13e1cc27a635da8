// Expressions from aligned faces in a browser or in Node, with onnxruntime-web on WebAssembly.

/** Five points of an upright face in units of its side: eyes, nose, corners of the mouth (left is left in the picture). */
export const TEMPLATE = [[0.34, 0.39], [0.66, 0.39], [0.5, 0.58], [0.37, 0.75], [0.63, 0.75]];

/** A model that `dcdan export RUN --out FOLDER` has written. */
export class Recogniser {
  constructor(ort, session, info) {
    Object.assign(this, { ort, session, info, size: info.face.size, classes: info.classes });
  }

  /** `graph` is model.onnx or model-int8.onnx as bytes, `info` the parsed model.json. */
  static async load(ort, graph, info) {
    return new Recogniser(ort, await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] }), info);
  }

  /** Faces `n * size * size * 3` uint8, RGB, aligned: an answer for each, as `dcdan predict` gives it. */
  async recognise(pixels) {
    const n = pixels.length / (this.size * this.size * 3);
    const faces = new this.ort.Tensor("uint8", pixels, [n, this.size, this.size, 3]);
    const { probabilities, expression, confidence } = await this.session.run({ faces });
    const width = this.classes.length;
    return Array.from({ length: n }, (_, i) => ({
      expression: this.classes[Number(expression.data[i])],
      probability: confidence.data[i],
      unsure: confidence.data[i] < this.info.calibration.unsure_below,
      probabilities: Array.from(probabilities.data.slice(i * width, (i + 1) * width)),
    }));
  }
}

/** The similarity `[a, b, x, y]`, least squares (Umeyama 1991), that moves points onto the template of a face of `size`:
 * (px, py) goes to (a px - b py + x, b px + a py + y). */
export function similarity(points, size) {
  const mean = (of) => [0, 1].map((axis) => of.reduce((sum, point) => sum + point[axis], 0) / of.length);
  const goals = TEMPLATE.map(([x, y]) => [x * size, y * size]);
  const [cx, cy] = mean(points), [gx, gy] = mean(goals);
  let along = 0, across = 0, spread = 0;
  points.forEach(([px, py], i) => {
    const [sx, sy, tx, ty] = [px - cx, py - cy, goals[i][0] - gx, goals[i][1] - gy];
    along += sx * tx + sy * ty;
    across += sx * ty - sy * tx;
    spread += sx * sx + sy * sy;
  });
  // Points that all coincide are only moved, as in dcdan.
  const [a, b] = spread > 0 ? [along / spread, across / spread] : [1, 0];
  return [a, b, gx - (a * cx - b * cy), gy - (b * cx + a * cy)];
}

/** Cut the face with these five points out of a picture (anything that a canvas draws) and return its RGB bytes. */
export function align(picture, points, size) {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [a, b, x, y] = similarity(points, size);
  context.imageSmoothingQuality = "high";
  context.setTransform(a, b, -b, a, x, y);
  context.drawImage(picture, 0, 0);
  const rgba = context.getImageData(0, 0, size, size).data;
  return Uint8Array.from({ length: size * size * 3 }, (_, i) => rgba[4 * Math.floor(i / 3) + (i % 3)]);
}
