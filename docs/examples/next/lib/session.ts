import 'server-only';

/** Stands for your sign-in: who asks, and what they belong to. Undefined: nobody who is signed in. */
export async function currentUser(): Promise<{ id: string; families: string[] } | undefined> {
  return { id: 'alice', families: ['family-123'] };
}
