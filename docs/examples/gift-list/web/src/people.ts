/* Who there is: names for the ids in gifts and events. */
import { useQuery } from '@tanstack/react-query';
import { useHookwire } from 'hookwire-client/react';
import { useCallback, useEffect, useState } from 'react';
import type { PresenceUser } from 'hookwire-client';
import { getPeople, type Role } from './api';

export const ROLES: Record<Role, string> = { parent: 'Parent', child: 'Child', guest: 'Guest' };

export const usePeople = () => useQuery({ queryKey: ['people'], queryFn: getPeople });

/** Gives the name of an id. */
export function useNames(): (id: string) => string {
  const { data } = usePeople();
  return useCallback((id) => data?.find((person) => person.id === id)?.name ?? id, [data]);
}

/** Who looks at a topic, now. */
export function usePresence(topic: string): PresenceUser[] {
  const client = useHookwire();
  const [users, setUsers] = useState<PresenceUser[]>([]);
  useEffect(() => client.onPresence(topic, setUsers), [client, topic]);
  return users;
}
