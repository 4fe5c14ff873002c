// A process that exports records and is killed at a failpoint, if one is armed. Usage: crash-child.ts FOLDER LAST [FAILPOINT-PLAN]
import { parseFailpointPlans } from "../../src/base/failpoints.ts";
import { exportAll, open } from "./tables-fixture.ts";

const [folder = "", last = "0", plan] = process.argv.slice(2);
const tables = open(folder, { plans: plan === undefined ? [] : parseFailpointPlans(plan) });
exportAll(tables, Number(last));
tables.close();
