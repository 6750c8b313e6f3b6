/* The back end's REST interface. What went wrong is an ApiError, whose message may be shown behind a colon. */
export type Role = 'parent' | 'child' | 'guest';
export type GiftStatus = 'wanted' | 'reserved' | 'bought';

export interface User {
  id: string;
  name: string;
  role: Role;
  family_id: string;
}

export interface Person extends User {
  family: string;
}

export interface Gift {
  id: string;
  list_id: string;
  name: string;
  /** Empty: none. */
  note: string;
  /** In cents. */
  price: number | null;
  status: GiftStatus;
  /** Absent for who must not know: the list's owner. */
  reserved_by?: string | null;
  added_by: string;
  /** Of name, note and price. It does not count reservations: that would tell surprises. */
  version: number;
  updated_at: string;
}

export interface GiftList {
  id: string;
  title: string;
  owner_id: string;
  gifts: Gift[];
}

export interface Family {
  family: { id: string; name: string };
  lists: GiftList[];
}

/** What a person writes about a gift. */
export type GiftFields = Pick<Gift, 'name' | 'note' | 'price'>;

export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0: the back end was not reached. */
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** What the requests of one session have in common. */
export interface Caller {
  token: string;
  /** The session is not accepted (any more). */
  onUnauthorized: () => void;
}

async function call<T>(method: string, path: string, body?: unknown, caller?: Caller): Promise<T> {
  const headers: Record<string, string> = {};
  if (caller) headers.authorization = `Bearer ${caller.token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(`/api${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ApiError(0, 'unreachable', navigator.onLine ? 'the server cannot be reached' : 'you are offline');
  }
  if (response.ok) return response.status === 204 ? (undefined as T) : response.json();
  // who answers without our JSON is a proxy whose back end is not there
  const { code = 'unavailable', message = 'the server has a problem' } = (await response.json().catch(() => ({}))).error ?? {};
  if (response.status === 401) caller?.onUnauthorized();
  throw new ApiError(response.status, code, message);
}

export const getPeople = () => call<Person[]>('GET', '/people');
export const login = (userId: string) => call<{ session: string; user: User }>('POST', '/login', { user_id: userId });

/** The rest of it, for who has logged in. */
export const createApi = (caller: Caller) => ({
  config: () => call<{ broker_url: string }>('GET', '/config', undefined, caller),
  realtimeToken: () => call<{ token: string; expires_in: number }>('GET', '/realtime-token', undefined, caller),
  family: (id: string) => call<Family>('GET', `/families/${id}/gifts`, undefined, caller),
  addGift: (listId: string, fields: GiftFields, mutationId: string) =>
    call<Gift>('POST', `/lists/${listId}/gifts`, { ...fields, mutation_id: mutationId }, caller),
  /** With `version` it is refused (409) if somebody else was faster. */
  editGift: (id: string, change: Partial<GiftFields> & { status?: GiftStatus; version?: number }, mutationId: string) =>
    call<Gift>('PATCH', `/gifts/${id}`, { ...change, mutation_id: mutationId }, caller),
  deleteGift: (id: string, mutationId: string) =>
    call<void>('DELETE', `/gifts/${id}?mutation_id=${encodeURIComponent(mutationId)}`, undefined, caller),
});

export type Api = ReturnType<typeof createApi>;
