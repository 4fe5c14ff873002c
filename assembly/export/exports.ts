// Export list of the `export` module: every function that the host may call (signatures: kernels/export.ts).
export { encodeLevels, pickValid, setLevels } from "./levels";
export {
  copyBits,
  copyFixed4,
  copyFixed8,
  copySwapped16,
  daySpan,
  fillIndex,
  fillZero,
  selectDay,
} from "./values";
export { codedBytes, copyCoded, copyPlain, plainBytes } from "./text";
export {
  dictionaryAddRows,
  dictionaryClear,
  dictionaryMerge,
  dictionaryMove,
  mapCodes,
  markUsed,
  packCodes,
} from "./dictionary";
export {
  boundsBits,
  boundsF32,
  boundsF64,
  boundsI128,
  boundsI32,
  boundsI64,
  boundsText,
} from "./bounds";
