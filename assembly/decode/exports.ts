// Export list of the `decode` module: every function that the host may call (kernels/decode.ts has their types).
export { begin, parse } from "./body";
export {
  behindAddress,
  forAdmission,
  idsAddress,
  idsValidAddress,
  seal,
  timesAddress,
  verdictsAddress,
} from "./gather";
export { addName } from "./names";
export { configure, use } from "./state";
export { parseDefault } from "./value";
