// Writes the conformance cases as JSON to the file that the first argument names. The package has them as a script.
import { writeFileSync } from "node:fs";
import { tests } from "@bufbuild/cel-spec/testdata/conformance.js";

writeFileSync(process.argv[2], JSON.stringify(tests));
