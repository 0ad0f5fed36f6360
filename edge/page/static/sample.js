// Inputs to try a model with, made from what it says of itself. Pure.

const MOST = 65_536; // elements: more is no sample to look at

// Sample 7.json of the sample model's held-out data (testdata/digits in the repository).
const SEVEN = [0, 0, 3, 14, 16, 14, 0, 0, 0, 0, 13, 13, 13, 16, 2, 0, 0, 0, 1, 0, 9, 15, 0, 0, 0, 0, 9, 12, 15, 16, 10, 0, 0, 4, 16, 16, 16, 11, 3, 0, 0, 0, 4, 9, 14, 2, 0, 0, 0, 0, 2, 15, 9, 0, 0, 0, 0, 0, 4, 13, 1, 0, 0, 0];

/** A request body for a model: {body, real}; real tells that it is a real input. */
export function sample(meta) {
  const inputs = (meta?.inputs ?? []).map(zeros);
  const real = isDigits(meta);
  if (real) inputs[0].data = [...SEVEN];
  return { body: { inputs }, real };
}

function isDigits(meta) {
  const [only, ...others] = meta?.inputs ?? [];
  return /^digits(-lite)?$/.test(meta?.name ?? "") && others.length === 0 && only?.name === "pixels" && only.shape?.length === 2 && only.shape[1] === SEVEN.length;
}

function zeros(tensor) {
  // -1 is any length, and one will do.
  const shape = (tensor.shape ?? []).map((n) => (n > 0 ? n : 1));
  const size = shape.reduce((a, b) => a * b, 1);
  const zero = tensor.datatype === "BYTES" ? "" : tensor.datatype === "BOOL" ? false : 0;
  return { name: tensor.name, shape, datatype: tensor.datatype, data: size <= MOST ? Array(size).fill(zero) : [] };
}

/** The body as a person edits it: one tensor a line. */
export function write(body) {
  const line = (input) => "    " + JSON.stringify(input);
  return '{\n  "inputs": [\n' + body.inputs.map(line).join(",\n") + "\n  ]\n}";
}
