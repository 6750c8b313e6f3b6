/* What a program in TypeScript does with the package; it is compiled and never run. */
import { HookwireError, Publisher, verifyWebhook, type Event, type Published } from 'hookwire';
import { hookwire } from 'hookwire/express';
import { validate } from 'hookwire/validate';

const event: Event = { topic: 'gift-list:1', event: 'UPDATED', data: { entity_id: 'g1', payload: { name: 'Bike' } }, version: 2 };
const publisher = new Publisher({ url: 'http://127.0.0.1:8080', token: async () => 'token', onError: (_, error) => error.retryAfterMs });
const one: Published = await publisher.publish(event, { timeoutMs: 1000, signal: new AbortController().signal });
const many: (Published | HookwireError)[] = await publisher.publishMany([event]);
const errors: string[] = validate(event).errors;
verifyWebhook(new Headers(), '', ['whsec_'], { toleranceS: 1 });
hookwire(publisher, { tenant: () => 'acme' });
// @ts-expect-error: an event has data
await publisher.publish({ topic: 'gift-list:1', event: 'UPDATED' });
export { errors, many, one };
