/* Payloads are checked by the schemas of their topics. */
import { type Core, wildcardOf } from './core.js';

export function withSchemas(core: Core): void {
  const { schemas, onInvalid } = core.options;
  if (!schemas) return;
  core.isValid = (event) => {
    const schema = schemas[event.topic] ?? schemas[wildcardOf(event.topic)];
    if (!schema || event.data.payload === undefined) return true;
    const result = schema['~standard'].validate(event.data.payload);
    if (result instanceof Promise) throw new TypeError('async schema');
    if (result.issues) onInvalid?.(event, result.issues);
    else event.data.payload = result.value;
    return !result.issues;
  };
}
