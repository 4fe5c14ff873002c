// The compiled kernel modules as bytes. The imports give paths: in development of build/*.wasm, in the executable of the files embedded
// in it. Run `npm run kernels` (every npm command does) before the first import from source.
import admitPath from "../build/admit.wasm" with { type: "file" };
import decodePath from "../build/decode.wasm" with { type: "file" };
import exportPath from "../build/export.wasm" with { type: "file" };
import foldPath from "../build/fold.wasm" with { type: "file" };

const PATHS = { admit: admitPath, decode: decodePath, export: exportPath, fold: foldPath };

/** Bytes of one module. */
export async function kernelModule(name: keyof typeof PATHS): Promise<Uint8Array> {
  return Bun.file(PATHS[name]).bytes();
}
