/* hookwire/express: a publisher for each request, whose events carry its trace and its tenant. */
import { Publisher } from './index.js';

/**
 * Middleware that gives `req.publish(event)`, a publish with the request's `traceparent`. `tenant`, where a back end publishes for
 * several, says which of them a request is about: it becomes `data.tenant_id`, whatever the event says there, and the broker's policy has to allow it.
 * @param {Publisher | import('./index.js').PublisherOptions} publisher
 * @param {{ tenant?: (req: any) => string | undefined }} [options]
 */
export function hookwire(publisher, { tenant } = {}) {
  const own = publisher instanceof Publisher ? publisher : new Publisher(publisher);
  return (/** @type {any} */ req, /** @type {any} */ _res, /** @type {() => void} */ next) => {
    req.publish = (/** @type {import('./index.js').Event} */ event, /** @type {import('./index.js').RequestOptions} */ options) => {
      const tenantId = tenant?.(req);
      const whole = tenantId === undefined ? event : { ...event, data: { ...event.data, tenant_id: tenantId } };
      return own.publish(whole, { traceparent: req.headers.traceparent, ...options });
    };
    next();
  };
}
