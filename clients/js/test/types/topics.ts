/* Compiled, never run: a line below @ts-expect-error that is no error is one. */
import * as v from 'valibot';
import { z } from 'zod';
import { createClient, type HookwireEvent, type PayloadOf } from '../../dist/index.js';
import { createClient as createSmall } from '../../dist/ws.js';

const schemas = {
  'gift-list:*': z.object({ name: z.string(), price: z.number().optional() }),
  'order:7': v.object({ total: v.number() }),
};
const client = createClient({ url: '', schemas });

client.subscribe('gift-list:family-123', ({ data }) => {
  const name: string | undefined = data.payload?.name;
  // @ts-expect-error a name is no number
  const wrong: number | undefined = data.payload?.name;
  // @ts-expect-error the schema has no such member
  void data.payload?.colour;
  void [name, wrong];
});
client.subscribe('order:7', ({ data }) => {
  const total: number | undefined = data.payload?.total;
  void total;
});
client.subscribe(['gift-list:1', 'order:7'], ({ data }) => {
  const payload: { name: string; price?: number | undefined } | { total: number } | undefined = data.payload;
  // @ts-expect-error it is one or the other
  void data.payload?.total;
  void payload;
});
client.subscribe(['gift-list:1', 'order:8'], ({ data }) => {
  const payload: unknown = data.payload;
  // @ts-expect-error of one of them nothing is known
  void data.payload?.name;
  void payload;
});
client.subscribe('order:8', ({ data }) => {
  const payload: unknown = data.payload;
  // @ts-expect-error nothing is known of it
  void data.payload.total;
  void payload;
});
const dynamic: string = 'gift-list:1';
client.subscribe(dynamic, ({ data }) => {
  // @ts-expect-error which topic it is nobody knows
  void data.payload.name;
});
void client.history('order:7').then(({ events }) => events[0]!.data.payload!.total.toFixed());
void client
  .snapshot('gift-list:1', async () => [1, 2], ({ data }) => data.payload?.name.trim(), { onData: (data) => data.map((n) => n.toFixed()) })
  .then(({ data }) => data.map((n) => n.toFixed()));

// @ts-expect-error a schema is one of the standard
createClient({ url: '', schemas: { 'a:*': { parse() {} } } });
// @ts-expect-error the address is needed
createClient({});
// @ts-expect-error there is no such transport
createClient({ url: '', transports: ['carrier-pigeon'] });
// @ts-expect-error it has no other transports
createSmall({ url: '', transports: ['sse'] });

const event: HookwireEvent<{ a: 1 }> = { topic: 'a:1', event: 'OWN', data: { entity_id: 1, user_id: '', tenant_id: '', timestamp: '' }, trace_id: '' };
const one: PayloadOf<typeof schemas, 'order:7'> = { total: 1 };
void [event, one];
