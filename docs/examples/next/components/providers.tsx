'use client';

import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createClient } from 'hookwire-client';
import { HookwireProvider } from 'hookwire-client/react';
import { type ReactNode, useState } from 'react';

async function getToken(): Promise<string> {
  const response = await fetch('/api/token', { cache: 'no-store' });
  if (!response.ok) throw new Error(`no token: HTTP ${response.status}`);
  return response.text();
}

/** One client for the page. It is made on the server too, where it does nothing: it connects with the first component that follows something. */
export function Providers({ brokerUrl, children }: { brokerUrl: string; children: ReactNode }) {
  const [client] = useState(() => createClient({ url: brokerUrl, getToken }));
  const [queryClient] = useState(() => new QueryClient({ defaultOptions: { queries: { staleTime: 60_000 } } })); // what the server read is fresh
  return (
    <HookwireProvider client={client}>
      <QueryClientProvider client={queryClient}>{children}</QueryClientProvider>
    </HookwireProvider>
  );
}
