// A WASM file imported with `with { type: "file" }` is its path.
declare module "*.wasm" {
  const path: string;
  export default path;
}
