/* What a reader of the clients' pages has of their own, and what the pages do not import each time. */
import type * as Query from '@tanstack/react-query';
import type * as Node from 'hookwire';
import type * as Hookwire from 'hookwire-client';
import type * as ForQuery from 'hookwire-client/react-query';
import type * as ForReact from 'hookwire-client/react';
import type * as Optimistic from 'hookwire-client/optimistic';
import type * as ForSWR from 'hookwire-client/swr';
import type * as StatusOfReact from 'hookwire-client/status';
import type * as Testing from 'hookwire-client/testing';
import type * as ForVue from 'hookwire-client/vue';
import type * as React from 'react';
import type * as SWRSubscription from 'swr/subscription';
import type * as Vue from 'vue';

type Gift = { id: string; name: string };

declare global {
  /* theirs */
  const id: string;
  const topics: string[];
  const gifts: Gift[];
  const event: unknown;
  const app: any; // of Express, whose types are a package of their own
  const props: { id: string };
  const root: { render(element: React.ReactNode): void };
  const App: Vue.Component;
  const z: typeof import('zod').z;
  const api: { addGift(gift: Gift, mutationId: string): Promise<unknown> };
  const patch: (event: Hookwire.HookwireEvent<any>) => void;
  const replace: (data: any) => void;
  const report: (id: string | undefined, issues: ReadonlyArray<{ message: string }>) => void;
  const readAgain: () => void;
  const fetcher: (key: string) => Promise<Gift[]>;
  const fetchGiftList: (id: string) => Promise<Gift[]>;
  const setGifts: (change: (gifts: Gift[]) => Gift[]) => void;
  const apply: (gifts: Gift[], event: Hookwire.HookwireEvent<any>) => Gift[];
  const showError: (error: Hookwire.HookwireError) => void;
  const onEvent: (event: Hookwire.HookwireEvent<any>) => void;

  /* the packages' */
  const publisher: Node.Publisher;
  const express: any;
  const client: Hookwire.Client;
  const createClient: typeof Hookwire.createClient;
  const useState: <S = any>(initial?: S) => [S, React.Dispatch<React.SetStateAction<S>>]; // in JavaScript it cannot be told of what
  const useQuery: typeof Query.useQuery;
  const useQuerySync: typeof ForQuery.useQuerySync;
  const useLiveSWR: typeof ForSWR.useLiveSWR;
  const subscription: typeof ForSWR.subscription;
  const useSWRSubscription: typeof SWRSubscription.default;
  const useOptimistic: typeof Optimistic.useOptimistic;
  const useWebSocket: typeof ForReact.useWebSocket & typeof ForVue.useWebSocket;
  const hookwire: typeof ForVue.hookwire;
  const createApp: typeof Vue.createApp;
  const ConnectionStatus: typeof StatusOfReact.ConnectionStatus;
  const createFakeBroker: typeof Testing.createFakeBroker;
}
