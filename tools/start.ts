// `npm start`: builds the kernels, then is `millrace demo`: the appliance on examples/clickstream, with the bundled clicks played into
// it. Arguments go to it: `npm start -- --data DIR --listen HOST:PORT`. In this same process, so that signals need no forwarding.
import { buildKernels } from "../kernels/build.ts";

await buildKernels();
process.argv.splice(2, 0, "demo");
// After the kernels are built: importing main loads them.
await import("../src/main.ts");
