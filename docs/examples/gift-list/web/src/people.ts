/* Who there is: names for the ids in gifts and events. */
import { useQuery } from '@tanstack/react-query';
import { useCallback } from 'react';
import { getPeople, type Role } from './api';

export const ROLES: Record<Role, string> = { parent: 'Parent', child: 'Child', guest: 'Guest' };

export const usePeople = () => useQuery({ queryKey: ['people'], queryFn: getPeople });

/** Gives the name of an id. */
export function useNames(): (id: string) => string {
  const { data } = usePeople();
  return useCallback((id) => data?.find((person) => person.id === id)?.name ?? id, [data]);
}
