// Reads {"openapi", "asyncapi", "samples": [{"in", "schema", "value"}]} from standard input, has public validators look at both documents and
// at each sample by the schema that its document has for it, and prints what is wrong, one a line.
"use strict";

const Ajv = require("ajv/dist/2020");
const formats = require("ajv-formats");
const { Parser } = require("@asyncapi/parser");

const ERROR = 0; // of a diagnostic's severity; the rest is advice

function samplesProblems(documents, samples) {
  const ajv = new Ajv({ strict: false, allErrors: true });
  formats(ajv);
  for (const name of Object.keys(documents)) ajv.addSchema(documents[name], name);
  return samples.flatMap(({ in: document, schema, value }) => {
    const validate = ajv.compile({ $ref: `${document}#${schema}` });
    return validate(value) ? [] : [`${document}#${schema} does not allow ${JSON.stringify(value).slice(0, 300)}: ${ajv.errorsText(validate.errors).slice(0, 300)}`];
  });
}

async function main() {
  const { openapi, asyncapi, samples } = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const { Validator } = await import("@seriousme/openapi-schema-validator");
  const validator = new Validator();
  const result = await validator.validate(openapi);
  const problems = result.valid ? [] : [`openapi: ${JSON.stringify(result.errors).slice(0, 2000)}`];
  if (validator.version !== "3.1") problems.push(`openapi: version ${validator.version}`);
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncapi));
  problems.push(...diagnostics.filter((d) => d.severity === ERROR).map((d) => `asyncapi: ${d.path.join("/")}: ${d.message}`));
  if (!document || !document.version().startsWith("3.")) problems.push("asyncapi: no document of version 3");
  problems.push(...samplesProblems({ openapi, asyncapi }, samples));
  for (const problem of problems) console.log(problem);
}

main().catch((error) => { console.log(`the check itself failed: ${error.stack}`); });
