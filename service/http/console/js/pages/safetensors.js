// Reads safetensors files: a header of 8 bytes with the size of a JSON document, that document, and the tensors.

/** Headers longer than this are not read. */
const MOST_HEADER = 4 * 2 ** 20;

const READERS = {
  F64: [8, (view, at) => view.getFloat64(at, true)],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  F16: [2, (view, at) => half(view.getUint16(at, true))],
  BF16: [2, (view, at) => brain(view.getUint16(at, true))],
  I64: [8, (view, at) => Number(view.getBigInt64(at, true))],
  U64: [8, (view, at) => Number(view.getBigUint64(at, true))],
  I32: [4, (view, at) => view.getInt32(at, true)],
  U32: [4, (view, at) => view.getUint32(at, true)],
  I16: [2, (view, at) => view.getInt16(at, true)],
  U16: [2, (view, at) => view.getUint16(at, true)],
  I8: [1, (view, at) => view.getInt8(at)],
  U8: [1, (view, at) => view.getUint8(at)],
  BOOL: [1, (view, at) => (view.getUint8(at) ? 1 : 0)],
};

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const scratch = new DataView(new ArrayBuffer(4));

function brain(bits) {
  scratch.setUint32(0, bits << 16, true);
  return scratch.getFloat32(0, true);
}

/**
 * Return the tensors of a file as [{name, dtype, shape, values: Float64Array}] and its metadata. Raises Error with what
 * is wrong with a file that is none.
 */
export function readTensors(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 8) throw new Error("The state is no safetensors file: it has less than 8 bytes.");
  const size = Number(view.getBigUint64(0, true));
  if (size > MOST_HEADER || 8 + size > buffer.byteLength) throw new Error("The state is no safetensors file: its header is too long.");
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, size)));
  return { metadata, tensors: Object.entries(entries).map(([name, entry]) => readTensor(view, 8 + size, name, entry)) };
}

function readTensor(view, begin, name, { dtype, shape, data_offsets: [from, to] }) {
  const reader = READERS[dtype];
  if (!reader) throw new Error(`The tensor ${name} has the dtype ${dtype}, which is not shown here.`);
  const [width, read] = reader;
  const length = (to - from) / width;
  if (!Number.isInteger(length) || begin + to > view.byteLength) throw new Error(`The tensor ${name} ends outside of the file.`);
  const values = new Float64Array(length);
  for (let index = 0; index < length; index += 1) values[index] = read(view, begin + from + index * width);
  return { name, dtype, shape, values };
}
