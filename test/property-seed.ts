// Loaded by `npm test` before any test: properties draw from the seed of the run, which its end prints, so that a run can be repeated whole.
import fc from "fast-check";

const seed = process.env["MILLRACE_TEST_SEED"];
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) | 0 });
