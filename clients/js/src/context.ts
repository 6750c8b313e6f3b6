/* The client that a page's components have in common. A file of its own, so that all adapters for React have the same one. */
import { createContext, createElement, type FunctionComponent, type ReactNode, useContext } from 'react';
import type { Client } from './types.js';

const Context = createContext<Client<any> | undefined>(undefined);

/** What `<HookwireProvider>` takes. */
export interface HookwireProviderProps {
  client: Client<any>;
  children?: ReactNode;
}

/** Gives its children the client. Make the client outside of components, one for the page; it connects with the first subscription. */
export const HookwireProvider: FunctionComponent<HookwireProviderProps> = ({ client, children }) =>
  createElement(Context.Provider, { value: client }, children);

/** The client of the provider around. */
export function useHookwire(): Client<any> {
  const client = useContext(Context);
  if (!client) throw new Error('no HookwireProvider');
  return client;
}
