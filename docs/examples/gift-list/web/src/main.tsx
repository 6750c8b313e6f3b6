import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { openSession } from './session';
import './style.css';

const queryClient = new QueryClient({
  // events keep the data fresh; what is refused is refused at the second time as well
  defaultOptions: { queries: { staleTime: Infinity, retry: 1 } },
});

void openSession();

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <QueryClientProvider client={queryClient}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
